# SPDX-License-Identifier: Apache-2.0
"""meshd's waypoint between real ztunnels: one or both ends of ztunnel > waypoint > ztunnel."""
import json
from harness import Lab, TD, echo, eventually, greeter, policy, principal, read_exact, service, using
from test_way import SHOP, VIP, answered, fields, to, virtual_service
from test_ztunnel import certs, ztunnel, ztunnel_path

RAW = "10.96.0.8"


def world(lab):
    """web, shop and the waypoint wp, which knows all; who is web's proxy, and shop's, is not said yet."""
    web, shop = lab.plain("web", "shop")
    for h in (web, shop):
        lab.workload(h)
    wp = lab.waypoint("wp", start=False)
    lab.write("shop.yaml", using("wp", service("shop", {80: 8080}, [VIP], protocol="HTTP") + service("raw", {90: 9000, 91: 9001}, [RAW], app="shop")) +
              virtual_service("{headers: {request: {set: {x-way: 'yes'}}}, route: [%s]}" % to()))
    wp.start("--workload=default/wp-v6", certs=certs(lab, "wp"))
    shop.serve_http(8080)
    shop.serve(9000, echo)
    shop.serve(9001, greeter(b"220 ready\r\n"))
    return web, wp, shop


def client_ztunnel(lab, web, wp, shop):
    gate = f"waypoint: {{destination: /{wp.v4}, hboneMtlsPort: 15008}}"
    ztunnel(lab, web, wp, workloads=f"""
- {{uid: shop, name: shop, namespace: default, serviceAccount: shop, trustDomain: {TD}, workloadIps: ["{shop.v4}"], protocol: HBONE,
   services: {{default/{SHOP}: {{80: 8080}}, default/raw.default.svc.cluster.local: {{90: 9000, 91: 9001}}}}}}
""", services=f"""
- {{name: shop, namespace: default, hostname: {SHOP}, vips: ["/{VIP}"], ports: {{80: 8080}}, {gate}}}
- {{name: raw, namespace: default, hostname: raw.default.svc.cluster.local, vips: ["/{RAW}"], ports: {{90: 9000, 91: 9001}}, {gate}}}
""")


def meet(client, server):
    ztunnel_path()
    with Lab() as lab:
        web, wp, shop = world(lab)
        if server == "ztunnel":
            ztunnel(lab, shop, wp, web)
        else:
            shop.start("--workload=default/shop-v6", certs=certs(lab, "shop"))
        if client == "ztunnel":
            client_ztunnel(lab, web, wp, shop)
        else:
            web.start("--workload=default/web-v6", certs=certs(lab, "web"))
        seen = fields(answered(web, by="shop", path="/a")[1])
        assert seen["x-way"] == "yes" and seen["x-forwarded-client-cert"] == f"By={wp.identity};URI={web.identity}", seen
        for n in range(30):
            assert json.loads(web.http(f"/{n}", ip=VIP, port=80)[1])["path"] == f"/{n}"
        big = bytes(range(256)) * 20000
        assert web.talk(RAW, 90, big, timeout=20) == big
        with web.connect(RAW, 91) as c:
            assert read_exact(c, 11) == b"220 ready\r\n"
        lab.write("p.yaml", f"""apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: no-secrets, namespace: default}}
spec: {{targetRefs: [{{kind: ServiceEntry, group: networking.istio.io, name: shop}}], action: DENY, rules: [{{to: [{{operation: {{paths: [/secret]}}}}]}}]}}
""")
        answered(web, 403, path="/secret")
        answered(web, 200, path="/open")
        # the destination admits the waypoint's identity, and no other
        if server == "meshd":
            lab.write("q.yaml", policy("only-wp", f"[{principal('wp')}]", app="shop"))
            answered(web, 200)
        wp.stop()


def test_both():
    meet("ztunnel", "ztunnel")


def test_client():
    meet("ztunnel", "meshd")


def test_server():
    meet("meshd", "ztunnel")
