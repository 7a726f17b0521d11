# SPDX-License-Identifier: Apache-2.0
"""Random worlds around one waypoint: services, some of them bound to it, routes, targeted policies, tokens. istiod's own waypoint
configuration, whole (CONNECT in, main_internal, a chain for each port of a service), is run by a real Envoy: requests come to it as a
ztunnel would send them, and what it sends on ends at one server that tells where it was reached."""
import base64, hashlib, hmac, http.client, ipaddress, json, os, random, socket, socketserver, subprocess, threading, time
import routes
from pki import Pki
from routes import TELL, TYPE, free_ports, interesting, kube, obj, to_yaml
from istioenvoy import tls
from test_envoy import ANY, at

NAMESPACE, NAME, ADDRESS = "shop", "wp", "10.2.0.9"
GATEWAY = {"gateway.networking.k8s.io/gateway-name": NAME, "gateway.istio.io/managed": "istio.io-mesh-controller"}
LABELS = ",".join(f"{k}={v}" for k, v in GATEWAY.items())
ID = "spiffe://cluster.local/ns/{}/sa/{}"
CALLERS = {"a": ID.format("shop", "a"), "b": ID.format("bank", "b"), "c": ID.format("shop", "c"), "d": ID.format("edge", "a")}
SOURCE = {who: f"127.0.1.{i}" for i, who in enumerate(CALLERS)}
ISSUER, SECRET = "https://id.test", b"0123456789abcdef0123456789abcdef"
b64 = lambda b: base64.urlsafe_b64encode(b).rstrip(b"=").decode()


# ---- worlds ----

ENTRIES = [     # namespace, name, host, address, ports, where it is
    ("shop", "cart", "cart.shop.svc.cluster.local", "10.0.0.1", [(80, "HTTP"), (8080, "HTTP"), (90, "")], "MESH_INTERNAL"),
    ("shop", "user", "user.shop.svc.cluster.local", "10.0.0.2", [(80, "HTTP"), (9000, "GRPC")], "MESH_INTERNAL"),
    ("bank", "pay", "pay.bank.svc.cluster.local", "10.0.0.3", [(80, "HTTP")], "MESH_INTERNAL"),
    ("bank", "api", "api.example.com", "10.0.0.4", [(80, "HTTP"), (8080, "HTTP2")], "MESH_EXTERNAL"),
    ("bank", "www", "www.example.com", "10.0.0.6", [(80, "HTTP")], "MESH_EXTERNAL"),
    ("shop", "db", "db.shop.svc.cluster.local", "10.0.0.5", [(5432, "TCP"), (443, "TLS")], "MESH_INTERNAL"),
]
SERVICES = [("shop", "web", "10.0.1.1"), ("shop", "img", "10.0.1.2"), ("bank", "acc", "10.0.1.3")]
DESTS = [f"{ip}:{port}" for _, _, _, ip, ports, _ in ENTRIES for port, _ in ports] + [f"{ip}:{p}" for _, _, ip in SERVICES for p in (80, 8080)] + [
    "10.0.0.1:81", "10.1.0.20:80", "10.1.0.20:7777", "10.1.0.21:80", "10.9.9.9:80"]


def binding(r, ns, often):
    k = r.random()
    across = {} if ns == NAMESPACE else {"istio.io/use-waypoint-namespace": NAMESPACE}
    if k > often:
        return {"istio.io/use-waypoint": r.choice(["none", "other", "missing"])} if k > 0.95 else {}
    if r.random() < 0.08:
        return {"istio.io/use-waypoint": "other", "istio.io/use-waypoint-canary": NAME, **across, **{k.replace("waypoint-", "waypoint-canary-"): v for k, v in across.items()}}
    return {"istio.io/use-waypoint": NAME, **across}


def labelled(o, labels):
    o["metadata"]["labels"] = {**o["metadata"].get("labels", {}), **labels}
    if "istio.io/use-waypoint-canary" in labels:
        o["metadata"]["annotations"] = {"istio.io/use-waypoint-canary-weight": str(len(o["metadata"]["name"]) % 4 * 10)}
    return o


