# SPDX-License-Identifier: Apache-2.0
"""Waypoints as istiod tells of them. The waypoint is a pod whose application takes the PROXY protocol (a "sandwich")."""
import json
from ambient import MESHD, ZTUNNEL, Node
from cluster import Cluster
from harness import eventually
from test_waypoint import proxy_says


def waypoint(c, node, name="wp"):
    """A Gateway of the class istio-waypoint, its service and its pod; what controllers would do is done by hand."""
    label = {"gateway.networking.k8s.io/gateway-name": name}
    c.apply(f"""apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: {name}
  namespace: default
  labels: {{istio.io/waypoint-for: all}}
  annotations: {{ambient.istio.io/waypoint-inbound-binding: PROXY/15088}}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]
""")
    vips = c.service("default", name, {15008: 15008}, selector=label, labels=label)
    pod = node.pod("default", name, labels={**label, "gateway.istio.io/managed": "istio.io-mesh-controller"})
    pod.serve(15088, proxy_says)
    status = {"status": {"addresses": [{"type": "Hostname", "value": f"{name}.default.svc.cluster.local"}]}}
    c.kubectl("patch", "gateway", "-n", "default", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))
    return pod


def meet(program):
    with Cluster() as c:
        one, two = Node(c, "node1", program), Node(c, "node2", MESHD)
        one.start()
        two.start()
        web, shop = one.pod("default", "web"), two.pod("default", "shop")
        wp = waypoint(c, two)
        shop.serve(8080)
        vip = c.service("default", "shop", {80: 8080}, labels={"istio.io/use-waypoint": "wp"})[0]
        want = f"{vip} 80 {web.identity}\nhi".encode()
        eventually(lambda: web.talk(vip, 80, b"hi", timeout=2) == want, 20)
        assert web.talk(shop.v4, 8080, b"straight") == b"straight"
        c.kubectl("label", "pod", "-n", "default", "shop", "istio.io/use-waypoint=wp")
        eventually(lambda: web.talk(shop.v4, 8080, b"hi", timeout=2) == f"{shop.v4} 8080 {web.identity}\nhi".encode(), 20)
        eventually(lambda: wp.talk(shop.v4, 8080, b"the waypoint's own way", timeout=2) == b"the waypoint's own way", 20)


def test_ours():
    meet(MESHD)


def test_ztunnel_as_client():
    meet(ZTUNNEL)


def canary(program):
    """A part of the connections goes to a second waypoint; what istiod is told of the weight holds for the next ones."""
    with Cluster() as c:
        one, two = Node(c, "node1", program), Node(c, "node2", MESHD)
        one.start()
        two.start()
        web, shop = one.pod("default", "web"), two.pod("default", "shop")
        seen = {}
        for name in "wp", "next":
            waypoint(c, two, name)
            seen[name] = c.closing[-1].peers
        shop.serve(8080)
        labels = {"istio.io/use-waypoint": "wp", "istio.io/use-waypoint-canary": "next"}
        def weigh(weight):
            return c.service("default", "shop", {80: 8080}, labels=labels, annotations={"istio.io/use-waypoint-canary-weight": str(weight)})[0]
        def share(n=40):
            for s in seen.values():
                s.clear()
            for _ in range(n):
                assert web.talk(vip, 80, b"hi", timeout=2).endswith(b"hi")
            return len(seen["next"]) / n
        vip = weigh(50)
        eventually(lambda: 0 < share(4) < 1, 20)
        assert 0.15 < share() < 0.85
        weigh(100)
        eventually(lambda: share(10) == 1, 5)
        weigh(0)
        eventually(lambda: share(10) == 0, 5)


def test_canary():
    canary(MESHD)
