# SPDX-License-Identifier: Apache-2.0
"""Sidecar pairs: what goes in and out, by Istio's mutual TLS and without it."""
import http.client, os, signal, socket, ssl, threading, time

from harness import *
from httpapp import *
from pki import Pki
from test_certs import context, put

VIP = "10.88.0.1"


def test_tcp():
    """Bytes both ways over mutual TLS, to a VIP and to the workload's own address; a server that speaks first."""
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {9000: 9000, 9001: 9001}, [VIP], app="shop", family="v4"))
        web, shop = lab.sidecars("web", "shop")
        shop.serve(9000, echo)
        shop.serve(9001, greeter(b"220 ready\r\n"))
        assert web.talk(VIP, 9000, b"hello") == b"hello"
        assert web.talk(VIP, 9000, b"x" * 3_000_000) == b"x" * 3_000_000
        with web.connect(VIP, 9001) as s:
            assert read_exact(s, 11) == b"220 ready\r\n"
            s.sendall(b"EHLO")
            assert read_exact(s, 4) == b"EHLO"
        def counted(host, reporter):
            return host.metric("istio_tcp_connections_closed_total", reporter=reporter, source_principal=web.identity, destination_principal=shop.identity,
                               source_workload="web", destination_workload="shop", destination_service=SHOP) >= 3
        eventually(lambda: counted(shop, "destination") and counted(web, "source"))


def test_http():
    """HTTP/1.1 over mutual TLS: the server's application sees the request, not the proxies' notes to each other."""
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080}, [VIP], app="shop", family="v4", protocol="HTTP"))
        web, shop = lab.sidecars("web", "shop")
        app = shop.serve_http(8080)
        status, text, headers = web.http("/a/b?c=d", ip=VIP, port=80, headers={"Host": "shop.default.svc.cluster.local"})
        assert status == 200, text
        got = json.loads(text)
        assert got["path"] == "/a/b?c=d" and got["method"] == "GET"
        names = {k.lower(): v for k, v in got["headers"]}
        assert names["host"] == "shop.default.svc.cluster.local"
        assert "x-envoy-peer-metadata" not in names and "x-envoy-peer-metadata-id" not in names
        assert "x-envoy-peer-metadata" not in headers
        assert f"URI={web.identity}" in names["x-forwarded-client-cert"], names


SHOP = "shop.default.svc.cluster.local"
STRICT = """apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: default}
spec: {mtls: {mode: STRICT}}
---
"""


def get(host, ip, port=80, path="/", headers={}, name=SHOP):
    return host.http(path, ip=ip, port=port, headers={"Host": name, **headers})


def h2c(host, ip, port=80, path="/", name=SHOP, *args):
    """(status, body) by HTTP/2 with prior knowledge."""
    need_program("curl")
    r = host.run("curl", "-sS", "--http2-prior-knowledge", "-m", "5", "-w", "\n%{http_code}", "-H", f"Host: {name}", *args, f"http://{ip}:{port}{path}")
    body, code = r.stdout.rsplit("\n", 1)
    return int(code), body


def test_permissive():
    """Clients without a sidecar: HTTP, bytes, a server that speaks first, and the application's own TLS."""
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080, 9000: 9000, 9001: 9001}, [VIP], app="shop", family="v4", protocol="HTTP").replace("name: http-9000, protocol: HTTP", "name: tcp-9000, protocol: TCP").replace("name: http-9001, protocol: HTTP", "name: tcp-9001, protocol: TCP"))
        shop = lab.sidecars("shop")
        out = lab.plain("out")
        shop.serve_http(8080)
        for port in 9000, 9002:                     # declared as TCP, and not declared
            shop.serve(port, echo)
            assert out.talk(shop.v4, port, b"hello") == b"hello"
            assert out.talk(shop.v6, port, b"hello") == b"hello"
        for port in 9001, 9003:
            s = shop.serve(port, greeter(b"220 ready\r\n"))
            with out.connect(shop.v4, port) as c:
                assert read_exact(c, 11) == b"220 ready\r\n"
            assert s.peers[-1][0] == "127.0.0.6", s.peers
        assert get(out, shop.v4, 8080)[0] == 200
        shop.serve_http(8081)
        status, text, _ = get(out, shop.v4, 8081)
        assert status == 200 and json.loads(text)["path"] == "/"
        assert h2c(out, shop.v4, 8080)[0] == 200
        # the application's own TLS
        cert, key, root = lab.issue("own")
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(cert, key)
        def tls(c, peer):
            with ctx.wrap_socket(c, server_side=True) as t:
                t.sendall(b"mine:" + t.recv(100))
        shop.serve(9443, tls)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        client.set_alpn_protocols(["h2", "http/1.1"])
        with client.wrap_socket(out.connect(shop.v4, 9443), server_hostname="a.example") as t:
            t.sendall(b"x")
            assert t.recv(100) == b"mine:x"


