# SPDX-License-Identifier: Apache-2.0
"""What a Sidecar object and outboundTrafficPolicy say: listeners of their own, default endpoints, what may be called at all; and where
bytes go: by SNI, by address, by weight; and TLS that the sidecar adds."""
import json, os, ssl, socket, threading

from harness import *

VIP, VIP2 = "10.88.0.1", "10.88.0.2"
SHOP = "shop.default.svc.cluster.local"


def sidecar(spec, app="web"):
    return f"""apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {app}, namespace: default}}
spec:
  workloadSelector: {{labels: {{app: {app}}}}}
{spec}---
"""


def virtual_service(host, spec):
    return f"""apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {host.split('.')[0]}, namespace: default}}
spec:
  hosts: [{host}]
{spec}---
"""


def external(name, host, ports, address=None, resolution="STATIC", endpoints=()):
    """A MESH_EXTERNAL ServiceEntry; ports: {number: protocol}."""
    p = ", ".join(f"{{number: {n}, name: {q.lower()}-{n}, protocol: {q}}}" for n, q in ports.items())
    a = f"\n  addresses: ['{address}']" if address else ""
    e = f"\n  endpoints: [{', '.join(f'{{address: {x!r}}}' for x in endpoints)}]" if endpoints else ""
    return f"""apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{host}]
  location: MESH_EXTERNAL
  resolution: {resolution}
  ports: [{p}]{a}{e}
---
"""


def get(host, ip, port=80, path="/", name=SHOP):
    return host.http(path, ip=ip, port=port, headers={"Host": name})


def test_registry_only():
    """Unknown hosts are refused: bytes by a reset, requests by 502; what the mesh knows is reached."""
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080, 9000: 9000}, [VIP], app="shop", family="v4").replace("name: tcp-80, protocol: TCP", "name: http, protocol: HTTP"))
        lab.write("sidecar.yaml", sidecar("  outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"))
        web, shop = lab.sidecars("web", "shop")
        out = lab.plain("out")
        s, app = out.serve(9000, echo), out.serve_http(80)
        shop.serve_http(8080)
        shop.serve(9000, echo)
        assert get(web, VIP)[0] == 200
        assert web.talk(VIP, 9000, b"hello") == b"hello"
        assert web.refused(out.v4, 9000)
        assert web.refused(out.v4, 9001)
        assert get(web, out.v4, name="out.example")[0] == 502
        assert not s.peers and not app.requests


def test_metadata_in_mesh():
    """metadataExchangeHeaders IN_MESH: what is outside the mesh does not learn who calls."""
    with Lab() as lab:
        out = lab.plain("out")
        app = out.serve_http(8080)
        lab.write("se.yaml", external("api", "api.example", {80: "HTTP"}, address=VIP, endpoints=[out.v4]).replace("number: 80,", "number: 80, targetPort: 8080,"))
        lab.write("mesh.yaml", "defaultConfig: {proxyHeaders: {metadataExchangeHeaders: {mode: IN_MESH}}}\n")
        web = lab.sidecars("web")
        for ip, port in (VIP, 80), (out.v4, 8080):
            assert get(web, ip, port, name="api.example")[0] == 200
            assert "x-envoy-peer-metadata" not in {k.lower() for k, _ in app.requests[-1]["headers"]}
        lab.write("mesh.yaml", "defaultConfig: {}\n")
        def told():
            get(web, VIP, name="api.example")
            return "x-envoy-peer-metadata" in {k.lower() for k, _ in app.requests[-1]["headers"]}
        eventually(told)


def test_egress_listener():
    """captureMode NONE: the sidecar listens itself, before and after a change of the configuration."""
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080, 7000: 8080, 7001: 8080}, [VIP], app="shop", family="v4", protocol="HTTP"))
        def egress(port):
            return sidecar(f"""  egress:
  - {{port: {{number: {port}, protocol: HTTP, name: http}}, bind: 127.0.0.1, captureMode: NONE, hosts: ["./{SHOP}"]}}
  - {{hosts: ["./*"]}}
""")
        lab.write("sidecar.yaml", egress(7000))
        web, shop = lab.sidecars("web", "shop")
        app = shop.serve_http(8080)
        eventually(lambda: get(web, "127.0.0.1", 7000)[0] == 200)
        lab.write("sidecar.yaml", egress(7001))
        eventually(lambda: get(web, "127.0.0.1", 7001)[0] == 200)
        def closed():
            try:
                web.connect("127.0.0.1", 7000).close()
            except ConnectionRefusedError:
                return True
        eventually(closed)
        assert get(web, VIP)[0] == 200


