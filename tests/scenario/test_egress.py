# SPDX-License-Identifier: Apache-2.0
"""Egress through a waypoint: ServiceEntries that name it, wildcards whose servers requests name, and the ways around that are refused."""
import json, os, re, socket, ssl, struct
import wire
from dns import A, Upstream, dnsmasq, question, resolver, udp
from harness import Lab, eventually, policy, using
from pki import Pki
from relay import read_end

ENTRY = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %s, namespace: default}
spec:
  hosts: ["%s"]
  location: MESH_EXTERNAL
  resolution: %s
  ports: [%s]
  %s
---
"""
TLS = "{number: 443, targetPort: 8443, name: tls, protocol: TLS}"
HTTP = "{number: 80, targetPort: 8080, name: http, protocol: HTTP}"


def wild(ports=HTTP, name="wild", host="*.example.test", more=""):
    return using("wp", ENTRY % (name, host, "DYNAMIC_DNS", ports, more))


def start(lab, h, server, *args, **kw):
    """meshd on this host asks that name server."""
    conf = resolver(h, lab, f"nameserver {server.v4}\n")
    real, lab.meshd = lab.meshd, f"{lab.dir}/meshd-{h.name}"
    with open(lab.meshd, "w") as f:
        f.write(f'#!/bin/sh\nexec unshare -m sh -c \'mount --bind "$0" /etc/resolv.conf && exec "$@"\' {conf} {real} "$@"\n')
    os.chmod(lab.meshd, 0o755)
    h.start(*args, **kw)
    lab.meshd = real


def outside(lab, entries, *records, clients=("web",), mode="ztunnel", env=None, args=()):
    """Clients, a waypoint that asks a name server of the lab, and a host outside the mesh."""
    lab.write("mesh.yaml", "accessLogFile: /dev/stdout\n")
    up, ext = lab.plain("up", "ext")
    lab.write("entries.yaml", entries(ext) if callable(entries) else entries)
    dnsmasq(lab, up, *(f"--host-record={r}".format(ext=ext.v4) for r in records))
    wp = lab.waypoint("wp", start=False)
    start(lab, wp, up, "--workload=default/wp-v6", *args, env=env)
    web = lab.meshed(*clients, mode=mode, env={"ISTIO_META_DNS_CAPTURE": "true", **(env or {})})
    return (*(web if isinstance(web, list) else [web]), wp, ext)


def vip(h, name):
    """What the mesh answers for a name."""
    def ask():
        a = udp(h, "127.0.0.1", question(name, A), port=15053)
        assert a[3] & 15 == 0 and struct.unpack("!H", a[6:8])[0] == 1, a
        return socket.inet_ntoa(a[-4:])
    return eventually(ask, 10, what=f"{name} has an address")


def ask(h, name, ip=None, status=200, path="/", **kw):
    def once():
        r = h.http(path, port=80, ip=ip or vip(h, name), headers={"Host": name}, **kw)
        assert r[0] == status, r
        return r
    return eventually(once, 10)


def test_names_of_a_wildcard():
    with Lab() as lab:
        web, wp, ext = outside(lab, wild(), "a.example.test,{ext}", "b.c.example.test,{ext}", "loop.example.test,127.0.0.1",
                               "meta.example.test,169.254.169.254", "inside.example.test,240.240.0.9")
        app = ext.serve_http(8080)
        for name in ("a.example.test", "b.c.example.test"):
            got = json.loads(ask(web, name)[1])
            assert got["host"] == "ext" and dict(got["headers"])["Host"] == name, got
        ip = vip(web, "a.example.test")
        assert ip.startswith("240.240."), ip
        n = len(app.requests)
        for name, status, why in (("evil.test", 404, "route_not_found{host_outside}"), ("example.test", 404, "route_not_found{host_outside}"),
                                  ("aexample.test", 404, "route_not_found{host_outside}"), (ext.v4, 404, "route_not_found{host_address}"),
                                  ("loop.example.test", 403, "dns_resolution_failure{forbidden_address}"), ("meta.example.test", 403, "dns_resolution_failure{forbidden_address}"),
                                  ("inside.example.test", 403, "dns_resolution_failure{forbidden_address}"), ("gone.example.test", 503, "dns_resolution_failure DF")):
            ask(web, name, ip=ip, status=status)
            eventually(lambda: f'" {status} ' in wp.log() and why.split()[0] in wp.log(), what=f"{name} is refused with {why}")
        assert len(app.requests) == n
        # More than one name in one request, and names that are none.
        for text, status in ((b"GET http://evil.test/ HTTP/1.1\r\nHost: a.example.test\r\n\r\n", 404), (b"GET http://a.example.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", 200),
                             (b"GET / HTTP/1.1\r\nHost: a.example.test\r\nHost: evil.test\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: x@a.example.test\r\n\r\n", 400),
                             (b"GET / HTTP/1.1\r\nHost: a.example.test:22\r\n\r\n", 200), (b"GET / HTTP/1.1\r\nHost: a.example.test.\r\n\r\n", 404),
                             (b"GET / HTTP/1.1\r\nHost: evil.test, a.example.test\r\n\r\n", 400), (b"CONNECT a.example.test:80 HTTP/1.1\r\nHost: a.example.test:80\r\n\r\n", 403),
                             (b"GET / HTTP/1.1\r\nHost: a.example.test\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n", 403)):
            with web.connect(ip, 80) as s:
                s.sendall(text)
                assert int(s.recv(4096).split()[1]) == status, text
        assert {dict(r["headers"])["Host"].split(":")[0] for r in app.requests} == {"a.example.test", "b.c.example.test"}, app.requests


def test_a_name_that_turns_inside():
    """The answer of a name server is not believed for good: what led outside may lead inside next."""
    with Lab() as lab:
        web, wp, ext = outside(lab, wild(), "a.example.test,{ext}")
        ext.serve_http(8080)
        wp.serve(8080)
        ask(web, "a.example.test")
        up = next(c for c in lab.closing if isinstance(c, Upstream))
        up.close()
        for answer, status in ((wp.v4, 403), (ext.v4, 200)):
            up = dnsmasq(lab, lab.hosts[0], f"--host-record=a.example.test,{answer}")
            eventually(lambda: web.http("/", port=80, ip=vip(web, "a.example.test"), headers={"Host": "a.example.test"})[0] == status, 20, what=f"{answer}: {status}")
            up.close()


def serve_tls(lab, h, port, *names):
    """A TLS server of the web's kind that says hello and its SNI, as HTTP too; the path of its root."""
    pki = web_pki(lab)
    cert, key, root = pki.leaf(f"{names[0]}-{port}", *(f"DNS:{n}" for n in names), eku="serverAuth")
    ctx, asked = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), {}
    ctx.load_cert_chain(cert, key)
    ctx.sni_callback = lambda s, sni, c: asked.update({s: sni}) and None

    def fn(c, peer):
        with ctx.wrap_socket(c, server_side=True) as t:
            while t.recv(1 << 16):
                text = f"{names[0]} {asked.get(t)}".encode()
                t.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text))
    h.serve(port, fn)
    return root


