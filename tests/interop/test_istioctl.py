# SPDX-License-Identifier: Apache-2.0
"""What an operator sees: istioctl ztunnel-config over our /config_dump, and the same dump of a real ztunnel beside it."""
import json, re, socket
from ambient import MESHD, ZTUNNEL, Node
from cluster import Cluster
from harness import eventually

OBJECTS = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: only-web, namespace: default}
spec:
  selector: {matchLabels: {app: shop}}
  action: ALLOW
  rules:
  - from: [{source: {principals: ["cluster.local/ns/default/sa/web", "*/sa/other"], notNamespaces: ["bad-*"]}}, {source: {ipBlocks: ["10.0.0.0/8"], notIpBlocks: ["10.9.0.0/16"]}}]
    to: [{operation: {ports: ["8080", "9090"], notPorts: ["1"]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: everybody, namespace: default}
spec: {action: DENY, rules: [{from: [{source: {serviceAccounts: ["default/evil"]}}], when: [{key: destination.ip, values: ["192.0.2.7"]}]}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: default}
spec: {hosts: [outside.example.com], addresses: [240.1.2.3], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 192.0.2.1, locality: "eu/eu-1/r"}]}
"""


def dump(node):
    status, text, headers = node.host.http("/config_dump", timeout=20)
    assert status == 200 and headers["content-type"] == "application/json", (status, headers)
    return text


def show(c, text, *words):
    path = f"{c.dir}/dump.json"
    with open(path, "w") as f:
        f.write(text)
    out = c.istioctl("ztunnel-config", *words, "--file", path)
    return [re.split(r"\s{2,}|\s(?=\S)", line.strip()) for line in out.splitlines() if line.strip()]


def busy_mesh(c, *nodes):
    """web on the first node holds a connection to shop on the last."""
    web = nodes[0].pod("default", "web", labels={"app": "web"})
    shop = nodes[-1].pod("default", "shop", labels={"app": "shop", "version": "v2"})
    vips = c.service("default", "shop", {80: 8080}, selector={"app": "shop"})
    c.apply(OBJECTS)
    shop.serve(8080)
    return web, shop, vips


def hold(web, vip):
    s = eventually(lambda: talk(web, vip), 30, what="a connection through the mesh")
    return s


def talk(web, vip):
    try:
        s = web.connect(vip, 80)
        s.sendall(b"hi")
        return s if s.recv(2) == b"hi" else None
    except (OSError, socket.timeout):
        return None


def test_istioctl_reads_our_dump():
    with Cluster() as c:
        node = Node(c, "node1").start(wait=False)
        web, shop, (v4, v6) = busy_mesh(c, node)
        node.ready()
        held = hold(web, v4)
        eventually(lambda: "outside.example.com" in dump(node) and "only-web" in dump(node), 10, what="the objects in the dump")
        text = dump(node)

        rows = {r[1]: r for r in show(c, text, "workload")}
        assert rows["shop"] == ["default", "shop", f"{shop.v4},{shop.v6}", "node1", "None", "HBONE"], rows
        rows = {r[1]: r for r in show(c, text, "service")}
        assert rows["shop"] == ["default", "shop", f"{v4},{v6}", "None", "1/1"], rows
        assert any(r[2] == "240.1.2.3" for r in rows.values()), rows
        rows = {r[1]: r[2:] for r in show(c, text, "policy")}
        assert rows["only-web"] == ["Allow", "WorkloadSelector"] and rows["everybody"] == ["Deny", "Namespace"], rows
        rows = show(c, text, "certificate")
        names = {(r[0], r[1]): r for r in rows[1:]}
        for sa in ("web", "shop"):
            leaf = names[(f"spiffe://cluster.local/ns/default/sa/{sa}", "Leaf")]
            assert leaf[2] == "Available" and leaf[3] == "true" and re.fullmatch("[0-9a-f]{16,}", leaf[4]), leaf
            assert names[(f"spiffe://cluster.local/ns/default/sa/{sa}", "Root")][2] == "Available"
        rows = [r for r in show(c, text, "connections") if r[0] != "WORKLOAD"]
        out = [r for r in rows if r[0] == "web.default"]
        assert out and out[0][1] == "Outbound" and out[0][3] == "shop.default:15008" and out[0][4] == "shop.default.svc.cluster.local:80" and out[0][5] == "HBONE", rows
        inn = [r for r in rows if r[0] == "shop.default"]
        assert inn and inn[0][1:3] == ["Inbound", "shop.default:8080"] and inn[0][-2:] == ["shop.default.svc.cluster.local", "HBONE"], rows
        assert len(show(c, text, "all")) > 10
        held.close()
        eventually(lambda: not [r for r in show(c, dump(node), "connections") if r[0] == "web.default"], 5)

        # log levels as istioctl asks for them
        assert node.host.http("/logging?level=", method="POST")[:2] == (200, "current log level is info\n")
        assert node.host.http("/logging?level=ztunnel::xds=debug,access:debug", method="POST")[:2] == (200, "current log level is access=debug,xds=debug,info\n")
        assert node.host.http("/logging?level=info&reset", method="POST")[:2] == (200, "current log level is info\n")


def test_metrics_of_the_control_plane():
    with Cluster() as c:
        node = Node(c, "node1", env={"ISTIO_META_ISTIO_VERSION": "1.31-test"}).start(wait=False)
        busy_mesh(c, node)
        node.ready()

        def metrics():
            return dict(re.findall(r"^([a-z][^ ]*) ([0-9.e+-]+)$", node.host.http("/metrics", port=15020)[1], re.M))
        eventually(lambda: metrics().get("workload_manager_active_proxy_count") == "2", 10)
        m = metrics()
        assert m["workload_manager_pending_proxy_count"] == "0" and m["workload_manager_proxies_started_total"] == "2", m
        assert int(m['istio_xds_message_total{url="type.googleapis.com/istio.workload.Address"}']) >= 1, m
        assert int(m['istio_xds_message_bytes_total{url="type.googleapis.com/istio.workload.Address"}']) > 100, m
        assert m['istio_build{component="ztunnel",tag="1.31-test"}'] == "1" and m["meshd_xds_connected"] == "1", m
        c.restart_istiod()
        eventually(lambda: any(k.startswith("istio_xds_connection_terminations_total{") for k in metrics()), 20)


def normal(node, text):
    """A dump's mesh as comparable objects: order says nothing, and an absent field is its default."""
    def clean(x):
        if isinstance(x, dict):
            return {k: clean(v) for k, v in x.items() if k not in ("where", "problem") and v not in ("", [], {}, None, False)}
        return [clean(v) for v in x] if isinstance(x, list) else x

    d = clean(json.loads(text))
    for w in d["workloads"]:
        w["services"] = sorted(w.get("services", []))
        w["workloadIps"] = sorted(w["workloadIps"])
        w["authorizationPolicies"] = sorted(w.get("authorizationPolicies", []))
    for s in d["services"]:
        s["vips"] = sorted(s.get("vips", []))
    return {"workloads": {w["uid"]: w for w in d["workloads"]}, "services": {s["namespace"] + "/" + s["hostname"]: s for s in d["services"]},
            "policies": {p["namespace"] + "/" + p["name"]: p for p in d.get("policies", [])},
            "info": sorted((s["info"] for s in d["workloadState"].values()), key=str)}


def differences(path, a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return [x for k in sorted(a.keys() | b.keys()) for x in differences(f"{path}.{k}", a.get(k), b.get(k))]
    return [] if a == b else [f"{path}: ztunnel {a!r}, meshd {b!r}"]


def test_our_dump_is_ztunnels():
    with Cluster() as c:
        ours, theirs = Node(c, "node1", MESHD), Node(c, "node2", ZTUNNEL)
        ours.start(wait=False)
        theirs.start(wait=False)
        web, shop, (v4, v6) = busy_mesh(c, ours, theirs)
        ours.ready()
        theirs.ready()
        held = hold(web, v4)
        def apart():
            return differences("", normal(theirs, dump(theirs)) | {"info": 0}, normal(ours, dump(ours)) | {"info": 0})
        try:
            eventually(lambda: not apart(), 5)
        except AssertionError:
            raise AssertionError("\n".join(apart()))
        # the same shapes for what is each node's own
        a, b = json.loads(dump(theirs)), json.loads(dump(ours))
        assert a.keys() - b.keys() <= {"stagedServices", "staticConfig"}, a.keys() - b.keys()
        for key in ("certificates",):
            assert a[key][0].keys() == b[key][0].keys() and a[key][0]["certChain"][0].keys() == b[key][0]["certChain"][0].keys()
        inn = [s for s in a["workloadState"].values() if s.get("connections", {}).get("inbound")][0]
        out = [s for s in b["workloadState"].values() if s["connections"]["outbound"]][0]
        assert inn.keys() == out.keys() and inn["info"].keys() == out["info"].keys(), (inn, out)
        assert inn["connections"]["inbound"][0].keys() == out["connections"]["outbound"][0].keys(), (inn, out)
        held.close()


ASK = """
import socket, sys
name = sys.argv[1]
q = b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0" + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\\0\\0\\1\\0\\1"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.sendto(q, ("10.77.0.1", 53))
print(s.recv(512)[3] & 15, end="")
"""


def families(node):
    """{name: (type, label names of its samples in order)} of the metrics page."""
    text = node.host.http("/metrics", port=15020)[1]
    types = {re.sub("_total$", "", n): t for n, t in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)}
    out = {}
    for name, labels in re.findall(r"^([a-z_]+)(?:\{(.*)\})? [0-9.e+-]+$", text, re.M):
        base = re.sub("_(total|bucket|sum|count)$", "", name)
        kind = types.get(base) or types.get(name)
        out.setdefault(name, (kind, set()))[1].add(tuple(re.findall(r'(\w+)="', labels)))
    return out


def test_our_metrics_are_ztunnels():
    """Every series that ztunnel had after the same traffic, by name, type and labels in their order; tokio's are its own."""
    with Cluster() as c:
        ours, theirs = Node(c, "node1", MESHD), Node(c, "node2", ZTUNNEL)
        ours.start(wait=False)
        theirs.start(wait=False)
        web, shop, (v4, v6) = busy_mesh(c, ours, theirs)
        back = ours.pod("default", "back", labels={"app": "back"})
        b4, _ = c.service("default", "back", {80: 8080}, selector={"app": "back"})
        back.serve(8080)
        ours.ready()
        theirs.ready()
        hold(web, v4).close()          # outbound here, inbound there
        hold(shop, b4).close()         # and the other way round
        for pod in (web, shop):
            assert pod.run("python3", "-c", ASK, "shop.default.svc.cluster.local").stdout == "0"
        missing = {}

        def all_there():
            missing.clear()
            mine, his = families(ours), families(theirs)
            assert {"istio_tcp_connections_closed_total", "istio_xds_message_bytes_total", "workload_manager_active_proxy_count",
                    "istio_build", "process_open_fds", "istio_dns_requests_total"} <= his.keys(), his.keys()
            for name, (kind, labels) in his.items():
                if name.startswith("tokio_"):
                    continue
                have = mine.get(name)
                if not have or have[0] != kind or not labels <= have[1]:
                    missing[name] = (kind, labels, have)
            return not missing
        try:
            eventually(all_there, 15)
        except AssertionError:
            raise AssertionError("\n".join(f"{k}: {v}" for k, v in missing.items()))


def access(node, **want):
    for line in reversed(node.log().splitlines()):
        r = json.loads(line) if line.startswith("{") else {}
        if r.get("scope") == "access" and want.items() <= r.items():
            return r


def test_our_access_log_is_ztunnels():
    with Cluster() as c:
        ours, theirs = Node(c, "node1", MESHD), Node(c, "node2", ZTUNNEL)
        ours.start(wait=False)
        theirs.start(wait=False)
        web, shop, (v4, v6) = busy_mesh(c, ours, theirs)
        back = ours.pod("default", "back", labels={"app": "back"})
        b4, _ = c.service("default", "back", {80: 8080}, selector={"app": "back"})
        back.serve(8080)
        ours.ready()
        theirs.ready()
        hold(web, v4).close()
        hold(shop, b4).close()
        for direction in ("outbound", "inbound"):
            mine, his = [eventually(lambda: access(n, direction=direction, message="connection complete"), 10) for n in (ours, theirs)]
            # ztunnel's message comes after its fields' names; a span may follow
            def shape(r):
                return [(k, type(v).__name__) for k, v in r.items() if not isinstance(v, dict)]
            assert shape(mine) == shape(his), (mine, his)
            assert re.fullmatch(r"\d+ms", mine["duration"]) and re.fullmatch(r"\d+ms", his["duration"]), (mine, his)
            assert len(mine["time"]) == len(his["time"]), (mine, his)