def test_strict():
    """Nobody without a certificate gets in, on no port; a probe of the port makes no noise."""
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080, 9000: 9000}, [VIP], app="shop", family="v4").replace("name: tcp-80, protocol: TCP", "name: http, protocol: HTTP"))
        lab.write("strict.yaml", STRICT)
        web, shop = lab.sidecars("web", "shop")
        out = lab.plain("out")
        s = shop.serve(9000, echo)
        app = shop.serve_http(8080)
        for port in 8080, 9000, 9001:
            assert out.refused(shop.v4, port)
        out.connect(shop.v4, 9000).close()
        assert not s.peers and not app.requests
        assert get(web, VIP)[0] == 200
        assert web.talk(VIP, 9000, b"hello") == b"hello"
        assert web.refused(shop.v4, 9000)           # what is no service is called as it is, as with Istio


def test_reload_strict():
    """A live plaintext connection ends when STRICT comes."""
    with Lab() as lab:
        shop = lab.sidecars("shop")
        out = lab.plain("out")
        shop.serve(9000, echo)
        shop.serve_http(8080)
        raw = out.connect(shop.v4, 9000)
        raw.sendall(b"x")
        assert read_exact(raw, 1) == b"x"
        http = out.connect(shop.v4, 8080)
        http.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert http.recv(100).startswith(b"HTTP/1.1 200")
        listed = shop.http("/connections")[1]
        assert "HTTP" in listed and "TCP" in listed and out.v4 in listed, listed
        lab.write("strict.yaml", STRICT)
        for c in raw, http:
            eventually(lambda: ended(c), what="the connection ends")


def ended(c):
    c.settimeout(0.2)
    try:
        while c.recv(1 << 16):
            pass
        return True
    except TimeoutError:
        return False
    except OSError:
        return True


def test_undeclared():
    """Ports that nobody declared: what is spoken there shows in the first bytes, from either side, and over mutual TLS."""
    with Lab() as lab:
        web, shop = lab.sidecars("web", "shop")
        shop.serve(9000, echo)
        shop.serve(9001, greeter(b"220 ready\r\n"))
        shop.serve_http(8080)
        assert web.talk(shop.v4, 9000, b"hello") == b"hello"
        assert get(web, shop.v4, 8080)[0] == 200


def test_unknown_destination():
    """ALLOW_ANY: a host that the mesh does not know; a refused port is refused here, too."""
    with Lab() as lab:
        web = lab.sidecars("web")
        out = lab.plain("out")
        s = out.serve(9000, echo)
        out.serve_http(8080)
        assert web.talk(out.v4, 9000, b"hello") == b"hello"
        assert web.talk(out.v6, 9000, b"hello") == b"hello"
        assert get(web, out.v4, 8080, name="anything")[0] == 200
        assert s.peers[0][0] == web.v4
        assert web.refused(out.v4, 9999)


def test_any_address_of_the_host():
    """A sidecar is one application's, whatever address that uses."""
    with Lab() as lab:
        web, shop = lab.sidecars("web", "shop")
        lab.write("s.yaml", service("shop", {80: 8080}, ["10.96.0.7"], family="v4"))
        web.run("ip", "addr", "add", "10.77.0.200/24", "dev", "eth0")
        shop.serve(8080)

        def ask():
            with web.connect("10.96.0.7", 80, 1, source="10.77.0.200") as c:
                c.sendall(b"x")
                return read_exact(c, 1) == b"x"
        assert eventually(ask)


