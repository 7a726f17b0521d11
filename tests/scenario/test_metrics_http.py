# SPDX-License-Identifier: Apache-2.0
"""Istio's metrics of sidecars, as Prometheus reads them."""
import shutil
from harness import *

VIP, NAME = "10.88.0.1", "shop.default.svc.cluster.local"
SHOP = service("shop", {80: 8080}, [VIP], app="shop", family="v4", protocol="HTTP")
LABELS = """reporter source_workload source_canonical_service source_canonical_revision source_workload_namespace source_principal source_app source_version
source_cluster destination_workload destination_workload_namespace destination_principal destination_app destination_version destination_service
destination_canonical_service destination_canonical_revision destination_service_name destination_service_namespace destination_cluster request_protocol
response_code grpc_response_status response_flags connection_security_policy""".split()


def get(host, path="/", ip=VIP, name=NAME, **kw):
    return host.http(path, ip=ip, port=80, headers={"Host": name}, **kw)


def rows(host, metric, **labels):
    return [(l, v) for n, l, v in host.metrics() if n == metric and all(l.get(k) == x for k, x in labels.items())]


def test_labels():
    """25 labels in Istio's order at both ends; the peer is who it says that it is."""
    with Lab() as lab:
        lab.write("svc.yaml", SHOP)
        web, shop = lab.sidecars("web", "shop")
        shop.serve_http(8080)
        for _ in range(3):
            assert get(web)[0] == 200
        for host, reporter, security in (web, "source", "unknown"), (shop, "destination", "mutual_tls"):
            l, v = eventually(lambda: rows(host, "istio_requests_total", reporter=reporter))[0]
            assert v == 3 and list(l) == LABELS, l
            want = {"source_workload": "web", "source_canonical_service": "web", "source_workload_namespace": "default", "source_app": "web",
                    "source_principal": web.identity, "destination_workload": "shop", "destination_canonical_service": "shop",
                    "destination_workload_namespace": "default", "destination_principal": shop.identity, "destination_app": "shop",
                    "destination_service": NAME, "destination_service_namespace": "default", "request_protocol": "http", "response_code": "200",
                    "grpc_response_status": "", "response_flags": "-", "connection_security_policy": security}
            assert {k: l[k] for k in want} == want, l


def test_histograms():
    with Lab() as lab:
        lab.write("svc.yaml", SHOP)
        web, shop = lab.sidecars("web", "shop")
        shop.serve_http(8080, lambda handler, got: time.sleep(0.3) if got["path"] == "/slow" else None)
        assert get(web, "/slow")[0] == 200
        eventually(lambda: shop.metric("istio_request_duration_milliseconds_count") == 1)
        assert shop.metric("istio_request_duration_milliseconds_bucket", le="250") == 0
        assert shop.metric("istio_request_duration_milliseconds_bucket", le="+Inf") == 1
        assert 300 <= shop.metric("istio_request_duration_milliseconds_sum") < 5000
        assert shop.metric("istio_response_bytes_sum") > 100
        assert shop.metric("istio_request_bytes_count") == 1


def test_grpc():
    """Its status is a label, and its messages are counted."""
    with Lab() as lab:
        lab.write("svc.yaml", SHOP)
        web, shop = lab.sidecars("web", "shop")
        grpc = {"Content-Type": "application/grpc"}
        shop.serve_http(8080, lambda handler, got: handler.answer(body=b"\0\0\0\0\1x", headers={**grpc, "grpc-status": "5"}) or True)
        for _ in range(2):
            status, _, headers = web.http("/a.B/c", ip=VIP, port=80, method="POST", headers={"Host": NAME, **grpc}, body=b"\0\0\0\0\2hi\0\0\0\0\0\0\0\0\0\0")
            assert status == 200 and headers["grpc-status"] == "5"
        for host, reporter in (web, "source"), (shop, "destination"):
            l, v = eventually(lambda: rows(host, "istio_requests_total", reporter=reporter))[0]
            assert v == 2 and l["request_protocol"] == "grpc" and l["grpc_response_status"] == "5", l
            assert host.metric("istio_request_messages_total", reporter=reporter) == 6
            assert host.metric("istio_response_messages_total", reporter=reporter) == 2
            assert "response_code" not in rows(host, "istio_request_messages_total")[0][0]


