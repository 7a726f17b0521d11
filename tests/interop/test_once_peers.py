# SPDX-License-Identifier: Apache-2.0
"""The table of tests/scenario/once.py with other proxies in it: Envoy in Istio's sidecar shape as client, which is a sidecar that knows of no
waypoints, and as server; the real ztunnel as client and as server."""
import json, re

import istioenvoy, once, test_ztunnel
from harness import Lab
from test_envoy import ANY, at, cluster, envoy_path, start
from test_once import Mesh

PLAIN = {"typed_extension_protocol_options": {istioenvoy.PROTOCOL: ANY("upstreams.http.v3.HttpProtocolOptions", explicit_http_config={"http_protocol_options": {}})}}
# What a peer's own rules are is tested elsewhere: those of routes, of waypoints, and that bytes pass.
OF_OTHERS = [q for q in once.QUESTIONS if q.family in ("route", "way") or q.name == "l4/open"]


def local_port(server, port):
    return 7000 + 100 * once.SERVERS.index(server) + port % 97


def routes(name):
    """As istiod translates once.routes()."""
    step = {"request_headers_to_add": [{"header": {"key": "x-step", "value": "1"}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}],
            "response_headers_to_add": [{"header": {"key": "x-back", "value": "1"}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}]}
    to = {"cluster": name, "timeout": "0s"}
    fault = {"envoy.filters.http.fault": ANY("filters.http.fault.v3.HTTPFault", abort={"http_status": 418, "percentage": {"numerator": 100}})}
    retry = {"retry_on": "retriable-status-codes", "retriable_status_codes": [503], "num_retries": once.RETRIES}
    return [{"match": {"path": "/route/fault"}, "route": to, "typed_per_filter_config": fault, **step},
            {"match": {"path": "/route/retry"}, "route": {**to, "retry_policy": retry}, **step}, {"match": {"prefix": "/"}, "route": to, **step}]


