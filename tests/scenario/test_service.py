# SPDX-License-Identifier: Apache-2.0
"""Services: VIPs of each kind, ports, endpoints that fail."""
import json
from harness import Lab, echo, eventually, greeter, service

def test_vip_both_families():
    with Lab() as lab:
        lab.write("s.yaml", service("shop", {80: 8080}, ["10.96.0.7", "fd96::7"]))
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080)
        for vip in ("10.96.0.7", "fd96::7"):
            assert web.talk(vip, 80, b"hi") == b"hi"
        r = web.access(direction="outbound", dst_service="shop.default.svc.cluster.local")
        assert r["dst.workload"] and r["dst.hbone_addr"].endswith(":8080"), r
        m = dict(destination_service="shop.default.svc.cluster.local", destination_service_name="shop", destination_service_namespace="default")
        assert web.metric("istio_tcp_connections_opened_total", reporter="source", connection_security_policy="mutual_tls", **m) == 2
        assert shop.metric("istio_tcp_connections_opened_total", reporter="destination", **m) == 2


def test_vip_port_that_the_service_lacks():
    with Lab() as lab:
        lab.write("s.yaml", service("shop", {80: 8080}, ["10.96.0.7"]))
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080)
        assert web.refused("10.96.0.7", 81)
        assert "no healthy upstream" in web.access(dst_addr="10.96.0.7:81")["error"]


def test_cidr_vip():
    with Lab() as lab:
        lab.write("s.yaml", service("shop", {80: 8080}, ["10.97.0.0/16"]) + service("near", {80: 8081}, ["10.97.5.0/24"], app="shop"))
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080, greeter(b"wide"))
        shop.serve(8081, greeter(b"near"))
        assert web.talk("10.97.200.9", 80, b"") == b"wide"
        assert web.talk("10.97.5.9", 80, b"") == b"near"


def auto_vip(host):
    return {s["hostname"]: s["vips"] for s in json.loads(host.http("/config_dump")[1])["services"]}


def test_automatic_vip_is_stable():
    with Lab() as lab:
        lab.write("s.yaml", service("shop", {80: 8080}))
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080)
        mine = auto_vip(web)["shop.default.svc.cluster.local"]
        vips = [v.split("/")[1] for v in mine]
        assert any(v.startswith("240.240.") for v in vips) and any(v.startswith("2001:2:") for v in vips), mine
        for v in vips:
            assert web.talk(v, 80, b"auto") == b"auto"
        # equal on all hosts, whatever else is there and in whatever order files come
        lab.write("a-first.yaml", service("aaa", {80: 8080}, app="shop") + service("zzz", {80: 8080}, app="shop"))
        eventually(lambda: "zzz.default.svc.cluster.local" in auto_vip(shop))
        web.stop()
        web.start()
        assert auto_vip(shop)["shop.default.svc.cluster.local"] == auto_vip(web)["shop.default.svc.cluster.local"] == mine


def test_failing_endpoint_is_tried_elsewhere():
    """One endpoint is alive; the other's HBONE port refuses, or its application does."""
    with Lab() as lab:
        lab.write("s.yaml", service("shop", {80: 8080}, ["10.96.0.7"]) + service("book", {80: 8080}, ["10.96.0.8"]))
        dead = lab.plain("dead")
        lab.workload(dead, labels={"app": "shop"})
        web, good, down, alive = lab.meshed("web", "good", "down", "alive")
        for h, app in ((good, "shop"), (down, "book"), (alive, "book")):
            lab.workload(h, labels={"app": app})
        good.serve(8080)
        alive.serve(8080)
        for vip in ("10.96.0.7", "10.96.0.8"):
            eventually(lambda: web.talk(vip, 80, b"x") == b"x")
            for _ in range(40):
                assert web.talk(vip, 80, b"x") == b"x"
        # a failed endpoint is avoided for a while: of forty connections few tried it
        assert down.metric("istio_tcp_connections_failed_total", reporter="destination") < 12


def test_removed_endpoint_gets_nothing_new():
    with Lab() as lab:
        lab.write("s.yaml", service("shop", {80: 8080}, ["10.96.0.7"]))
        web, one, two = lab.meshed("web", "one", "two")
        for h in (one, two):
            lab.workload(h, labels={"app": "shop"})
            h.serve(8080, greeter(h.name.encode()))
        eventually(lambda: {web.talk("10.96.0.7", 80, b"") for _ in range(30)} == {b"one", b"two"})
        lab.workload(two)
        eventually(lambda: {web.talk("10.96.0.7", 80, b"") for _ in range(30)} == {b"one"})


def test_weights():
    with Lab() as lab:
        lab.write("s.yaml", service("shop", {80: 8080}, ["10.96.0.7"]))
        web, one, two = lab.meshed("web", "one", "two")
        for h, w in ((one, 9), (two, 1)):
            lab.workload(h, labels={"app": "shop"}, weight=w)
            h.serve(8080, greeter(h.name.encode()))
        eventually(lambda: {web.talk("10.96.0.7", 80, b"") for _ in range(40)} == {b"one", b"two"})
        got = [web.talk("10.96.0.7", 80, b"") for _ in range(200)]
        assert 5 <= got.count(b"two") <= 45, got.count(b"two")


def test_plaintext_endpoint():
    """A workload without the tunnel label is reached by plain TCP."""
    with Lab() as lab:
        lab.write("s.yaml", service("old", {80: 8080}, ["10.96.0.7"]))
        old = lab.plain("old")
        lab.workload(old, tunnel=False)
        web = lab.meshed("web")
        old.serve(8080, echo)
        assert web.talk("10.96.0.7", 80, b"plain") == b"plain"
        assert "dst.identity" not in web.access(direction="outbound", dst_service="old.default")