def test_own_service():
    """A workload calls itself by its service and by its address: through both of its sides."""
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080, 9000: 9000}, [VIP], app="shop", family="v4").replace("name: tcp-80, protocol: TCP", "name: http, protocol: HTTP"))
        shop = lab.sidecars("shop")
        shop.serve_http(8080)
        s = shop.serve(9000, echo)
        assert get(shop, VIP)[0] == 200
        assert shop.talk(VIP, 9000, b"hello") == b"hello"
        assert s.peers[0][0] == "127.0.0.6"
        assert shop.talk("127.0.0.1", 9000, b"direct") == b"direct"


def test_loops():
    with Lab() as lab:
        web, shop = lab.sidecars("web", "shop")
        out = lab.plain("out")
        for port in 15001, 15006:
            assert web.refused(shop.v4, port)
            assert out.refused(shop.v4, port)


def test_hbone():
    """From a host in ztunnel mode: the sidecar looks into the tunnel, for bytes and for requests."""
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080, 9000: 9000}, [VIP], app="shop", family="v4").replace("name: tcp-80, protocol: TCP", "name: http, protocol: HTTP"))
        shop = lab.plain("shop")
        shop.mode = "sidecar"
        lab.workload(shop, labels={"networking.istio.io/tunnel": "http"})
        shop.start("--workload=default/shop")
        web = lab.meshed("web")
        app = shop.serve_http(8080)
        shop.serve(9000, echo)
        shop.serve(9001, greeter(b"220 ready\r\n"))
        assert web.talk(VIP, 9000, b"hello") == b"hello"
        assert get(web, VIP)[0] == 200
        assert get(web, shop.v4, 8080)[0] == 200
        with web.connect(shop.v4, 9001) as s:
            assert read_exact(s, 11) == b"220 ready\r\n"
        assert web.access(dst_hbone_addr=f"{shop.v4}:8080")


def test_drain():
    """The inbound side ends first: what is under way is answered, new connections are refused, and calls out still work."""
    with Lab() as lab:
        shop = lab.sidecars("shop", args=["--drain-time=4s"])
        out = lab.plain("out")
        out.serve(9000, echo)
        go = threading.Event()
        def slow(h, got):
            go.wait(5)
        shop.serve_http(8080, slow)
        c = out.connect(shop.v4, 8080)
        c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.3)
        os.kill(shop.proc.pid, signal.SIGTERM)
        eventually(lambda: refuses(out, shop.v4, 8081), what="new connections are refused")
        assert shop.talk(out.v4, 9000, b"still") == b"still"
        go.set()
        answer = read_all(c)
        assert answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer.lower(), answer[:300]
        shop.proc.wait(8)


def refuses(host, ip, port):
    try:
        host.connect(ip, port).close()
        return False
    except ConnectionRefusedError:
        return True


def test_from_ztunnel_mode():
    """A sidecar that speaks no HBONE is reached by Istio's mutual TLS, STRICT or not, and in plaintext where that is switched off."""
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080, 9000: 9000}, [VIP], app="shop", family="v4").replace("name: tcp-80, protocol: TCP", "name: http, protocol: HTTP"))
        lab.write("strict.yaml", STRICT)
        shop, web = lab.sidecars("shop"), lab.meshed("web")
        app = shop.serve_http(8080)
        shop.serve(9000, echo)
        shop.serve(9001, greeter(b"220 ready\r\n"))
        big = os.urandom(1 << 20)
        assert web.talk(VIP, 9000, big) == big
        with web.connect(shop.v4, 9001) as s:
            assert read_exact(s, 11) == b"220 ready\r\n"
        web.access(direction="outbound", dst_identity=shop.identity, dst_service=SHOP)
        lab.write("strict.yaml", STRICT.replace("STRICT", "DISABLE"))
        eventually(lambda: web.talk(VIP, 9000, b"hello") == b"hello" and
                   [r for r in web.records() if r.get("scope") == "access" and r.get("dst.service") == SHOP][-1].get("dst.identity") is None)


