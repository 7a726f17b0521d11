# SPDX-License-Identifier: Apache-2.0
"""Random routing configuration and random requests: what istiod makes of it and Envoy does with it, and what meshd decides.
A world is a set of objects; requests are judged by Envoy with istiod's own RouteConfigurations (all clusters lead to one server that
tells what it got), and by `decide`, which runs meshd's plan and filters."""
import http.client, http.server, json, os, random, socket, subprocess, threading, time

SERVICES = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart.shop.svc.cluster.local]
  addresses: [10.0.0.1]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 8080, name: http-alt, protocol: HTTP}, {number: 90, name: any}]
  endpoints: [{address: 10.1.0.1, labels: {app: cart, version: v1}}, {address: 10.1.0.2, labels: {app: cart, version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: user, namespace: shop}
spec:
  hosts: [user.shop.svc.cluster.local]
  addresses: [10.0.0.2]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 9000, name: grpc, protocol: GRPC}]
  endpoints: [{address: 10.1.0.3, labels: {app: user}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pay, namespace: bank}
spec:
  hosts: [pay.bank.svc.cluster.local]
  addresses: [10.0.0.3]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 10.1.0.4, labels: {app: pay}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: bank}
spec:
  hosts: [api.example.com, www.example.com]
  addresses: [10.0.0.4]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 8080, name: http2, protocol: HTTP2}]
  endpoints: [{address: 10.1.0.5}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: shop}
spec:
  hosts: [db.shop.svc.cluster.local]
  addresses: [10.0.0.5]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 5432, name: tcp, protocol: TCP}, {number: 443, name: tls, protocol: TLS}]
  endpoints: [{address: 10.1.0.6, labels: {version: v1}}, {address: 10.1.0.7, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: secure, namespace: bank}
spec:
  hosts: [secure.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 443, name: tls, protocol: TLS}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: me, namespace: shop}
