# SPDX-License-Identifier: Apache-2.0
"""Random AuthorizationPolicies and requests: istiod's own translation (authzgen) judged by Envoy, and `meshd authz test` with the verdicts
that Envoy gave as expectations. Envoy holds one case per route (header x-case) and, for bytes, one per port."""
import base64, concurrent.futures, hashlib, hmac, json, os, random, socket, ssl, subprocess, tempfile
from cluster import PEERS
from harness import Skip, eventually, meshd_path, sh
from pki import Pki
from relay import loopback
from test_envoy import ANY, at, envoy_path

TD, ALIASES = "mesh.test", ["old.test", "older.local"]
SECRET = b"0123456789abcdef0123456789abcdef"
PORT = 18443
IDS = {"a": f"{TD}/ns/web/sa/a", "b": "old.test/ns/web-two/sa/batch", "c": "strange.test/ns/shop/sa/a", "d": f"{TD}/ns/sa/sa/web", "": ""}


def authzgen(policies):
    path = f"{PEERS}/authzgen"
    if not os.access(path, os.X_OK):
        assert not os.environ.get("CI"), f"no {path}: tests/interop/build makes it"
        raise Skip("no authzgen: run tests/interop/build")
    out = subprocess.run([path, TD, *ALIASES], input=json.dumps(policies), capture_output=True, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])     # istiod's log stands before it


# ---- cases ----

def stars(r, words):
    w = r.choice(words)
    k = r.random()
    if k < 0.5:
        return w
    if k < 0.65:
        return w[:r.randint(1, len(w))] + "*"
    if k < 0.8:
        return "*" + w[r.randint(0, len(w) - 1):]
    if k < 0.87:
        return "*"
    return "*" + w[1:-1] + "*" if len(w) > 3 else w


