# SPDX-License-Identifier: Apache-2.0
"""Prometheus' own tool reads the metrics pages of sidecars."""
from harness import Lab, eventually, need_program, service, sh


def test_promtool():
    need_program("promtool")
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080}, ["10.96.0.10"], protocol="HTTP"))
        web, shop = lab.sidecars("web", "shop")
        shop.serve_http(8080)
        assert web.http("/", ip="10.96.0.10", port=80)[0] == 200
        for port in 15020, 15090:
            text = eventually(lambda: t if "istio_requests_total" in (t := shop.http("/stats/prometheus", port=port)[1]) else None)
            r = sh("promtool", "check", "metrics", input=text, check=False)
            assert "error while linting" not in r.stderr and "parse" not in r.stderr, r.stderr
