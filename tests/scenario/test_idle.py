# SPDX-License-Identifier: Apache-2.0
"""Connections of bytes that a DestinationRule gives a time."""
import time

from harness import *

VIP, SHOP = "10.88.0.1", "shop.default.svc.cluster.local"


def rule(**tcp):
    return json.dumps({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "shop", "namespace": "default"},
                       "spec": {"host": SHOP, "trafficPolicy": {"connectionPool": {"tcp": tcp}}}})


def held(s, seconds):
    """Says something now and then; how long that went well."""
    t = time.time()
    while time.time() - t < seconds:
        try:
            s.sendall(b"x")
            if s.recv(1) != b"x":
                break
        except OSError:
            break
        time.sleep(0.3)
    return time.time() - t


def test_idle():
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {9000: 9000}, [VIP], app="shop", family="v4"))
        lab.write("rule.json", rule(idleTimeout="2s"))
        web, shop = lab.sidecars("web", "shop")
        shop.serve(9000, echo)
        quiet, busy = web.connect(VIP, 9000), web.connect(VIP, 9000)
        quiet.sendall(b"x")
        assert quiet.recv(1) == b"x"
        assert held(busy, 5) >= 5
        quiet.settimeout(3)
        assert quiet.recv(1) == b""                                # an end, not a reset
        assert held(busy, 1) >= 1


def test_life_time():
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {9000: 9000}, [VIP], app="shop", family="v4"))
        lab.write("rule.json", rule(maxConnectionDuration="2s"))
        web, shop = lab.sidecars("web", "shop")
        shop.serve(9000, echo)
        with web.connect(VIP, 9000) as s:
            assert 1.5 < held(s, 15) < 10
        assert web.talk(VIP, 9000, b"x") == b"x"
