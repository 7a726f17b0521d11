# SPDX-License-Identifier: Apache-2.0
"""Spans to a collector made of grpc-go and OpenTelemetry's own messages (otlpserver), over its four ways in."""
import json, os, threading
from cluster import PEERS
from harness import Lab, Skip, eventually, policy, principal, service, sh


class Collector:
    def __init__(self, lab, host, *cert):
        path = f"{PEERS}/otlpserver"
        if not os.access(path, os.X_OK):
            assert not os.environ.get("CI"), "no otlpserver: tests/interop/build makes it"
            raise Skip("no otlpserver: run tests/interop/build")
        self.spans = []
        self.proc = host.popen(path, f"{host.v4}:4317", f"{host.v4}:4318", *cert, stdout=-1, text=True)
        threading.Thread(target=lambda: self.spans.extend(map(json.loads, iter(self.proc.stdout.readline, ""))), daemon=True).start()
        lab.closing.append(self)
        eventually(lambda: host.connect(host.v4, 4318).close() or True)

    def close(self):
        self.proc.kill()
        self.proc.wait()

    def find(self, n=1, **want):
        """Waits for n spans with these attributes."""
        def hits():
            found = [s for s in self.spans if want.items() <= s["attributes"].items()]
            return found if len(found) >= n else None
        found = eventually(hits, 10, what=f"{n} spans with {want}")
        assert len(found) == n, found
        return found if n > 1 else found[0]


def run(protocol, port, secure=False, **env):
    with Lab() as lab:
        at = lab.plain("collector")
        cert = [f"{lab.dir}/collector.pem", f"{lab.dir}/collector.key"] if secure else []
        if secure:
            sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/O=test", "-days", "1",
               "-addext", f"subjectAltName=IP:{at.v4}", "-out", cert[0], "-keyout", cert[1])
            env["OTEL_EXPORTER_OTLP_CERTIFICATE"] = cert[0]
        c = Collector(lab, at, *cert)
        lab.write("s.yaml", service("shop", {80: 8080}, ["10.96.0.7"], family="v4") + policy("callers", f"[{principal('web')}]", app="shop"))
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http{'s' * secure}://{at.v4}:{port}", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
               "OTEL_SERVICE_NAME": "mesh", "OTEL_RESOURCE_ATTRIBUTES": "zone=z1", "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=me", **env}
        web, cron, shop = lab.meshed("web", "cron", "shop", env=env)
        shop.serve(8080)
        assert web.talk("10.96.0.7", 80, b"12345") == b"12345"
        assert cron.refused("10.96.0.7", 80)
        check(c, web, cron, shop)


def check(c, web, cron, shop):
    good = dict(source_principal=web.identity, destination_principal=shop.identity)
    client, server = c.find(reporter="source", **good), c.find(reporter="destination", **good)
    assert client["trace"] == server["trace"] and server["parent"] == client["span"] and client["parent"] == "", (client, server)
    assert client["kind"] == "SPAN_KIND_CLIENT" and server["kind"] == "SPAN_KIND_SERVER" and client["scope"] == "meshd"
    assert client["name"] == "outbound shop.default.svc.cluster.local" and client["status"] == "STATUS_CODE_UNSET", client
    for s in client, server:
        a = s["attributes"]
        assert a["received_bytes"] == a["sent_bytes"] == 5 and a["source_workload"] == "web" and a["destination_workload"] == "shop", s
        assert a["source.address"] == web.v4 and a["destination.address"] == shop.v4 and a["response_flags"] == "-", s
        assert s["resource"]["service.name"] == "mesh" and s["resource"]["zone"] == "z1", s
        assert "me" in json.dumps(s["headers"]) and 0 <= s["end"] - s["start"] < 5e9, s
    denied = c.find(reporter="destination", source_principal=cron.identity)
    assert denied["status"] == "STATUS_CODE_ERROR" and denied["attributes"]["response_flags"] == "DENY" and denied["message"], denied
    eventually(lambda: shop.metric("meshd_spans_exported_total") == 2)
    assert shop.metric("meshd_spans_dropped_total") == 0


def test_grpc():
    run("grpc", 4317)


def test_http():
    run("http/protobuf", 4318)


def test_grpc_tls():
    run("grpc", 4317, secure=True)


def test_http_tls():
    run("http/protobuf", 4318, secure=True)


def test_collector_that_comes_and_goes():
    """Traffic does not notice, and the spans arrive later."""
    with Lab() as lab:
        at = lab.plain("collector")
        web, shop = lab.meshed("web", "shop", env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{at.v4}:4317", "OTEL_SERVICE_NAME": "mesh"})
        shop.serve(8080)
        for _ in range(3):
            assert web.talk(shop.v4, 8080, b"hello") == b"hello"
        eventually(lambda: "kept and tried again" in web.log())
        c = Collector(lab, at)
        c.find(3, reporter="source")
        c.close()
        assert web.talk(shop.v4, 8080, b"hello") == b"hello"
        c = Collector(lab, at)
        c.find(1, reporter="source")
        assert web.metric("meshd_spans_dropped_total") == 0


def test_off():
    with Lab() as lab:
        at = lab.plain("collector")
        c = Collector(lab, at)
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{at.v4}:4317"}
        web = lab.meshed("web", env={**env, "OTEL_TRACES_SAMPLER": "always_off"})
        shop = lab.meshed("shop", env={**env, "OTEL_SDK_DISABLED": "true"})
        shop.serve(8080)
        assert web.talk(shop.v4, 8080, b"hello") == b"hello"
        web.access(message="connection complete")
        web.stop()
        shop.stop()
        assert c.spans == []


def sidecars(port, how):
    """The provider of MeshConfig, in front of which a Service stands; requests instead of connections."""
    with Lab() as lab:
        at = lab.plain("collector")
        c = Collector(lab, at)
        lab.write("mesh.yaml", f"""extensionProviders:
- name: otel
  opentelemetry: {{service: otel.default.svc.cluster.local, port: 80{how}}}
defaultProviders: {{tracing: [otel]}}
defaultConfig: {{tracing: {{sampling: 100}}}}
""")
        lab.write("s.yaml", service("shop", {80: 8080}, ["10.96.0.7"], family="v4", protocol="HTTP") + f"""apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: otel, namespace: default}}
spec: {{hosts: [otel.default.svc.cluster.local], location: MESH_EXTERNAL, resolution: STATIC, ports: [{{number: 80, targetPort: {port}, name: grpc, protocol: GRPC}}],
  endpoints: [{{address: {at.v4}}}]}}
---
""" + policy("no", "[{to: [{operation: {paths: [/admin]}}]}]", app="shop", action="DENY"))
        web, shop = lab.sidecars("web", "shop")
        shop.serve_http(8080)
        for path, status in ("/x", 200), ("/admin", 403):
            assert web.http(path, ip="10.96.0.7", port=80, headers={"Host": "shop.default.svc.cluster.local"})[0] == status
            url = f"http://shop.default.svc.cluster.local{path}"
            found = {s["kind"]: s for s in c.find(2, **{"http.url": url})}
            client, server = found["SPAN_KIND_CLIENT"], found["SPAN_KIND_SERVER"]
            assert client["trace"] == server["trace"] and server["parent"] == client["span"] and client["parent"] == "", found
            assert client["attributes"]["http.status_code"] == server["attributes"]["http.status_code"] == str(status), found
            assert client["resource"]["service.name"] == "web.default" and server["resource"]["service.name"] == "shop.default", found


def test_sidecars_grpc():
    sidecars(4317, "")


def test_sidecars_http():
    sidecars(4318, ", http: {path: /v1/traces, timeout: 5s}")
