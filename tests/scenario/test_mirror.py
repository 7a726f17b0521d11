# SPDX-License-Identifier: Apache-2.0
"""Mirrors of a route."""
import os, signal, time

from harness import *
from test_retry import VIP, SHOP, ask, routes

CART = "cart.default.svc.cluster.local"


def test_mirror():
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080}, [VIP], app="shop", family="v4", protocol="HTTP") +
                  service("cart", {80: 8080}, ["10.88.0.2"], app="cart", family="v4", protocol="HTTP"))
        lab.write("vs.json", routes(mirror={"host": CART}, mirrorPercentage={"value": 100}))
        web, shop, cart = lab.sidecars("web", "shop", "cart")
        app = shop.serve_http(8080)
        copy = cart.serve_http(8080, lambda h, got: h.answer(500, b"nobody reads this") or True)
        assert ask(web, path="/a?b=c")[0] == 200
        assert ask(web, "POST", b"x" * 5000, path="/p")[0] == 200
        eventually(lambda: len(copy.requests) == 2)
        got = copy.requests
        assert [r["path"] for r in got] == ["/a?b=c", "/p"] and got[1]["body_bytes"] == 5000
        hosts = [dict((k.lower(), v) for k, v in r["headers"])["host"] for r in got]
        assert hosts == [SHOP, SHOP], hosts                                    # DISABLE_SHADOW_HOST_SUFFIX
        # Whatever the mirror does, nobody waits for it.
        os.kill(cart.proc.pid, signal.SIGSTOP)
        try:
            t = time.time()
            for _ in range(10):
                assert ask(web, "POST", b"x")[0] == 200
            assert time.time() - t < 3
        finally:
            os.kill(cart.proc.pid, signal.SIGCONT)
        assert len(app.requests) == 12


def test_share():
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080}, [VIP], app="shop", family="v4", protocol="HTTP") +
                  service("cart", {80: 8080}, ["10.88.0.2"], app="cart", family="v4", protocol="HTTP"))
        lab.write("vs.json", routes(mirrors=[{"destination": {"host": CART}, "percentage": {"value": 30}}]))
        web, shop, cart = lab.sidecars("web", "shop", "cart")
        shop.serve_http(8080)
        copy = cart.serve_http(8080)
        for _ in range(200):
            assert ask(web)[0] == 200
        eventually(lambda: 30 <= len(copy.requests) <= 95, what=f"about 60 of 200")
