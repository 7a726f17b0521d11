# SPDX-License-Identifier: Apache-2.0
"""meshd as waypoint, between a client's and a server's ztunnel mode."""
import http.client, json, os, shutil, signal, ssl, subprocess, threading, time
from harness import *
from pki import Pki
from relay import relay_path

VIP, VIP6, SHOP = "10.96.0.7", "fd96::7", "shop.default.svc.cluster.local"


def get(h, ip=VIP, port=80, path="/", **kw):
    return h.http(path, port=port, ip=ip, **kw)


def answered(h, status=200, by=None, **kw):
    """The answer, once it has this status (and is that host's)."""
    def once():
        r = get(h, **{"timeout": 1, **kw})       # before it is known, its address is nobody's
        assert r[0] == status, r[:2]
        assert not by or json.loads(r[1])["host"] == by, r[1]
        return r
    return eventually(once, 10)


def fields(text):
    return {k.lower(): v for k, v in json.loads(text)["headers"]}


def virtual_service(rules, name="shop", host=SHOP, kind="http"):
    return f"""apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: default}}
spec: {{hosts: [{host}], {kind}: [{rules}]}}
---
"""


def to(host=SHOP, subset=None, more=""):
    return f"{{destination: {{host: {host}{', subset: ' + subset if subset else ''}}}{more}}}"


def shops(lab, *names, protocol="HTTP", ports={80: 8080}, **kw):
    """web, a waypoint wp, and hosts of the service shop, which names it."""
    hosts = lab.meshed("web", *(names or ["shop"]), labels={n: {"app": "shop"} for n in names})
    wp = lab.waypoint("wp", **kw)
    lab.write("shop.yaml", using("wp", service("shop", ports, [VIP, VIP6], protocol=protocol, family="v4")))
    return hosts[0], wp, *hosts[1:]


def passes(wp, ask, **kw):
    """Once the waypoint has carried one."""
    eventually(lambda: (ask(), wp.metric("istio_tcp_connections_opened_total", **kw) + wp.metric("istio_requests_total", **kw) > 0)[1], 10)


def test_http():
    with Lab() as lab:
        web, wp, shop = shops(lab)
        app = shop.serve_http(8080)
        lab.write("r.yaml", virtual_service("{match: [{uri: {prefix: /teapot}}], directResponse: {status: 418}}, "
                                            "{headers: {request: {set: {x-way: 'yes'}}}, route: [%s]}" % to()))
        answered(web, 418, path="/teapot")
        for ip in (VIP, VIP6):
            seen = fields(answered(web, by="shop", ip=ip, path="/a", headers={"x-forwarded-client-cert": "By=x;URI=spiffe://cluster.local/ns/default/sa/admin"})[1])
            assert seen["x-way"] == "yes", seen
            assert seen["x-forwarded-client-cert"] == f"By={wp.identity};URI={web.identity}", seen
        assert len(app.requests) == 2, app.requests
        # what the service says decides, not the request's Host
        assert get(web, headers={"Host": "whatever.example"})[0] == 200
        wp.stop()
        r = shop.access(direction="inbound", src_identity="/sa/wp")
        assert r["dst.hbone_addr"].endswith(":8080"), r


def test_http2_and_grpc():
    need_program("h2load")
    need_program("curl")
    for protocol, more in (("HTTP2", []), ("GRPC", ["-H", "content-type: application/grpc", "-H", "te: trailers"])):
        with Lab() as lab:
            web, wp, shop = shops(lab, protocol=protocol)
            shop.serve(8081, answer_hello)
            p = shop.popen(relay_path(), "-a", "8080", "8081", "h1", stdout=subprocess.PIPE, text=True)
            assert p.stdout.readline().startswith("listening")
            try:
                def ask(n="1"):
                    out = web.run("h2load", "-n", n, "-c", "1", "-m", "4", *more, f"http://{VIP}/").stdout
                    assert f"{n} succeeded" in out and f"{n} 2xx" in out, out
                    return True
                eventually(lambda: web.run("curl", "-sS", "-m", "1", "--http2-prior-knowledge", f"http://{VIP}/").stdout == "hello", 10)
                ask("40")
                passes(wp, ask)
            finally:
                p.terminate()
                p.wait()


