# SPDX-License-Identifier: Apache-2.0
"""What people and dashboards see of a node is the same with meshd and with ztunnel: istioctl's tables, the dump under them, metrics, access log.
Each test runs the same mesh and the same traffic with one program after the other."""
import contextlib, json, re, time
from ambient import MESHD, ZTUNNEL, Node
from cluster import Cluster, ztunnel_path
from harness import Skip, eventually, read_exact

TABLES = "workload", "service", "policy", "certificate", "connections", "all"
MORE = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: rich, namespace: default}
spec:
  selector: {matchLabels: {app: shop}}
  action: DENY
  rules:
  - from: [{source: {namespaces: [bad, "worse-*"], notNamespaces: [default], ipBlocks: [10.1.0.0/16]}}, {source: {principals: ["*/sa/evil"]}}, {source: {serviceAccounts: ["default/evil"]}}]
    to: [{operation: {ports: ["8080"], notPorts: ["9"]}}]
    when: [{key: destination.ip, values: [10.0.0.0/8]}, {key: source.principal, notValues: ["cluster.local/ns/default/sa/web"]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: all, namespace: istio-system}
spec: {action: DENY, rules: [{from: [{source: {namespaces: [nobody]}}]}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: strict}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outer, namespace: default}
spec:
  hosts: [outer.example.com]
  addresses: [240.1.1.1, 10.200.0.0/16]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 443, name: tls, protocol: TLS}]
  endpoints: [{address: 10.9.9.9}]
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: machine, namespace: default}
spec: {address: 10.9.9.7, labels: {app: machine, topology.kubernetes.io/zone: z}, serviceAccount: machine, locality: eu/eu-1/r1, weight: 3}
"""


class Mesh:
    def __init__(self, c):
        self.c = c
        self.one, self.two = Node(c, "node1"), Node(c, "node2")
        self.web, self.shop, self.deny = self.one.pod("default", "web"), self.two.pod("default", "shop"), self.two.pod("default", "deny")
        self.far = self.two.pod("strict", "far", labels={"app": "far", "service.istio.io/canonical-name": "far-app", "service.istio.io/canonical-revision": "v7"})
        self.vip = c.service("default", "shop", {80: 8080, 90: 9})[0]
        c.service("default", "headless", {80: 8080}, selector={"app": "deny"}, clusterIP="None")
        c.service("strict", "far", {80: 8080}, trafficDistribution="PreferClose")
        c.service("default", "empty", {80: 8080})
        c.pod_object("default", "hostnet", ["10.77.0.10"], {"app": "hostnet"}, "hostnet", hbone=False, hostNetwork=True)
        c.pod_object("default", "unready", ["10.78.0.9"], {"app": "unready"}, "unready", ready=False)
        c.apply(MORE)
        c.apply(json.dumps({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "none", "namespace": "default"},
                            "spec": {"selector": {"matchLabels": {"app": "deny"}}}}))
        self.shop.serve(8080)
        self.deny.serve(8080)
        self.far.serve(8080)
        self.out = c.plain("out")
        self.out.serve(7000)

    @contextlib.contextmanager
    def run(self, program):
        for n in self.one, self.two:
            n.use(program)
            n.start(wait=False)
        for n in self.one, self.two:
            n.ready()
        eventually(lambda: self.web.talk(self.vip, 80) == b"hello", 10)
        eventually(lambda: self.web.refused(self.deny.v4, 8080), 10)
        yield
        for n in self.one, self.two:
            n.stop()


def programs():
    try:
        ztunnel_path()
        return ZTUNNEL, MESHD
    except Skip:
        return MESHD,


def rows(table):
    """A table's cells without what differs from run to run."""
    return sorted(re.sub(r":[3-6]\d{4}\b", ":PORT", re.sub(r"\d{4}-\S+Z|\b[0-9a-f]{30,40}\b", "X", " ".join(line.split()))) for line in table.splitlines() if line.strip())


def differences(want, got):
    return sorted([f"- {w}" for w in want if w not in got] + [f"+ {g}" for g in got if g not in want], key=lambda d: d[1:])


# Certificates: ztunnel has one for each HBONE workload that istiod puts on its node, meshd for those that istio-cni brought, and for its
# own pod, which serves metrics and readiness over HBONE.
# Metrics: ztunnel has no sockets_open of a reporter that never had one.
KNOWN = re.compile(r"node\d (certificate|all): - spiffe://cluster.local/ns/default/sa/unready |node\d (certificate|all): \+ spiffe://cluster.local/ns/istio-system/sa/ztunnel |"
                   r'node\d metrics: \+ istio_tcp_sockets_open\{')


def compare(seen):
    wrong = [f"{key}: {d}" for key, want in seen.get(ZTUNNEL, {}).items() for d in differences(want, seen[MESHD][key])]
    wrong = [w for w in wrong if not KNOWN.match(w)]
    assert not wrong, f"{len(wrong)} differences from ztunnel\n" + "\n".join(wrong)


