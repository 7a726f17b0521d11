# SPDX-License-Identifier: Apache-2.0
"""Objects that are bound to a waypoint by targetRefs: whom they reach, and what the waypoint tells of its requests."""
import json

from harness import *
from test_policy_http import SECRET, b64, token

VIP, EXT = "10.96.0.7", "10.96.0.8"
SHOP = "shop.default.svc.cluster.local"
API = {"AuthorizationPolicy": "security.istio.io/v1", "RequestAuthentication": "security.istio.io/v1", "RateLimit": "meshd.io/v1alpha1",
       "Telemetry": "telemetry.istio.io/v1"}
GATE = "{group: gateway.networking.k8s.io, kind: Gateway, name: wp}"
ALL = "{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}"
SERVICE = "{group: networking.istio.io, kind: ServiceEntry, name: shop}"
OTHER = "{group: networking.istio.io, kind: ServiceEntry, name: other}"


def bound(kind, name, target, spec, ns="default", annotations=""):
    return f"""apiVersion: {API[kind]}
kind: {kind}
metadata: {{name: {name}, namespace: {ns}{annotations}}}
spec: {{targetRefs: [{target}], {spec}}}
---
"""


def deny(name, target, path, **kw):
    return bound("AuthorizationPolicy", name, target, f"action: DENY, rules: [{{to: [{{operation: {{paths: [{path}]}}}}]}}]", **kw)


def world(lab, mesh=""):
    """web, shop behind the waypoint wp as the services shop and other."""
    lab.write("mesh.yaml", mesh)
    lab.write("s.yaml", using("wp", service("shop", {80: 8080, 6379: 9000}, [VIP], family="v4", protocol="HTTP")
                              .replace("name: http-6379, protocol: HTTP", "name: tcp-6379, protocol: TCP") +
                              service("other", {80: 8080}, [EXT], app="shop", family="v4", protocol="HTTP")))
    wp = lab.waypoint("wp")
    web, shop = lab.meshed("web", "shop")
    shop.serve_http(8080)
    eventually(lambda: web.http("/", ip=VIP, port=80)[0] == 200 and web.http("/", ip=EXT, port=80)[0] == 200, 10)
    return web, shop, wp


def status(web, path, ip=VIP, **kw):
    return web.http(path, ip=ip, port=80, **kw)[0]


def becomes(web, want, path, ip=VIP, **kw):
    def once():
        got = status(web, path, ip, **kw)
        assert got == want, (path, ip, got)
        return True
    eventually(once, 10)


def test_targets():
    with Lab() as lab:
        web, shop, wp = world(lab)
        lab.write("p.yaml", deny("gate", GATE, "/gate") + deny("all", ALL, "/all", ns="istio-system") + deny("service", SERVICE, "/service") +
                  deny("elsewhere", GATE, "/elsewhere", ns="istio-system") + deny("last", OTHER, "/other") +
                  policy("selects", "[{to: [{operation: {paths: [/selects]}}]}]", app="wp", action="DENY"))
        becomes(web, 403, "/other", EXT)
        for path, at_shop, at_other in (("/gate", 403, 403), ("/all", 403, 403), ("/service", 403, 200), ("/elsewhere", 200, 200), ("/other", 200, 403), ("/selects", 200, 200)):
            assert (status(web, path), status(web, path, EXT)) == (at_shop, at_other), path
        # who asks is the client, not the client's proxy or the waypoint
        lab.write("p.yaml", bound("AuthorizationPolicy", "allow", GATE, "rules: [{from: [{source: {serviceAccounts: [web]}}]}]"))
        becomes(web, 200, "/gate")
        lab.write("p.yaml", bound("AuthorizationPolicy", "allow", GATE, "rules: [{from: [{source: {serviceAccounts: [shop]}}]}]"))
        becomes(web, 403, "/gate")
        # a service of bytes is judged by what bytes show
        lab.write("p.yaml", bound("AuthorizationPolicy", "allow", SERVICE, "rules: [{from: [{source: {serviceAccounts: [shop]}}]}]"))
        becomes(web, 200, "/", EXT)
        shop.serve(9000)
        assert web.refused(VIP, 6379)
        # a broken one refuses what it is bound to
        lab.write("p.yaml", bound("AuthorizationPolicy", "broken", SERVICE, "ruels: []"))
        becomes(web, 403, "/")
        assert status(web, "/", EXT) == 200
        lab.write("p.yaml", bound("RateLimit", "limit", SERVICE, "rules: [{name: few, amount: 2, per: 1h}]"))
        becomes(web, 200, "/")
        becomes(web, 429, "/")
        assert status(web, "/", EXT) == 200


def test_metrics_and_log():
    with Lab() as lab:
        web, shop, wp = world(lab, "accessLogFile: /dev/stdout\n")
        lab.write("p.yaml", deny("gate", GATE, "/no"))
        becomes(web, 403, "/no")
        before = wp.metric("istio_requests_total", reporter="waypoint", response_code="200", destination_service=SHOP)
        assert status(web, "/yes") == 200
        assert eventually(lambda: wp.metric("istio_requests_total", reporter="waypoint", response_code="200", destination_service=SHOP) == before + 1)
        l = [l for n, l, v in wp.metrics() if n == "istio_requests_total" and l["response_code"] == "200" and l["destination_service"] == SHOP][0]
        assert l["source_workload"] in ("web", "web-v6"), l        # it may come by either family
        want = {"reporter": "waypoint", "source_canonical_service": "web", "source_workload_namespace": "default", "source_principal": web.identity,
                "destination_workload": "shop", "destination_principal": shop.identity, "destination_canonical_service": "shop", "destination_service_name": "shop",
                "destination_service_namespace": "default", "request_protocol": "http", "connection_security_policy": "mutual_tls", "response_flags": "-"}
        assert {k: l.get(k) for k in want} == want, l
        refused = [l for n, l, v in wp.metrics() if n == "istio_requests_total" and l["response_code"] == "403"][0]
        assert refused["destination_workload"] == "unknown" and refused["destination_service"] == SHOP and refused["source_principal"] == web.identity, refused
        line = eventually(lambda: [x for x in wp.log().splitlines() if '"GET /yes HTTP/1.1" 200' in x])[0]
        assert f" inbound-vip|80|http|{SHOP} " in line and f" {VIP}:80 " in line and line.rstrip().endswith(" default"), line
        # Telemetry of one service
        lab.write("t.yaml", bound("Telemetry", "t", SERVICE, "metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {path: {value: request.url_path}}}]}]"))
        def tagged():
            status(web, "/tagged")
            status(web, "/tagged", EXT)
            rows = [l for n, l, v in wp.metrics() if n == "istio_requests_total" and l.get("path") == "/tagged"]
            assert rows and all(l["destination_service"] == SHOP for l in rows), rows
            return True
        eventually(tagged, 10)


