# SPDX-License-Identifier: Apache-2.0
"""The same requests through a real Envoy and through meshd's sidecar, both with the same JSON access log: each operator says the same."""
import json

import istioenvoy
from harness import Lab, eventually, need_program, service
from test_envoy import ANY, at, cluster, envoy_path, start

VIP, NAME = "10.88.0.1", "shop.default.svc.cluster.local"
OPERATORS = """%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %REQ(:SCHEME)% %REQ(X-NONE)% %REQ(X-A)% %REQ(x-a):3% %REQ(X-NONE?X-A)% %REQ(X-A?X-B):2%
%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %REQ(X-REQUEST-ID)% %REQ(X-FORWARDED-FOR)% %REQ(X-FORWARDED-PROTO)% %REQ(USER-AGENT)% %REQ(CONTENT-TYPE)% %RESP(CONTENT-TYPE)%
%RESP(:STATUS)% %RESP(X-NONE)% %RESP(SERVER)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% %RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%
%BYTES_RECEIVED% %BYTES_SENT% %QUERY_PARAM(q)% %QUERY_PARAM(r)% %QUERY_PARAM(none)% %QUERY_PARAM(q):2% %PATH(WQ)% %PATH(NQ)% %PATH(WQ:ORIG)% %PATH(NQ:PATH)%
%PATH(WQ:ORIG_OR_PATH)% %GRPC_STATUS% %GRPC_STATUS(NUMBER)% %GRPC_STATUS(CAMEL_STRING)% %GRPC_STATUS_NUMBER% %REQUESTED_SERVER_NAME% %TRAILER(X-T)%
%UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_REMOTE_PORT% %START_TIME(%Y)% %ENVIRONMENT(NOT_SET)% %TRACE_ID%""".split()
EXPRESSIONS = """request.method == 'GET'; request.path; request.url_path; request.query; request.host; request.scheme; request.protocol; request.useragent;
request.id; request.size; request.headers['x-a']; request.headers['x-none']; has(request.headers.none); 'x-a' in request.headers;
request.headers['x-a'] == 'alpha' || response.code == 500; request.method in ['GET', 'PUT']; request.url_path.startsWith('/a');
request.path.endsWith('s'); request.path.contains('q='); request.url_path.matches('^/(m|b)'); response.code; response.code >= 400;
response.code + 1; response.code_details; response.grpc_status; response.headers['content-type']; response.headers['none'];
response.code == 404 ? 'none' : 'some'; !(response.code == 200); size(request.method);
connection.mtls; upstream.port; request.headers['none'] == 'a' || true; request.headers['none'] == 'a' && true;
int('12') + 1; 1 < 2 && 'a' < 'b'; 'x' != 'y'""".replace("\n", " ").split("; ")
TEXTS = OPERATORS + [f"%CEL({e})%" for e in EXPRESSIONS] + ["a%%b %RESPONSE_CODE% c %REQ(X-NONE)%", "%REQ(:METHOD)%%REQ(:METHOD):1%"]
# What Istio adds outbound and this Envoy does not.
OURS = "x-envoy-decorator-operation", "x-envoy-peer-metadata", "x-envoy-peer-metadata-id"
REQUESTS = [
    ("GET", "/?q=1&r=&s", {"X-A": "alpha", "X-B": "b"}, None), ("GET", "/a/../b//c?q=long", {}, None), ("GET", "/%41%2f?q=%20", {"X-A": "say \"hi\" \\ there"}, None),
    ("POST", "/post", {"Content-Type": "text/plain"}, "0123456789"), ("HEAD", "/", {}, None), ("GET", "/missing", {}, None), ("GET", "/broken", {}, None),
    ("DELETE", "/", {"X-Forwarded-For": "192.0.2.9, 192.0.2.10", "X-Forwarded-Proto": "https"}, None), ("PUT", "/empty", {}, ""),
    ("POST", "/grpc.Service/Method", {"Content-Type": "application/grpc", "TE": "trailers"}, "\0\0\0\0\0"),
    ("GET", "/x", {"X-A": "ä".encode().decode("latin-1")}, None),
]


