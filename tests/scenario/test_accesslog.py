# SPDX-License-Identifier: Apache-2.0
"""Access logs of sidecars: Envoy's line as Istio has it, JSON, own formats, filters, and what `meshd why` adds."""
from harness import *

VIP, NAME = "10.88.0.1", "shop.default.svc.cluster.local"
SHOP = service("shop", {80: 8080}, [VIP], app="shop", family="v4", protocol="HTTP")
ID = "11111111-2222-4333-8444-555555555555"


def mesh(text):
    return "defaultConfig: {tracing: {sampling: 0}}\n" + text


def telemetry(body, name="log", ns="default"):
    return f"""apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {{name: {name}, namespace: {ns}}}
spec: {body}
---
"""


def get(host, path="/", ip=VIP, port=80, **headers):
    return host.http(path, ip=ip, port=port, headers={"Host": NAME, "User-Agent": "test/1", **{k.replace("_", "-"): v for k, v in headers.items()}})


def line(host, pattern):
    """The one raw line of the log that the pattern is all of."""
    return eventually(lambda: next((m for l in host.log().splitlines() if (m := re.fullmatch(pattern, l))), None), what=f"{pattern} in\n{host.tail()}")


def test_default_line():
    with Lab() as lab:
        lab.write("mesh.yaml", mesh("accessLogFile: /dev/stdout\n"))
        lab.write("svc.yaml", SHOP)
        web, shop = lab.sidecars("web", "shop")
        shop.serve_http(8080)
        assert get(web, "/a?b=c", x_request_id=ID)[0] == 200
        stamp = r"\[20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ\]"
        line(web, stamp + rf' "GET /a\?b=c HTTP/1\.1" 200 - via_upstream - "-" 0 \d+ \d+ \d+ "-" "test/1" "{ID}" "{NAME}" "{shop.v4}:8080" '
             rf'outbound\|80\|\|{NAME} {web.v4}:\d+ {VIP}:80 {web.v4}:\d+ - \S+')
        line(shop, stamp + rf' "GET /a\?b=c HTTP/1\.1" 200 - via_upstream - "-" 0 \d+ \d+ \d+ "-" "test/1" "{ID}" "{NAME}" "\S+:8080" '
             rf'inbound\|8080\|\| \S+:\d+ {shop.v4}:8080 {web.v4}:\d+ outbound_\.80_\._\.{NAME} \S+')


def test_json():
    with Lab() as lab:
        lab.write("mesh.yaml", mesh("accessLogFile: /dev/stdout\naccessLogEncoding: JSON\n"))
        lab.write("svc.yaml", SHOP)
        web, shop = lab.sidecars("web", "shop")
        shop.serve_http(8080)
        assert get(web, "/json", x_request_id=ID)[0] == 200
        for host in web, shop:
            r = eventually(lambda: next((r for r in host.records() if r.get("path") == "/json"), None))
            assert len(r) == 24 and list(r) == sorted(r), r
            assert r["response_code"] == 200 and r["response_flags"] == "-" and r["request_id"] == ID and r["authority"] == NAME, r
            assert r["x_forwarded_for"] is None and r["user_agent"] == "test/1" and r["protocol"] == "HTTP/1.1", r


def test_own_format_and_file():
    """A provider with a format and a file of its own, which HUP opens again."""
    with Lab() as lab:
        path = f"{lab.dir}/own.log"
        lab.write("mesh.yaml", mesh(f"""extensionProviders:
- name: own
  envoyFileAccessLog: {{path: {path}, logFormat: {{text: "%REQ(:METHOD)% %PROTOCOL% %RESPONSE_CODE% %REQ(X-NONE)% 100%%\\n"}}}}
"""))
        lab.write("svc.yaml", SHOP)
        lab.write("telemetry.yaml", telemetry("{accessLogging: [{match: {mode: SERVER}, providers: [{name: own}]}]}"))
        web, shop = lab.sidecars("web", "shop")
        shop.serve_http(8080)
        assert get(web)[0] == 200
        eventually(lambda: open(path).read() == "GET HTTP/1.1 200 - 100%\n")
        os.rename(path, path + ".1")
        shop.proc.send_signal(signal.SIGHUP)
        eventually(lambda: os.path.exists(path))
        assert get(web)[0] == 200
        eventually(lambda: open(path).read() == "GET HTTP/1.1 200 - 100%\n")