def test_probes():
    """The kubelet's probes come to the status port and reach the application, whatever policy says; by HTTP, HTTPS and TCP."""
    probers = {"/app-health/shop/livez": {"httpGet": {"path": "/live?x=1", "port": 8080, "scheme": "HTTP", "httpHeaders": [{"name": "Host", "value": "a.example"}, {"name": "X-A", "value": "b"}]}, "timeoutSeconds": 20},
               "/app-health/shop/readyz": {"httpGet": {"path": "/ready", "port": 8081}, "timeoutSeconds": 20},
               "/app-health/shop/startupz": {"tcpSocket": {"port": 8080}, "timeoutSeconds": 20}, "/app-health/other/livez": {"tcpSocket": {"port": 8089}},
               "/app-health/tls/livez": {"httpGet": {"path": "/", "port": 8443, "scheme": "HTTPS"}, "timeoutSeconds": 20}, "/app-health/grpc/livez": {"grpc": {"port": 8089}}}
    with Lab() as lab:
        lab.write("strict.yaml", STRICT)
        lab.write("policy.yaml", policy("nobody", "[]", app="shop"))
        shop = lab.sidecars("shop", env={"ISTIO_KUBE_APP_PROBERS": json.dumps(probers)})
        out = lab.plain("out")
        app = shop.serve_http(8080)
        shop.serve_http(8081, lambda h, got: h.answer(503, b"starting") or True)
        def ask(name):
            return out.http(f"/app-health/{name}", ip=shop.v4, port=15020, headers={"User-Agent": "kube-probe/1.31"}, timeout=30)[:2]
        assert ask("shop/livez")[0] == 200
        assert len(app.requests) == 1
        got = app.requests[-1]
        names = {k.lower(): v for k, v in got["headers"]}
        assert got["path"] == "/live?x=1" and names["host"] == "a.example" and names["x-a"] == "b" and names["user-agent"] == "kube-probe/1.31"
        assert ask("shop/readyz") == (503, "starting")
        assert ask("shop/startupz")[0] == 200
        assert ask("other/livez")[0] == 500 and ask("grpc/livez")[0] == 500 and ask("tls/livez")[0] == 500
        assert ask("shop/nothing")[0] == 404
        cert, key, _ = lab.issue("own")
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(cert, key)
        def tls(c, peer):
            with ctx.wrap_socket(c, server_side=True) as t:
                t.recv(1000)
                t.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        shop.serve(8443, tls)
        assert ask("tls/livez")[0] == 204


def test_handover():
    """Another process takes over, at both ends in turn: no request fails, and the old one lets go of its listeners."""
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080}, [VIP], app="shop", family="v4", protocol="HTTP"))
        web, shop = lab.plain("web", "shop")
        args = {h.name: [f"--handover-dir={lab.dir}/{h.name}.handover"] for h in (web, shop)}
        for h in web, shop:
            h.mode = "sidecar"
            lab.workload(h)
        for h in web, shop:
            h.start(*args[h.name])
        shop.serve_http(8080)
        results, end = [], threading.Event()
        def load(keep):
            c = None
            while not end.is_set():
                fresh = not c or not c.sock
                c = c or http.client.HTTPConnection(VIP, 80, timeout=20)
                try:
                    if fresh:
                        c.sock = web.connect(VIP, 80, timeout=20)
                    c.request("GET", "/", headers={"Host": SHOP})
                    r = c.getresponse()
                    r.read()
                    results.append(r.status)
                except Exception as e:
                    # An idle connection may end while a request is on its way to it: every client tries again then.
                    if fresh:
                        results.append(repr(e))
                    c = None
                if not keep:
                    c and c.close()
                    c = None
                time.sleep(0.01)
        threads = [threading.Thread(target=load, args=(i % 2 == 0,)) for i in range(4)]
        [t.start() for t in threads]
        old = []
        for h in web, shop:
            time.sleep(0.3)
            old.append(h.proc)
            h.start(*args[h.name], ready=False, capture=False)
            eventually(lambda: "has taken over" in h.log(), 10)
            eventually(lambda: h.http("/healthz/ready", port=15021)[0] == 200, 10)
        time.sleep(0.5)
        end.set()
        [t.join() for t in threads]
        assert set(results) == {200} and len(results) > 100, [r for r in results if r != 200][:5]
        for p in old:
            assert p.wait(20) == 0