def web_pki(lab):
    if not hasattr(lab, "web_pki"):
        lab.web_pki = Pki(lab.dir, "web")
    return lab.web_pki


def talk_tls(h, ip, sni, port=443, root=None):
    """The server's word, "" if the way there was refused."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname = bool(root)
    ctx.verify_mode = ssl.CERT_REQUIRED if root else ssl.CERT_NONE
    if root:
        ctx.load_verify_locations(root)
    try:
        with ctx.wrap_socket(h.connect(ip, port), server_hostname=sni) as s:
            s.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            return s.recv(4096).split(b"\r\n\r\n")[-1].decode()
    except (OSError, ssl.SSLError):
        return ""


def refused(wp, why, *more):
    """The waypoint's access log tells of it."""
    eventually(lambda: any(why in l and all(m in l for m in more) for l in wp.log().splitlines()), what=f"{why} {more} is in the log of {wp.name}")


def test_connections_outlive_other_changes():
    """Another policy does not end the pooled connections to servers that requests named."""
    with Lab() as lab:
        web, wp, ext = outside(lab, wild(), "a.example.test,{ext}", args=("--concurrency=1",))
        ext.serve_http(8080)
        used = lambda: re.findall(rf'"{re.escape(ext.v4)}:8080" \S+ {re.escape(wp.v4)}:(\d+) ', wp.log())
        ask(web, "a.example.test", path="/before")
        before = eventually(lambda: "/before" in wp.log() and set(used()))
        generation = lambda: json.loads(wp.http("/status")[1])["generation"]
        first = generation()
        lab.write("all.yaml", policy("all", "[{}]").replace("spec: {", "spec: {targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: wp}], "))
        eventually(lambda: generation() > first, 10)
        ask(web, "a.example.test", path="/after")
        eventually(lambda: "/after" in wp.log())
        assert set(used()) == before, (before, used())


