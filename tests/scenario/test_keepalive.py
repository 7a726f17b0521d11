# SPDX-License-Identifier: Apache-2.0
"""Connections that servers close while they are idle: no request meets such a close."""
import threading, time

from harness import *
from test_retry import VIP, SHOP, ask, shops


def test_servers_that_close_idle_connections():
    """A server keeps connections 1.5 s; clients that post as often as that, and about it, never fail."""
    with Lab() as lab:
        web, shop = shops(lab, "shop")
        app = shop.serve_http(8080)
        app.server.RequestHandlerClass.timeout = 1.5
        failed = []

        def client(k):
            for i in range(7):
                status, text, _ = ask(web, "POST", b"once", timeout=10)
                if status != 200:
                    failed.append((k, i, status, text))
                time.sleep(1.5 + (k - 5) * 0.004)

        threads = [threading.Thread(target=client, args=(k,)) for k in range(10)]
        for k, t in enumerate(threads):
            t.start()
            time.sleep(0.11)
        for t in threads:
            t.join()
        assert not failed, failed
        assert len(app.requests) == 70


def test_one_connection_serves_many():
    with Lab() as lab:
        web, shop = shops(lab, "shop", args=["--concurrency=1"])
        peers = set()
        shop.serve_http(8080, lambda h, got: peers.add(h.client_address) and False)
        for i in range(20):
            assert ask(web, "POST", b"x")[0] == 200
            if i % 5 == 0:                                                    # a change that touches nothing of it
                lab.write("other.yaml", service(f"other{i}", {80: 8080}, ["10.88.0.9"], app="other", family="v4", protocol="HTTP"))
                time.sleep(0.4)
        assert len(peers) == 1, peers


def test_connection_close_is_kept():
    """A server that closes after each answer."""
    with Lab() as lab:
        web, shop = shops(lab, "shop")
        app = shop.serve_http(8080, lambda h, got: h.answer(200, b"bye", {"Connection": "close"}) or True)
        for _ in range(20):
            assert ask(web, "POST", b"x")[0] == 200
        assert len(app.requests) == 20