def filled(o):
    """Without what is empty."""
    if isinstance(o, dict):
        return {k: v for k, v in ((k, filled(v)) for k, v in o.items()) if v not in ({}, [], "", None)}
    return [filled(v) for v in o] if isinstance(o, list) else o


def istioctl(m):
    """{node and table: rows, node and part of the dump: its objects}"""
    seen = {}
    live = m.web.connect(m.vip, 80)
    live.sendall(b"x")
    read_exact(live, 1)
    plain = m.out.connect(m.shop.v4, 8080)
    plain.sendall(b"x")
    read_exact(plain, 1)
    for n in m.one, m.two:
        path = f"{m.c.dir}/dump.json"
        eventually(lambda: "default/sa/hostnet" not in str(n.certificates()) and n.certificates())
        text = n.host.http("/config_dump")[1]
        with open(path, "w") as f:
            f.write(text)
        for what in TABLES:
            seen[f"{n.name} {what}"] = rows(m.c.istioctl("ztunnel-config", what, "-f", path))
        for part in "workloads", "services", "policies", "stagedServices":
            seen[f"{n.name} {part}"] = sorted(json.dumps(filled(o), sort_keys=True) for o in json.loads(text).get(part, []))
    live.close()
    plain.close()
    states = json.loads(m.c.istiod_debug("syncz"))
    for n in m.one, m.two:
        mine = [s for s in states if s["proxy"] == f"{n.instance}.istio-system"]
        assert len(mine) == 1 and mine[0]["proxy_type"] == "ztunnel", states
        assert all(r["sent"] == r["acked"] for r in mine[0]["resources"].values()) and len(mine[0]["resources"]) == 2, mine
    seen["proxy-status"] = rows(m.c.istioctl("proxy-status", "--xds-address", m.c.istiod))
    return seen


def test_istioctl():
    with Cluster() as c:
        c.token("istio-system", "default")      # the account as which istioctl shows itself
        m, seen = Mesh(c), {}
        for p in programs():
            with m.run(p):
                time.sleep(0.5)
                seen[p] = istioctl(m)
        mine = seen[MESHD]
        assert f"default shop {m.shop.v4},{m.shop.v6} node2 None HBONE" in mine["node1 workload"], mine["node1 workload"]
        assert any(r.startswith("default shop 10.96.") and r.endswith(" None 1/1") for r in mine["node1 service"]), mine["node1 service"]
        assert "default rich Deny WorkloadSelector" in mine["node2 policy"], mine["node2 policy"]
        assert "spiffe://cluster.local/ns/strict/sa/far Leaf Available true X X X" in mine["node2 certificate"], mine["node2 certificate"]
        assert "web.default Outbound web.default:PORT shop.default:15008 shop.default.svc.cluster.local:80 HBONE" in mine["node1 connections"], mine["node1 connections"]
        compare(seen)


def traffic(m):
    """Some of each kind."""
    for ip, port in ((m.vip, 80), (m.shop.v4, 8080), (m.shop.v6, 8080), (m.far.v4, 8080)):
        assert m.web.talk(ip, port) == b"hello"
    assert m.out.talk(m.shop.v4, 8080) == b"hello"         # plain, to one in the mesh
    assert m.web.talk(m.out.v4, 7000) == b"hello"          # plain, to one outside
    assert m.web.refused(m.deny.v4, 8080)
    assert m.web.refused(m.vip, 90)                        # nobody listens
    assert m.out.refused(m.far.v4, 8080)                   # STRICT


def series(node):
    return sorted({f"{n}{json.dumps(l, sort_keys=True)}" for n, l, _ in node.host.metrics() if n.startswith(("istio_", "workload_manager_"))})


# What ztunnel's records do not have: a name to ask `meshd why` about, why it failed, what to do.
MORE_FIELDS = "id", "reason", "hint", "policy", "rule"


def access(node):
    """The access records, without ports and times and meshd's own fields; sorted."""
    out = []
    for line in node.log().splitlines():
        try:
            r = json.loads(line)
        except ValueError:
            continue
        if r.get("scope") == "access":
            r = {k: re.sub(r":[3-6]\d{4}$", ":PORT", v) if isinstance(v, str) else v for k, v in r.items() if k not in ("time", "duration", *MORE_FIELDS)}
            r["error"] = bool(r.get("error"))
            if r["error"]:
                r.pop("bytes_sent", 0)      # meshd has counted what the client said
            out.append(json.dumps(r, sort_keys=True))
    return sorted(set(out))


def test_metrics_and_access_log():
    with Cluster() as c:
        m, seen = Mesh(c), {}
        for p in programs():
            with m.run(p):
                traffic(m)
                time.sleep(0.5)
                seen[p] = {"node1 metrics": series(m.one), "node2 metrics": series(m.two)}
            seen[p].update({"node1 log": access(m.one), "node2 log": access(m.two)})
        mine = seen[MESHD]
        assert any('"destination_service": "shop.default.svc.cluster.local"' in s and "istio_tcp_sent_bytes_total" in s for s in mine["node1 metrics"])
        assert any('"src.identity": "spiffe://cluster.local/ns/default/sa/web"' in s for s in mine["node2 log"])
        compare(seen)