PATHS = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/admin", "/admin/x[1]", "/items/1", "/items/1/z", "/A", "/a%2Fb", "/a/*", "/x;y=1", "/a/b.html", "/~joe"]
TEMPLATES = ["/a/{*}", "/a/{**}", "/{*}/b", "/items/{*}/z", "/{**}", "/a/{**}/c", "/admin/{*}", "/{*}/{*}"]
HOSTS = ["shop.test", "Shop.Test", "shop.test:8080", "other.test"]
METHODS = ["GET", "POST", "PUT", "get"]
CLAIMS = [None, {"iss": "https://id.test/x", "sub": "joe", "aud": "shop", "groups": ["g1", "g2"], "scope": "read write"},
          {"iss": "https://id.test/x", "sub": "ann", "aud": ["shop", "other"], "azp": "app", "n": 7, "deep": {"a": "b"}}]
VALUES = {
    "principals": list(IDS.values())[:4] + ["cluster.local/ns/web/sa/a", "older.local/ns/web-two/sa/batch"],
    "namespaces": ["web", "web-two", "shop", "sa", "we"], "requestPrincipals": ["https://id.test/x/joe", "https://id.test/x/ann", "joe"],
    "methods": METHODS, "hosts": HOSTS,
}


def maybe_not(r, name):
    return "not" + name[0].upper() + name[1:] if r.random() < 0.25 else name


def source(r):
    out = {}
    for name in r.sample(["principals", "namespaces", "requestPrincipals", "ipBlocks", "remoteIpBlocks", "trustDomains", "serviceAccounts"], r.randint(1, 2)):
        if name in ("ipBlocks", "remoteIpBlocks"):
            v = r.sample(["127.0.0.1", "127.0.0.0/8", "7.7.7.0/24", "::/0", "0.0.0.0/0"], 2)
        elif name == "trustDomains":
            v = [r.choice([TD, "old.test", "cluster.local", "*test", "strange*", "*"])]
        elif name == "serviceAccounts":
            v = [r.choice(["web/a", "a", "web-two/batch", "shop/a"])]
        else:
            v = [stars(r, VALUES[name]) for _ in range(r.randint(1, 2))]
        out[maybe_not(r, name)] = v
    if any("erviceAccounts" in k for k in out):
        out = {k: v for k, v in out.items() if k not in ("principals", "notPrincipals", "namespaces", "notNamespaces")}
    return {"source": out}


def operation(r):
    out = {}
    for name in r.sample(["methods", "hosts", "paths", "ports"], r.randint(1, 2)):
        if name == "ports":
            v = [r.choice([str(PORT), "80"])]
        elif name == "paths":
            v = [r.choice(TEMPLATES) if r.random() < 0.4 else stars(r, PATHS) for _ in range(r.randint(1, 3))]
        else:
            v = [stars(r, VALUES[name]) for _ in range(r.randint(1, 2))]
        out[maybe_not(r, name)] = v
    return {"operation": out}


def condition(r):
    key, words = r.choice([
        ("request.headers[x-team]", ["red", "blue", "red,blue"]), ("request.headers[X-Other]", ["o"]), ("request.auth.claims[groups]", ["g1", "g2"]),
        ("request.auth.claims[scope]", ["read", "write", "read write"]), ("request.auth.claims[deep][a]", ["b"]), ("request.auth.claims[n]", ["7"]),
        ("request.auth.audiences", ["shop", "other"]), ("request.auth.presenter", ["app"]), ("source.namespace", ["web", "web-two"]),
        ("source.principal", list(IDS.values())[:4]), ("connection.sni", ["sni.test"]), ("destination.port", None), ("remote.ip", None)])
    values = [str(PORT)] if key == "destination.port" else ["7.7.7.7"] if key == "remote.ip" else [stars(r, words) for _ in range(r.randint(1, 2))]
    return {"key": key, ("notValues" if r.random() < 0.3 else "values"): values}


def rule(r):
    out = {}
    if r.random() < 0.6:
        out["from"] = [source(r) for _ in range(r.randint(1, 2))]
    if r.random() < 0.7:
        out["to"] = [operation(r) for _ in range(r.randint(1, 2))]
    if r.random() < 0.4 or not out:
        out["when"] = [condition(r) for _ in range(r.randint(1, 2))]
    return out


def request(r):
    headers = [("x-team", r.choice(["red", "blue", "", "red,blue"])) for _ in range(r.choice([0, 1, 1, 2]))]
    if r.random() < 0.2:
        headers.append(("x-other", "o"))
    if r.random() < 0.4:
        headers.append(("x-forwarded-for", r.choice(["7.7.7.7", "1.1.1.1, 7.7.7.7", "7.7.7.7, 1.1.1.1", "junk"])))
    path = r.choice(PATHS + ["/a/../admin", "/a//b", "/%61", "/a/./b"])
    return {"who": r.choice(list(IDS)), "method": r.choice(METHODS[:3]), "path": path + r.choice(["", "?x=/admin"]), "host": r.choice(HOSTS),
            "headers": headers, "claims": r.choice(CLAIMS)}


# ---- Envoy ----

def b64(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def token(claims):
    text = b64(b'{"alg":"HS256"}') + "." + b64(json.dumps({**claims, "exp": 4102444800}).encode())
    return text + "." + b64(hmac.new(SECRET, text.encode(), hashlib.sha256).digest())


def transport(certs):
    return {"name": "tls", "typed_config": ANY("transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context={
        "tls_certificates": [{"certificate_chain": {"filename": certs[0]}, "private_key": {"filename": certs[1]}}],
        "validation_context": {"trusted_ca": {"filename": certs[2]}}})}


def envoy_config(certs, generated, n_tcp):
    jwt = ANY("filters.http.jwt_authn.v3.JwtAuthentication", providers={"p": {
        "issuer": "https://id.test/x", "forward": True, "payload_in_metadata": "payload", "normalize_payload_in_metadata": {
            "space_delimited_claims": ["scope", "permission"]}, "local_jwks": {"inline_string": json.dumps({"keys": [
                {"kty": "oct", "k": b64(SECRET)}]})}}},
        rules=[{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": [{"provider_name": "p"}, {"allow_missing": {}}]}}}])
    routes = [{"match": {"prefix": "/", "headers": [{"name": "x-case", "string_match": {"exact": str(i)}}]}, "direct_response": {"status": 200},
               "typed_per_filter_config": {"envoy.filters.http.rbac": ANY("filters.http.rbac.v3.RBACPerRoute", rbac={"rules": g["http"]})}}
              for i, g in enumerate(generated)]
    hcm = ANY("filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix="h", normalize_path=True, use_remote_address=False,
              route_config={"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]}, http_filters=[
                  {"name": "envoy.filters.http.jwt_authn", "typed_config": jwt},
                  {"name": "envoy.filters.http.rbac", "typed_config": ANY("filters.http.rbac.v3.RBAC")},
                  {"name": "router", "typed_config": ANY("filters.http.router.v3.Router")}])

    def listener(port, *filters):
        return {"name": f"l{port}", "address": at("127.0.0.1", port), "listener_filters": [
            {"name": "tls", "typed_config": ANY("filters.listener.tls_inspector.v3.TlsInspector")}],
            "filter_chains": [{"transport_socket": transport(certs), "filters": list(filters)}]}
    tcp = [listener(PORT + 1 + i, {"name": "rbac", "typed_config": ANY("filters.network.rbac.v3.RBAC", stat_prefix="r", rules=g["tcp"])},
                    {"name": "echo", "typed_config": ANY("filters.network.echo.v3.Echo")}) for i, g in enumerate(generated[:n_tcp])]
    return {"node": {"id": "x", "cluster": "x"}, "static_resources": {"listeners": [listener(PORT, {"name": "hcm", "typed_config": hcm})] + tcp}}


def context(pki, who):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if who:
        cert, key, _ = pki.leaf(f"client-{who}", f"spiffe://{IDS[who]}")
        c.load_cert_chain(cert, key)
    return c


def ask(ctx, case, q):
    lines = [f"{q['method']} {q['path']} HTTP/1.1", f"Host: {q['host']}", f"x-case: {case}"] + [f"{k}: {v}" for k, v in q["headers"]]
    if q["claims"]:
        lines.append("Authorization: Bearer " + token(q["claims"]))
    with socket.create_connection(("127.0.0.1", PORT), 5) as raw, ctx[q["who"]].wrap_socket(raw, server_hostname="sni.test") as s:
        s.sendall(("\r\n".join(lines) + "\r\nConnection: close\r\n\r\n").encode())
        got = b""
        while b"\r\n\r\n" not in got and (part := s.recv(4096)):     # Envoy closes a second later
            got += part
    return int(got.split()[1])


def echoes(ctx, port, who):
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as raw, ctx[who].wrap_socket(raw, server_hostname="sni.test") as s:
            s.sendall(b"x")
            return s.recv(1) == b"x"
    except OSError:
        return False


# ---- the two ----

def workloads(dir, policies):
    docs = [{"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": {"name": f"w{i}", "namespace": "prod", "labels": {"app": f"w{i}"}},
             "spec": {"address": f"10.9.{i // 250}.{i % 250 + 1}"}} for i in range(len(policies))]
    docs += [{"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": p["name"], "namespace": "prod"},
              "spec": {"selector": {"matchLabels": {"app": f"w{i}"}}, "action": p["action"], "rules": p["rules"]}} for i, p in enumerate(policies)]
    os.mkdir(f"{dir}/conf")
    with open(f"{dir}/conf/all.yaml", "w") as f:
        f.write("\n---\n".join(json.dumps(d) for d in docs))
    with open(f"{dir}/conf/mesh.yaml", "w") as f:
        json.dump({"trustDomain": TD, "trustDomainAliases": ALIASES}, f)


def as_test(i, policies, q, allowed):
    headers = {}
    for k, v in q["headers"]:
        headers.setdefault(k, []).append(v)
    return {"name": f"{i}: {json.dumps(policies[i])}: {json.dumps(q)}", "workload": f"prod/w{i}", "port": PORT, "sni": "sni.test",
            "from": {"principal": IDS[q["who"]], "address": "127.0.0.1"}, "expect": "ALLOW" if allowed else "DENY",
            "request": {"method": q["method"], "path": q["path"], "host": q["host"], "headers": headers, **({"claims": q["claims"]} if q["claims"] else {})}}


def verdicts(dir, r, policies, asks, n_tcp):
    """What Envoy says to random requests, as a table for meshd."""
    n, generated, pki, log = len(policies), authzgen(policies), Pki(dir), open(f"{dir}/envoy.log", "w")
    with open(f"{dir}/envoy.json", "w") as f:
        json.dump(envoy_config(pki.leaf("server", f"spiffe://{TD}/ns/prod/sa/w"), generated, n_tcp), f)
    envoy = subprocess.Popen([envoy_path(), "-c", f"{dir}/envoy.json", "--concurrency", "1", "-l", "error", "--use-dynamic-base-id"], stdout=log, stderr=log)
    try:
        eventually(lambda: socket.create_connection(("127.0.0.1", PORT), 1).close() or True, 30, what="Envoy: " + open(log.name).read())
        ctx = {who: context(pki, who) for who in IDS}
        queries = [(i, request(r)) for i in range(n) for _ in range(asks)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda q: ask(ctx, *q), queries))
            bytes_of = list(pool.map(lambda k: (*k, echoes(ctx, PORT + 1 + k[0], k[1])), [(i, who) for i in range(n_tcp) for who in IDS]))
    finally:
        envoy.kill()
        envoy.wait()
    assert set(answers) <= {200, 403}, set(answers)
    return [as_test(i, policies, q, status == 200) for (i, q), status in zip(queries, answers)] + [
        {"name": f"bytes {i}: {json.dumps(policies[i])}: {IDS[who]}", "workload": f"prod/w{i}", "port": PORT + 1 + i, "sni": "sni.test",
         "from": {"principal": IDS[who], "address": "127.0.0.1"}, "expect": "ALLOW" if ok else "DENY"} for i, who, ok in bytes_of]


def test_against_envoy():
    seed, n, asks, n_tcp = int(os.environ.get("SEED", "7")), int(os.environ.get("CASES", "120")), 10, 40
    r = random.Random(seed)
    policies = [{"namespace": "prod", "name": f"p{i}", "action": r.choice(["ALLOW", "DENY"]), "rules": [rule(r) for _ in range(r.randint(1, 2))]} for i in range(n)]
    loopback()
    with tempfile.TemporaryDirectory(prefix="meshd-authz-") as dir:
        tests = verdicts(dir, r, policies, asks, n_tcp)
        allowed = sum(t["expect"] == "ALLOW" for t in tests)
        assert n < allowed < len(tests) - n, f"the cases are one-sided: {allowed} of {len(tests)} are allowed"
        workloads(dir, policies)
        with open(f"{dir}/table.yaml", "w") as f:
            json.dump({"tests": tests}, f)
        got = sh(meshd_path(), "authz", "test", f"--config-dir={dir}/conf", f"{dir}/table.yaml", check=False, timeout=60)
        said = [line for line in got.stdout.splitlines() if line.startswith("FAILED") or line.endswith("failed.")]
        assert got.returncode == 0, f"seed {seed}: " + "\n".join(said)[:8000] + got.stderr[-500:]