def test_filter():
    """Only errors are written; without a provider's name nothing else is."""
    with Lab() as lab:
        lab.write("mesh.yaml", mesh("accessLogFile: /dev/stdout\n"))
        lab.write("svc.yaml", SHOP)
        lab.write("telemetry.yaml", telemetry('{accessLogging: [{providers: [{name: envoy}], filter: {expression: "response.code >= 400 && request.method == \'GET\'"}}]}'))
        web, shop = lab.sidecars("web", "shop")
        shop.serve_http(8080, lambda handler, got: handler.answer(404) or True if got["path"] == "/none" else False)
        assert get(web, "/fine")[0] == 200
        assert get(web, "/none")[0] == 404
        for host in web, shop:
            line(host, r'.* "GET /none HTTP/1\.1" 404 .*')
            assert "/fine" not in host.log()


def test_refused():
    """What policy refuses, and what fails, has its flag and details; `meshd why` knows the request's id."""
    with Lab() as lab:
        lab.write("mesh.yaml", mesh("accessLogFile: /dev/stdout\n"))
        lab.write("svc.yaml", SHOP + service("gone", {80: 8080}, ["10.88.0.2"], app="gone", protocol="HTTP"))
        lab.write("policy.yaml", policy("no", "[{to: [{operation: {paths: [/admin*]}}]}]", app="shop", action="DENY"))
        web, shop = lab.sidecars("web", "shop")
        shop.serve_http(8080)
        status, text, _ = get(web, "/admin", x_request_id=ID)
        assert status == 403 and text == "RBAC: access denied", (status, text)
        line(shop, r'.* "GET /admin HTTP/1\.1" 403 - rbac_access_denied_matched_policy\[ns\[default\]-policy\[no\]-rule\[0\]\] - "-" 0 19 \d+ - '
             rf'"-" "test/1" "{ID}" "{NAME}" "-" inbound\|8080\|\| - {shop.v4}:8080 {web.v4}:\d+ outbound_\.80_\._\.{NAME} default')
        line(web, r'.* "GET /admin HTTP/1\.1" 403 - via_upstream - .*')
        told = shop.cli("why", ID).stdout
        assert f"GET {NAME}/admin" in told and "default/no" in told and web.identity in told, told
        assert web.http("/x", ip="10.88.0.2", port=80, headers={"Host": "gone.default.svc.cluster.local"})[0] == 503
        line(web, r'.* "GET /x HTTP/1\.1" 503 UH no_healthy_upstream - .*')
        told = web.cli("why").stdout
        assert "no healthy upstream" in told, told


FLAGS = f"""apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop, namespace: default}}
spec:
  hosts: [{NAME}]
  http:
  - {{match: [{{uri: {{prefix: /abort}}}}], fault: {{abort: {{httpStatus: 418, percentage: {{value: 100}}}}}}, route: [{{destination: {{host: {NAME}}}}}]}}
  - {{match: [{{uri: {{prefix: /delay}}}}], fault: {{delay: {{fixedDelay: 20ms, percentage: {{value: 100}}}}}}, route: [{{destination: {{host: {NAME}}}}}]}}
  - {{match: [{{uri: {{prefix: /slow}}}}], timeout: 200ms, route: [{{destination: {{host: {NAME}}}}}]}}
  - {{match: [{{uri: {{prefix: /subset}}}}], route: [{{destination: {{host: {NAME}, subset: none}}}}]}}
  - {{match: [{{uri: {{prefix: /gone}}}}], retries: {{attempts: 0}}, route: [{{destination: {{host: gone.default.svc.cluster.local, port: {{number: 80}}}}}}]}}
  - {{match: [{{uri: {{prefix: /tries}}}}], retries: {{attempts: 1, retryOn: connect-failure}}, route: [{{destination: {{host: gone.default.svc.cluster.local, port: {{number: 80}}}}}}]}}
  - {{match: [{{uri: {{prefix: /direct}}}}], directResponse: {{status: 202}}}}
  - {{match: [{{uri: {{prefix: /fine}}}}], route: [{{destination: {{host: {NAME}}}}}]}}
"""