def answer_hello(c, peer):
    while c.recv(1 << 16):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


def test_websocket():
    def upgrade(handler, got):
        if got["path"] != "/chat":
            return False
        handler.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        echo(handler.connection, None)
        handler.close_connection = True
        return True
    with Lab() as lab:
        web, wp, shop = shops(lab)
        shop.serve_http(8080, upgrade)
        answered(web)
        with web.connect(VIP, 80) as c:
            c.sendall(b"GET /chat HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += read_exact(c, 1)
            assert head.startswith(b"HTTP/1.1 101 "), head
            c.sendall(b"any bytes")
            assert read_exact(c, 9) == b"any bytes"


def test_bytes():
    """Declared as TCP, and not declared: who speaks first, who says nothing, TLS that passes, what half-closes."""
    with Lab() as lab:
        cert, key = Pki(lab.dir).leaf("shop")[:2]
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served.load_cert_chain(cert, key)
        def in_tls(c, peer):
            with served.wrap_socket(c, server_side=True) as t:
                t.sendall(t.recv(100).upper())
        def talks(ip):
            assert web.talk(ip, 90, b"hello", timeout=2) == b"hello"
            return True
        web, wp, shop = shops(lab, protocol="TCP", ports={90: 9000, 91: 9001, 92: 9002})
        lab.write("any.yaml", using("wp", service("any", {90: 9000, 91: 9001, 92: 9002, 80: 8080}, ["10.96.0.8"], app="shop", family="v4")
                                    .replace("protocol: TCP", "protocol: ''").replace("name: tcp-", "name: p-")))
        shop.serve(9000, echo)
        shop.serve(9001, greeter(b"220 ready\r\n"))
        shop.serve(9002, in_tls)
        shop.serve_http(8080)
        for ip in (VIP, "10.96.0.8"):
            eventually(lambda: talks(ip), 10)
            eventually(lambda: wp.metric("istio_tcp_connections_closed_total") > 0)
            with web.connect(ip, 91) as c:
                assert read_exact(c, 11) == b"220 ready\r\n"
                c.sendall(b"EHLO")
                assert read_exact(c, 4) == b"EHLO"
            with ssl._create_unverified_context().wrap_socket(web.connect(ip, 92), server_hostname="shop") as t:
                t.sendall(b"secret")
                assert t.recv(100) == b"SECRET"
            with web.connect(ip, 90) as c:          # a probe of the port
                pass
            big = bytes(range(256)) * 20000
            assert web.talk(ip, 90, big, timeout=20) == big
        assert talks(VIP6)
        seen = fields(answered(web, by="shop", ip="10.96.0.8")[1])
        assert seen["x-forwarded-client-cert"] == f"By={wp.identity};URI={web.identity}", seen


def says(text):
    def fn(c, peer):
        if read_all(c):
            c.sendall(text)
    return fn


def test_routes_of_bytes():
    with Lab() as lab:
        web, wp, a, b = shops(lab, "a", "b", protocol="TCP", ports={90: 9000})
        a.serve(9000, says(b"a"))
        b.serve(9000, says(b"b"))
        for n in "ab":
            lab.write(f"{n}.yaml", service(n, {90: 9000}, app="shop", family="v4").replace("family: v4", f"family: v4, one: {n}"))
            lab.workload(a if n == "a" else b, labels={"app": "shop", "one": n})
        for n in "abab":
            lab.write("r.yaml", virtual_service(f"{{route: [{to(f'{n}.default.svc.cluster.local')}]}}", kind="tcp"))
            eventually(lambda: [web.talk(VIP, 90, b"x", timeout=2) for _ in range(6)] == [n.encode()] * 6, 10)
        lab.write("r.yaml", virtual_service(f"{{route: [{to('nowhere.default.svc.cluster.local')}]}}", kind="tcp"))
        eventually(lambda: web.refused(VIP, 90))
        eventually(lambda: "nowhere" in wp.log())


def test_weights_and_subsets():
    with Lab() as lab:
        web, wp, a, b = shops(lab, "a", "b")
        lab.workload(a, labels={"app": "shop", "version": "v1"})
        lab.workload(b, labels={"app": "shop", "version": "v2"})
        for h in (a, b):
            h.serve_http(8080)
        lab.write("d.yaml", f"""apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: shop, namespace: default}}
spec: {{host: {SHOP}, subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}}}]}}
---
""" + virtual_service("{route: [%s, %s]}" % (to(subset="v1", more=", weight: 20, headers: {request: {set: {x-v: one}}}"), to(subset="v2", more=", weight: 80"))))
        eventually(lambda: "x-v" in fields(answered(web, by="a")[1]), 10)
        with web.connect(VIP, 80) as c:
            pass
        n = sum(json.loads(get(web)[1])["host"] == "a" for _ in range(200))
        assert 15 < n < 75, n
        lab.write("d2.yaml", virtual_service("{route: [%s]}" % to(subset="v3"), name="a-first"))
        eventually(lambda: "inbound-vip|80|http/v3|" in wp.log())


def test_another_service():
    """A route to a service that has a waypoint of its own, or none: its endpoints, and no waypoint more."""
    with Lab() as lab:
        web, wp, shop = shops(lab)
        bank = lab.meshed("bank")
        other = lab.waypoint("other", vips=["10.96.99.2"])
        bank.serve_http(8080)
        shop.serve_http(8080)
        lab.write("bank.yaml", using("other", service("bank", {80: 8080}, ["10.96.0.9"], protocol="HTTP")) +
                  virtual_service("{match: [{uri: {prefix: /bank}}], route: [%s]}, {route: [%s]}" % (to("bank.default.svc.cluster.local"), to())))
        seen = fields(answered(web, by="bank", path="/bank")[1])
        assert seen["x-forwarded-client-cert"] == f"By={wp.identity};URI={web.identity}", seen
        assert answered(web, by="shop", path="/")
        seen = fields(answered(web, by="bank", ip="10.96.0.9")[1])
        assert seen["x-forwarded-client-cert"] == f"By={other.identity};URI={web.identity}", seen


def test_endpoints():
    """How endpoints are reached: HBONE, Istio's mutual TLS of a sidecar, plain, TLS as a DestinationRule says; with another one where that fails."""
    with Lab() as lab:
        web, wp, a = shops(lab, "a")
        b, c = lab.sidecars("b", labels={"b": {"app": "shop"}}), lab.plain("c")
        c.mode = "sidecar"
        lab.workload(c, labels={"app": "shop", "security.istio.io/tlsMode": "disabled"})
        apps = [h.serve_http(8080) for h in (a, b, c)]
        answered(web)
        def met():
            get(web)
            return all(app.requests for app in apps)
        eventually(met, 15)
        for app in apps:
            names = {k.lower(): v for k, v in app.requests[-1]["headers"]}
            assert names["x-forwarded-client-cert"].startswith(f"By={wp.identity};URI={web.identity}"), names
        assert b.metric("istio_requests_total", reporter="destination", source_principal=wp.identity, connection_security_policy="mutual_tls") > 0
        # one that does not answer is passed by, as clients' own proxies do it
        lab.write("r.yaml", virtual_service("{headers: {request: {set: {x-r: '1'}}}, route: [%s]}" % to()))
        eventually(lambda: "x-r" in fields(answered(web)[1]), 10)
        apps[2].close()
        for _ in range(20):
            assert get(web)[0] == 200
        # TLS of their own behind the tunnel
        cert, key = Pki(lab.dir).leaf("shop", "DNS:shop.test")[:2]
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served.load_cert_chain(cert, key)
        def in_tls(s, peer):
            with served.wrap_socket(s, server_side=True) as t:
                while t.recv(1 << 16):
                    t.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntls")
        a.serve(8443, in_tls)
        lab.write("tls.yaml", using("wp", service("tls", {81: 8443}, ["10.96.0.8"], app="shop", family="v4", protocol="HTTP").replace("app: shop", "app: shop, one: a")) + f"""apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: tls, namespace: default}}
spec: {{host: tls.default.svc.cluster.local, trafficPolicy: {{tls: {{mode: SIMPLE, sni: shop.test, caCertificates: {Pki(lab.dir, "other").root}}}}}}}
""")
        lab.workload(a, labels={"app": "shop", "one": "a"})
        eventually(lambda: web.http("/", ip="10.96.0.8", port=81, timeout=1)[0] == 503, 10)      # nobody that is trusted
        lab.write("tls.yaml", open(f"{lab.config}/tls.yaml").read().replace("pki-other", "pki-root"))
        eventually(lambda: web.http("/", ip="10.96.0.8", port=81, timeout=1)[1] == "tls", 10)


def test_gateway_api():
    """HTTPRoute, TCPRoute and TLSRoute of a service that has a waypoint."""
    def gateway_route(kind, name, rules, parent="shop", more=""):
        return f"""apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: default}}
spec: {{parentRefs: [{{group: networking.istio.io, kind: ServiceEntry, name: {parent}}}], {more}rules: [{rules}]}}
---
"""
    def back(host, port, more=""):
        return f"backendRefs: [{{group: networking.istio.io, kind: Hostname, name: {host}.default.svc.cluster.local, port: {port}{more}}}]"
    with Lab() as lab:
        web, wp, shop = shops(lab)
        other = lab.meshed("other")
        shop.serve_http(8080)
        other.serve_http(8080)
        other.serve(9000, says(b"other"))
        shop.serve(9000, says(b"shop"))
        lab.write("more.yaml", service("other", {80: 8080, 90: 9000}, ["10.96.0.9"], protocol="HTTP").replace("name: http-90, protocol: HTTP", "name: tcp-90, protocol: TCP") +
                  using("wp", service("raw", {90: 9000}, ["10.96.0.8"], app="shop")))
        lab.write("routes.yaml", gateway_route("HTTPRoute", "h", "{matches: [{path: {type: PathPrefix, value: /other}}], filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-way, value: api}]}}], %s}, {%s}"
                                               % (back("other", 80), back("shop", 80))) + gateway_route("TCPRoute", "t", "{%s}" % back("other", 90), parent="raw"))
        seen = fields(answered(web, by="other", path="/other/x")[1])
        assert seen["x-way"] == "api", seen
        assert answered(web, by="shop", path="/else")
        eventually(lambda: web.talk("10.96.0.8", 90, b"x", timeout=1) == b"other", 10)
        lab.remove("routes.yaml")
        eventually(lambda: web.talk("10.96.0.8", 90, b"x", timeout=1) == b"shop", 10)
        assert answered(web, by="shop", path="/other/x")


def test_workloads():
    """waypoint-for: a workload's own address goes through only if the Gateway is for workloads; a service's only if for services."""
    for purpose, service_way, workload_way in (("service", True, False), ("workload", False, True), ("all", True, True), ("none", False, False)):
        with Lab() as lab:
            web, wp, shop = shops(lab, waypoint_for=purpose)
            lab.workload(shop, labels={"istio.io/use-waypoint": "wp"})
            shop.serve_http(8080)
            shop.serve(9000)
            shop.serve(9001, greeter(b"hi "))
            def through(ip, port):
                return "x-forwarded-client-cert" in fields(answered(web, by="shop", ip=ip, port=port)[1])
            for ip, port, way in ((VIP, 80, service_way), (VIP6, 80, service_way), (shop.v4, 8080, workload_way), (shop.v6, 8080, workload_way)):
                eventually(lambda: through(ip, port) == way, 10, what=(purpose, ip))
            said, told = wp.cli("status").stdout.split("As a waypoint:\n")[1], json.loads(wp.http("/status")[1])["waypoint"]
            assert ("default/shop.default.svc.cluster.local:80" in said) == service_way == (f"default/{SHOP}" in told["services"]), said
            assert ("2 workloads by their own addresses" in said) == workload_way == (told["workloads"] == 2), said
            assert ("nothing: no service and no workload names it" in said) == (not service_way and not workload_way), said
            assert web.talk(shop.v4, 9000, b"bytes") == b"bytes"
            assert web.talk(shop.v6, 9001, b"there") == b"hi there"


def test_namespaces():
    """The label of a namespace, `none` on an object, and a waypoint of another namespace."""
    space = "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {istio.io/use-waypoint: wp, istio.io/use-waypoint-namespace: gates}}\n---\n"
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        lab.write("s.yaml", space + service("shop", {80: 8080}, [VIP], protocol="HTTP") +
                  using("none", service("free", {80: 8080}, ["10.96.0.8"], app="shop", protocol="HTTP")))
        wp = lab.waypoint("wp", ns="gates", waypoint_for="service")
        shop.serve_http(8080)
        eventually(lambda: "x-forwarded-client-cert" in fields(answered(web)[1]), 10)
        assert fields(get(web)[1])["x-forwarded-client-cert"] == f"By={wp.identity};URI={web.identity}"
        assert "x-forwarded-client-cert" not in fields(answered(web, ip="10.96.0.8")[1])
        lab.remove("s.yaml")
        lab.write("s.yaml", space.replace("use-waypoint: wp", "use-waypoint: none") + service("shop", {80: 8080}, [VIP], protocol="HTTP"))
        eventually(lambda: "x-forwarded-client-cert" not in fields(answered(web)[1]), 10)


def test_canary():
    """A part of a service's traffic tries another waypoint; then all of it."""
    with Lab() as lab:
        web, wp, shop = shops(lab)
        new = lab.waypoint("new", vips=["10.96.99.2"])
        shop.serve_http(8080)
        def by(percent):
            text = using("wp", service("shop", {80: 8080}, [VIP], protocol="HTTP"))
            lab.write("shop.yaml", text.replace("istio.io/use-waypoint: wp", "istio.io/use-waypoint: wp, istio.io/use-waypoint-canary: new")
                      .replace(", name: shop, namespace", f", annotations: {{istio.io/use-waypoint-canary-weight: '{percent}'}}, name: shop, namespace"))
        def carriers(n=30):
            return {fields(get(web)[1])["x-forwarded-client-cert"].split("/sa/")[1].split(";")[0] for _ in range(n)}
        answered(web)
        by(50)
        eventually(lambda: carriers() == {"wp", "new"}, 10)
        by(100)
        eventually(lambda: carriers() == {"new"}, 10)
        by(0)
        eventually(lambda: carriers() == {"wp"}, 10)


def test_retry_elsewhere():
    def fails(handler, got):
        handler.answer(503, b"no")
        return True
    with Lab() as lab:
        web, wp, a, b = shops(lab, "a", "b")
        bad, good = a.serve_http(8080, fails), b.serve_http(8080)
        lab.write("r.yaml", virtual_service("{retries: {attempts: 3, retryOn: '503'}, headers: {request: {set: {x-r: '1'}}}, route: [%s]}" % to()))
        eventually(lambda: "x-r" in fields(answered(web, by="b")[1]), 10)
        n = len(bad.requests)
        for _ in range(20):
            assert get(web)[0] == 200
        assert len(bad.requests) > n and len(good.requests) >= 20


def test_reload():
    """A change is seen by the next request, on the same connection too, and leaves streams alone."""
    def slow(handler, got):
        if got["path"] != "/slow":
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", "6")
        handler.end_headers()
        handler.wfile.write(b"slo")
        handler.wfile.flush()
        go.wait(20)
        handler.wfile.write(b"wly")
        return True
    go = threading.Event()
    with Lab() as lab:
        web, wp, shop = shops(lab)
        shop.serve_http(8080, slow)
        answered(web)
        c = http.client.HTTPConnection(VIP, 80)
        c.sock = web.connect(VIP, 80)
        c.request("GET", "/")
        assert c.getresponse().read()
        listed = wp.http("/config_dump?full=1")[1]
        assert "HTTP over HBONE" in listed and SHOP in listed, listed
        late = http.client.HTTPConnection(VIP, 80)
        late.sock = web.connect(VIP, 80, timeout=20)
        late.request("GET", "/slow")
        half = late.getresponse()
        assert half.read(3) == b"slo"
        for n in range(3):
            lab.write("r.yaml", virtual_service("{directResponse: {status: %d}}" % (420 + n)))
            def changed():
                c.request("GET", "/")
                r = c.getresponse()
                r.read()
                return r.status == 420 + n
            eventually(changed, 5, every=0.01)
        lab.write("p.yaml", policy("nobody", "[{}]", action="DENY") )
        go.set()
        assert half.read() == b"wly"
        lab.remove("r.yaml")
        # a service that does not name us any more is asked for elsewhere
        lab.write("shop.yaml", service("shop", {80: 8080}, [VIP, VIP6], protocol="HTTP", family="v4"))
        lab.remove("p.yaml")
        eventually(lambda: "x-forwarded-client-cert" not in fields(answered(web)[1]), 10)


class Load(Threads):
    """Requests, one connection after the other, until it is left."""
    def __init__(self, host, **kw):
        self.host, self.kw, self.done, self.failed, self.n = host, kw, 0, [], 3

    def run(self, _):
        while not self.over:
            try:
                r = get(self.host, **self.kw)
                assert r[0] == 200, r[:2]
                self.done += 1
            except (AssertionError, OSError, http.client.HTTPException) as e:
                self.failed.append(repr(e))


def test_replicas_and_drain():
    """Two of one Gateway; each is replaced under load: no request fails."""
    with Lab() as lab:
        web, wp, shop = shops(lab, start=False)
        wp2 = lab.waypoint("wp2", gateway="wp", start=False)
        own = f"{lab.dir}/own"                      # in which they stay, though they go from that of the others
        shutil.copytree(lab.config, own)
        for h in (wp, wp2):
            h.start(f"--workload=default/{h.name}-v6", config=own)
        shop.serve_http(8080)
        answered(web)
        def carried(h):
            return get(web)[0] == 200 and shop.metric("istio_tcp_connections_opened_total", source_workload=h.name) > 0
        eventually(lambda: carried(wp) and carried(wp2), 20)
        with Load(web) as load:
            eventually(lambda: load.done > 30, 20)
            for h in (wp, wp2):
                lab.remove(f"workload-{h.name}.json")
                time.sleep(0.5)
                n = load.done
                os.kill(h.proc.pid, signal.SIGTERM)
                h.stop()
                eventually(lambda: load.done > n + 30, 20)
                lab.workload(h, serviceAccount="wp", labels={"gateway.networking.k8s.io/gateway-name": "wp"})
                h.start(f"--workload=default/{h.name}-v6", config=own)
                n = load.done
                eventually(lambda: load.done > n + 30, 20)
        assert not load.failed, (len(load.failed), load.done, load.failed[:3])


def test_upgrade():
    """The next process takes the port over; streams of the one before end there."""
    with Lab() as lab:
        web, wp, shop = shops(lab, start=False)
        hand = f"{lab.dir}/handover"
        os.mkdir(hand, 0o700)
        args = [f"--workload=default/wp-v6", f"--handover-dir={hand}", "--handover-time=20s"]
        wp.start(*args)
        shop.serve_http(8080)
        lab.write("tcp.yaml", using("wp", service("raw", {90: 9000}, ["10.96.0.8"], app="shop")))
        shop.serve(9000)
        answered(web)
        eventually(lambda: web.talk("10.96.0.8", 90, b"x", timeout=2) == b"x", 10)
        with web.connect("10.96.0.8", 90) as c, Load(web) as load:
            c.sendall(b"before")
            assert read_exact(c, 6) == b"before"
            old = wp.proc
            wp.start(*args, ready=False)
            eventually(lambda: "has started" in wp.log().rsplit("certificates are signed", 1)[1], 15)
            wp.ready()
            n = load.done
            eventually(lambda: load.done > n + 30, 20)
            c.sendall(b"after!")
            assert read_exact(c, 6) == b"after!"
        assert not load.failed, (len(load.failed), load.done, load.failed[:3])
        eventually(lambda: old.poll() == 0, 20)
