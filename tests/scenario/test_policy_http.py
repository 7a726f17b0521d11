# SPDX-License-Identifier: Apache-2.0
"""Policies of requests, on sidecar pairs: AuthorizationPolicy, RequestAuthentication with keys that are fetched, RateLimit."""
import base64, hashlib, hmac, json

from harness import *
from httpapp import *
from test_sidecar import SHOP, VIP, get

SERVICE = service("shop", {80: 8080, 9000: 9000}, [VIP], app="shop", family="v4", protocol="HTTP").replace(
    "name: http-9000, protocol: HTTP", "name: tcp-9000, protocol: TCP")


def pair(lab):
    lab.write("svc.yaml", SERVICE)
    lab.write("mesh.yaml", "accessLogFile: /dev/stdout\n")
    web, shop = lab.sidecars("web", "shop")
    shop.serve_http(8080)
    shop.serve(9000, echo)
    return web, shop


def now(fn):
    """A change of configuration takes a moment."""
    eventually(fn, 5)


def test_authorization():
    with Lab() as lab:
        web, shop = pair(lab)
        assert get(web, VIP)[0] == 200
        lab.write("p.yaml", policy("p", "[{from: [{source: {principals: ['%s']}}], to: [{operation: {methods: [GET], paths: ['/items*', '/t/{*}/x'], hosts: ['%s']}}]},"
                                   " {when: [{key: 'request.headers[x-key]', values: [open]}]}]" % (web.identity.removeprefix("spiffe://"), SHOP), app="shop"))
        now(lambda: get(web, VIP)[0] == 403)
        status, text, headers = get(web, VIP, path="/other")
        assert (status, text) == (403, "RBAC: access denied"), (status, text)
        for path, ok in (("/items", True), ("/items/1?a=/b", True), ("/a/../items", True), ("/t/1/x", True), ("/t/1/2/x", False), ("/Items", False)):
            assert (get(web, VIP, path=path)[0] == 200) == ok, path
        assert web.http("/items", ip=VIP, port=80, method="POST", headers={"Host": SHOP})[0] == 403
        assert get(web, VIP, path="/other", headers={"x-key": "open"})[0] == 200
        assert get(web, VIP, path="/other", headers={"x-key": "opens"})[0] == 403
        # Bytes: the policy's HTTP rules are none there.
        assert web.refused(VIP, 9000)
        line = eventually(lambda: [l for l in shop.log().splitlines() if "rbac_access_denied_matched_policy[none]" in l and "/other" in l])
        lab.write("q.yaml", policy("q", "[{to: [{operation: {paths: ['/items/secret']}}]}]", app="shop", action="DENY"))
        now(lambda: get(web, VIP, path="/items/secret")[0] == 403)
        eventually(lambda: "rbac_access_denied_matched_policy[ns[default]-policy[q]-rule[0]]" in shop.log())
        assert get(web, VIP, path="/items")[0] == 200
        why = shop.cli("why").stdout
        assert "default/q" in why and "/items/secret" in why, why


def test_keepalive_sees_new_policies():
    """Requests of one connection are judged one by one, by the policies of their time."""
    with Lab() as lab:
        web, shop = pair(lab)
        with web.connect(VIP, 80) as s:
            def ask(path):
                s.sendall(f"GET {path} HTTP/1.1\r\nHost: {SHOP}\r\n\r\n".encode())
                head = b""
                while b"\r\n\r\n" not in head:
                    head += s.recv(1)
                n = [int(l.split(b":")[1]) for l in head.lower().split(b"\r\n") if l.startswith(b"content-length")]
                read_exact(s, n[0]) if n else None
                return int(head.split()[1])
            assert ask("/a") == 200
            lab.write("p.yaml", policy("p", "[{to: [{operation: {paths: [/a]}}]}]", app="shop", action="DENY"))
            now(lambda: ask("/a") == 403)
            assert ask("/b") == 200
            lab.remove("p.yaml")
            now(lambda: ask("/a") == 200)


# ---- tokens ----

SECRET = b"0123456789abcdef0123456789abcdef"
b64 = lambda b: base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def token(secret=SECRET, **claims):
    text = b64(b'{"alg":"HS256"}') + "." + b64(json.dumps({"iss": "https://id.test", "exp": 4102444800, **claims}).encode())
    return text + "." + b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())


def authn(rule, name="jwt"):
    return f"""apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: {name}, namespace: default}}
spec: {{selector: {{matchLabels: {{app: shop}}}}, jwtRules: [{rule}]}}
---
"""


