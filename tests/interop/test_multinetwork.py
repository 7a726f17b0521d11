# SPDX-License-Identifier: Apache-2.0
"""Two networks: istiod makes one workload of all that a global service has in the far one, behind its gateway. The far proxies have\nfiles, under the same root."""

from ambient import MESHD, ZTUNNEL, Node
from cluster import Cluster
from harness import eventually, service
from test_networks import HOST, entry
from test_waypoint import gateway

FAR = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: gate
  namespace: default
  labels: {topology.istio.io/network: far}
  annotations: {gateway.istio.io/service-account: gate}
spec:
  gatewayClassName: istio-remote
  addresses: [{value: %s}]
  listeners: [{name: cross-network, port: 15008, protocol: HBONE, tls: {mode: Passthrough}}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: shop-far, namespace: default, annotations: {ambient.istio.io/redirection: enabled}}
spec: {address: %s, network: far, serviceAccount: shop, labels: {app: shop}}
"""


def across(program):
    scope = [{"servicesSelector": {"matchLabels": {"istio.io/global": "true"}}, "scope": "GLOBAL"}]
    with Cluster(labels={"topology.istio.io/network": "near"}, mesh={"serviceScopeConfigs": scope}) as c:
        one = Node(c, "node1", program, env={"NETWORK": "near"})
        web = one.pod("default", "web")
        gate, shop = c.plain("gate", "shop")
        vip = c.service("default", "shop", {80: 8080}, labels={"istio.io/global": "true"})[0]
        c.write("far.yaml", entry(gate) + entry(shop) + service("shop", {80: 8080}, [vip]) +
                gateway("gate", "topology.istio.io/network: far", f"gatewayClassName: istio-east-west, addresses: [{{value: {gate.v4}}}]"))
        for h in gate, shop:
            h.start(certs=c.pki.leaf(h.name), env={"NETWORK": "far"})
        shop.serve(8080)
        c.apply(FAR % (gate.v4, shop.v4))
        one.start()
        eventually(lambda: web.talk(vip, 80, b"across", timeout=2) == b"across", 10)
        big = bytes(range(256)) * 20000
        assert web.talk(vip, 80, big) == big
        for h in gate, shop:
            assert h.access(direction="inbound", message="connection complete", src_identity=web.identity)["dst.hbone_addr"] == f"{HOST}:80"
        # A near endpoint too: both are used.
        two = one.pod("default", "shop-near", labels={"app": "shop"}, sa="shop")
        near = two.serve(8080)
        eventually(lambda: web.talk(vip, 80) == b"hello" and near.peers, 10)


def test_meshd():
    across(MESHD)


def test_ztunnel():
    across(ZTUNNEL)