def test_flags():
    """What users look for when something went wrong: the flag, the details, and the label in the metrics."""
    with Lab() as lab:
        lab.write("mesh.yaml", mesh("accessLogFile: /dev/stdout\naccessLogFormat: \"FLAGS %PATH(NQ)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\\n\"\n"))
        out = lab.plain("out")
        lab.write("svc.yaml", SHOP + FLAGS + "---\n" + f"""apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: gone, namespace: default}}
spec: {{hosts: [gone.default.svc.cluster.local], addresses: [10.88.0.9], location: MESH_EXTERNAL, resolution: STATIC,
  ports: [{{number: 80, targetPort: 9, name: http, protocol: HTTP}}], endpoints: [{{address: {out.v4}}}]}}
""")
        web, shop = lab.sidecars("web", "shop")
        shop.serve_http(8080, lambda handler, got: time.sleep(1) if got["path"] == "/slow" else None)
        want = {"/abort": (418, "FI", "fault_filter_abort"), "/delay": (200, "DI", "via_upstream"), "/slow": (504, "UT", "response_timeout"),
                "/subset": (503, "NC", "cluster_not_found"), "/nowhere": (404, "NR", "route_not_found"), "/direct": (202, "-", "direct_response"),
                "/gone": (503, "UF", r"upstream_reset_before_response_started\{.*\}"), "/tries": (503, "URX,UF", r"upstream_reset_before_response_started\{.*\}"),
                "/fine": (200, "-", "via_upstream")}
        for path, (status, flags, details) in want.items():
            got = get(web, path)[0]
            assert got == status, (path, got)
            line(web, f"FLAGS {path} {status} {flags} {details}")
        for _, flags, _ in want.values():
            assert web.metric("istio_requests_total", reporter="source", response_flags=flags) >= 1, flags


def test_tcp():
    """Bytes have a line, too."""
    with Lab() as lab:
        lab.write("mesh.yaml", mesh("accessLogFile: /dev/stdout\n"))
        lab.write("svc.yaml", service("shop", {9000: 9000, 9001: 9001, 9002: 9002}, [VIP], app="shop", family="v4"))
        lab.write("policy.yaml", policy("no", "[{to: [{operation: {ports: ['9001']}}]}]", app="shop", action="DENY"))
        web, shop = lab.sidecars("web", "shop")
        shop.serve(9000, echo)
        assert web.talk(VIP, 9000, b"hello") == b"hello"
        line(web, rf'\S+ "- - -" 0 - - - "-" 5 5 \d+ - "-" "-" "-" "-" "{shop.v4}:9000" outbound\|9000\|\|{NAME} {web.v4}:\d+ {VIP}:9000 {web.v4}:\d+ - -')
        line(shop, rf'\S+ "- - -" 0 - - - "-" 5 5 \d+ - "-" "-" "-" "-" "\S+:9000" inbound\|9000\|\| \S+:\d+ {shop.v4}:9000 {web.v4}:\d+ outbound_\.9000_\._\.{NAME} -')
        assert web.refused(VIP, 9001) and web.refused(VIP, 9002)
        line(shop, rf'\S+ "- - -" 0 - - rbac_access_denied_matched_policy\[ns\[default\]-policy\[no\]-rule\[0\]\] "-" 0 0 \d+ .* {shop.v4}:9001 {web.v4}:\d+ .*')
        line(shop, rf'\S+ "- - -" 0 UF,URX - - "Connection refused" \d 0 \d+ .* inbound\|9002\|\| - {shop.v4}:9002 {web.v4}:\d+ .*')
        line(web, rf'\S+ "- - -" 0 - - - "-" 1 0 \d+ .* outbound\|9002\|\|{NAME} .*')


def test_bad_ones_are_told():
    """A format or an expression that cannot be is named with its place; what is there stays."""
    with Lab() as lab:
        lab.write("mesh.yaml", mesh("accessLogFile: /dev/stdout\n"))
        lab.write("svc.yaml", SHOP)
        web = lab.sidecars("web")
        lab.write("mesh.yaml", mesh("accessLogFile: /dev/stdout\naccessLogFormat: \"%DOWNSTREAM_TLS_VERSION%\\n\"\n"))
        eventually(lambda: "mesh.yaml:3: MeshConfig: accessLogFormat: meshd does not have Envoy's operator %DOWNSTREAM_TLS_VERSION%" in web.log())
        lab.write("mesh.yaml", mesh("accessLogFile: /dev/stdout\n"))
        lab.write("telemetry.yaml", telemetry('{accessLogging: [{filter: {expression: "response.flags == 1"}}]}'))
        eventually(lambda: "meshd has no attribute response.flags" in web.log())
        get(web)
        line(web, r'.* "GET / HTTP/1\.1" 503 .*')
