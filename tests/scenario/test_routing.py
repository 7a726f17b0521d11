# SPDX-License-Identifier: Apache-2.0
"""What a route does to requests on their way, and what it answers by itself. tests/interop/test_routes.py has far more of it judged by Envoy."""
import json, time

from harness import *
from test_retry import VIP, SHOP, ask

RULES = [
    {"match": [{"uri": {"prefix": "/old"}}], "rewrite": {"uri": "/new", "authority": "inside.test"}, "headers": {"request": {"set": {"x-from": "%REQ(x-a)%"}, "remove": ["x-b"]}, "response": {"add": {"x-way": "r"}}}},
    {"match": [{"uri": {"regex": "/r/[0-9]+"}}], "redirect": {"uri": "/elsewhere", "redirectCode": 307}},
    {"match": [{"uri": {"exact": "/direct"}}], "directResponse": {"status": 418, "body": {"string": "tea"}}},
    {"match": [{"uri": {"exact": "/fault"}}], "fault": {"abort": {"httpStatus": 503, "percentage": {"value": 100}}}},
    {"match": [{"uri": {"exact": "/slow"}}], "fault": {"delay": {"fixedDelay": "0.5s", "percentage": {"value": 100}}}},
    {"match": [{"uri": {"exact": "/cors"}}], "corsPolicy": {"allowOrigins": [{"exact": "https://a.test"}], "allowMethods": ["PUT"], "maxAge": "60s"}},
    {"match": [{"headers": {"x-user": {"exact": "ann"}}}], "headers": {"response": {"set": {"x-way": "ann"}}}},
    {"match": [{"uri": {"prefix": "/there"}}]},
]


def test_routes():
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080}, [VIP], app="shop", family="v4", protocol="HTTP"))
        http = [r if "redirect" in r or "directResponse" in r else {**r, "route": [{"destination": {"host": SHOP}}]} for r in RULES]
        lab.write("vs.json", json.dumps({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "shop", "namespace": "default"},
                                         "spec": {"hosts": [SHOP], "http": http}}))
        web, shop = lab.sidecars("web", "shop")
        app = shop.serve_http(8080)

        def got(**kw):
            status, body, headers = ask(web, **kw)
            return status, {k.lower(): v for k, v in dict(headers).items()}, body
        status, headers, _ = got(path="/old/a?b=/old", headers={"x-a": "1", "x-b": "2"})
        seen = app.requests[-1]
        up = {k.lower(): v for k, v in seen["headers"]}
        assert status == 200 and headers["x-way"] == "r" and seen["path"] == "/new/a?b=/old", (status, headers, seen)
        assert (up["host"], up["x-from"], up["x-envoy-original-path"]) == ("inside.test", "1", "/old/a?b=/old") and "x-b" not in up, up
        status, headers, _ = got(path="/r/12?q")
        assert status == 307 and headers["location"] == f"http://{SHOP}/elsewhere?q", headers
        assert got(path="/r/x")[0] == 404
        status, _, body = got(path="/direct")
        assert (status, body) == (418, "tea")
        assert got(path="/fault")[0] == 503
        t = time.time()
        assert got(path="/slow")[0] == 200 and time.time() - t >= 0.45
        before = len(app.requests)
        status, headers, _ = got(method="OPTIONS", path="/cors", headers={"origin": "https://a.test", "access-control-request-method": "PUT"})
        assert status == 200 and headers["access-control-allow-methods"] == "PUT" and headers["access-control-max-age"] == "60" and len(app.requests) == before
        assert got(path="/cors", headers={"origin": "https://a.test"})[1]["access-control-allow-origin"] == "https://a.test"
        assert "access-control-allow-origin" not in got(path="/cors", headers={"origin": "https://b.test"})[1]
        assert got(path="/any", headers={"x-user": "ann"})[1]["x-way"] == "ann"
        assert got(path="/there/x")[0] == 200 and got(path="/nowhere")[0] == 404
