# SPDX-License-Identifier: Apache-2.0
"""Spans of requests: one trace through two sidecars, to the collector that MeshConfig names."""
import http.server
from harness import *

VIP, NAME = "10.88.0.1", "shop.default.svc.cluster.local"
SHOP = service("shop", {80: 8080}, [VIP], app="shop", family="v4", protocol="HTTP")
TRACE, SPAN = "0123456789abcdef0123456789abcdef", "fedcba9876543210"


def fields(b):
    """[(number, value)] of a protobuf message."""
    def varint(i):
        v = shift = 0
        while True:
            v |= (b[i] & 127) << shift
            shift += 7
            i += 1
            if b[i - 1] < 128:
                return v, i
    i, out = 0, []
    while i < len(b):
        key, i = varint(i)
        if key & 7 == 0:
            v, i = varint(i)
        elif key & 7 == 1:
            v, i = b[i:i + 8], i + 8
        else:
            n, i = varint(i)
            v, i = b[i:i + n], i + n
        out.append((key >> 3, v))
    return out


def attributes(message, number):
    pairs = [dict(fields(v)) for n, v in fields(message) if n == number]
    return {p[1].decode(): next((v.decode() if n == 1 else v for n, v in fields(p[2])), "") for p in pairs}


class Collector:
    """OTLP over HTTP. spans: [(service, {name, trace, span, parent, kind, tags})]"""
    def __init__(self, host, port):
        self.spans = []

        def take(handler, got):
            for _, resource_spans in fields(got["body"]):
                for n, v in fields(resource_spans):
                    if n == 1:
                        service = attributes(v, 1)["service.name"]
                    for m, s in fields(v) if n == 2 else []:
                        if m == 2:
                            f = dict((k, x) for k, x in fields(s) if k != 9)
                            self.spans.append((service, {"name": f[5].decode(), "trace": f[1].hex(), "span": f[2].hex(), "parent": f.get(4, b"").hex(),
                                                         "kind": f.get(6), "tags": attributes(s, 9)}))
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                take(self, {"body": self.rfile.read(int(self.headers["content-length"]))})
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass
        with host:
            self.server = http.server.ThreadingHTTPServer(("0.0.0.0", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        host.lab.closing.append(self)

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def wait(self, n):
        return eventually(lambda: self.spans if len(self.spans) >= n else None, seconds=10)


def setup(lab, sampling, more=""):
    out = lab.plain("out")
    collector = Collector(out, 4318)
    lab.write("mesh.yaml", f"""extensionProviders:
- name: otel
  opentelemetry: {{service: otel.default.svc.cluster.local, port: 4318, http: {{path: /v1/traces, timeout: 5s}}}}
defaultProviders: {{tracing: [otel]}}
defaultConfig: {{tracing: {{sampling: {sampling}}}}}
""")
    lab.write("svc.yaml", SHOP + f"""apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: otel, namespace: default}}
spec: {{hosts: [otel.default.svc.cluster.local], location: MESH_EXTERNAL, resolution: STATIC, ports: [{{number: 4318, name: http, protocol: HTTP}}],
  endpoints: [{{address: {out.v4}}}]}}
---
""" + more)
    web, shop = lab.sidecars("web", "shop")
    return web, shop, shop.serve_http(8080), collector


def get(host, path="/", **headers):
    return host.http(path, ip=VIP, port=80, headers={"Host": NAME, **headers})


def test_one_trace():
    """Both sides' spans hang together; names, kinds, tags and service names are Istio's."""
    with Lab() as lab:
        web, shop, app, collector = setup(lab, 100)
        assert get(web, "/x")[0] == 200
        spans = {s["kind"]: (service, s) for service, s in collector.wait(2)}
        (source, client), (dest, server) = spans[3], spans[2]
        assert (source, dest) == ("web.default", "shop.default")
        assert client["trace"] == server["trace"] and server["parent"] == client["span"] and not client["parent"], spans
        assert client["name"] == server["name"] == f"{NAME}:80/*", spans
        assert client["tags"]["http.status_code"] == "200" and client["tags"]["upstream_cluster"] == f"outbound|80||{NAME}", client
        assert server["tags"]["istio.canonical_service"] == "shop" and server["tags"]["http.url"] == f"http://{NAME}/x", server
        sent = {k.lower(): v for k, v in app.requests[0]["headers"]}
        assert sent["traceparent"] == f"00-{server['trace']}-{server['span']}-01", sent
        assert sent["x-request-id"][14] == "9" and sent["x-request-id"] == client["tags"]["guid:x-request-id"], sent


def test_what_came_before_decides():
    """A sampled parent gives spans at 0 %; one that is not gives none; B3 goes on as it came."""
    with Lab() as lab:
        web, shop, app, collector = setup(lab, 0)
        assert get(web, "/no")[0] == 200
        assert get(web, "/yes", traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="a=b")[0] == 200
        assert get(web, "/b3", b3=f"{TRACE}-{SPAN}-1")[0] == 200
        spans = [s for _, s in collector.wait(4)]
        assert {s["trace"] for s in spans} == {TRACE} and not any("/no" in s["tags"]["http.url"] for s in spans), spans
        assert sum(s["parent"] == SPAN for s in spans) == 2
        by_path = {r["path"]: {k.lower(): v for k, v in r["headers"]} for r in app.requests}
        assert by_path["/yes"]["tracestate"] == "a=b" and by_path["/yes"]["traceparent"].startswith(f"00-{TRACE}-")
        assert by_path["/no"]["traceparent"].endswith("-00")
        assert by_path["/b3"]["b3"].startswith(f"{TRACE}-") and by_path["/b3"]["b3"].endswith("-1"), by_path["/b3"]


def test_telemetry_object():
    """Sampling and tags of a Telemetry object."""
    with Lab() as lab:
        web, shop, app, collector = setup(lab, 0, """apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: t, namespace: default}
spec:
  tracing:
  - randomSamplingPercentage: 100
    customTags: {tier: {literal: {value: gold}}, team: {header: {name: x-team, defaultValue: nobody}}}
---
""")
        assert get(web, "/x", **{"x-team": "blue"})[0] == 200
        for _, s in collector.wait(2):
            assert s["tags"]["tier"] == "gold" and s["tags"]["team"] == "blue", s
