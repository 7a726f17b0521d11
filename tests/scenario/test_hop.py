# SPDX-License-Identifier: Apache-2.0
"""The hop between a waypoint and its neighbours: sidecars that go through the waypoint of their destination, and what the destination
believes of it. Where the waypoint's own work does not matter, one is played by ztunnel mode with an application behind it that is told
whom it was asked for (PROXY protocol)."""
from harness import Lab, eventually, service
from test_waypoint import gateway, use, waypoint

THROUGH = {"MESHD_SIDECAR_USE_WAYPOINT": "true"}


def test_bytes_to_a_service_with_a_waypoint():
    with Lab() as lab:
        web = lab.sidecars("web", env=THROUGH)
        shop, wp = lab.meshed("shop", "wp")
        use(lab, "s.yaml", service("shop", {80: 8080}, ["10.96.0.7", "fd96::7"], protocol="HTTP"), "wp")
        waypoint(lab, wp)
        shop.serve(8080)
        for vip in ("10.96.0.7", "fd96::7"):
            said = eventually(lambda: (d := web.talk(vip, 80, b"hi", timeout=1)).startswith(vip.encode()) and d)
            assert said.endswith(b"/sa/web\nhi"), said      # not HTTP at all: nothing was read
        assert web.metric("istio_tcp_connections_opened_total", reporter="source", destination_workload="wp", destination_service="shop.default.svc.cluster.local")