def gateway(name, ip, serves, allowed):
    own = {"gateway.networking.k8s.io/gateway-name": name}
    out = labelled(kube("Gateway", NAMESPACE, name, {"gatewayClassName": "istio-waypoint", "listeners": [
        {"name": "mesh", "port": 15008, "protocol": "HBONE", "allowedRoutes": {"namespaces": {"from": allowed}}}]}), {"istio.io/waypoint-for": serves})
    out["status"] = {"addresses": [{"type": "Hostname", "value": f"{name}.{NAMESPACE}.svc.cluster.local"}]}
    return [out, labelled(kube("Service", NAMESPACE, name, {"clusterIP": ip, "clusterIPs": [ip], "ports": [{"name": "mesh", "port": 15008, "appProtocol": "hbone"}],
                                                           "selector": own}, "v1"), {**GATEWAY, **own})]


def base(r):
    """Two waypoints, ours and one that nobody asks; services and workloads that are bound to either, or not."""
    serves = r.choice(["service", "workload"]) if r.random() < 0.12 else "all"
    out = gateway(NAME, "10.0.9.1", serves, r.choice(["All"] * 5 + ["Same"])) + gateway("other", "10.0.9.2", "all", "All") + [
        labelled(obj("WorkloadEntry", NAMESPACE, NAME, {"address": ADDRESS, "serviceAccount": NAME, "labels": GATEWAY}), GATEWAY)]
    for ns in "shop", "bank", "istio-system":
        out.append(labelled({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}}, binding(r, ns, 0.3) if ns != "istio-system" else {}))
    for n, (ns, name, host, ip, ports, where) in enumerate(ENTRIES):
        spec = {"hosts": [host], "addresses": [ip], "location": where, "resolution": "STATIC",
                "ports": [{"number": p, "name": f"{kind.lower() or 'any'}-{p}", **({"protocol": kind} if kind else {})} for p, kind in ports],
                "endpoints": [{"address": f"10.1.{n}.{v}", "labels": {"app": name, "version": f"v{v}"}} for v in (1, 2)]}
        out.append(labelled(obj("ServiceEntry", ns, name, spec), binding(r, ns, 0.85)))
    out += [labelled(json.loads(json.dumps(k)), binding(r, k["metadata"]["namespace"], 0.85)) for k in routes.KUBE]
    for i in (20, 21):
        out.append(labelled(obj("WorkloadEntry", "shop", f"solo{i}", {"address": f"10.1.0.{i}", "serviceAccount": "solo", "labels": {"app": f"solo{i}"}}), binding(r, "shop", 0.7)))
    return out


