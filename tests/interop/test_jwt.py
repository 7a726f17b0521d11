# SPDX-License-Identifier: Apache-2.0
"""RequestAuthentication beside Envoy's jwt_authn filter, set up as istiod does: the same requests with good, bad, doubled and misplaced tokens;
status, text, challenge, and what the application gets must be the same."""
import base64, hashlib, hmac, json
from harness import Lab, eventually
from test_envoy import ANY, at, cluster, start

SECRETS = {"a": b"a" * 32, "b": b"b" * 32, "evil": b"e" * 32}
b64 = lambda b: base64.urlsafe_b64encode(b).rstrip(b"=").decode()
JWKS = lambda who: json.dumps({"keys": [{"kty": "oct", "kid": who, "k": b64(SECRETS[who])}]})


def token(who, key=None, kid=True, **claims):
    head = {"alg": "HS256", **({"kid": who} if kid else {})}
    body = {"iss": f"https://{who}.test", "sub": "joe", "aud": "shop", "exp": 4102444800, **claims}
    text = b64(json.dumps(head).encode()) + "." + b64(json.dumps({k: v for k, v in body.items() if v is not None}).encode())
    return text + "." + b64(hmac.new(SECRETS[key or who], text.encode(), hashlib.sha256).digest())


RICH = dict(n=7, f=1.5, yes=True, no=False, words=["x", "y"], deep={"a": {"b": "c"}}, scope="read write")
A, B = token("a", **RICH), token("b")
CLAIMS = ["sub", "n", "yes", "no", "words", "deep.a.b", "deep", "missing", "scope"]
RULES = {
    "one": [{"issuer": "https://a.test", "jwks": JWKS("a"), "outputPayloadToHeader": "x-payload",
             "outputClaimToHeaders": [{"header": f"x-c-{c.replace('.', '-')}", "claim": c} for c in CLAIMS]}],
    "two": [{"issuer": "https://a.test", "jwks": JWKS("a")}, {"issuer": "https://b.test", "jwks": JWKS("b"), "forwardOriginalToken": True}],
    "places": [{"issuer": "https://a.test", "jwks": JWKS("a"), "fromHeaders": [{"name": "x-a", "prefix": "Tok "}, {"name": "x-bare"}], "fromParams": ["t"],
                "fromCookies": ["c"], "outputClaimToHeaders": [{"header": "x-c-sub", "claim": "sub"}]}, {"issuer": "https://b.test", "jwks": JWKS("b"), "forwardOriginalToken": True, "outputPayloadToHeader": "x-b"}],
    "aud": [{"issuer": "https://a.test", "jwks": JWKS("a"), "audiences": ["other", "https://shop/"]}],
}
bearer = lambda t: [("Authorization", f"Bearer {t}")]
ASKS = {
    "one": [("/", []), ("/p?q=1", bearer(A)), ("/", bearer(B)), ("/", bearer(token("a", "evil"))), ("/", bearer(token("a", exp=1))), ("/", bearer(token("a", nbf=4000000000))),
            ("/", bearer("x")), ("/", bearer("a.b")), ("/", bearer(A + "x")), ("/", bearer(A[:-3])), ("/", bearer("  " + A + " ")), ("/", [("Authorization", "Basic x")]),
            ("/", [("authorization", "bearer " + A)]), ("/", [("Authorization", "Bearer")]), (f"/?access_token={A}&x=1", []), (f"/?x=1&access_token={B}", []),
            (f"/?access_token={token('a', 'evil')}", bearer(A)), (f"/?access_token={A}", bearer(token("a", "evil"))), ("/", bearer(A) + bearer(A)), ("/", bearer(A) + [("Authorization", "Basic x")]),
            ("/", [("x-payload", "evil"), ("x-c-sub", "root"), ("x-c-missing", "evil")]), ("/", bearer(A) + [("X-C-Sub", "root"), ("x-c-missing", "evil")]),
            ("/", bearer(token("a", kid=False))), ("/", bearer(token("a", iss=None))), ("/", bearer(token("a", aud=["1", "2"]))), ("/", bearer(A + "," + B)),
            ("/a%20b?c=%41", bearer("x")), ("/" + "l" * 300, bearer("x"))],
    "two": [("/", bearer(A)), ("/", bearer(B)), ("/", []), ("/", bearer(token("a", "evil"))), ("/", bearer(token("b", "evil"))), ("/", bearer(token("evil"))), ("/", bearer(token("b", exp=1))),
            # Not the other way round: Envoy, having taken A out for the first rule, which then fails, finds B alone for the second. Here both fail.
            (f"/?access_token={B}", bearer(A)), (f"/?access_token={token('evil')}", bearer(B)), ("/", bearer("junk"))],
    "places": [("/", [("x-a", "Tok " + A)]), ("/", [("x-a", "Tok" + A)]), ("/", [("x-a", A)]), ("/", [("x-bare", A)]), ("/", [("x-bare", token("a", "evil"))]), (f"/?t={A}&u=1", []), (f"/?u=1&t={A}", []),
               (f"/?t={token('a', 'evil')}", []), ("/", [("Cookie", f"a=b; c={A}")]), ("/", [("Cookie", f"c={token('a', 'evil')}; d=e")]), ("/", bearer(A)), ("/", bearer(B)), ("/", bearer(B) + [("x-bare", A)]),
               ("/", bearer(token("b", "evil")) + [("x-bare", A)]), ("/", bearer(B) + [("x-bare", token("a", "evil"))]), ("/", [("x-a", "Tok " + A), ("x-bare", token("a", "evil"))]),
               ("/", [("x-bare", A), ("x-bare", A)]), ("/", [("x-a", "x Tok  " + A + ";y")]), (f"/?access_token={B}", []), (f"/?t={A}&t={B}", []), (f"/?t={token('a', sub='two')}", [("x-a", "Tok " + A)]),
               (f"/?t={A}", [("x-a", "Tok " + token("a", sub="two")), ("Cookie", f"c={token('a', sub='three')}")])],
    "aud": [("/", bearer(A)), ("/", bearer(token("a", aud="other"))), ("/", bearer(token("a", aud=["x", "http://shop"]))), ("/", bearer(token("a", aud=None)))],
}


