# SPDX-License-Identifier: Apache-2.0
"""CUSTOM policies with Istio's sample server of external authorization, by HTTP and gRPC, and with servers that fail."""
import json, os
from cluster import PEERS
from harness import Lab, Skip, eventually, service

HTTP = """- name: ext
  envoyExtAuthzHttp: {service: default/ext.default.svc.cluster.local, port: 8000, timeout: 2s, includeRequestHeadersInCheck: [x-ext-authz, x-user],
    includeAdditionalHeadersInCheck: {x-from: meshd}, headersToUpstreamOnAllow: [x-ext-authz-check-received, x-ext-authz-additional-header-override],
    headersToDownstreamOnAllow: [x-ext-authz-check-result], headersToDownstreamOnDeny: [x-ext-authz-check-result]%s}
"""
GRPC = "- name: ext\n  envoyExtAuthzGrpc: {service: ext.default.svc.cluster.local, port: 9000, timeout: 2s%s}\n"
POLICY = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: default}
spec:
  selector: {matchLabels: {app: shop}}
  action: CUSTOM
  provider: {name: ext}
  rules: [{to: [{operation: {paths: ["/asked*"]}}]}]
"""


def peer(name):
    path = f"{PEERS}/{name}"
    if os.access(path, os.X_OK):
        return path
    if os.environ.get("CI"):
        raise AssertionError(f"no {path}: tests/interop/build makes it")
    raise Skip(f"no {name}: tests/interop/build makes it")


def mesh(lab, provider):
    """web calls shop, both sidecars; ext has none."""
    ext = lab.plain("ext")
    lab.workload(ext, tunnel=False, serviceAccount="")          # no account, no sidecar: called in the clear
    lab.write("ext.yaml", service("ext", {8000: 8000}, ["10.96.0.20"], protocol="HTTP").replace(
        "protocol: HTTP}", "protocol: HTTP}, {number: 9000, name: grpc, protocol: GRPC}"))
    lab.write("shop.yaml", service("shop", {80: 8080}, ["10.96.0.10"], protocol="HTTP"))
    lab.write("mesh.yaml", "extensionProviders:\n" + provider)
    lab.write("policy.yaml", POLICY)
    web, shop = lab.sidecars("web", "shop")
    shop.serve_http(8080)
    return web, shop, ext


def sample(lab, ext):
    log = open(f"{lab.dir}/extauthz.log", "w")
    p = ext.popen(peer("extauthz"), stdout=log, stderr=log)
    lab.closing.append(type("Stop", (), {"close": lambda self: (p.kill(), p.wait())})())
    eventually(lambda: ext.run("ss", "-ltnH", "sport = :9000").stdout.strip(), 10, what="extauthz listening")


def get(web, path, **headers):
    return web.http(path, port=80, ip="10.96.0.10", headers={"Host": "shop", **{k.replace("_", "-"): v for k, v in headers.items()}})


def judged(web):
    assert get(web, "/open")[0] == 200
    status, text, headers = get(web, "/asked", x_ext_authz="allow")
    assert status == 200, (status, text)
    status, text, headers = get(web, "/asked", x_ext_authz="no")
    assert status == 403 and "denied by ext_authz" in text, (status, text)
    return headers


def test_http():
    peer("extauthz")
    with Lab() as lab:
        web, shop, ext = mesh(lab, HTTP % "")
        sample(lab, ext)
        headers = judged(web)
        assert headers["x-ext-authz-check-result"] == "denied", headers.items()
        status, text, headers = get(web, "/asked", x_ext_authz="allow")
        assert headers["x-ext-authz-check-result"] == "allowed", headers.items()
        assert "x-ext-authz-check-received" in text.lower(), text       # what the application got


def test_grpc():
    peer("extauthz")
    with Lab() as lab:
        web, shop, ext = mesh(lab, GRPC % "")
        sample(lab, ext)
        headers = judged(web)
        assert headers["x-ext-authz-check-result"] == "denied", headers.items()
        status, text, _ = get(web, "/asked", x_ext_authz="allow")
        assert "x-ext-authz-check-received" in text.lower(), text


def test_nobody_answers():
    with Lab() as lab:
        web, shop, ext = mesh(lab, HTTP % "")
        assert get(web, "/open")[0] == 200
        assert get(web, "/asked", x_ext_authz="allow")[0] == 403
        lab.write("mesh.yaml", "extensionProviders:\n" + HTTP % ", statusOnError: '503'")
        eventually(lambda: get(web, "/asked")[0] == 503)
        lab.write("mesh.yaml", "extensionProviders:\n" + HTTP % ", failOpen: true")
        eventually(lambda: get(web, "/asked")[0] == 200)


def test_a_provider_that_is_not_there():
    with Lab() as lab:
        web, shop, ext = mesh(lab, HTTP.replace("name: ext\n", "name: other\n") % "")
        assert get(web, "/open")[0] == 200
        assert get(web, "/asked", x_ext_authz="allow")[0] == 403


def test_bodies():
    """The server sees as much of the body as was said, the application all of it."""
    seen = []
    def server(c, peer):
        data = b""
        while b"\r\n\r\n" not in data:
            data += c.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(next((l.split(b":")[1] for l in head.split(b"\r\n") if l.lower().startswith(b"content-length")), b"0"))
        while len(body) < length:
            body += c.recv(65536)
        seen.append(body)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    with Lab() as lab:
        web, shop, ext = mesh(lab, HTTP % ", includeRequestBodyInCheck: {maxRequestBytes: 1000, allowPartialMessage: true}")
        ext.serve(8000, server)
        status, text, _ = web.http("/asked", method="POST", port=80, ip="10.96.0.10", headers={"Host": "shop"}, body=b"x" * 5000)
        assert status == 200 and json.loads(text)["body_bytes"] == 5000, text
        assert seen == [b"x" * 1000], [len(s) for s in seen]
        lab.write("mesh.yaml", "extensionProviders:\n" + HTTP % ", includeRequestBodyInCheck: {maxRequestBytes: 1000}")
        eventually(lambda: web.http("/asked", method="POST", port=80, ip="10.96.0.10", headers={"Host": "shop"}, body=b"x" * 5000)[0] == 413)
