# SPDX-License-Identifier: Apache-2.0
"""Retries of a VirtualService, Istio's defaults, and what is never repeated."""
import os, signal, socket

from harness import *

VIP, SHOP = "10.88.0.1", "shop.default.svc.cluster.local"


def routes(**http):
    return json.dumps({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "shop", "namespace": "default"},
                       "spec": {"hosts": [SHOP], "http": [{"route": [{"destination": {"host": SHOP}}], **http}]}})


def shops(lab, *names, **kw):
    """web, and workloads of one service with a sidecar each."""
    lab.write("svc.yaml", service("shop", {80: 8080}, [VIP], app="shop", family="v4", protocol="HTTP"))
    lab.write("mesh.yaml", "accessLogFile: /dev/stdout\n")
    return lab.sidecars("web", *names, labels={n: {"app": "shop"} for n in names}, **kw)


def ask(host, method="GET", body=None, path="/", headers={}, timeout=5):
    return host.http(path, ip=VIP, port=80, method=method, body=body, headers={"Host": SHOP, **headers}, timeout=timeout)


class Answers(list):
    """Statuses, one after the other (None: RST instead); then 200."""
    def __call__(self, handler, got):
        if not self:
            return False
        if status := self.pop(0):
            handler.answer(status, b"no")
            return True
        return hang_up(handler, got)


def hang_up(handler, got):
    """Ends the connection without a byte of an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)
    return True


def test_status_codes():
    with Lab() as lab:
        lab.write("vs.json", routes(retries={"attempts": 2, "retryOn": "503,gateway-error"}))
        web, shop = shops(lab, "shop")
        script = Answers([503, 502])
        app = shop.serve_http(8080, script)
        assert ask(web)[0] == 200 and len(app.requests) == 3
        assert ask(web, "POST", b"body")[0] == 200 and len(app.requests) == 4
        script += [503, 503, 503]
        status, text, _ = ask(web)
        assert status == 503 and text == "no" and len(app.requests) == 7      # the last one's answer
        eventually(lambda: " 503 URX " in web.log())
        script += [500]
        assert ask(web)[0] == 500 and len(app.requests) == 8                  # no gateway's error


def test_body_is_sent_again():
    with Lab() as lab:
        lab.write("vs.json", routes(retries={"attempts": 1, "retryOn": "5xx"}))
        web, shop = shops(lab, "shop")
        script = Answers([500])
        app = shop.serve_http(8080, script)
        assert ask(web, "POST", b"x" * 20000)[0] == 200
        assert [r["body_bytes"] for r in app.requests] == [20000, 20000]
        script += [500]
        assert ask(web, "POST", b"x" * 500000)[0] == 500                       # more than is kept
        assert [r["body_bytes"] for r in app.requests][2:] == [500000]


def test_defaults_repeat_nothing_that_was_done():
    """Istio's defaults: 503 is not tried again, nor a request that the application had."""
    with Lab() as lab:
        web, shop = shops(lab, "shop")
        script = Answers([503])
        app = shop.serve_http(8080, script)
        assert ask(web)[0] == 503 and len(app.requests) == 1
        for n in range(2, 7):
            script += [None]
            assert ask(web, "POST", b"pay")[0] == 503
            assert len(app.requests) == n, app.requests


def test_nobody_listens():
    """The server's proxy answers that: it is no failure to connect of the client's."""
    with Lab() as lab:
        web, shop = shops(lab, "shop")
        status, text, _ = ask(web)
        assert status == 503 and "remote connection failure" in text, text


def test_dead_endpoint():
    """Connecting fails: another endpoint gets the request, by default."""
    with Lab() as lab:
        web, a, b = shops(lab, "a", "b")
        apps = [h.serve_http(8080) for h in (a, b)]
        for _ in range(10):
            assert ask(web)[0] == 200
        assert all(app.requests for app in apps)
        os.kill(a.proc.pid, signal.SIGKILL)
        a.proc.wait()
        a.proc = None
        apps[1].requests.clear()
        for i in range(20):
            assert ask(web, "POST", b"x")[0] == 200, i
        assert len(apps[1].requests) == 20


def test_other_hosts_first():
    """A retry goes to a host that was not tried."""
    with Lab() as lab:
        lab.write("vs.json", routes(retries={"attempts": 1, "retryOn": "5xx"}))
        web, a, b = shops(lab, "a", "b")
        bad = a.serve_http(8080, lambda h, got: h.answer(500, b"") or True)
        good = b.serve_http(8080)
        for _ in range(20):
            assert ask(web)[0] == 200
        assert bad.requests and len(good.requests) == 20


def test_steering_headers_are_dropped():
    """x-envoy-* of a request: nobody is trusted with them by default."""
    with Lab() as lab:
        web, shop = shops(lab, "shop")
        app = shop.serve_http(8080, Answers([503]))
        steer = {"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "3", "x-envoy-upstream-rq-timeout-ms": "1"}
        assert ask(web, headers=steer)[0] == 503
        assert len(app.requests) == 1
        names = {k.lower() for k, _ in app.requests[0]["headers"]}
        assert not names & set(steer), names