def test_ingress_endpoints():
    """defaultEndpoint: another port of the application, or a Unix socket."""
    with Lab() as lab:
        path = f"{lab.dir}/app.sock"
        lab.write("sidecar.yaml", sidecar(f"""  ingress:
  - {{port: {{number: 9080, protocol: HTTP, name: http}}, defaultEndpoint: "127.0.0.1:8080"}}
  - {{port: {{number: 9090, protocol: TCP, name: tcp}}, defaultEndpoint: "unix://{path}"}}
""", app="shop"))
        shop = lab.sidecars("shop")
        out = lab.plain("out")
        app = shop.serve_http(8080)
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        s.listen(10)
        def serve():
            while True:
                c, _ = s.accept()
                threading.Thread(target=lambda: (echo(c, None), c.close()), daemon=True).start()
        threading.Thread(target=serve, daemon=True).start()
        assert get(out, shop.v4, 9080, "/x")[0] == 200 and app.requests[-1]["path"] == "/x"
        assert out.talk(shop.v4, 9090, b"hello") == b"hello"


def tls_server(lab, host, port, name, text):
    """A server with a certificate of the web's kind; returns the root's path."""
    cert, key, root = f"{lab.dir}/{name}.pem", f"{lab.dir}/{name}.key", f"{lab.dir}/webroot.pem"
    ca = f"{lab.dir}/webca"
    if not os.path.exists(root):
        sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{ca}.key", "-out", root, "-days", "2", "-subj", "/O=web")
    sh("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", f"{cert}.csr", "-subj", f"/CN={name}")
    with open(f"{cert}.ext", "w") as f:
        f.write(f"subjectAltName=DNS:{name}\n")
    sh("openssl", "x509", "-req", "-in", f"{cert}.csr", "-CA", root, "-CAkey", f"{ca}.key", "-set_serial", str(port), "-days", "2", "-extfile", f"{cert}.ext", "-out", cert)
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(cert, key)
    snis = []
    ctx.sni_callback = lambda s, sni, c: snis.append(sni) and None
    def fn(c, peer):
        with ctx.wrap_socket(c, server_side=True) as t:
            while t.recv(1 << 16):
                t.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
    host.serve(port, fn)
    return root, snis


def ask_tls(host, ip, port, sni):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    with ctx.wrap_socket(host.connect(ip, port), server_hostname=sni) as t:
        t.sendall(b"x")
        return t.recv(1000).split(b"\r\n\r\n")[1]


def test_routes_by_sni():
    """TLS of the application, passed on by the name that it asks for."""
    with Lab() as lab:
        one, two, web = lab.plain("one"), lab.plain("two"), None
        tls_server(lab, one, 443, "one.example", b"one")
        tls_server(lab, two, 443, "two.example", b"two")
        lab.write("se.yaml", external("one", "one.example", {443: "TLS"}, endpoints=[one.v4]) + external("two", "two.example", {443: "TLS"}, endpoints=[two.v4]) +
                  external("front", "front.example", {443: "TLS"}, endpoints=[one.v4]) +
                  virtual_service("front.example", """  tls:
  - match: [{port: 443, sniHosts: [front.example]}]
    route: [{destination: {host: two.example, port: {number: 443}}}]
"""))
        web = lab.sidecars("web")
        assert ask_tls(web, "192.0.2.7", 443, "one.example") == b"one"
        assert ask_tls(web, "192.0.2.7", 443, "two.example") == b"two"
        assert ask_tls(web, "192.0.2.7", 443, "front.example") == b"two"
        assert ask_tls(web, two.v4, 443, "else.example") == b"two"       # unknown: where it wanted to go


