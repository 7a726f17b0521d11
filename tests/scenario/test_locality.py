# SPDX-License-Identifier: Apache-2.0
"""Localities: failover and shares."""
from balance import cart, get, hosts, who
from harness import Lab, eventually

OUTLIERS = "outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 8s, maxEjectionPercent: 100}"
PLACES = {"front": "r1/z1/s1", "one": "r1/z1/s1", "two": "r1/z2/s1", "three": "r2/z1/s1"}


def test_failover_and_return():
    with Lab() as lab:
        cart(lab, f"trafficPolicy: {{{OUTLIERS}}}")
        front, one, two, three = hosts(lab, PLACES)
        bad = {"one": [], "two": []}
        for h in (one, two):
            h.serve_http(8080, lambda handler, got: bad[got["host"]] and (handler.answer(500) or True))
        three.serve_http(8080)
        assert who(front, 6) == {"one": 6}
        bad["one"].append(1)
        get(front)
        assert who(front, 3) == {"two": 3}
        bad["two"].append(1)
        get(front)
        assert who(front, 3) == {"three": 3}
        bad["one"].clear()
        bad["two"].clear()
        eventually(lambda: who(front, 3) == {"one": 3}, 30, what="the near one is back")


def test_failover_by_label_and_region():
    with Lab() as lab:
        cart(lab, f"trafficPolicy: {{{OUTLIERS}, loadBalancer: {{localityLbSetting: {{failoverPriority: [version]}}}}}}")
        front, *backs = hosts(lab, PLACES, {"front": {"version": "v2"}, "one": {"version": "v1"}, "two": {"version": "v1"}, "three": {"version": "v2"}})
        for h in backs:
            h.serve_http(8080)
        assert who(front, 4) == {"three": 4}


def test_distribute():
    with Lab() as lab:
        cart(lab, "trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: r1/z1/*, to: {r1/z1/*: 80, r1/z2/*: 20}}]}}}")
        front, *backs = hosts(lab, PLACES)
        for h in backs:
            h.serve_http(8080)
        seen = who(front, 100)
        assert set(seen) == {"one", "two"} and 79 <= seen["one"] <= 81, seen
