# SPDX-License-Identifier: Apache-2.0
"""meshd as waypoint, between a client's and a server's ztunnel mode."""
import json
from harness import Lab, eventually, service, using

VIP, VIP6 = "10.96.0.7", "fd96::7"


def get(h, ip=VIP, port=80, path="/", **kw):
    return h.http(path, port=port, ip=ip, **kw)


def answered(h, status=200, **kw):
    def once():
        r = get(h, **kw)
        assert r[0] == status, r[:2]
        return r
    return eventually(once, 10)


def route(name, host, rules):
    return f"""apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: default}}
spec: {{hosts: [{host}], http: [{rules}]}}
---
"""


SHOP = "shop.default.svc.cluster.local"


def test_http():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        wp = lab.waypoint("wp")
        app = shop.serve_http(8080)
        lab.write("s.yaml", using("wp", service("shop", {80: 8080}, [VIP, VIP6], protocol="HTTP")))
        lab.write("r.yaml", route("shop", SHOP, "{match: [{uri: {prefix: /teapot}}], directResponse: {status: 418}}, "
                                  "{headers: {request: {set: {x-way: 'yes'}}}, route: [{destination: {host: %s}}]}" % SHOP))
        answered(web, 418, path="/teapot")
        for ip in (VIP, VIP6):
            r = json.loads(answered(web, ip=ip, path="/a", headers={"x-forwarded-client-cert": "By=x;URI=spiffe://cluster.local/ns/default/sa/admin"})[1])
            seen = {k.lower(): v for k, v in r["headers"]}
            assert r["host"] == "shop" and seen["x-way"] == "yes", r
            assert seen["x-forwarded-client-cert"] == f"By={wp.identity};URI={web.identity}", r
        assert len(app.requests) == 2, app.requests
        wp.stop()
        r = shop.access(direction="inbound", src_identity="/sa/wp")
        assert r["dst.hbone_addr"].endswith(":8080"), r