def target(r, ns):
    services = [n for s, n, *_ in SERVICES if s == ns]
    entries = [e[1] for e in ENTRIES if e[0] == ns]
    kinds = [{"group": "networking.istio.io", "kind": "ServiceEntry", "name": n} for n in entries] + [{"group": "", "kind": "Service", "name": n} for n in services]
    if ns == "istio-system":
        return {"group": "gateway.networking.k8s.io", "kind": "GatewayClass", "name": r.choice(["istio-waypoint", "istio-waypoint", "istio"])}
    if r.random() < 0.35:
        return {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": r.choice([NAME, NAME, "other"])}
    return r.choice(kinds)


def bound(r, ns):
    k = r.random()
    if k < 0.85:
        return {"targetRefs": [target(r, ns) for _ in range(1 if ns == "istio-system" else r.choice([1, 1, 2]))]}
    return {} if k < 0.93 else {"selector": {"matchLabels": r.choice([{"app": "cart"}, GATEWAY, {"app": "solo20"}])}}


def negated(r, name, values):
    return {"not" + name[0].upper() + name[1:] if r.random() < 0.2 else name: values}


def from_to(r):
    out = {}
    if r.random() < 0.6:
        source = r.choice([("principals", [r.choice(["cluster.local/ns/shop/sa/a", "cluster.local/ns/bank/*", "*/sa/a", "*"])]), ("namespaces", [r.choice(["shop", "bank", "edge"])]),
                           ("serviceAccounts", [r.choice(["a", "shop/a", "bank/b"])]), ("remoteIpBlocks", [r.choice(["127.0.1.0/31", "127.0.1.2", "10.0.0.0/8"])]),
                           ("requestPrincipals", [r.choice(["*", f"{ISSUER}/joe"])])])
        out["from"] = [{"source": negated(r, *source)}]
    if r.random() < 0.5:
        out["to"] = [{"operation": negated(r, *r.choice([("methods", ["GET"]), ("methods", ["GET", "PUT"]), ("paths", ["/a*"]), ("paths", ["/", "/foo", "/b*"]), ("hosts", ["cart*"]),
                                                         ("ports", [r.choice(["80", "8080", "5432"])])]))}]
    if r.random() < 0.25:
        key, values = r.choice([("request.headers[x-t1]", ["1"]), ("request.auth.claims[group]", ["g1"]), ("destination.port", ["80"]), ("source.namespace", ["shop"]),
                                ("source.principal", ["cluster.local/ns/shop/sa/*"]), ("destination.ip", [r.choice(["10.0.0.1", "10.0.0.0/30", "10.1.0.20"])])])
        out["when"] = [{"key": key, r.choice(["values", "values", "notValues"]): values}]
    return out


def security(kind, ns, name, spec):
    return {"apiVersion": "security.istio.io/v1", "kind": kind, "metadata": {"name": name, "namespace": ns}, "spec": spec}


def policies(r):
    out = []
    for i in range(r.choice([0, 1, 2, 3, 5])):
        ns = r.choice(["shop", "shop", "bank", "istio-system"])
        action = r.choice(["ALLOW", "ALLOW", "DENY", "DENY", "AUDIT"])
        out.append(security("AuthorizationPolicy", ns, f"p{i}", {**bound(r, ns), "action": action, "rules": [from_to(r) for _ in range(r.choice([1, 1, 2]))]}))
        if action == "DENY":     # not all at once
            for x in out[-1]["spec"]["rules"]:
                x.setdefault("to", [{"operation": {"paths": ["/b*"]}}])
    for i in range(r.choice([0, 1, 1, 2])):
        ns = r.choice(["shop", "bank", "istio-system"])
        out.append(security("RequestAuthentication", ns, f"j{i}", {**bound(r, ns), "jwtRules": [
            {"issuer": ISSUER, "jwks": json.dumps({"keys": [{"kty": "oct", "k": b64(SECRET)}]}), "forwardOriginalToken": r.random() < 0.5}]}))
    return out


def parents(r):
    kinds = [("", "Service", ns, n) for ns, n, _ in SERVICES] + [("networking.istio.io", "ServiceEntry", e[0], e[1]) for e in ENTRIES[:5]]
    return [{"group": g, "kind": k, "namespace": ns, "name": n, **({"port": r.choice([80, 8080])} if r.random() < 0.3 else {})} for g, k, ns, n in r.sample(kinds, r.choice([1, 1, 2]))]


def kube_routes(r):
    out = []
    for i in range(r.randint(2, 5)):
        ns = r.choice(["shop", "shop", "bank"])
        out.append(kube("HTTPRoute", ns, f"r{'x' * r.randint(0, 9)}{i}", {"parentRefs": parents(r), "rules": [routes.http_rule(r) for _ in range(r.randint(1, 3))]}))
    if r.random() < 0.4:
        host = r.choice(["web.shop.svc.cluster.local", "acc.bank.svc.cluster.local", "cart.shop.svc.cluster.local"])
        out.append(obj("VirtualService", r.choice(["shop", "bank"]), "v", {"hosts": [host], "http": [routes.rule(r, 20)]}))
    if r.random() < 0.3:
        out.append(kube("GRPCRoute", "shop", "grpc", {"parentRefs": [{"group": "networking.istio.io", "kind": "ServiceEntry", "name": "user"}], "rules": [
            {"matches": [{"method": {"service": "x.Y", "method": "Z"}}], "backendRefs": [{"name": "web", "port": 80}]}]}))
    if r.random() < 0.5:
        kind = r.choice(["TCPRoute", "TLSRoute"])
        spec = {"parentRefs": [{"group": "networking.istio.io", "kind": "ServiceEntry", "name": "db", **r.choice([{}, {"port": 5432}, {"port": 443}])}],
                "rules": [{"backendRefs": [{"name": n, "port": 80, "weight": w} for n, w in r.sample([("web", 1), ("img", 9), ("nowhere", 1)], r.choice([1, 2]))]}]}
        if kind == "TLSRoute":
            spec["hostnames"] = [r.choice(["db.shop.svc.cluster.local", "sni.test"])]
        out.append(kube(kind, "shop", "bytes", spec, "gateway.networking.k8s.io/v1"))
    return out


def istio_routes(r):
    """VirtualServices mostly for what may be served, and DestinationRules with the subsets that they name."""
    out = []
    for i in range(r.randint(2, 6)):
        hosts = r.sample(routes.HOSTS, r.choice([1, 1, 2])) if r.random() < 0.8 else [r.choice(["*.shop.svc.cluster.local", "*.example.com", "*.svc.cluster.local"])]
        spec = {"hosts": hosts, "http": [routes.rule(r, k, "leaf" if r.random() < 0.15 else None) for k in range(r.randint(1, 4))]}
        if r.random() < 0.2:
            spec["exportTo"] = [r.choice([".", "*", "shop"])]
        out.append(obj("VirtualService", r.choice(["shop", "shop", "bank", "bank", "istio-system"]), f"v{r.randint(0, 99):02}-{i}", spec))
    leaf = {"http": [routes.rule(r, 10)]}
    for m in leaf["http"][0].get("match", []):
        for k in ("sourceLabels", "sourceNamespace", "gateways"):
            m.pop(k, None)
        m.setdefault("uri", {"prefix": "/"})
    out.append(obj("VirtualService", "shop", "leaf", leaf))
    for i, host in enumerate(r.sample(routes.HOSTS, r.randint(1, 3))):
        ns = next(e[0] for e in ENTRIES if e[2] == host)
        out.append(obj("DestinationRule", r.choice([ns, ns, "shop"]), f"d{i}", {"host": host, **({"trafficPolicy": routes.policy(r)} if r.random() < 0.6 else {}),
            "subsets": [{"name": n, "labels": {"version": n}, **({"trafficPolicy": routes.policy(r)} if r.random() < 0.3 else {})} for n in r.sample(["v1", "v2", "v3"], 2)]}))
    if r.random() < 0.7:
        spec = routes.bytes_of(r)
        spec["hosts"] = ["db.shop.svc.cluster.local"] + [h for h in spec["hosts"] if h.startswith("secure")]
        out.append(obj("VirtualService", r.choice(["shop", "bank"]), "b", spec))
    return out


def world(seed):
    r = random.Random(seed)
    return base(r) + (istio_routes(r) if seed % 2 else kube_routes(r)) + policies(r)


def yaml_of(objects):
    return "\n---\n".join(to_yaml(o) for o in objects) + "\n"


def token(claims):
    text = b64(b'{"alg":"HS256"}') + "." + b64(json.dumps(claims).encode())
    return text + "." + b64(hmac.new(SECRET, text.encode(), hashlib.sha256).digest())


TOKENS = [token({"iss": ISSUER, "sub": "joe", "exp": 4102444800}), token({"iss": ISSUER, "sub": "ann", "group": "g1", "exp": 4102444800}), token({"iss": ISSUER, "sub": "joe", "exp": 1}),
          token({"iss": "https://other.test", "sub": "joe", "exp": 4102444800})]


def requests(seed, n):
    r = random.Random(seed)
    out = routes.requests(seed, n, routes.NAMES + routes.KUBE_NAMES, DESTS)
    for q in out:
        q["who"] = CALLERS[w] if (w := r.choice(list(CALLERS))) else ""
        q["source"] = SOURCE[w] + ":1000"
        if r.random() < 0.25:
            q["headers"].append(["authorization", "Bearer " + r.choice(TOKENS + TOKENS[:2])])
        if r.random() < 0.2 or q["to"].endswith((":5432", ":443")) and r.random() < 0.9:
            q["bytes"] = True
            q["sni"] = "db.shop.svc.cluster.local"
    return out


# ---- what is configured, where requests alone do not show it ----

def differences(world, dump):
    """Lines that say what differs of routes and clusters."""
    out, existing = [], set(dump["clusters"])
    theirs = {}
    for chain in next(l for l in world["listeners"] if l["name"] == "main_internal")["filterChains"]:
        for f in chain["filters"]:
            if "routeConfig" in f["typedConfig"]:
                name = chain["name"].split("|")
                theirs[f"{name[3]}:{name[1]}" if len(name) > 1 else ""] = [routes.route_of(r) for v in f["typedConfig"]["routeConfig"]["virtualHosts"] for r in v["routes"]]
    ours = {n.split("/")[-1]: [routes.plain(r) for v in s["vhosts"] for r in v["routes"]] for n, s in dump["served"].items() if s["vhosts"]}
    for name in sorted(set(theirs) ^ set(ours)):
        out.append(f"{name or 'direct'} is {'meshd' if name in ours else 'istiod'}'s alone")
    for name in sorted(set(theirs) & set(ours)):
        for r in theirs[name]:      # mirrors to nowhere are left out
            r["mirrors"] = [m for m in r["mirrors"] if m[0] in existing]
        hashed = lambda n: dump["clusters"].get(n, {}).get("lb") in ("RING_HASH", "MAGLEV")
        for r in theirs[name] + ours[name]:     # a hash that no cluster reads, and istiod's own route forgets those of one port; what is not there has the name of either kind
            r["targets"] = [[n if n in existing else n.replace("inbound-vip|", "outbound|").replace("|http/", "|").replace("|http|", "||"), w] for n, w in r["targets"]]
            r["hash"] = r["hash"] if r["name"] != "default" and any(hashed(n) for n, _ in r["targets"]) else None
        for i, (a, b) in enumerate(zip(theirs[name], ours[name])):
            if a != b:
                out.append(f"{name or 'direct'} route {i}:\n    istiod {json.dumps(a)}\n    meshd  {json.dumps(b)}")
        if len(theirs[name]) != len(ours[name]):
            out.append(f"{name}: {len(theirs[name])} routes, {len(ours[name])} of meshd's")
    # istiod's waypoint forgets maxConcurrentStreams with h2UpgradePolicy, and has no mutual TLS of its own towards sidecars.
    return out + routes.cluster_differences(world, dump, "inbound-vip|", ("streams", "sni"))


# ---- where everything ends ----

class Telling(socketserver.ThreadingTCPServer):
    """On every address of 127.0.0.0/8: tells HTTP what it got, and bytes by which address they came; clusters have one each."""
    daemon_threads, request_queue_size = True, 128

    def __init__(self):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                here = self.connection.getsockname()[0]
                try:
                    while line := self.rfile.readline(65536):
                        if not line.rstrip().endswith(b"HTTP/1.1"):
                            self.wfile.write(here.encode())
                            return
                        fields = []
                        while (f := self.rfile.readline(65536).strip()):
                            k, v = f.decode("latin-1").split(":", 1)
                            fields.append([k.lower(), v.strip()])
                        self.rfile.read(int(dict(fields).get("content-length", 0)))
                        body = json.dumps({"path": line.split()[1].decode("latin-1"), "headers": fields, "at": here}).encode()
                        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                except OSError:
                    pass
        super().__init__(("0.0.0.0", 0), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()


# ---- Envoy ----

OURS_ALONE = ("istio.", "waypoint_")     # filters that only Istio's build has


def stripped(filters):
    return [f for f in filters if not f["name"].startswith(OURS_ALONE)]


class Envoy:
    """One process for all worlds: worlds is a list of what `rds` told."""
    def __init__(self, path, dir, worlds):
        self.telling, self.pki, self.at = Telling(), Pki(dir, "ways"), {}
        self.ports = dict(zip(CALLERS, free_ports(len(CALLERS))))
        ends = free_ports(len(worlds))
        server = self.pki.leaf("wp", ID.format(NAMESPACE, NAME))
        listeners, clusters = [], []
        for i, w in enumerate(worlds):
            for l in w["listeners"]:
                if l["name"] in ("connect_terminate", "main_internal"):
                    listeners.append(self.listener(i, l, ends[i], server))
            for k, c in enumerate(sorted({c["name"] for c in w["clusters"]} - {"main_internal"})):
                ip = str(ipaddress.ip_address("127.16.0.0") + (i << 10) + k)
                self.at[ip] = c
                clusters.append(self.static(f"{i}/{c}", ip, self.telling.port))
            clusters.append({"name": f"{i}/main_internal", "load_assignment": {"cluster_name": "m", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": {"envoy_internal_address": {"server_listener_name": f"{i}/main_internal"}}}}]}]},
                "transport_socket": {"name": "internal", "typed_config": ANY("transport_sockets.internal_upstream.v3.InternalUpstreamTransport", transport_socket={
                    "name": "raw", "typed_config": ANY("transport_sockets.raw_buffer.v3.RawBuffer")})}})
        for who in CALLERS:
            listeners.append(self.ztunnel(who, len(worlds)))
            certs = self.pki.leaf(who, CALLERS[who])
            for i in range(len(worlds)):
                clusters.append(self.static(f"{who}{i}", "127.0.0.1", ends[i], upstream_bind_config={"source_address": {"address": SOURCE[who], "port_value": 0}},
                                            transport_socket=tls("Upstream", certs, ["h2"], [ID.format(NAMESPACE, NAME)]), typed_extension_protocol_options={
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": ANY("upstreams.http.v3.HttpProtocolOptions", explicit_http_config={"http2_protocol_options": {}})}))
        conf = f"{dir}/envoy-ways.json"
        with open(conf, "w") as f:
            json.dump({"node": {"id": "ways", "cluster": "test"}, "static_resources": {"listeners": listeners, "clusters": clusters},
                       "bootstrap_extensions": [{"name": "internal", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"}}]}, f)
        self.log = open(f"{dir}/envoy-ways.log", "w")
        self.p = subprocess.Popen([path, "-c", conf, "--concurrency", "1", "-l", os.environ.get("ENVOY_LOG", "warning"), "--use-dynamic-base-id"], stdout=self.log, stderr=self.log)
        end = time.time() + 60
        for port in [*ends, *self.ports.values()]:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert self.p.poll() is None and time.time() < end, "Envoy does not listen: " + open(self.log.name).read()[-3000:]
                    time.sleep(0.1)

    def static(self, name, ip, port, **more):
        return {"name": name, "type": "STATIC", "connect_timeout": "5s", **more, "load_assignment": {
            "cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(ip, port)}}]}]}}

    def ztunnel(self, who, n):
        """What comes with the PROXY protocol goes by HBONE to the destination in it, through the waypoint of the world that its source names."""
        proxy = lambda i: {"name": "tcp", "typed_config": ANY("filters.network.tcp_proxy.v3.TcpProxy", stat_prefix="z", cluster=f"{who}{i}",
                                                             tunneling_config={"hostname": "%DOWNSTREAM_LOCAL_ADDRESS%"})}
        return {"name": f"ztunnel-{who}", "address": at("127.0.0.1", self.ports[who]),
                "listener_filters": [{"name": "proxy", "typed_config": ANY("filters.listener.proxy_protocol.v3.ProxyProtocol")}],
                "filter_chains": [{"name": f"{i}", "filter_chain_match": {"source_prefix_ranges": [{"address_prefix": f"198.18.{i}.1", "prefix_len": 32}]}, "filters": [proxy(i)]} for i in range(n)]}

    def listener(self, i, l, port, server):
        """As istiod has it, but for what only Istio's build has, files in the place of SDS, and the world's number before the names of clusters."""
        l = dict(routes.scoped(i, l), name=f"{i}/{l['name']}")
        l.pop("accessLog", None)
        if "address" in l:
            l["address"] = at("127.0.0.1", port)
            l["filterChains"][0]["transportSocket"] = tls("Downstream", server, ["h2"])
        for chain in l["filterChains"]:
            chain["filters"] = stripped(chain["filters"])
            for f in chain["filters"]:
                c = f["typedConfig"]
                c.pop("tracing", None)
                c.pop("accessLog", None)
                if "httpFilters" in c:
                    c["httpFilters"] = stripped(c["httpFilters"])
                    if "address" not in l:
                        c["routeConfig"]["responseHeadersToAdd"] = TELL
        return l

    def ask(self, i, q):
        """{"status", "fields", "body"}, or {"bytes": cluster}, or {"reset": true}."""
        who = next(k for k, v in CALLERS.items() if v == q["who"])
        ip, port = q["to"].rsplit(":", 1)
        with socket.create_connection(("127.0.0.1", self.ports[who]), 10) as s:
            head = f"PROXY TCP4 198.18.{i}.1 {ip} 1000 {port}\r\n"
            try:
                if q.get("bytes"):
                    s.sendall(head.encode() + b"some bytes\n")
                    got = b""
                    while part := s.recv(4096):
                        got += part
                    return {"bytes": self.at[got.decode()]} if got.startswith(b"127.") else {"http": got.decode()} if got else {"reset": True}
                fields = [["host", q["authority"]]] + q["headers"] + ([["content-length", "0"]] if q["method"] in ("PUT", "POST") else [])
                s.sendall((head + f"{q['method']} {q['path']} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields) + "\r\n").encode())
                r = http.client.HTTPResponse(s, method=q["method"])
                r.begin()
                return {"status": r.status, "fields": [[k.lower(), v] for k, v in r.getheaders()], "body": r.read().decode()}
            except http.client.BadStatusLine as e:
                return {"bytes": self.at[e.line.strip()]} if e.line.startswith("127.") else {"reset": True}
            except ConnectionResetError:
                return {"reset": True}

    def close(self):
        self.p.kill()
        self.p.wait()
        self.telling.shutdown()
        self.telling.server_close()
