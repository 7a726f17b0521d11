# SPDX-License-Identifier: Apache-2.0
"""Timeouts of routes and tries."""
import time

from harness import *
from test_retry import VIP, SHOP, ask, routes, shops


def slow(seconds, times=1000):
    left = [times]

    def fn(handler, got):
        left[0] -= 1
        if left[0] >= 0:
            time.sleep(seconds)
        return False
    return fn


def test_route():
    with Lab() as lab:
        lab.write("vs.json", routes(timeout="0.3s"))
        web, shop = shops(lab, "shop")
        shop.serve_http(8080, slow(3, 1))
        t = time.time()
        status, text, _ = ask(web)
        assert status == 504 and text == "upstream request timeout", (status, text)
        assert 0.25 < time.time() - t < 2.5
        eventually(lambda: " 504 UT " in web.log())
        assert ask(web)[0] == 200


def test_per_try():
    with Lab() as lab:
        lab.write("vs.json", routes(timeout="10s", retries={"attempts": 1, "perTryTimeout": "0.4s", "retryOn": "gateway-error"}))
        web, shop = shops(lab, "shop")
        app = shop.serve_http(8080, slow(3, 1))
        t = time.time()
        assert ask(web)[0] == 200
        assert time.time() - t < 2.5 and len(app.requests) == 2


def test_none_by_default():
    with Lab() as lab:
        web, shop = shops(lab, "shop")
        shop.serve_http(8080, slow(2, 1))
        assert ask(web)[0] == 200


def test_upload_takes_its_time():
    """The clock starts when the request is whole."""
    with Lab() as lab:
        lab.write("vs.json", routes(timeout="0.5s"))
        web, shop = shops(lab, "shop")
        app = shop.serve_http(8080)
        with web.connect(VIP, 80) as s:
            s.sendall(f"POST / HTTP/1.1\r\nHost: {SHOP}\r\nContent-Length: 4\r\n\r\n".encode())
            for c in b"body":
                time.sleep(0.3)
                s.sendall(bytes([c]))
            assert s.recv(100).startswith(b"HTTP/1.1 200"), "the upload was cut"
        assert app.requests[0]["body_bytes"] == 4