def test_tokens():
    with Lab() as lab:
        web, shop = pair(lab)
        keys = json.dumps({"keys": [{"kty": "oct", "k": b64(SECRET)}]})
        lab.write("jwt.yaml", authn("{issuer: 'https://id.test', jwks: '%s', outputClaimToHeaders: [{header: x-sub, claim: sub}]}" % keys) +
                  policy("p", "[{from: [{source: {requestPrincipals: ['https://id.test/joe']}}]}, {to: [{operation: {paths: [/open]}}]}]", app="shop"))
        bearer = lambda t: {"Authorization": "Bearer " + t}
        now(lambda: get(web, VIP)[0] == 403)
        status, text, _ = get(web, VIP, headers=bearer(token(sub="joe", nothing=None, list=[None])))
        names = {k.lower(): v for k, v in json.loads(text)["headers"]}
        assert status == 200 and names["x-sub"] == "joe" and "authorization" not in names, names
        assert get(web, VIP, headers=bearer(token(sub="ann")))[0] == 403
        assert get(web, VIP, path="/open", headers={"x-sub": "root"})[0] == 200
        status, text, headers = get(web, VIP, path="/open", headers=bearer(token(b"another" * 8, sub="joe")))
        assert (status, text) == (401, "Jwt verification fails")
        assert headers["www-authenticate"] == f'Bearer realm="http://{SHOP}/open", error="invalid_token"', headers
        assert get(web, VIP, path="/open", headers=bearer(token(sub="joe", exp=1)))[1] == "Jwt is expired"
        eventually(lambda: "jwt_authn_access_denied{Jwt_is_expired}" in shop.log())


KEYS = b"""{"keys": [{"kty": "EC", "kid": "k", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
 "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"""


def test_keys_are_fetched():
    """From an issuer that comes late."""
    with Lab() as lab:
        web, shop = pair(lab)
        issuer = lab.plain("issuer")
        lab.write("jwt.yaml", authn(f"{{issuer: 'https://id.test', jwksUri: 'http://{issuer.v4}:8000/keys', timeout: 2s}}"))
        bearer = {"Authorization": "Bearer " + token()}
        now(lambda: get(web, VIP, headers=bearer)[1] == "Jwks remote fetch is failed")
        assert get(web, VIP)[0] == 200
        eventually(lambda: "tokens that need them are refused until they come" in shop.log())
        app = issuer.serve_http(8000, lambda s, _: s.answer(body=KEYS) or True)
        now(lambda: get(web, VIP, headers=bearer)[1] == "Jwt verification fails")     # HS256, and no secret among the keys
        eventually(lambda: "/keys: 1" in shop.log())
        assert "/keys" not in web.log()             # no workload there needs them


# ---- limits ----

def limit(spec):
    return f"""apiVersion: meshd.io/v1alpha1
kind: RateLimit
metadata: {{name: limit, namespace: default}}
spec: {{selector: {{matchLabels: {{app: shop}}}}, {spec}}}
---
"""


def test_rate_limits():
    with Lab() as lab:
        web, shop = pair(lab)
        lab.write("limit.yaml", limit("headers: true, rules: [{name: writes, match: [{to: [{operation: {methods: [POST]}}]}], amount: 2, per: 3600s},"
                                      " {name: users, by: [{header: x-user}], amount: 1, per: 3600s}]"))
        post = lambda: web.http("/", ip=VIP, port=80, method="POST", headers={"Host": SHOP})
        now(lambda: post()[2]["ratelimit-policy"] == '"writes";q=2;w=3600')
        assert [post()[0], post()[0]] == [200, 429]
        status, _, headers = post()
        assert status == 429 and headers["ratelimit"].startswith('"writes";r=0;t=') and int(headers["retry-after"]) > 1000, headers
        assert get(web, VIP)[0] == 200
        user = lambda u: get(web, VIP, headers={"x-user": u})[0]
        assert [user("a"), user("a"), user("b"), user("b")] == [200, 429, 200, 429]
        eventually(lambda: " 429 RL " in shop.log())
        lab.write("limit.yaml", limit("rules: [{name: conns, connections: true, by: [{identity: true}], amount: 2, per: 3600s}]"))
        now(lambda: "ratelimit-policy" not in post()[2])
        assert [web.talk(VIP, 9000, b"x"), web.talk(VIP, 9000, b"x")] == [b"x", b"x"]
        assert web.refused(VIP, 9000)


def test_connection_limit_in_ztunnel_mode():
    with Lab() as lab:
        lab.write("limit.yaml", limit("rules: [{name: conns, connections: true, amount: 2, per: 3600s}]"))
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080, echo)
        assert [web.talk(shop.v4, 8080, b"x"), web.talk(shop.v4, 8080, b"x")] == [b"x", b"x"]
        assert web.refused(shop.v4, 8080)
        eventually(lambda: "over the rate limit" in shop.log() or "conns" in shop.log())