def answer(handler, got):
    path = got["path"].split("?")[0]
    if path == "/grpc.Service/Method":
        handler.answer(200, b"", {"Content-Type": "application/grpc", "grpc-status": "7"})
    elif path in ("/missing", "/broken"):
        handler.answer({"/missing": 404, "/broken": 500}[path], b"no", {"Content-Type": "text/plain"})
    else:
        handler.answer(200, b"fine" * 10, {"Content-Type": "text/plain"})
    return True


def envoy_edge(lab, host, app, log):
    keys = {f"k{i:03}": t for i, t in enumerate(TEXTS)}
    access = [{"name": "file", "typed_config": ANY("access_loggers.file.v3.FileAccessLog", path=log, log_format={
        "json_format": keys, "formatters": [{"name": "cel", "typed_config": ANY("formatter.cel.v3.Cel")}]})}]
    start(lab, host, [{"name": "l", "address": at("0.0.0.0", 7080), "filter_chains": [{"filters": [
        istioenvoy.hcm("out", "app", access_log=access, use_remote_address=False)]}]}], [cluster("app", app.v4, 8080)])


def lines(read, n):
    def whole():
        rows = [json.loads(line) for line in read().splitlines() if line.startswith('{"k000"')]
        return rows if len(rows) >= n else None
    return eventually(whole, 15)


def test_operators():
    envoy_path()
    with Lab() as lab:
        log = f"{lab.dir}/envoy-access.log"
        keys = json.dumps({f"k{i:03}": t for i, t in enumerate(TEXTS)})
        app, edge = lab.plain("app", "edge")
        lab.write("mesh.yaml", "accessLogFile: /dev/stdout\naccessLogEncoding: JSON\naccessLogFormat: " + json.dumps(keys) + """
defaultConfig: {tracing: {sampling: 0}, proxyHeaders: {attemptCount: {disabled: true}}}
""")
        lab.write("svc.yaml", f"""apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: shop, namespace: default}}
spec: {{hosts: [{NAME}], addresses: [{VIP}], location: MESH_EXTERNAL, resolution: STATIC, ports: [{{number: 80, targetPort: 8080, name: http, protocol: HTTP}}],
  endpoints: [{{address: {app.v4}}}]}}
""")
        web = lab.sidecars("web")
        seen = app.serve_http(8080, answer).requests
        envoy_edge(lab, edge, app, log)
        for i, (method, path, headers, body) in enumerate(REQUESTS):
            fixed = {"Host": NAME, "User-Agent": "test/1", "x-request-id": f"{i:08}-2222-4333-8444-555555555555", **headers}
            theirs = edge.http(path, ip="127.0.0.1", port=7080, method=method, headers=fixed, body=body)
            ours = web.http(path, ip=VIP, port=80, method=method, headers=fixed, body=body)
            assert ours[:2] == theirs[:2], (method, path, ours, theirs)
            told = [{k.lower(): v for k, v in r["headers"] if k.lower() not in OURS} for r in seen[-2:]]
            assert told[0] == told[1], (method, path, told)
            said = [{k.lower(): v for k, v in r[2].items() if k.lower() not in ("date", "server", "x-envoy-upstream-service-time")} for r in (theirs, ours)]
            assert said[0] == said[1], (method, path, said)
            assert "x-envoy-upstream-service-time" in ours[2] and ours[2]["server"] == "envoy", ours
        theirs, ours = lines(lambda: open(log).read(), len(REQUESTS)), lines(web.log, len(REQUESTS))
        differ = []
        for request, a, b in zip(REQUESTS, theirs, ours):
            for i, text in enumerate(TEXTS):
                key = f"k{i:03}"
                if text == "%RESP(SERVER)%":
                    continue          # Envoy names itself "istio-envoy" here, which istiod lets it do inbound only
                if a[key] != b[key]:
                    differ.append(f"{request[0]} {request[1]} {text}: Envoy {a[key]!r}, meshd {b[key]!r}")
        assert not differ, "\n" + "\n".join(differ)
