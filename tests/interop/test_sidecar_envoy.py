# SPDX-License-Identifier: Apache-2.0
"""meshd's sidecar opposite Envoy in Istio's sidecar shape, both ways, with mutual TLS and without."""
import json

import istioenvoy
from harness import Lab, echo, eventually, greeter, need_program, policy, principal, read_exact, service
from test_envoy import envoy_path, streams

VIP, SHOP = "10.88.0.1", "shop.default.svc.cluster.local"
STRICT = """apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: default}
spec: {mtls: {mode: STRICT}}
---
"""
SERVICE = service("shop", {80: 8080, 81: 8081, 9000: 9000}, [VIP], app="shop", family="v4").replace(
    "name: tcp-80, protocol: TCP", "name: http, protocol: HTTP").replace("name: tcp-81, protocol: TCP", "name: http2, protocol: HTTP2")


def curl(host, url, *args):
    """(status, HTTP version, body)"""
    need_program("curl")
    r = host.run("curl", "-sS", "-m", "5", "-w", "\n%{http_code} %{http_version}", "-H", f"Host: {SHOP}", *args, url)
    body, last = r.stdout.rsplit("\n", 1)
    code, version = last.split()
    return int(code), version, body


H2 = "--http2-prior-knowledge"


def test_envoy_to_sidecar():
    envoy_path()
    with Lab() as lab:
        lab.write("svc.yaml", SERVICE)
        lab.write("strict.yaml", STRICT)
        shop, edge = lab.sidecars("shop"), lab.plain("edge")
        lab.workload(edge)
        app = shop.serve_http(8080)
        shop.serve(9000, echo)
        shop.serve(9001, greeter(b"220 ready\r\n"))
        istioenvoy.h2_app(lab, shop, 8081)
        istioenvoy.client(lab, edge, shop.v4, {7080: (8080, 1), 7081: (8081, 2), 7082: (8080, 2), 7083: (8081, 1), 7900: (9000, "tcp"), 7901: (9001, "tcp"),
                                               7902: (9002, 1)}, shop.identity)
        assert curl(edge, "http://127.0.0.1:7080/a?b")[0] == 200
        got = app.requests[-1]
        names = {k.lower(): v for k, v in got["headers"]}
        assert got["path"] == "/a?b" and f"URI={edge.identity}" in names["x-forwarded-client-cert"], names
        assert curl(edge, "http://127.0.0.1:7081/", H2) == (200, "2", "h2 app")
        assert curl(edge, "http://127.0.0.1:7082/x", H2)[0] == 200       # HTTP/2 to a port of protocol HTTP
        assert curl(edge, "http://127.0.0.1:7083/")[0] == 200
        streams(lambda: edge.connect("127.0.0.1", 7900))
        with edge.connect("127.0.0.1", 7901) as c:
            assert read_exact(c, 11) == b"220 ready\r\n"
        assert curl(edge, "http://127.0.0.1:7902/")[0] == 503            # nobody listens
        assert edge.refused(shop.v4, 8080)                               # STRICT
        assert shop.metric("istio_requests_total", reporter="destination", source_principal=edge.identity, response_code="200",
                           connection_security_policy="mutual_tls") >= 4


def test_sidecar_to_envoy():
    envoy_path()
    with Lab() as lab:
        lab.write("svc.yaml", SERVICE)
        web, shop = lab.sidecars("web"), lab.plain("shop")
        shop.mode = "sidecar"
        lab.workload(shop)
        app = shop.serve_http(8080)
        shop.serve(9000, echo)
        istioenvoy.h2_app(lab, shop, 8081)
        istioenvoy.server(lab, shop, strict=True)
        eventually(lambda: curl(web, f"http://{VIP}/a?b")[0] == 200)
        names = {k.lower(): v for k, v in app.requests[-1]["headers"]}
        assert f"URI={web.identity}" in names["x-forwarded-client-cert"], names
        assert curl(web, f"http://{VIP}:81/", H2) == (200, "2", "h2 app")
        assert curl(web, f"http://{VIP}:81/") == (200, "1.1", "h2 app")
        streams(lambda: web.connect(VIP, 9000))
        assert web.metric("istio_requests_total", reporter="source", destination_principal=shop.identity, response_code="200") >= 3


def test_sidecar_to_permissive_envoy():
    """A host that is said to have no mutual TLS is called in plaintext; the server's Envoy takes that as well."""
    envoy_path()
    with Lab() as lab:
        lab.write("svc.yaml", SERVICE)
        web, shop = lab.sidecars("web"), lab.plain("shop")
        lab.workload(shop, tunnel=False, labels={"security.istio.io/tlsMode": "disabled"})
        app = shop.serve_http(8080)
        shop.serve(9000, echo)
        istioenvoy.server(lab, shop)
        eventually(lambda: curl(web, f"http://{VIP}/")[0] == 200)
        assert "x-forwarded-client-cert" not in {k.lower() for k, _ in app.requests[-1]["headers"]}
        with web.connect(VIP, 9000) as c:                  # Envoy's http_inspector would wait for the end of a line of text
            c.sendall(b"\1hello")
            assert read_exact(c, 6) == b"\1hello"


def test_denied_by_envoy():
    envoy_path()
    with Lab() as lab:
        lab.write("svc.yaml", SERVICE)
        web, evil, shop = *lab.sidecars("web", "evil"), lab.plain("shop")
        shop.mode = "sidecar"
        lab.workload(shop)
        shop.serve(9000, echo)
        istioenvoy.server(lab, shop, strict=True, allow=[web.identity])
        eventually(lambda: web.talk(VIP, 9000, b"hello") == b"hello")
        assert evil.refused(VIP, 9000)


def test_envoy_denied():
    envoy_path()
    with Lab() as lab:
        lab.write("svc.yaml", SERVICE)
        lab.write("p.yaml", policy("callers", f"[{principal('web')}]", app="shop"))
        shop, edge = lab.sidecars("shop"), lab.plain("edge")
        lab.workload(edge)
        app, s = shop.serve_http(8080), shop.serve(9000, echo)
        istioenvoy.client(lab, edge, shop.v4, {7080: (8080, 1), 7900: (9000, "tcp")}, shop.identity)
        status, _, body = curl(edge, "http://127.0.0.1:7080/")
        assert (status, body) == (403, "RBAC: access denied")
        assert edge.refused("127.0.0.1", 7900)
        assert not app.requests and not s.peers


def test_wrong_identity():
    """Neither side talks to a server that is another."""
    envoy_path()
    with Lab() as lab:
        lab.write("svc.yaml", SERVICE)
        web, shop, edge = lab.sidecars("web"), lab.plain("shop"), lab.plain("edge")
        shop.mode = "sidecar"
        lab.workload(shop, serviceAccount="other")
        app = shop.serve_http(8080)
        istioenvoy.server(lab, shop, strict=True)
        eventually(lambda: "upstream connect error" in curl(web, f"http://{VIP}/")[2])
        status, _, body = curl(web, f"http://{VIP}/")
        assert status == 503 and not app.requests, body