def test_ingress_tls():
    """TLS from outside the mesh ends at the sidecar: SIMPLE for anybody, MUTUAL for those with a certificate and the right name."""
    with Lab() as lab:
        root, _ = tls_server(lab, lab.plain("none"), 1, "shop.example", b"")
        tls_server(lab, lab.hosts[0], 2, "friend.example", b"")
        tls_server(lab, lab.hosts[0], 3, "foe.example", b"")
        files = f"serverCertificate: {lab.dir}/shop.example.pem, privateKey: {lab.dir}/shop.example.key"
        lab.write("sidecar.yaml", sidecar(f"""  ingress:
  - {{port: {{number: 9443, protocol: HTTPS, name: https}}, defaultEndpoint: "127.0.0.1:8080", tls: {{mode: SIMPLE, {files}}}}}
  - {{port: {{number: 9444, protocol: TLS, name: tls}}, defaultEndpoint: "127.0.0.1:9000", tls: {{mode: MUTUAL, {files}, caCertificates: {root}, subjectAltNames: [friend.example]}}}}
""", app="shop"))
        shop, out = lab.sidecars("shop"), lab.plain("out")
        app = shop.serve_http(8080)
        shop.serve(9000, echo)
        def connect(port, who=None):
            ctx = ssl.create_default_context(cafile=root)
            if who:
                ctx.load_cert_chain(f"{lab.dir}/{who}.pem", f"{lab.dir}/{who}.key")
            return ctx.wrap_socket(out.connect(shop.v4, port), server_hostname="shop.example")
        with connect(9443) as c:
            c.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert c.recv(1000).startswith(b"HTTP/1.1 200")
        assert app.requests[-1]["path"] == "/x"
        with connect(9444, "friend.example") as c:
            c.sendall(b"hello")
            assert c.recv(100) == b"hello"
        for who in None, "foe.example":
            try:
                with connect(9444, who) as c:
                    c.sendall(b"x")
                    assert c.recv(1) == b"", who
            except OSError:
                pass
        assert out.refused(shop.v4, 9443)


def test_tcp_weights():
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {9000: 9000}, [VIP], app="shop", family="v4") + service("other", {9000: 9000}, [VIP2], app="other", family="v4") +
                  virtual_service(SHOP, f"""  tcp:
  - match: [{{port: 9000}}]
    route:
    - {{destination: {{host: {SHOP}}}, weight: 75}}
    - {{destination: {{host: other.default.svc.cluster.local}}, weight: 25}}
"""))
        web, shop, other = lab.sidecars("web", "shop", "other")
        a, b = shop.serve(9000, echo), other.serve(9000, echo)
        for _ in range(120):
            assert web.talk(VIP, 9000, b"x") == b"x"
        assert len(a.peers) + len(b.peers) == 120 and 10 <= len(b.peers) <= 55, len(b.peers)


def test_tls_origination():
    """The application speaks HTTP, the sidecar TLS: with SNI and verified names, and not to a server that is another."""
    with Lab() as lab:
        out = lab.plain("out")
        root, snis = tls_server(lab, out, 443, "api.example", b"secret")
        tls_server(lab, out, 444, "wrong.example", b"wrong")
        def rule(host, more=""):
            return f"""apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {host.split('.')[0]}, namespace: default}}
spec: {{host: {host}, trafficPolicy: {{tls: {{mode: SIMPLE, caCertificates: {root}, sni: {host}{more}}}}}}}
---
"""
        def entry(name, port, vip):
            return external(name, f"{name}.example", {80: "HTTP"}, address=vip, endpoints=[out.v4]).replace("number: 80,", f"number: 80, targetPort: {port},")
        lab.write("se.yaml", entry("api", 443, VIP) + entry("bad", 444, VIP2) + rule("api.example") + rule("bad.example"))
        web = lab.sidecars("web")
        status, text, _ = get(web, VIP, name="api.example")
        assert (status, text) == (200, "secret")
        assert snis[-1] == "api.example"
        status, text, _ = get(web, VIP2, name="bad.example")
        assert status == 503, text
        lab.write("se.yaml", entry("bad", 444, VIP2) + rule("bad.example", ", subjectAltNames: [wrong.example]"))
        eventually(lambda: get(web, VIP2, name="bad.example")[:2] == (200, "wrong"))