def test_server_names():
    """The client's own TLS passes, to the server that it names."""
    with Lab() as lab:
        web, wp, ext = outside(lab, wild(TLS), "a.example.test,{ext}", "loop.example.test,127.0.0.1")
        root = serve_tls(lab, ext, 8443, "a.example.test")
        ip = vip(web, "a.example.test")
        assert eventually(lambda: talk_tls(web, ip, "a.example.test", root=root), 10) == "a.example.test a.example.test"
        for sni, why in ((None, "NR - no_server_name"), ("evil.test", "NR - server_name_outside"), ("example.test", "NR - server_name_outside"),
                         ("loop.example.test", "DF - dns_resolution_failure{forbidden_address}"), ("gone.example.test", "DF - dns_resolution_failure")):
            assert talk_tls(web, ip, sni) == "", sni
            refused(wp, why, sni or "")
        with web.connect(ip, 443) as s:           # no TLS at all
            s.sendall(b"GET / HTTP/1.1\r\nhost: a.example.test\r\n\r\n")
            assert read_end(s) == b""


def test_tunnels_by_hand():
    """Who has an identity of the mesh and writes what he likes."""
    with Lab() as lab:
        web, wp, ext = outside(lab, wild(HTTP + ", " + TLS), "a.example.test,{ext}", "b.example.test,{ext}")
        app = ext.serve_http(8080)
        serve_tls(lab, ext, 8443, "a.example.test", "b.example.test")
        ip, bad = vip(web, "a.example.test"), lab.plain("bad")
        ask(web, "a.example.test", ip)
        n = len(app.requests)
        h = wire.hbone(bad, wp.v4, lab.issue("web"))
        for authority, status, why in ((f"{ext.v4}:8080", 404, "does not name this waypoint"), (f"{ip}:81", 404, "has no such port"), ("evil.test:80", 404, "does not name this waypoint"),
                                       ("example.test:80", 404, "does not name this waypoint"), (f"127.0.0.1:8080", 404, "does not name this waypoint"),
                                       (f"{wp.v4}:15000", 503, "is this proxy itself"), ("a.example.test:22", 404, "has no such port")):
            assert h.connect(authority)[1] == status, authority
            refused(wp, why)
        assert len(app.requests) == n
        for host, status in (("a.example.test", b"200"), ("b.example.test", b"421"), ("evil.test", b"404")):
            sid, ok = h.connect("a.example.test:80")
            assert ok == 200
            h.data(sid, f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
            assert h.read(sid, 12)[9:12] == status, host
        refused(wp, "misdirected_request")
        assert len(app.requests) == n + 1
        for sni, ok in (("a.example.test", True), ("b.example.test", False)):
            sid, status = h.connect("a.example.test:443")
            assert status == 200
            h.data(sid, hello(sni))
            try:
                got = h.read(sid, 3)
            except (ConnectionError, wire.Closed):
                got = b""
            assert (got[:2] == b"\x16\x03") == ok, (sni, got)
        refused(wp, "NR - misdirected_request", "b.example.test")


def hello(sni):
    """The first flight of a TLS client."""
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    try:
        ctx.wrap_bio(a, b, server_hostname=sni).do_handshake()
    except ssl.SSLWantReadError:
        return b.read()


RULE = """apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: %s, namespace: default}
spec: {host: "%s", trafficPolicy: {tls: {mode: %s, caCertificates: %s%s}}}
---
"""


def test_tls_origination():
    """HTTP in the mesh, TLS outside, with the name that the request has: what it says is what is verified."""
    with Lab() as lab:
        entry = wild("{number: 80, targetPort: 8443, name: http, protocol: HTTP}")
        root = web_pki(lab).root
        web, wp, ext = outside(lab, entry + RULE % ("wild", "*.example.test", "SIMPLE", root, ""), "a.example.test,{ext}", "b.example.test,{ext}")
        serve_tls(lab, ext, 8443, "a.example.test")
        assert ask(web, "a.example.test")[1] == "a.example.test a.example.test"
        ask(web, "b.example.test", status=503)          # its certificate is another's
        assert ask(web, "a.example.test")[1] == "a.example.test a.example.test"


def test_tls_origination_of_bytes():
    """Nothing of the request says a name: the service's own host does, and the certificate must be its."""
    with Lab() as lab:
        root = web_pki(lab).root
        def entries(ext):
            return "".join(using("wp", ENTRY % (n, f"{n}.test", "STATIC", f"{{number: 9000, targetPort: {port}, name: tcp, protocol: TCP}}", f"endpoints: [{{address: {ext.v4}}}]")) +
                           RULE % (n, f"{n}.test", "SIMPLE", root, "") for n, port in (("good", 9443), ("bad", 9444)))
        web, wp, ext = outside(lab, entries)
        serve_tls(lab, ext, 9443, "good.test")
        serve_tls(lab, ext, 9444, "wrong.test")
        with web.connect(vip(web, "good.test"), 9000) as s:
            s.sendall(b"hi")
            assert s.recv(1000).endswith(b"good.test good.test")
        with web.connect(vip(web, "bad.test"), 9000) as s:
            s.sendall(b"hi")
            assert read_end(s) == b""


def test_policies():
    """Who may go where, judged at the waypoint; its log tells who it was and where to."""
    with Lab() as lab:
        rules = f"""[{{from: [{{source: {{principals: ["cluster.local/ns/default/sa/web"]}}}}],
            to: [{{operation: {{hosts: ["a.example.test"], methods: ["GET"], paths: ["/ok*"]}}}}]}}]"""
        bind = policy("p", rules).replace("action: ALLOW", "targetRefs: [{kind: ServiceEntry, group: networking.istio.io, name: wild}], action: ALLOW")
        web, other, wp, ext = outside(lab, wild() + bind, "a.example.test,{ext}", "b.example.test,{ext}", clients=("web", "other"))
        ext.serve_http(8080)
        ask(web, "a.example.test", path="/ok/1")
        for h, name, path, method in ((web, "a.example.test", "/no", "GET"), (web, "b.example.test", "/ok", "GET"), (web, "a.example.test", "/ok", "POST"),
                                      (other, "a.example.test", "/ok", "GET")):
            ask(h, name, path=path, method=method, status=403)
        refused(wp, '"GET /ok/1', f"{ext.v4}:8080", "200")


def test_entries_of_one_host():
    """The other resolutions, by their own addresses and by those that the mesh gives."""
    with Lab() as lab:
        entries = using("wp", ENTRY % ("fixed", "fixed.test", "STATIC", HTTP, "endpoints: [{address: @EXT@}]") + ENTRY % ("named", "named.test", "DNS", HTTP, "") +
                        ENTRY % ("own", "own.test", "DNS", HTTP, "addresses: [10.96.7.7]") + ENTRY % ("open", "open.test", "NONE", "{number: 8080, name: http, protocol: HTTP}", "addresses: [@EXT@/32]") +
                        ENTRY % ("bytes", "bytes.test", "STATIC", "{number: 9000, name: tcp, protocol: TCP}", "endpoints: [{address: @EXT@}]"))
        web, wp, ext = outside(lab, lambda ext: entries.replace("@EXT@", ext.v4), "named.test,{ext}", "own.test,{ext}")
        app = ext.serve_http(8080)
        ext.serve(9000)
        for name, ip in (("fixed.test", None), ("named.test", None), ("own.test", "10.96.7.7")):
            assert json.loads(ask(web, name, ip)[1])["host"] == "ext", name
        assert eventually(lambda: web.http("/", port=8080, ip=ext.v4, headers={"Host": "open.test"}))[0] == 200
        assert web.talk(vip(web, "bytes.test"), 9000, b"hello") == b"hello"
        # Every one of them went through the waypoint.
        assert len(app.requests) == 4
        eventually(lambda: sum('"GET / HTTP' in l for l in wp.log().splitlines()) == 4)
        assert all(any(v.startswith(f"By={wp.identity}") for k, v in r["headers"] if k.lower() == "x-forwarded-client-cert") for r in app.requests), app.requests


def test_another_hosts_name():
    """Where the stance is closed, nobody has another host's name carried to one that he may call."""
    with Lab() as lab:
        one = using("wp", ENTRY % ("one", "one.test", "STATIC", HTTP + ", " + TLS, "endpoints: [{address: @EXT@}]"))
        web, wp, ext = outside(lab, lambda ext: one.replace("@EXT@", ext.v4), env={"MESHD_ENFORCEMENT": "closed"})
        ext.serve_http(8080)
        serve_tls(lab, ext, 8443, "one.test")
        ask(web, "one.test")
        ask(web, "evil.test", ip=vip(web, "one.test"), status=404)
        assert talk_tls(web, vip(web, "one.test"), "one.test") == "one.test one.test"
        for sni, why in ((None, "no_server_name"), ("evil.test", "server_name_outside")):
            assert talk_tls(web, vip(web, "one.test"), sni) == ""
            refused(wp, why)
        # Its own address is no way around the policies of the service.
        assert web.refused(ext.v4, 8080)
        web.access(error="admits only its waypoint", dst_addr=ext.v4)
        assert wire.hbone(lab.plain("bad"), wp.v4, lab.issue("web")).connect(f"{ext.v4}:8080")[1] == 404


def test_only_what_is_registered():
    """In ztunnel mode REGISTRY_ONLY counts where the stance is closed: what the mesh does not have is not reached past it."""
    with Lab() as lab:
        web, wp, ext = outside(lab, wild(), "a.example.test,{ext}", env={"MESHD_ENFORCEMENT": "closed"})
        app = ext.serve_http(8080)
        ask(web, "a.example.test")
        assert eventually(lambda: web.http("/", port=8080, ip=ext.v4))[0] == 200
        lab.write("mesh.yaml", "accessLogFile: /dev/stdout\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\n")
        eventually(lambda: web.refused(ext.v4, 8080), 10, what="the address is refused")
        n = len(app.requests)
        assert web.refused(ext.v6, 8080) and web.refused(ext.v4, 9)
        web.access(error="nothing in the mesh has this address", reason="UNREGISTERED")
        ask(web, "a.example.test")
        assert len(app.requests) == n + 1


def test_sidecars():
    """Without a waypoint a sidecar does it all itself."""
    with Lab() as lab:
        root = web_pki(lab).root
        tls, http = "{number: 443, targetPort: 8443, name: tls, protocol: TLS}", "{number: 8000, targetPort: 8443, name: http-2, protocol: HTTP}"
        lab.write("mesh.yaml", "accessLogFile: /dev/stdout\n")
        up, ext = lab.plain("up", "ext")
        dnsmasq(lab, up, f"--host-record=a.example.test,{ext.v4}", f"--host-record=b.secure.test,{ext.v4}", "--host-record=loop.example.test,127.0.0.1")
        lab.write("entries.yaml", ENTRY % ("wild", "*.example.test", "DYNAMIC_DNS", HTTP + ", " + tls, "") + ENTRY % ("secure", "*.secure.test", "DYNAMIC_DNS", http, "") +
                  RULE % ("secure", "*.secure.test", "SIMPLE", root, ""))
        web = lab.plain("web")
        web.mode = "sidecar"
        lab.workload(web)
        start(lab, web, up, env={"ISTIO_META_DNS_CAPTURE": "true"})
        ext.serve_http(8080)
        serve_tls(lab, ext, 8443, "a.example.test", "b.secure.test")
        assert json.loads(ask(web, "a.example.test")[1])["host"] == "ext"
        ask(web, "loop.example.test", status=403)
        refused(web, "dns_resolution_failure{forbidden_address}")
        assert eventually(lambda: web.http("/", port=8000, ip=vip(web, "b.secure.test"), headers={"Host": "b.secure.test"}))[1] == "a.example.test b.secure.test"
        ip = vip(web, "a.example.test")
        assert talk_tls(web, ip, "a.example.test", root=root) == "a.example.test a.example.test"
        assert talk_tls(web, ip, "loop.example.test") == ""


def test_sidecars_through_the_waypoint():
    """A sidecar that goes through waypoints leaves the names to them."""
    with Lab() as lab:
        web, wp, ext = outside(lab, wild(HTTP + ", " + TLS), "a.example.test,{ext}", "b.example.test,{ext}", mode="sidecar", env={"MESHD_SIDECAR_USE_WAYPOINT": "true"})
        app = ext.serve_http(8080)
        root = serve_tls(lab, ext, 8443, "a.example.test", "b.example.test")
        for name in ("a.example.test", "b.example.test", "a.example.test"):
            assert json.loads(ask(web, name)[1])["host"] == "ext"
            assert talk_tls(web, vip(web, name), name, root=root) == f"a.example.test {name}"
        assert all(any(v.startswith(f"By={wp.identity}") for k, v in r["headers"] if k.lower() == "x-forwarded-client-cert") for r in app.requests), app.requests
        ask(web, "gone.example.test", status=503)
        refused(wp, '"gone.example.test"', "DF")