def test_unknown_destinations():
    """Passed through by Host, and refused where the policy says so; Hosts beyond a hundred are no values any more."""
    with Lab() as lab:
        lab.write("svc.yaml", SHOP)
        out = lab.plain("out")
        web = lab.sidecars("web")
        out.serve_http(80, lambda handler, got: handler.answer() or True)
        assert get(web, ip=out.v4, name="out.example")[0] == 200
        eventually(lambda: rows(web, "istio_requests_total", destination_service="out.example", destination_service_name="PassthroughCluster"))
        for i in range(400):
            get(web, ip=out.v4, name=f"h{i}.example")
        # Each of two workers has its hundred.
        assert eventually(lambda: rows(web, "istio_requests_total", destination_service="unknown"))[0][1] >= 190
        assert len(rows(web, "istio_requests_total")) < 210


def test_overrides():
    """A metric is switched off, a tag goes, a tag comes."""
    with Lab() as lab:
        lab.write("svc.yaml", SHOP)
        lab.write("telemetry.yaml", """apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: m, namespace: default}
spec:
  metrics:
  - providers: [{name: prometheus}]
    overrides:
    - {match: {metric: REQUEST_SIZE}, disabled: true}
    - {match: {metric: REQUEST_COUNT, mode: SERVER}, tagOverrides: {source_principal: {operation: REMOVE}, method: {value: request.method}}}
""")
        web, shop = lab.sidecars("web", "shop")
        shop.serve_http(8080)
        assert get(web)[0] == 200
        assert get(web, method="POST")[0] == 200
        eventually(lambda: rows(shop, "istio_requests_total", method="POST"))
        assert "source_principal" not in rows(shop, "istio_requests_total", method="GET")[0][0]
        assert not rows(shop, "istio_request_bytes_count") and rows(shop, "istio_response_bytes_count", source_principal=web.identity)
        assert "method" not in rows(web, "istio_requests_total")[0][0]


def check_page(text):
    """The text format: families are whole, described once, without doubles; histograms add up."""
    kinds, seen, done, family = {}, {}, set(), None
    for line in text.splitlines():
        if m := re.fullmatch(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)", line):
            if m[1] == "TYPE":
                assert m[2] not in kinds and m[3] in ("counter", "gauge", "histogram"), line
                kinds[m[2]] = m[3]
            if m[2] != family:
                assert m[2] not in done, f"{m[2]} is in two pieces"
                done.add(family)
                family = m[2]
            continue
        m = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.e+]+)', line)
        assert m, line
        name = m[1] if kinds.get(m[1]) else re.sub(r"_(bucket|sum|count)$", "", m[1])
        assert name == family and kinds[name], line
        assert (m[1], m[2]) not in seen, f"twice: {line}"
        seen[m[1], m[2]] = float(m[3])
        names = re.findall(r'(\w+)="', m[2] or "")
        assert len(names) == len(set(names)), line
    for (name, labels), v in seen.items():
        if name.endswith("_count"):
            bare = name[:-6]
            buckets = [(l, n) for (b, l), n in seen.items() if b == f"{bare}_bucket" and re.sub(',?le="[^"]*"', "", l) == (labels or "")]
            assert buckets and buckets[-1][0].endswith('le="+Inf"') and buckets[-1][1] == v, (name, labels)
            assert [n for _, n in buckets] == sorted(n for _, n in buckets), (name, labels)


def test_page():
    """On both ports what Prometheus reads, also with labels that peers have a say in."""
    with Lab() as lab:
        lab.write("svc.yaml", SHOP)
        lab.write("telemetry.yaml", """apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: m, namespace: default}
spec: {metrics: [{providers: [{name: prometheus}], overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {team: {value: "request.headers['x-team']"}}}]}]}
""")
        web, shop = lab.sidecars("web", "shop")
        shop.serve_http(8080)
        shop.serve(9000)
        for team in "blue", 'a"b\\c', "d,e=\"f\"}", "":
            assert web.http("/", ip=VIP, port=80, headers={"Host": NAME, "x-team": team})[0] == 200
        assert web.talk(shop.v4, 9000) == b"hello"
        for port in 15020, 15090:
            check_page(eventually(lambda: t if all(w in (t := shop.http("/stats/prometheus", port=port)[1]) for w in ("istio_requests_total", "istio_tcp_", "d,e")) else None))
        if shutil.which("promtool"):
            r = sh("promtool", "check", "metrics", input=shop.http("/metrics", port=15020)[1], check=False)
            assert r.returncode in (0, 3), r.stderr          # 3: it would have chosen other names than Istio
