# SPDX-License-Identifier: Apache-2.0
"""Tunnels in tunnels and waypoints, with the real ztunnel at one end."""
import os
from harness import Lab, TD, eventually, service
from test_waypoint import far, gateway, proxy_says
from test_ztunnel import certs, ztunnel, ztunnel_path


HOST = "shop.default.svc.cluster.local"


def entry(h, network="", labels="networking.istio.io/tunnel: http"):
    return f"""apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {h.name}, namespace: default}}
spec: {{address: {h.v4}, network: '{network}', serviceAccount: {h.name}, labels: {{app: {h.name}, {labels}}}}}
---
"""


def far_side(lab, gate, shop):
    """The other network's own view: its gateway leads to the shop."""
    lab.write("far.yaml", entry(gate) + entry(shop) + service("shop", {80: 8080}, ["10.96.0.7"]) +
              gateway("gate", "topology.istio.io/network: far", f"gatewayClassName: istio-east-west, addresses: [{{value: {gate.v4}}}]"))
    gate.start(certs=certs(lab, "gate"), env={"NETWORK": "far"})


def test_ztunnel_through_our_gateway():
    ztunnel_path()
    with Lab() as lab:
        web, gate, shop = lab.plain("web", "gate", "shop")
        far_side(lab, gate, shop)
        shop.start(certs=certs(lab, "shop"), env={"NETWORK": "far"})
        shop.serve(8080)
        ztunnel(lab, web, network="near", workloads=f"""
- {{uid: gate, name: gate, namespace: default, serviceAccount: gate, trustDomain: {TD}, network: far, workloadIps: ["{gate.v4}"], protocol: HBONE, services: {{}}}}
- {{uid: remote, name: remote, namespace: default, serviceAccount: shop, trustDomain: {TD}, network: far, workloadIps: [], protocol: HBONE,
   networkGateway: {{destination: far/{gate.v4}, hboneMtlsPort: 15008}}, services: {{default/{HOST}: {{80: 8080}}}}}}
""", services=f"""
- {{name: shop, namespace: default, hostname: {HOST}, vips: ["near/10.96.0.7"], ports: {{80: 8080}}, subjectAltNames: ["spiffe://{TD}/ns/default/sa/shop"]}}
""")
        assert web.talk("10.96.0.7", 80, b"across") == b"across"
        big = bytes(range(256)) * 20000
        assert web.talk("10.96.0.7", 80, big) == big
        r = shop.access(direction="inbound", message="connection complete", src_identity=web.identity)
        assert r["dst.hbone_addr"] == f"{HOST}:80" and r["src.namespace"] == "default", r
        assert gate.access(direction="inbound", message="connection complete", src_identity=web.identity)["dst.hbone_addr"] == f"{HOST}:80"


def test_ztunnel_behind_our_gateway():
    ztunnel_path()
    with Lab() as lab:
        web, gate, shop = lab.plain("web", "gate", "shop")
        far_side(lab, gate, shop)
        ztunnel(lab, shop, network="far", services=f"""
- {{name: shop, namespace: default, hostname: {HOST}, vips: ["far/10.96.0.7"], ports: {{80: 8080}}}}
""")
        shop.serve(8080)
        near = f"{lab.dir}/near"
        os.mkdir(near)
        lab.write("s.yaml", far(lab, "shop", {80: 8080}, "10.96.0.7", gate) + entry(web), dir=near)
        web.start(config=near, certs=certs(lab, "web"), env={"NETWORK": "near"})
        assert web.talk("10.96.0.7", 80, b"across") == b"across"
        big = bytes(range(256)) * 20000
        assert web.talk("10.96.0.7", 80, big) == big
        r = web.access(direction="outbound", message="connection complete", dst_service=HOST)
        assert r["dst.hbone_addr"] == f"{HOST}:80" and r["dst.identity"] == shop.identity and r["dst.namespace"] == "default", r


def test_ztunnel_to_our_waypoint():
    ztunnel_path()
    with Lab() as lab:
        web, wp, shop = lab.plain("web", "wp", "shop")
        lab.write("w.yaml", entry(wp, labels="networking.istio.io/tunnel: http, meshd.io/application-tunnel: proxy-15088") + entry(web) + entry(shop))
        wp.start(certs=certs(lab, "wp"))
        wp.serve(15088, proxy_says)
        ztunnel(lab, web, wp, shop, services=f"""
- {{name: shop, namespace: default, hostname: {HOST}, vips: ["/10.96.0.7"], ports: {{80: 8080}}, waypoint: {{destination: default/wp.test, hboneMtlsPort: 15008}}}}
- {{name: wp, namespace: default, hostname: wp.test, vips: ["/10.96.9.9"], ports: {{15008: 15008}},
   endpoints: {{Kubernetes//Pod/default/wp: {{workloadUid: Kubernetes//Pod/default/wp, port: {{15008: 15008}}, status: Healthy}}}}}}
""")
        assert web.talk("10.96.0.7", 80, b"hi") == f"10.96.0.7 80 {web.identity}\nhi".encode()


def test_our_client_at_a_waypoint_behind_ztunnel():
    """ztunnel takes what is addressed to a service whose waypoint it fronts."""
    ztunnel_path()
    with Lab() as lab:
        web, wp = lab.plain("web", "wp")
        lab.write("s.yaml", entry(web) + entry(wp) + gateway("wp") + service("wp", {15008: 15008}, ["10.96.9.9"]) +
                  service("shop", {80: 8080}, ["10.96.0.7"]).replace("metadata: {name: ", "metadata: {labels: {istio.io/use-waypoint: wp}, name: "))
        ztunnel(lab, wp, web, services=f"""
- {{name: shop, namespace: default, hostname: {HOST}, vips: ["/10.96.0.7"], ports: {{80: 8080}}, waypoint: {{destination: default/wp.test, hboneMtlsPort: 15008}}}}
- {{name: wp, namespace: default, hostname: wp.test, vips: ["/10.96.9.9"], ports: {{15008: 15008}},
   endpoints: {{Kubernetes//Pod/default/wp: {{workloadUid: Kubernetes//Pod/default/wp, port: {{15008: 15008}}, status: Healthy}}}}}}
""")
        wp.serve(80)
        web.start(certs=certs(lab, "web"))
        eventually(lambda: web.talk("10.96.0.7", 80, b"x") == b"x")
        assert web.access(direction="outbound", dst_hbone_addr="10.96.0.7:80")["dst.identity"] == wp.identity