def test_bytes():
    """TCP: the same policies, by what bytes show, and Istio's metrics."""
    with Lab() as lab:
        web, shop, wp = world(lab, "accessLogFile: /dev/stdout\n")
        shop.serve(9000)
        # an HTTP rule of an ALLOW is none for bytes; a DENY keeps what is left of it
        lab.write("p.yaml", bound("AuthorizationPolicy", "a", SERVICE, "rules: [{from: [{source: {principals: ['%s']}}]}]" % web.identity.removeprefix("spiffe://")))
        eventually(lambda: web.talk(VIP, 6379) == b"hello", 10)
        rows = eventually(lambda: [l for n, l, v in wp.metrics() if n == "istio_tcp_connections_opened_total" and l["reporter"] == "waypoint"
                                   and l["destination_workload"] == "shop" and l["response_flags"] == "-"])
        want = {"source_principal": web.identity, "destination_principal": shop.identity, "destination_service": SHOP, "request_protocol": "tcp",
                "connection_security_policy": "mutual_tls"}
        assert {k: rows[0].get(k) for k in want} == want, rows
        eventually(lambda: [x for x in wp.log().splitlines() if f" inbound-vip|6379|tcp|{SHOP} " in x and f" {VIP}:6379 " in x])
        lab.write("p.yaml", bound("AuthorizationPolicy", "a", SERVICE, "rules: [{from: [{source: {serviceAccounts: [web]}}], to: [{operation: {methods: [GET]}}]}]"))
        eventually(lambda: web.refused(VIP, 6379), 10)
        lab.write("p.yaml", bound("AuthorizationPolicy", "a", SERVICE, "action: DENY, rules: [{to: [{operation: {methods: [GET], ports: ['1']}}]}]"))
        eventually(lambda: web.talk(VIP, 6379) == b"hello", 10)
        lab.write("p.yaml", bound("AuthorizationPolicy", "a", SERVICE, "action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]"))
        eventually(lambda: web.refused(VIP, 6379), 10)


def test_tokens():
    """Tokens of one service's RequestAuthentication, judged by a policy of the whole waypoint; a CUSTOM policy without its provider refuses."""
    with Lab() as lab:
        web, shop, wp = world(lab)
        keys = json.dumps({"keys": [{"kty": "oct", "k": b64(SECRET)}]})
        lab.write("p.yaml", bound("RequestAuthentication", "jwt", SERVICE, "jwtRules: [{issuer: 'https://id.test', jwks: '%s'}]" % keys) +
                  bound("AuthorizationPolicy", "joe", GATE, "rules: [{from: [{source: {requestPrincipals: ['https://id.test/joe']}}]}]"))
        bearer = {"Authorization": "Bearer " + token(sub="joe")}
        becomes(web, 403, "/")
        assert status(web, "/", headers=bearer) == 200
        assert status(web, "/", headers={"Authorization": "Bearer " + token(b"another" * 8, sub="joe")}) == 401
        assert status(web, "/", EXT, headers=bearer) == 403        # nobody looks at tokens there
        lab.write("p.yaml", bound("AuthorizationPolicy", "ask", SERVICE, "action: CUSTOM, provider: {name: nobody}, rules: [{to: [{operation: {paths: [/ask]}}]}]"))
        becomes(web, 200, "/")
        assert status(web, "/ask") == 403 and status(web, "/ask", EXT) == 200


def test_dry_run():
    """Counted under Istio's names, told without the query, and nothing is refused."""
    with Lab() as lab:
        web, shop, wp = world(lab)
        dry = ", annotations: {istio.io/dry-run: 'true'}"
        lab.write("p.yaml", deny("try", SERVICE, "/no", annotations=dry) + bound("AuthorizationPolicy", "audit", SERVICE, "action: AUDIT, rules: [{to: [{operation: {paths: [/no]}}]}]"))
        name = "envoy_http_inbound_0_0_0_0_80_rbac"
        def tried():
            assert status(web, "/no?secret=1") == 200
            return wp.metric(name, authz_dry_run_action="deny", authz_dry_run_result="denied", policy="default/try") > 0
        eventually(tried, 10)
        assert status(web, "/yes") == 200
        assert wp.metric(name, authz_dry_run_action="deny", authz_dry_run_result="allowed", policy="none") >= 1
        assert wp.metric("meshd_authz_audit_matches_total", policy="default/audit") >= 1
        dump = json.loads(wp.http("/config_dump")[1])
        assert any(p["scope"] == "Targets" and p["targetRefs"] == [{"kind": "ServiceEntry", "name": "shop"}] for p in dump["policies"]), dump["policies"]
        assert "secret" not in wp.log(), wp.tail()