spec: {address: 10.2.0.1, labels: {app: me, version: v1}, serviceAccount: me}
"""
SHARED = "10.0.0.4"         # of two hosts: istiod gives it to either
NAMESPACE, NAME, ADDRESS, LABELS = "shop", "me", "10.2.0.1", "app=me,version=v1"
HOSTS = ["cart.shop.svc.cluster.local", "user.shop.svc.cluster.local", "pay.bank.svc.cluster.local", "api.example.com", "www.example.com"]
EXTRA_HOSTS = ["*.shop.svc.cluster.local", "*.example.com", "*.svc.cluster.local", "outer.test", "*.test", "nobody.example.com"]
NAMES = ["cart", "cart.shop", "cart.shop.svc.cluster.local", "cart:80", "user.shop.svc", "pay", "pay.bank", "pay.bank.svc.cluster.local.", "API.example.com", "www.example.com:8080",
         "x.example.com", "outer.test", "in.outer.test", "10.0.0.1", "10.0.0.3:80", "nobody", "nobody.example.com", "user"]
PATHS = ["/", "/a", "/a/", "/a/b", "/ab", "/A", "/a/b/c", "/b", "/b/c", "/c.x", "/a?q=1", "/a/b?q=2&r=x", "/?q=1", "/x//y", "/%61", "/foo/bar", "/foo", "/foobar", "/B/C?x=/a"]
DESTS = ["10.0.0.1:80", "10.0.0.1:8080", "10.0.0.1:90", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.4:8080", "10.0.0.2:9000", "9.9.9.9:80", "9.9.9.9:8080", "9.9.9.9:90"]


# ---- worlds ----

def text(r, values):
    return {r.choice(["exact", "prefix"]): r.choice(values)} if r.random() < 0.75 else {"regex": r.choice(values) + r.choice(["", ".*", "[a-z]?", "+"])}


def match(r):
    m = {}
    if r.random() < 0.75:
        kind = r.choice(["exact", "prefix", "prefix", "regex"])
        m["uri"] = {kind: r.choice(["/.*", "/a.*", "/[ab]/.+", ".*", "/a|/b", "/foo/?"] if kind == "regex" else ["/", "/a", "/a/", "/a/b", "/b", "/foo", "/A"])}
    if r.random() < 0.25:
        m["headers"] = {r.choice(["x-t1", "X-T2", "method", "scheme"]): r.choice([{"exact": "1"}, {"prefix": "1"}, {"regex": "1|2"}, {}])}
    if r.random() < 0.15:
        m["withoutHeaders"] = {r.choice(["x-t1", "x-t2", "x-t3"]): r.choice([{"exact": "1"}, {"prefix": "2"}, {"regex": ".*"}, {}])}
    if r.random() < 0.15:
        m["queryParams"] = {r.choice(["q", "r", "x"]): r.choice([{"exact": "1"}, {"prefix": "x"}, {"regex": "[0-9]+"}, {}])}
    if r.random() < 0.15:
        m["method"] = r.choice([{"exact": "GET"}, {"prefix": "P"}, {"regex": "GET|PUT"}])
    if r.random() < 0.1:
        m["authority"] = r.choice([{"exact": "cart"}, {"prefix": "api"}, {"regex": ".*[:]80"}])
    if r.random() < 0.05:
        m["scheme"] = {"exact": r.choice(["http", "https"])}
    if r.random() < 0.15:
        m["port"] = r.choice([80, 80, 8080, 90])
    if r.random() < 0.15:
        m["sourceLabels"] = r.choice([{"app": "me"}, {"app": "other"}, {"app": "me", "version": "v1"}])
    if r.random() < 0.1:
        m["sourceNamespace"] = r.choice(["shop", "bank"])
    if r.random() < 0.08:
        m["gateways"] = r.choice([["mesh"], ["gw"], ["mesh", "gw"]])
    if r.random() < 0.1 and "regex" not in m.get("uri", {}) and "uri" in m:
        m["ignoreUriCase"] = True
    if r.random() < 0.15:
        m["name"] = r.choice(["m1", "m2"])
    return m or {"uri": {"prefix": "/"}}


def destination(r):
    d = {"host": r.choice(HOSTS[:4] * 3 + ["nowhere.shop.svc.cluster.local"])}
    if r.random() < 0.3:
        d["port"] = {"number": r.choice([80, 80, 8080, 9000])}
    if r.random() < 0.3:
        d["subset"] = r.choice(["v1", "v2", "v3"])
    return d


def header_ops(r, authority=True):
    ops = {}
    value = lambda: r.choice(["1", "two", "%REQ(x-t1)%", "a b", "100%%"])
    for k in ("set", "add"):
        if r.random() < 0.5:
            ops[k] = {n: value() for n in r.sample(["x-t1", "x-t2", "x-t4"], r.randint(1, 2))}
    if r.random() < 0.4:
        ops["remove"] = r.sample(["x-t1", "x-t2", "x-t3"], 1)
    if authority and r.random() < 0.15:
        ops.setdefault("set", {})[r.choice([":authority", "Host"])] = "set.test"
    return ops


def headers(r, authority=True):
    h = {}
    if r.random() < 0.7:
        h["request"] = header_ops(r, authority)
    if r.random() < 0.5:
        h["response"] = header_ops(r, False)
    return {k: v for k, v in h.items() if v}


def rule(r, i, delegate=None):
    h = {"name": f"r{i}"} if r.random() < 0.9 else {}
    if r.random() < 0.85:
        h["match"] = [match(r) for _ in range(r.choice([1, 1, 1, 2]))]
    if delegate and r.random() < 0.5:
        for m in h.get("match", []):
            for k in ("sourceLabels", "sourceNamespace", "gateways"):
                m.pop(k, None)
        h["delegate"] = {"name": delegate, "namespace": "shop"}
        return h
    kind = r.random()
    if kind < 0.12:
        redirect = {}
        if r.random() < 0.5:
            redirect["uri"] = r.choice(["/new", "/new?y=1", "/"])
        if r.random() < 0.5:
            redirect["authority"] = "to.test"
        if r.random() < 0.3:
            redirect["scheme"] = "https"
        if r.random() < 0.3:
            redirect["port"] = r.choice([80, 443, 8443])
        elif r.random() < 0.3:
            redirect["derivePort"] = r.choice(["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"])
        if r.random() < 0.4:
            redirect["redirectCode"] = r.choice([301, 302, 303, 307, 308])
        h["redirect"] = redirect or {"authority": "to.test"}
        if "uri" not in h["redirect"] and "authority" not in h["redirect"] and "scheme" not in h["redirect"]:
            h["redirect"]["authority"] = "to.test"
    elif kind < 0.2:
        h["directResponse"] = {"status": r.choice([200, 418, 503]), "body": {"string": "direct " + str(i)}}
    else:
        n = r.choice([1, 1, 1, 2, 3])
        h["route"] = [{"destination": destination(r)} for _ in range(n)]
        if n > 1:
            for t in h["route"]:
                t["weight"] = r.choice([0, 1, 50])
            h["route"][0]["weight"] = 5
        for t in h["route"]:
            if r.random() < 0.3:
                if x := headers(r):
                    t["headers"] = x
        if r.random() < 0.3:
            prefixes = [m.get("uri", {}) for m in h.get("match", [])]
            w = r.choice([{"uri": r.choice(["/", "/new", "/new/"])}, {"authority": "re.test"}, {"uri": "/n", "authority": "re.test"},
                          {"uriRegexRewrite": {"match": "^/([a-z]+)(.*)$", "rewrite": r"/re/\1\2"}}, {"uriRegexRewrite": {"match": "a", "rewrite": "b"}}])
            h["rewrite"] = w
            if "authority" in w:        # set twice is invalid
                for x in [h] + h["route"]:
                    x.get("headers", {}).get("request", {}).get("set", {}).pop(":authority", None)
                    x.get("headers", {}).get("request", {}).get("set", {}).pop("Host", None)
        if r.random() < 0.3:
            h["timeout"] = r.choice(["1s", "1.5s", "30s"])
        if r.random() < 0.3:
            h["retries"] = r.choice([{"attempts": 0}, {"attempts": 3, "retryOn": "5xx,reset,503", "perTryTimeout": "2s"}, {"attempts": 1, "retryOn": "gateway-error,retriable-4xx"},
                                     {"attempts": 4, "retryRemoteLocalities": True, "retryIgnorePreviousHosts": False}, {"attempts": 2, "backoff": "0.1s", "retryOn": "429,connect-failure"}])
        if r.random() < 0.2:
            h["mirrors"] = [{"destination": destination(r), **r.choice([{}, {"percentage": {"value": 0.5}}, {"percentage": {"value": 0}}])} for _ in range(r.choice([1, 1, 2]))]
        if r.random() < 0.1:
            h["fault"] = {"abort": r.choice([{"httpStatus": 418, "percentage": {"value": 100}}, {"grpcStatus": r.choice(["UNAVAILABLE", "NOT_FOUND", "INTERNAL", "ABORTED"]), "percentage": {"value": 100}},
                                             {"httpStatus": 500, "percentage": {"value": 0}}, {"httpStatus": 500}])}
    if r.random() < 0.3 and "redirect" not in h:
        if x := headers(r, "authority" not in h.get("rewrite", {}) and "route" in h):
            h["headers"] = x
    own = h.get("headers", {}).get("request", {}).get("set", {})
    if {":authority", "Host"} & set(own) and any({":authority", "Host"} & set(t.get("headers", {}).get("request", {}).get("set", {})) for t in h.get("route", [])):
        own.pop(":authority", None)
        own.pop("Host", None)
    if len({k for k in own if k in (":authority", "Host")}) > 1:
        own.pop("Host")
    if r.random() < 0.2:
        h["corsPolicy"] = {"allowOrigins": [r.choice([{"exact": "https://a.test"}, {"prefix": "https://a"}, {"regex": "https://[ab].test"}, {"exact": "*"}])],
                           **r.choice([{}, {"allowMethods": ["GET", "PUT"], "allowHeaders": ["x-a", "x-b"], "exposeHeaders": ["x-c"], "maxAge": "600s", "allowCredentials": True}]),
                           **r.choice([{}, {"unmatchedPreflights": "IGNORE"}])}
    return h


def clean(o):
    """Empty header operations are not valid."""
    if isinstance(o, dict):
        o = {k: clean(v) for k, v in o.items()}
        return {k: v for k, v in o.items() if not (k in ("request", "response", "set", "add") and v == {}) and not (k == "headers" and v == {})}
    return [clean(v) for v in o] if isinstance(o, list) else o


def policy(r, ports=True):
    p = {}
    if r.random() < 0.5:
        p["loadBalancer"] = r.choice([{"simple": "ROUND_ROBIN"}, {"simple": "RANDOM"}, {"consistentHash": {"httpHeaderName": "x-user"}}, {"consistentHash": {"useSourceIp": True}},
                                      {"consistentHash": {"httpCookie": {"name": "sid", "ttl": "60s", "path": "/"}}}, {"consistentHash": {"httpQueryParameterName": "q", "maglev": {"tableSize": 1009}}}])
    if r.random() < 0.5:
        p["connectionPool"] = r.choice([{"tcp": {"maxConnections": 3, "connectTimeout": "2s", "idleTimeout": "30s"}}, {"http": {"http1MaxPendingRequests": 5, "maxRequestsPerConnection": 7, "idleTimeout": "9s"}},
                                        {"tcp": {"maxConnectionDuration": "60s"}, "http": {"http2MaxRequests": 11, "maxRetries": 2, "h2UpgradePolicy": "UPGRADE", "maxConcurrentStreams": 13}}])
    if r.random() < 0.4:
        p["outlierDetection"] = r.choice([{"consecutive5xxErrors": 3}, {"consecutiveGatewayErrors": 2, "consecutive5xxErrors": 0, "interval": "5s", "maxEjectionPercent": 50}, {"baseEjectionTime": "10s", "minHealthPercent": 30}])
    if r.random() < 0.3:
        p["tls"] = r.choice([{"mode": "DISABLE"}, {"mode": "ISTIO_MUTUAL"}, {"mode": "SIMPLE", "sni": "sni.test"}, {"mode": "SIMPLE", "subjectAltNames": ["a.test"]}])
    if ports and r.random() < 0.3:
        p["portLevelSettings"] = [{"port": {"number": r.choice([80, 8080, 9000])}, **policy(r, False)}]
    return p or {"loadBalancer": {"simple": "LEAST_REQUEST"}}


def bytes_of(r):
    """A VirtualService of TCP and TLS."""
    to = lambda: [{"destination": {"host": r.choice(["db.shop.svc.cluster.local", "secure.example.com"]), **r.choice([{}, {"subset": "v1"}, {"port": {"number": 443}}])}, "weight": r.choice([1, 9])}
                  for _ in range(r.choice([1, 2]))]
    spec = {"hosts": r.sample(["db.shop.svc.cluster.local", "secure.example.com"], r.choice([1, 1, 2]))}
    if r.random() < 0.7:
        spec["tcp"] = [{**r.choice([{}, {"match": [{"port": r.choice([5432, 443, 1])}]}, {"match": [{"sourceLabels": {"app": r.choice(["me", "no"])}}]}]), "route": to()} for _ in range(r.choice([1, 2]))]
    if r.random() < 0.7 or "tcp" not in spec:
        spec["tls"] = [{"match": [{"port": r.choice([443, 443, 5432]), "sniHosts": [r.choice(spec["hosts"])]}], "route": to()} for _ in range(r.choice([1, 2]))]
    return spec


def obj(kind, ns, name, spec):
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name, "namespace": ns}, "spec": clean(spec)}


def world(seed):
    """Objects, as a list."""
    r = random.Random(seed)
    out = []
    for i in range(r.randint(1, 5)):
        ns = r.choice(["shop", "shop", "bank", "istio-system"])
        hosts = r.sample(HOSTS + EXTRA_HOSTS, r.choice([1, 1, 2]))
        if any(h.startswith("*") for h in hosts):
            hosts = [next(h for h in hosts if h.startswith("*"))]     # overlapping ones are invalid
        spec = {"hosts": hosts, "http": [rule(r, k, "leaf" if r.random() < 0.3 else None) for k in range(r.randint(1, 5))]}
        if r.random() < 0.35:
            spec["exportTo"] = r.choice([["."], ["*"], ["shop"], ["bank"]])
            if spec["exportTo"] == [ns]:
                spec["exportTo"] = ["."]
        out.append(obj("VirtualService", ns, f"v{r.randint(0, 99):02}-{i}", spec))
    leaf = obj("VirtualService", "shop", "leaf", {"http": [rule(r, 10 + k) for k in range(r.randint(1, 3))]})
    for h in leaf["spec"]["http"]:
        for m in h.get("match", []):
            for k in ("sourceLabels", "sourceNamespace", "gateways"):
                m.pop(k, None)
            if not m:
                m["uri"] = {"prefix": "/"}
    out.append(leaf)
    for i in range(r.randint(0, 3)):
        ns = r.choice(["shop", "bank", "istio-system"])
        out.append(obj("DestinationRule", ns, f"d{i}", {"host": r.choice(HOSTS + ["*.shop.svc.cluster.local", "*.local"]),
                                                        **({"trafficPolicy": policy(r)} if r.random() < 0.7 else {}),
                                                        "subsets": [{"name": n, "labels": {"version": n}, **({"trafficPolicy": policy(r)} if r.random() < 0.3 else {})}
                                                                    for n in r.sample(["v1", "v2", "v3"], r.randint(1, 2))]}))
    if r.random() < 0.6:
        out.append(obj("VirtualService", r.choice(["shop", "bank"]), f"b{r.randint(0, 99):02}", bytes_of(r)))
    if r.random() < 0.3:
        hosts = r.sample(["*/*", "./*", "bank/*", "shop/cart.shop.svc.cluster.local", "*/api.example.com", "~bank/*", "*/*.svc.cluster.local", "~./user.shop.svc.cluster.local"], r.randint(1, 3))
        if all(h.startswith("~") for h in hosts):
            hosts.append("*/*")
        spec = {"egress": [{"hosts": hosts}]}
        if r.random() < 0.3:
            spec["egress"].insert(0, {"port": {"number": r.choice([80, 8080]), "protocol": "HTTP", "name": "h"}, "hosts": r.sample(["./*", "bank/*", "*/*"], 1)})
        if r.random() < 0.5:
            spec["outboundTrafficPolicy"] = {"mode": r.choice(["REGISTRY_ONLY", "ALLOW_ANY"])}
        out.append(obj("Sidecar", "shop", "scope", spec))
    return out


def requests(seed, n, names=NAMES, dests=DESTS):
    r = random.Random(seed)
    out = []
    for _ in range(n):
        h = [[f"x-t{k}", r.choice(["1", "2", "12", ""])] for k in (1, 2, 3) if r.random() < 0.3]
        if r.random() < 0.1:
            h.append(["x-t1", "2"])
        method = r.choice(["GET"] * 5 + ["PUT", "POST", "OPTIONS"])
        if r.random() < 0.3:
            h.append(["origin", r.choice(["https://a.test", "https://b.test", "https://other.test"])])
            if method == "OPTIONS":
                h.append(["access-control-request-method", "PUT"])
        out.append({"to": r.choice(dests), "method": method, "authority": r.choice(names), "path": r.choice(PATHS), "headers": h})
    return out


# ---- worlds of the Gateway API ----

def kube(kind, ns, name, spec, api="gateway.networking.k8s.io/v1"):
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": ns, "creationTimestamp": f"2026-01-{1 + len(name) % 20:02}T00:00:00Z"}, "spec": spec}


KUBE = [kube("Service", ns, name, {"clusterIP": ip, "clusterIPs": [ip], "selector": {"app": name},
                                   "ports": [{"name": "http", "port": 80, "targetPort": 8000, "protocol": "TCP"}, {"name": "http-b", "port": 8080, "targetPort": 8001, "protocol": "TCP"}]}, "v1")
        for ns, name, ip in (("shop", "web", "10.0.1.1"), ("shop", "img", "10.0.1.2"), ("bank", "acc", "10.0.1.3"))]
KUBE_NAMES = ["web", "web.shop", "web.shop.svc.cluster.local", "img.shop.svc:80", "acc.bank", "acc.bank.svc.cluster.local", "10.0.1.1", "nobody"]
KUBE_DESTS = ["10.0.1.1:80", "10.0.1.2:80", "10.0.1.3:80", "10.0.1.1:8080", "9.9.9.9:80"]


def modifier(r):
    pairs = lambda: [{"name": n, "value": r.choice(["1", "two"])} for n in r.sample(["x-t1", "x-t2", "x-t4"], r.randint(1, 2))]
    m = {k: pairs() for k in ("set", "add") if r.random() < 0.6}
    if r.random() < 0.4 or not m:
        m["remove"] = r.sample(["x-t1", "x-t2", "x-t3"], 1)
    return m


def backend(r):
    ns, name = r.choice([("shop", "web"), ("shop", "img"), ("bank", "acc"), ("shop", "nowhere")])
    b = {"name": name, "namespace": ns, "port": r.choice([80, 80, 8080])}
    if r.random() < 0.5:
        b["weight"] = r.choice([0, 1, 9])
    if r.random() < 0.2:
        b["filters"] = [{"type": "RequestHeaderModifier", "requestHeaderModifier": modifier(r)}]
    return b


def http_rule(r):
    h = {"matches": [{"path": {"type": t, "value": r.choice({"Exact": ["/a", "/a/b", "/"], "PathPrefix": ["/", "/a", "/a/", "/foo", "/a/b"], "RegularExpression": ["/.*", "/a.*", "/[ab]/.+"]}[t])},
                      **({"headers": [{"name": r.choice(["x-t1", "x-t2"]), "value": "1", "type": "Exact"}]} if r.random() < 0.25 else {}),
                      **({"queryParams": [{"name": "q", "value": "1", "type": "Exact"}]} if r.random() < 0.2 else {}),
                      **({"method": r.choice(["GET", "PUT"])} if r.random() < 0.2 else {})}
                     for t in r.choices(["Exact", "PathPrefix", "PathPrefix", "RegularExpression"], k=r.choice([1, 1, 2]))]}
    filters = []
    if r.random() < 0.25:
        filters.append({"type": "RequestHeaderModifier", "requestHeaderModifier": modifier(r)})
    if r.random() < 0.2:
        filters.append({"type": "ResponseHeaderModifier", "responseHeaderModifier": modifier(r)})
    prefix = all(m["path"]["type"] == "PathPrefix" for m in h["matches"])
    path = lambda: r.choice([{"type": "ReplaceFullPath", "replaceFullPath": "/full"}] + [{"type": "ReplacePrefixMatch", "replacePrefixMatch": p} for p in ("/", "/new", "/new/") if prefix])
    kind = r.random()
    if kind < 0.2:
        d = {}
        if r.random() < 0.5:
            d["hostname"] = "to.test"
        if r.random() < 0.4:
            d["scheme"] = r.choice(["http", "https"])
        if r.random() < 0.3:
            d["port"] = r.choice([80, 443, 8443])
        if r.random() < 0.5 or not d:
            d["path"] = path()
        d["statusCode"] = r.choice([301, 302])      # the CRD's default is not the generators'
        filters.append({"type": "RequestRedirect", "requestRedirect": d})
    else:
        if r.random() < 0.3:
            filters.append({"type": "URLRewrite", "urlRewrite": r.choice([{"hostname": "re.test"}, {"path": path()}, {"hostname": "re.test", "path": path()}])})
        if r.random() < 0.9:
            h["backendRefs"] = [backend(r) for _ in range(r.choice([1, 1, 2]))]
        if r.random() < 0.2:
            h["timeouts"] = r.choice([{"request": "3s"}, {"request": "5s", "backendRequest": "1s"}, {"request": "0s"}])
        if r.random() < 0.2:
            h["retry"] = r.choice([{"attempts": 3, "codes": [503]}, {"codes": [500, 502], "backoff": "100ms"}, {"attempts": 1}])
    return {**h, **({"filters": filters} if filters else {})}


def kube_world(seed):
    r = random.Random(seed)
    out = []
    for i in range(r.randint(1, 4)):
        ns = r.choice(["shop", "shop", "bank"])
        parents = [{"group": "", "kind": "Service", "name": n, "namespace": p, **({"port": r.choice([80, 8080])} if r.random() < 0.3 else {})}
                   for p, n in r.sample([("shop", "web"), ("shop", "img"), ("bank", "acc")], r.choice([1, 1, 2]))]
        out.append(kube("HTTPRoute", ns, f"r{'x' * r.randint(0, 9)}{i}", {"parentRefs": parents, "rules": [http_rule(r) for _ in range(r.randint(1, 4))]}))
    if r.random() < 0.3:
        out.append(obj("VirtualService", r.choice(["shop", "bank"]), "v", {"hosts": [r.choice(["web.shop.svc.cluster.local", "acc.bank.svc.cluster.local"])],
                                                                        "http": [{"name": "v", "route": [{"destination": {"host": "img.shop.svc.cluster.local", "port": {"number": 80}}}]}]}))
    return KUBE + out


# ---- Envoy ----

class Echo:
    """Tells, as JSON, what it got."""
    def __init__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = json.dumps({"path": self.path, "headers": [[k.lower(), v] for k, v in self.headers.items()]}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            do_GET = do_PUT = do_POST = do_OPTIONS = answer

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()


TYPE = "type.googleapis.com/envoy.extensions.filters."
TELL = [{"header": {"key": k, "value": v}} for k, v in (("told-cluster", "%UPSTREAM_CLUSTER_RAW%"), ("told-route", "%ROUTE_NAME%"))]


def listener(name, port, routes):
    routes = dict(routes, response_headers_to_add=TELL)
    hcm = {"@type": TYPE + "network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "s", "route_config": routes, "normalize_path": True,
           "http_filters": [{"name": "envoy.filters.http.fault", "typed_config": {"@type": TYPE + "http.fault.v3.HTTPFault"}},
                            {"name": "envoy.filters.http.cors", "typed_config": {"@type": TYPE + "http.cors.v3.Cors"}},
                            {"name": "envoy.filters.http.router", "typed_config": {"@type": TYPE + "http.router.v3.Router"}}]}
    return {"name": name, "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"filters": [{"name": "hcm", "typed_config": hcm}]}]}


def scoped(i, listener):
    """With the world's number before the names of clusters."""
    def walk(o):
        if isinstance(o, list):
            return [walk(v) for v in o]
        if not isinstance(o, dict):
            return o
        o = {k: walk(v) for k, v in o.items()}
        if isinstance(o.get("cluster"), str):
            o["cluster"] = f"{i}/{o['cluster']}"
        for c in o.get("clusters", []) if isinstance(o.get("clusters"), list) else []:
            c["name"] = f"{i}/{c['name']}"
        return o
    return walk(listener)