def hcm(name):
    return {"name": "hcm", "typed_config": ANY(
        "filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix=name, server_name="istio-envoy", normalize_path=True,
        route_config={"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes(name)}]},
        http_filters=[{"name": "envoy.filters.http.fault", "typed_config": ANY("filters.http.fault.v3.HTTPFault")},
                      {"name": "router", "typed_config": ANY("filters.http.router.v3.Router")}])}


def envoy_client(mesh, host):
    """Mutual TLS to sidecars, plaintext to others: an Envoy without HBONE."""
    listeners, clusters = [], []
    for s in once.SERVERS:
        server = mesh.hosts[once.HOST[s]]
        peer = f"spiffe://{once.identity(once.NAMESPACE[s], server.name)}"
        for port in (80, *once.TCP_PORTS):
            name, local = f"{server.name}-{port}", local_port(s, port)
            tls = {"transport_socket": istioenvoy.tls("Upstream", mesh.lab.issue(host.name), istioenvoy.HTTP_ALPN[1] if port == 80 else ["istio"], [peer])}
            clusters.append(cluster(name, server.v4, 8080 if port == 80 else port, **(PLAIN if port == 80 else {}), **(tls if s.startswith(("sidecar", "hbone")) else {})))
            listeners.append({"name": name, "address": at("0.0.0.0", local), "filter_chains": [
                {"filters": [hcm(name) if port == 80 else istioenvoy.tcp(name, name)]}]})
    start(mesh.lab, host, listeners, clusters)
    mesh.at[host.name] = lambda s: lambda port: ("127.0.0.1", local_port(s, port))


def envoy_server(mesh, host):
    istioenvoy.server(mesh.lab, host, ns=host.namespace)


def envoys_path(server, stance):
    """Envoy gives no identity to a server in ztunnel mode."""
    p = once.Path("foreign", server, stance)
    p.knows = p.knows and bool(p.own)
    return p


def envoy_as_client(stance):
    envoy_path()
    with Lab() as lab:
        Mesh(lab, stance, {once.CLIENT["foreign"]: envoy_client}).matrix([envoys_path(s, stance) for s in once.SERVERS])


def test_envoy_as_client():
    envoy_as_client("istio")


def test_envoy_as_client_closed():
    envoy_as_client("closed")


def test_envoy_as_server():
    envoy_path()
    with Lab() as lab:
        servers = [s for s in once.SERVERS if s.startswith("sidecar")]
        mesh = Mesh(lab, "istio", {once.HOST[s]: envoy_server for s in servers})
        paths = [once.Path(c, s) for c in once.CLIENTS for s in servers]
        for p in paths:
            if p.client == "ambient" and not p.waypoint:
                p.seen = lambda hosts: ("127.0.0.6", once.FORGED_URI, None)     # bytes, to an Envoy that tells requests by their ALPN
            elif p.client == "gateway":
                p.seen = lambda hosts: ("127.0.0.6", None, once.GATEWAY_SAW)    # Envoy knows of no waypoint that was passed by
        mesh.matrix(paths, OF_OTHERS)


def ztunnel(mesh, host):
    """The real one, that knows of all hosts what meshd knows of them."""
    protocol = lambda s: "HBONE" if s.startswith("ambient") else "TCP"
    workloads, services = [], []
    def add(h, ns, protocol, services):
        workloads.append({"uid": f"Kubernetes//Pod/{ns}/{h.name}", "name": h.name, "namespace": ns, "serviceAccount": h.name, "trustDomain": "cluster.local",
                          "clusterId": "Kubernetes", "workloadIps": [h.v4], "protocol": protocol, "node": "n", "network": "", "services": services})
    def service(h, ns, vip, ports, more={}):
        key, uid = f"{ns}/{h.name}.{ns}.svc.cluster.local", f"Kubernetes//Pod/{ns}/{h.name}"
        services.append({"name": h.name, "namespace": ns, "hostname": key.split("/")[1], "vips": [f"/{vip}"], "ports": ports, "subjectAltNames": [],
                         "endpoints": {uid: {"workloadUid": uid, "port": ports, "status": "Healthy"}}, **more})
        return {key: ports}
    waypoint = {"waypoint": {"destination": f"way/{once.WAYPOINT}.way.svc.cluster.local", "hboneMtlsPort": 15008}}
    for s, name in once.HOST.items():
        h, ns = mesh.hosts[name], once.NAMESPACE[s]
        ports = {80: 8080, **{p: p for p in once.TCP_PORTS}}
        add(h, ns, protocol(s), service(h, ns, once.VIP[s], ports, waypoint if s.endswith("+wp") else {}))
    for c, name in once.CLIENT.items():
        add(mesh.hosts[name], "default", "HBONE" if c == "ambient" else "TCP", {})
    wp = mesh.hosts[once.WAYPOINT]
    add(wp, "way", "HBONE", service(wp, "way", once.WAYPOINT_VIP, {15008: 15008}))
    config = json.dumps({"workloads": workloads, "policies": [], "services": services})
    test_ztunnel.run(mesh.lab, host, re.sub(r'"(\d+)":', r"\1:", config), host.namespace, ENABLE_ORIG_SRC="true")


def with_ztunnel(name, stance, paths, questions):
    test_ztunnel.ztunnel_path()
    with Lab() as lab:
        certs = lambda h: test_ztunnel.certs(lab, h.name, h.namespace)
        Mesh(lab, stance, {name: ztunnel}, certs).matrix(paths, questions)


def test_ztunnel_as_client():
    """It knows nothing of Istio's mutual TLS: to a sidecar it talks in plaintext, without an identity."""
    paths = [once.Path("ambient", s) for s in once.SERVERS]
    for p in paths:
        p.meshed = p.knows = p.waypoint or not p.own
    with_ztunnel(once.CLIENT["ambient"], "istio", paths, once.QUESTIONS)


def test_ztunnel_as_server():
    paths = [once.Path(c, s) for c in once.CLIENTS for s in (("ambient",))]
    with_ztunnel(once.HOST["ambient"], "istio", paths, OF_OTHERS)