def provider(r):
    """As istiod's policy_applier."""
    headers = [{"name": h["name"], **({"value_prefix": h["prefix"]} if "prefix" in h else {})} for h in r.get("fromHeaders", [])]
    return {"issuer": r["issuer"], "audiences": r.get("audiences", []), "forward": r.get("forwardOriginalToken", False), "payload_in_metadata": "payload",
            "forward_payload_header": r.get("outputPayloadToHeader", ""), "from_headers": headers, "from_params": r.get("fromParams", []), "from_cookies": r.get("fromCookies", []),
            "claim_to_headers": [{"header_name": c["header"], "claim_name": c["claim"]} for c in r.get("outputClaimToHeaders", [])],
            "normalize_payload_in_metadata": {"space_delimited_claims": ["permission", "scope"]}, "local_jwks": {"inline_string": r["jwks"]}}


def listener(port, rules):
    names = [f"origins-{i}" for i in range(len(rules))]
    each = [{"requires_any": {"requirements": [{"provider_name": n}, {"allow_missing": {}}]}} for n in names]
    need = each[0] if len(each) == 1 else {"requires_any": {"requirements": [{"provider_name": n} for n in names] + [{"requires_all": {"requirements": each}}]}}
    jwt = ANY("filters.http.jwt_authn.v3.JwtAuthentication", providers={n: provider(r) for n, r in zip(names, rules)}, rules=[{"match": {"prefix": "/"}, "requires": need}],
              bypass_cors_preflight=True)
    hcm = ANY("filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix="h", normalize_path=True, delayed_close_timeout="0s",
              route_config={"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]},
              http_filters=[{"name": "jwt", "typed_config": jwt}, {"name": "router", "typed_config": ANY("filters.http.router.v3.Router")}])
    return {"name": f"l{port}", "address": at("0.0.0.0", port), "filter_chains": [{"filters": [{"name": "hcm", "typed_config": hcm}]}]}


def ask(web, ip, port, path, headers):
    with web.connect(ip, port) as s:
        lines = [f"GET {path} HTTP/1.1", "Host: shop"] + [f"{k}: {v}" for k, v in headers] + ["Connection: close", "", ""]
        s.sendall("\r\n".join(lines).encode())
        got = b""
        while part := s.recv(65536):
            got += part
    head, _, body = got.partition(b"\r\n\r\n")
    fields = {k.lower(): v for k, v in (l.split(": ", 1) for l in head.decode().split("\r\n")[1:])}
    status = int(head.split()[1])
    if status != 200:
        return status, body.decode(), fields.get("www-authenticate")
    app = json.loads(body)
    seen = sorted((k.lower(), v) for k, v in app["headers"] if k.lower() == "authorization" or k.lower() == "cookie" or
                  (k.lower().startswith("x-") and not k.lower().startswith(("x-forwarded", "x-request", "x-envoy", "x-b3"))))
    return status, app["path"], seen


def install(lab, rules, marker=True):
    """With a rule of its own header that shows that these are in force."""
    more = [{"issuer": "https://marker.test", "jwks": JWKS("evil"), "fromHeaders": [{"name": "x-marker"}]}] if marker else []
    lab.write("jwt.json", json.dumps({"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": {"name": "jwt", "namespace": "default"},
                                      "spec": {"jwtRules": rules + more}}))


def test_beside_envoy():
    with Lab() as lab:
        web, shop, envoy = lab.plain("web", "shop", "envoy")
        for h in (shop, envoy):
            h.serve_http(8080)
        start(lab, envoy, [listener(7000 + i, RULES[name]) for i, name in enumerate(RULES)], [cluster("app", "127.0.0.1", 8080)])
        shop.mode = "sidecar"
        lab.workload(shop)
        shop.start("--workload=default/shop-v6")
        wrong = []
        for i, name in enumerate(RULES):
            install(lab, RULES[name])
            eventually(lambda: ask(web, shop.v4, 8080, "/", [("x-marker", "x.y.z")])[0] == 401, 5)
            install(lab, RULES[name], marker=False)
            eventually(lambda: ask(web, shop.v4, 8080, "/", [("x-marker", "x.y.z")])[0] == 200, 5)
            for path, headers in ASKS[name]:
                want, got = ask(web, envoy.v4, 7000 + i, path, headers), ask(web, shop.v4, 8080, path, headers)
                if want != got:
                    wrong.append(f"{name} {path[:60]} {[(k, v[:40]) for k, v in headers]}:\n  Envoy {want}\n  meshd {got}")
        assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong)
