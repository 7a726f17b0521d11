# SPDX-License-Identifier: Apache-2.0
"""The kinds of sidecars change under a running pair: good, bad, mended, gone."""
import os

from harness import *
from httpapp import *

VIP = "10.88.0.1"
SHOP = "shop.default.svc.cluster.local"


def obj(api, kind, name, spec):
    return f"apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}, namespace: default}}\nspec: {spec}\n---\n"


def pair(lab):
    lab.write("svc.yaml", service("shop", {80: 8080}, [VIP], app="shop", family="v4", protocol="HTTP"))
    web, shop = lab.sidecars("web", "shop")
    shop.serve_http(8080)
    return web, shop


def get(host, path="/", headers={}):
    return host.http(path, ip=VIP, port=80, headers={"Host": SHOP, **headers})


def becomes(host, status, path="/", headers={}):
    eventually(lambda: get(host, path, headers)[0] == status, 3, what=f"{path} to be answered with {status}")


def says(host, part):
    eventually(lambda: part in host.cli("status").stdout or part in host.log(), 3, what=part)


def test_virtual_service():
    with Lab() as lab:
        web, shop = pair(lab)
        becomes(web, 200)
        tea = lambda more: obj("networking.istio.io/v1", "VirtualService", "tea",
                               f"{{hosts: [{SHOP}], http: [{{match: [{{uri: {{prefix: /tea}}}}], directResponse: {{status: 418}}{more}}}, {{route: [{{destination: {{host: {SHOP}}}}}]}}]}}")
        lab.write("vs.yaml", tea(""))
        becomes(web, 418, "/tea")
        assert get(web, "/coffee")[0] == 200
        lab.write("vs.yaml", tea(", timeout: never"))          # a bad one keeps its last good version
        says(web, "spec.http[0].timeout: want a duration")
        assert get(web, "/tea")[0] == 418
        lab.write("vs.yaml", tea("").replace("418", "451"))
        becomes(web, 451, "/tea")
        lab.remove("vs.yaml")
        becomes(web, 200, "/tea")


def test_http_route_and_refused_kinds():
    with Lab() as lab:
        # a route's parent is a Service of Kubernetes
        lab.write("core.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: core, namespace: default}\n"
                  "spec: {clusterIP: 10.88.0.2, selector: {app: shop, family: v4}, ports: [{name: http, port: 80, targetPort: 8080}]}\n")
        web, shop = pair(lab)
        ask = lambda path: web.http(path, ip="10.88.0.2", port=80, headers={"Host": "core.default.svc.cluster.local"})
        assert ask("/")[0] == 200
        lab.write("r.yaml", obj("gateway.networking.k8s.io/v1", "HTTPRoute", "r",
                  "{parentRefs: [{group: '', kind: Service, name: core}], rules: [{matches: [{path: {value: /old}}], filters: [{type: RequestRedirect, requestRedirect: "
                  "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}]}, {backendRefs: [{name: core, port: 80}]}]}"))
        eventually(lambda: ask("/old/x")[0] == 302, 3)
        assert ask("/old/x")[2]["location"].endswith("/new/x") and ask("/older")[0] == 200
        # a ServiceEntry is a parent, too
        lab.write("e.yaml", obj("gateway.networking.k8s.io/v1", "HTTPRoute", "e", "{parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: shop}], rules: "
                  "[{matches: [{path: {value: /gone}}], filters: [{type: RequestRedirect, requestRedirect: {hostname: x.test}}]}, "
                  f"{{backendRefs: [{{group: networking.istio.io, kind: Hostname, name: {SHOP}, port: 80}}]}}]}}"))
        becomes(web, 302, "/gone")
        assert get(web, "/here")[0] == 200
        lab.write("r.yaml", obj("networking.istio.io/v1alpha3", "EnvoyFilter", "f", "{configPatches: []}"))
        says(web, "EnvoyFilter default/f: not supported: it patches Envoy")
        eventually(lambda: ask("/old/x")[0] == 200, 3)


def test_request_authentication_fails_closed():
    with Lab() as lab:
        web, shop = pair(lab)
        becomes(web, 200)
        authn = lambda keys: obj("security.istio.io/v1", "RequestAuthentication", "a",
                                 f"{{selector: {{matchLabels: {{app: shop}}}}, jwtRules: [{{issuer: me, jwks: '{keys}'}}]}}")
        key = ('{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}')
        lab.write("a.yaml", authn("no keys"))
        eventually(lambda: get(web)[0] in (401, 403), 3)
        lab.write("a.yaml", authn(key))
        becomes(web, 200)
        becomes(web, 401, headers={"Authorization": "Bearer a.b.c"})
        lab.write("a.yaml", authn("no keys"))                   # now there is a last good version
        says(shop, "its last good version stays in effect")
        assert get(web)[0] == 200


def test_rate_limit():
    with Lab() as lab:
        web, shop = pair(lab)
        becomes(web, 200)
        limit = lambda amount: obj("meshd.io/v1alpha1", "RateLimit", "l", f"{{selector: {{matchLabels: {{app: shop}}}}, rules: [{{name: few, amount: {amount}, per: 1h}}]}}")
        lab.write("l.yaml", limit(2))
        becomes(web, 429)
        lab.write("l.yaml", limit("lots"))
        says(shop, "amount: want a number")
        assert get(web)[0] == 429
        lab.remove("l.yaml")
        becomes(web, 200)


def test_mesh_config():
    with Lab() as lab:
        web, shop = pair(lab)
        becomes(web, 200)
        log = f"{lab.dir}/access.log"
        lab.write("mesh.yaml", f"accessLogFile: {log}\naccessLogFormat: 'one %REQ(:PATH)% %RESPONSE_CODE%'\n")
        def logged(line):
            get(web, "/p")
            return os.path.exists(log) and line in open(log).read()
        eventually(lambda: logged("one /p 200"), 5)
        lab.write("mesh.yaml", f"accessLogFile: {log}\naccessLogFormat: 'two %NONSENSE%'\n")
        says(web, "accessLogFormat")
        lab.write("mesh.yaml", f"accessLogFile: {log}\naccessLogFormat: 'three %REQ(:PATH)%'\n")
        eventually(lambda: logged("three /p"), 5)