def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


class Envoy:
    """One process for all worlds: worlds is a list of what `rds` told."""
    def __init__(self, path, dir, worlds):
        self.echo = Echo()
        self.ports, self.conns = {}, {}
        ports = iter(free_ports(sum(len(w.get("routes", [])) for w in worlds)))
        listeners = []
        for i, w in enumerate(worlds):
            for r in w.get("routes", []):
                self.ports[i, r["name"]] = next(ports)
                listeners.append(scoped(i, listener(f"{i}-{r['name']}", self.ports[i, r["name"]], r)))
        # A cluster exists in the worlds that have it: the name says in which.
        clusters = []
        for i, w in enumerate(worlds):
            for c in {c["name"] for c in w["clusters"]} | {"PassthroughCluster"}:
                clusters.append(self.cluster(f"{i}/{c}"))
        conf = {"node": {"id": "routes", "cluster": "test"}, "static_resources": {"listeners": listeners, "clusters": clusters}}
        self.conf = f"{dir}/envoy-routes.json"
        with open(self.conf, "w") as f:
            json.dump(conf, f)
        self.log = open(f"{dir}/envoy-routes.log", "w")
        self.p = subprocess.Popen([path, "-c", self.conf, "--concurrency", "1", "-l", "warning", "--use-dynamic-base-id"], stdout=self.log, stderr=self.log)
        for end in [time.time() + 60]:
            while time.time() < end:
                try:
                    for p in self.ports.values():
                        socket.create_connection(("127.0.0.1", p), 1).close()
                    return
                except OSError:
                    assert self.p.poll() is None, open(self.log.name).read()[-3000:]
                    time.sleep(0.1)
        raise AssertionError("Envoy does not listen: " + open(self.log.name).read()[-3000:])

    def cluster(self, name):
        at = {"socket_address": {"address": "127.0.0.1", "port_value": self.echo.port}}
        return {"name": name, "type": "STATIC", "connect_timeout": "5s",
                "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at}}]}]}}

    def ask(self, i, table, q):
        c = self.conns.get((i, table))
        if not c:
            c = self.conns[i, table] = http.client.HTTPConnection("127.0.0.1", self.ports[i, table], timeout=10)
        c.putrequest(q["method"], q["path"], skip_host=True, skip_accept_encoding=True)
        for k, v in [["host", q["authority"]]] + q["headers"] + ([["content-length", "0"]] if q["method"] in ("PUT", "POST") else []):
            c.putheader(k, v)
        c.endheaders()
        r = c.getresponse()
        return {"status": r.status, "fields": [[k.lower(), v] for k, v in r.getheaders()], "body": r.read().decode()}

    def close(self):
        self.p.kill()
        self.p.wait()
        self.echo.close()


# ---- who decides ----

def yaml_of(objects):
    return SERVICES + "".join("\n---\n" + to_yaml(o) for o in objects)


def to_yaml(o):
    """Enough of YAML for objects of ours: keys that programs look for stand at the beginning of lines."""
    return "\n".join(f"{k}: {json.dumps(v)}" if not isinstance(v, str) else f"{k}: {v}" for k, v in o.items())


def table_of(world, to):
    """The name of the RouteConfiguration that istiod's listeners choose for this destination; None: no HTTP there; "": no listener."""
    ip, port = to.rsplit(":", 1)
    for name in (f"{ip}_{port}", f"0.0.0.0_{port}"):
        for l in world["listeners"]:
            if l["name"] != name:
                continue
            for chain in l.get("filterChains", []) + [l.get("defaultFilterChain") or {}]:
                for f in chain.get("filters", []):
                    if "rds" in f.get("typedConfig", {}):
                        return f["typedConfig"]["rds"]["routeConfigName"]
            return None
    return ""


def unknown(world):
    """Where virtualOutbound sends what no listener is for."""
    for l in world["listeners"]:
        for chain in l.get("filterChains", []) + [l.get("defaultFilterChain") or {}] if l["name"] == "virtualOutbound" else []:
            if chain.get("name", "").endswith("catchall-tcp"):
                return next(f["typedConfig"]["cluster"] for f in chain["filters"] if "cluster" in f.get("typedConfig", {}))


def interesting(fields, names=("x-t", "access-control-", "location", "x-envoy-original-")):
    return sorted([k, v] for k, v in fields if k.startswith(names) and k not in ("access-control-request-method",))


# ---- what is configured, where requests alone do not show it ----

def ms(d):
    return round(float(d[:-1]) * 1000) if d else 0


def route_of(r):
    a = r.get("route", {})
    p = a.get("retryPolicy")
    targets = [[a["cluster"], 1]] if "cluster" in a else [[c["name"], c["weight"]] for c in a.get("weightedClusters", {}).get("clusters", [])]
    h = (a.get("hashPolicy") or [None])[0]
    if h:
        kind = next(k for k in ("header", "cookie", "connectionProperties", "queryParameter") if k in h)
        v = h[kind]
        h = [{"connectionProperties": "source_ip", "queryParameter": "query"}.get(kind, kind), v.get("headerName", v.get("name", "")), v.get("path", ""),
             ms(v["ttl"]) // 1000 if "ttl" in v else -1]
    mirrors = [[m["cluster"], m["runtimeFraction"]["defaultValue"].get("numerator", 0), 1000000 if m["runtimeFraction"]["defaultValue"].get("denominator") == "MILLION" else 100]
               for m in a.get("requestMirrorPolicies", [])]
    return {"name": r.get("name", ""), "operation": r.get("decorator", {}).get("operation", ""), "action": 0 if "route" in r else 1 if "redirect" in r else 2,
            "timeout": ms(a.get("timeout")), "grpc_timeout": ms(a.get("maxGrpcTimeout")), "targets": targets, "hash": h, "mirrors": mirrors,
            "retry": p and {"on": sorted(p["retryOn"].split(",")), "codes": p.get("retriableStatusCodes", []), "attempts": p["numRetries"], "per_try": ms(p.get("perTryTimeout")),
                            "backoff": ms(p.get("retryBackOff", {}).get("baseInterval")) or 25, "previous_hosts": "retryHostPredicate" in p, "remote": "retryPriority" in p}}


def vhosts_of(table):
    return {v["name"]: [sorted(d for d in v["domains"] if d != SHARED), [route_of(r) for r in v["routes"]]] for v in table["virtualHosts"]}


def plain(r):
    """A route of a dump, without what says nothing where it answers itself."""
    r["retry"] and r["retry"]["on"].sort()
    if r["action"]:
        r["timeout"] = r["grpc_timeout"] = 0
        r["targets"], r["retry"], r["hash"] = [], None, None
    return r


def differences(world, dump):
    """Lines that say what of the configuration differs."""
    out = []
    tables = {t["name"]: t for t in world.get("routes", [])}
    theirs = {l["name"]: l for l in world["listeners"] if l["name"] not in ("virtualOutbound", "virtualInbound")}
    ours = {n: l for n, l in dump["listeners"].items() if not n.startswith(("240.240.", "2001:2:"))}
    for name in sorted(set(theirs) ^ set(ours)):
        out.append(f"listener {name} is {'meshd' if name in ours else 'istiod'}'s alone")
    existing = set(dump["clusters"])
    for name in sorted(set(theirs) & set(ours)):
        l, o = theirs[name], ours[name]
        chains = l.get("filterChains", []) + [l.get("defaultFilterChain") or {}]
        rds = [f["typedConfig"]["rds"]["routeConfigName"] for c in chains for f in c.get("filters", []) if "rds" in f.get("typedConfig", {})]
        want = vhosts_of(tables[rds[0]]) if rds else {}
        got = {}
        for v in o["vhosts"]:
            for r in v["routes"]:
                plain(r)
            got[v["name"]] = [sorted(d for d in v["domains"] if d != SHARED and not d.startswith("240.240.")), v["routes"]]
        for v in want.values():        # mirrors to nowhere are left out
            for r in v[1]:
                r["mirrors"] = [m for m in r["mirrors"] if m[0] in existing]
        for v in sorted(set(want) | set(got)):
            if want.get(v) != got.get(v):
                out.append(f"listener {name} vhost {v}:\n    istiod {json.dumps(want.get(v))}\n    meshd  {json.dumps(got.get(v))}")
        rows = lambda c, f: {"sni": c, "targets": [[f["cluster"], 1]] if "cluster" in f else [[w["name"], w["weight"]] for w in f["weightedClusters"]["clusters"]],
                             "idle": ms(f["idleTimeout"]) if "idleTimeout" in f else 3600000}
        want = sorted((rows(s, f["typedConfig"]) for c in chains if c.get("name") != "PassthroughFilterChain" for s in c.get("filterChainMatch", {}).get("serverNames", [""])
                       for f in c.get("filters", []) if "TcpProxy" in f["typedConfig"].get("@type", "")), key=json.dumps)
        first = {}
        for r in o["tls"] + o["tcp"]:      # what is hidden by an earlier row istiod leaves out
            first.setdefault((r["sni"], r["to"]), {k: r[k] for k in ("sni", "targets", "idle")})
        got = sorted(first.values(), key=json.dumps)
        if want != got:
            out.append(f"listener {name} bytes:\n    istiod {json.dumps(want)}\n    meshd  {json.dumps(got)}")
    return out + cluster_differences(world, dump)


def cluster_of(c):
    t = c["circuitBreakers"]["thresholds"][0]
    http = c.get("typedExtensionProtocolOptions", {}).get("envoy.extensions.upstreams.http.v3.HttpProtocolOptions", {})
    common = http.get("commonHttpProtocolOptions", {})
    h2 = http.get("explicitHttpConfig", {}).get("http2ProtocolOptions")
    o = c.get("outlierDetection")
    tls = c.get("transportSocket") or next((m["transportSocket"] for m in c.get("transportSocketMatches", []) if m["name"] == "tlsMode-istio"), None)
    tls = tls and tls.get("typedConfig", {})
    out = {"lb": c.get("lbPolicy", "ROUND_ROBIN"), "thresholds": [t[k] for k in ("maxConnections", "maxPendingRequests", "maxRequests", "maxRetries")], "connect": ms(c["connectTimeout"]),
           "idle": ms(common["idleTimeout"]) if "idleTimeout" in common else 3600000, "per_connection": common.get("maxRequestsPerConnection", 0),
           "duration": ms(common.get("maxConnectionDuration")), "h2": h2 is not None, "sni": (tls or {}).get("sni", "")}
    if h2 is not None:
        out["streams"] = h2.get("maxConcurrentStreams", 0)
    if o is not None:
        enforced = lambda field, deflt: o.get(field, deflt)
        out["outlier"] = [o.get("consecutive5xx", 5) if o.get("enforcingConsecutive5xx", 100) else 0, o.get("consecutiveGatewayFailure", 5) if o.get("enforcingConsecutiveGatewayFailure", 0) else 0,
                          ms(o.get("interval")) or 10000, ms(o.get("baseEjectionTime")) or 30000, o.get("maxEjectionPercent", 10),
                          int(c.get("commonLbConfig", {}).get("healthyPanicThreshold", {}).get("value", 0))]
    return out


def cluster_differences(world, dump, kind="outbound|", but=()):
    out = []
    theirs = {c["name"]: c for c in world["clusters"] if c["name"].startswith(kind)}
    ours = {n: c for n, c in dump["clusters"].items() if n.startswith(kind)}
    for name in sorted(set(theirs) ^ set(ours)):
        out.append(f"cluster {name} is {'meshd' if name in ours else 'istiod'}'s alone")
    for name in sorted(set(theirs) & set(ours)):
        want = {k: v for k, v in cluster_of(theirs[name]).items() if k not in but}
        got = {k: ours[name].get(k) for k in want}
        if ours[name]["tls"] in ("DISABLE",) and "sni" in want:
            got["sni"] = want["sni"] if not want["sni"] else got["sni"]
        if want != got:
            out.append(f"cluster {name}:\n    istiod {json.dumps(want)}\n    meshd  {json.dumps(got)}")
    return out


def compare(world, envoy, i, q, got):
    """None, or what differs. got: what decide says."""
    table = table_of(world, q["to"])
    if table == "":
        want_to = unknown(world)
        return None if got.get("to") == want_to else f"no listener, {want_to}"
    if table is None:
        return None if "l4" in got else "no HTTP"
    want = envoy.ask(i, table, q)
    fields = dict(map(tuple, want["fields"]))
    cluster, route = fields.get("told-cluster", "-"), fields.get("told-route", "-")
    cluster = cluster.split("/", 1)[1] if "/" in cluster else cluster
    answer = f"{want['status']} route {route} cluster {cluster} {interesting(want['fields'])} {want['body'][:300]}"
    if "targets" not in got:
        if got.get("status") != want["status"]:
            return answer
        # An answer of a filter before the router's has no route headers; what is said of CORS and where to go counts.
        if route not in ("-", "") and got["route"] != route:
            return answer
        if interesting(want["fields"]) not in map(interesting, got["responses"]):
            return answer
        return None if got["body"] == want["body"] else answer
    targets = got["targets"]
    if want["status"] == got["missing"] and not want["body"].startswith("{"):
        return None if any(not t["exists"] for t in targets) else answer
    if want["status"] != 200 or not want["body"].startswith("{") or got["route"] != (route if route != "-" else ""):
        return answer
    up = json.loads(want["body"])
    for t in targets:
        if t["cluster"] != cluster or not t["exists"]:
            continue
        host = next(v for k, v in up["headers"] if k == "host")
        if (t["path"], t["authority"]) == (up["path"], host) and interesting(t["request"]) == interesting(up["headers"]) and \
           interesting(t["response"]) == interesting(want["fields"]):
            return None
    return answer
