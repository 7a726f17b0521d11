# SPDX-License-Identifier: Apache-2.0
"""Which endpoint gets a request: policies, weights, subsets."""
from balance import cart, get, hosts, who
from harness import Lab, eventually


def test_round_robin_and_weights():
    with Lab() as lab:
        cart(lab, "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}")
        front, *backs = hosts(lab)
        for h in backs:
            h.serve_http(8080)
        # One counter for all workers.
        assert who(front, 30) == {"one": 10, "two": 10, "three": 10}
        lab.workload(backs[0], labels={"app": "cart"}, weight=4)
        eventually(lambda: who(front, 12)["one"] == 8, 10, what="the weight counts")
        lab.remove("workload-two.json")
        eventually(lambda: "two" not in who(front, 10), 10, what="who went gets nothing")


def test_subsets():
    with Lab() as lab:
        cart(lab, "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}]")
        lab.write("route.yaml", """apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: default}
spec:
  hosts: [cart.default.svc.cluster.local]
  http:
  - match: [{headers: {x-canary: {exact: "yes"}}}]
    route: [{destination: {host: cart.default.svc.cluster.local, subset: v2}}]
  - match: [{headers: {x-canary: {exact: gone}}}]
    route: [{destination: {host: cart.default.svc.cluster.local, subset: v9}}]
  - route: [{destination: {host: cart.default.svc.cluster.local, subset: v1}}]
""")
        front, *backs = hosts(lab, labels={"one": {"version": "v1"}, "two": {"version": "v2"}, "three": {"version": "v2"}})
        for h in backs:
            h.serve_http(8080)
        assert who(front, 6) == {"one": 6}
        assert who(front, 6, headers={"x-canary": "yes"}) == {"two": 3, "three": 3}
        assert get(front, headers={"x-canary": "gone"})[0] == 503