def test_streams():
    """A slow reader holds its sender back; half-close either way; resets come through; sixteen megabytes."""
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {9000: 9000, 9001: 9001, 9002: 9002}, [VIP], app="shop", family="v4"))
        web, shop = lab.sidecars("web", "shop")
        seen = []
        def flood(c, peer):
            n = 0
            try:
                while n < 1 << 28:
                    n += c.send(b"x" * 65536)
            except OSError as e:
                seen.append((n, e))
        def early(c, peer):
            c.sendall(b"bye")
            c.shutdown(socket.SHUT_WR)
            seen.append(read_all(c))
        shop.serve(9000, flood)
        shop.serve(9001, early)
        shop.serve(9002, echo)
        with web.connect(VIP, 9000) as c:
            read_exact(c, 1 << 20)
            time.sleep(1)
            rss = max(web.memory_kib(), shop.memory_kib())
            assert rss < 40_000, rss
            reset(c)
        n, error = eventually(lambda: seen and seen.pop())
        assert n < 64 << 20, n
        with web.connect(VIP, 9001) as c:
            assert read_all(c) == b"bye"
            c.sendall(b"and more")
            c.shutdown(socket.SHUT_WR)
            assert eventually(lambda: seen and seen.pop()) == b"and more"
        big = os.urandom(16 << 20)
        with web.connect(VIP, 9002, timeout=20) as c:
            t = threading.Thread(target=lambda: (c.sendall(big), c.shutdown(socket.SHUT_WR)))
            t.start()
            assert read_all(c) == big
            t.join()


def test_revoked_peer():
    """After its revocation a peer's live connections end, and it gets no new one; bytes and requests."""
    with Lab() as lab:
        pki = Pki(lab.dir)
        crl = f"{lab.dir}/crl.pem"
        pki.crl(crl)
        shop, out = lab.plain("shop", "out")
        shop.mode = "sidecar"
        lab.workload(shop)
        shop.start(certs=put(lab, "shop", pki.leaf("shop")), env={"CRL_PATH": crl})
        shop.serve(9000, echo)
        shop.serve_http(8080)
        thief = pki.leaf("thief")

        def tls(port, alpn, cert=thief):
            ctx = context(cert)
            ctx.set_alpn_protocols(alpn)
            return ctx.wrap_socket(out.connect(shop.v4, port))
        raw, http = tls(9000, ["istio"]), tls(8080, ["istio-http/1.1", "istio", "http/1.1"])
        raw.sendall(b"x")
        assert raw.recv(1) == b"x"
        http.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert http.recv(100).startswith(b"HTTP/1.1 200")
        pki.revoke(thief[0], crl)
        for c in raw, http:
            eventually(lambda: ended(c), 8)
        def refused():
            try:
                c = tls(9000, ["istio"])
                c.sendall(b"x")
                return c.recv(1) == b""
            except OSError:
                return True
        assert refused()
        good = tls(9000, ["istio"], pki.leaf("web"))
        good.sendall(b"y")
        assert good.recv(1) == b"y"


def test_unfinished_beginnings():
    """Peers that begin TLS or a request and do not go on are counted, and end."""
    with Lab() as lab:
        shop = lab.sidecars("shop", env={"MESHD_POD_HANDSHAKES": "5"})
        out = lab.plain("out")
        shop.serve(9000, echo)
        ctx = ssl.create_default_context()
        inc, outb = ssl.MemoryBIO(), ssl.MemoryBIO()
        ctx.check_hostname = False
        ctx.set_alpn_protocols(["istio"])
        o = ctx.wrap_bio(inc, outb)
        try:
            o.do_handshake()
        except Exception:
            pass
        hello = outb.read()
        conns = []
        for _ in range(12):
            c = out.connect(shop.v4, 9000)
            c.sendall(hello)
            conns.append(c)
        eventually(lambda: shop.metric("meshd_connections_shed_total") >= 7)
        for c in conns:
            c.close()
        eventually(lambda: out.talk(shop.v4, 9000, b"hello") == b"hello")
