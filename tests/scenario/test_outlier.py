# SPDX-License-Identifier: Apache-2.0
"""Outlier detection: who fails again and again gets no requests for a while."""
import json
from balance import HOST, cart, get, hosts, who
from harness import Lab, eventually


def failing(h, codes):
    """An application that answers with codes[0] while there is one."""
    return h.serve_http(8080, lambda handler, got: codes and (handler.answer(codes[0]) or True))


def test_ejected_and_back():
    with Lab() as lab:
        cart(lab, "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, "
                  "outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 8s, maxEjectionPercent: 50}}")
        front, one, two, three = hosts(lab)
        bad = [500]
        failing(one, bad)
        two.serve_http(8080)
        three.serve_http(8080)
        statuses = [get(front)[0] for _ in range(12)]
        # In turn: three failures, and then the other two only.
        assert statuses.count(500) == 3, statuses
        assert set(who(front, 6)) == {"two", "three"}
        page = front.http("/clusters")[1]
        assert f"outbound|80||{HOST}::{one.v4}:8080::health_flags::/failed_outlier_check\n" in page, page
        listed = {c["name"]: c for c in json.loads(front.http("/clusters?format=json")[1])["cluster_statuses"]}
        assert [h["health_status"].get("failed_outlier_check", False) for h in listed[f"outbound|80||{HOST}"]["host_statuses"]] == [True, False, False]
        bad.clear()
        eventually(lambda: who(front, 6)["one"] == 2, 30, what="it is back")


def test_codes_and_limits():
    with Lab() as lab:
        cart(lab, "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, "
                  "outlierDetection: {consecutive5xxErrors: 2, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 34}}")
        front, one, two, three = hosts(lab)
        failing(one, [503])
        failing(two, [503])
        three.serve_http(8080)
        # A third of the hosts may be out, no more.
        for _ in range(12):
            get(front)
        statuses = [get(front)[0] for _ in range(12)]
        assert statuses.count(503) == 6 and statuses.count(200) == 6, statuses


def test_nobody_left():
    with Lab() as lab:
        cart(lab, "trafficPolicy: {outlierDetection: {consecutiveGatewayErrors: 1, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 100}}")
        front, one = hosts(lab, names=("one",))
        failing(one, [502])
        assert get(front)[0] == 502
        status, text, _ = get(front)
        assert (status, text) == (503, "no healthy upstream")
