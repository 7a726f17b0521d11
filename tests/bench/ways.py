# SPDX-License-Identifier: Apache-2.0
"""Chains through a waypoint: the client's host, the waypoint's, the server's, HBONE between; the waypoint checks the caller's identity,
routes, and writes an access log. The load goes to the address of a service."""
import json, os
from harness import service, using
from peers import Envoy, Meshd, Peer, PORT, REDIRECT, THREADS, Ztunnel
from test_ztunnel import certs

VIP, SERVER = "10.96.0.7", "server.default.svc.cluster.local"
POLICY = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: only-client, namespace: default}
spec: {targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: server}], rules: [{from: [{source: {principals: [cluster.local/ns/default/sa/client]}}]}]}
---
"""
AT_ONCE = 100       # rules of one VirtualService


class Way(Meshd):
    """What all have in common. A peer with `wp` is asked about that host's proxy alone, too."""
    load, client_mode, client_env = "http", "ztunnel", {}

    def at(self):
        return VIP, PORT

    def mesh(self, waypoint):
        lab = self.lab
        lab.client.mode = self.client_mode
        lab.workload(lab.client)
        lab.workload(lab.server)
        self.wp = lab.waypoint("wp", start=waypoint, args=(f"--concurrency={THREADS}", "--log-format=text"))
        lab.write("service.yaml", using("wp", service("server", {PORT: PORT}, [VIP], family="v4", protocol="HTTP")))
        lab.write("policy.yaml", POLICY)
        lab.write("mesh.yaml", "accessLogFile: /dev/null\n")

    def ends(self):
        for h in (self.lab.server, self.lab.client):
            h.start(f"--concurrency={THREADS}", "--log-format=text", env={**self.env, **(self.client_env if h is self.lab.client else {})}, capture=False)
        self.lab.client.run("nft", "-f", "-", input=REDIRECT % PORT)

    def pids(self):
        return [h.proc.pid for h in (self.lab.client, self.lab.server, self.wp)]

    def middle(self):
        return self.pids()[-1:]

    def stop(self):
        for h in (self.lab.client, self.lab.server, self.wp):
            h.stop()


class MeshdWay(Way):
    name = "meshd-waypoint"

    def start(self):
        self.mesh(True)
        self.ends()

    def routes(self, n, change=None):
        """n rules; change: a status for /change, before all of them."""
        def rules(first):
            return ", ".join(f"{{match: [{{uri: {{prefix: /r{i}/}}}}], route: [{{destination: {{host: {SERVER}}}}}]}}" for i in range(first, min(n, first + AT_ONCE)))
        def write(name, http):
            self.lab.write(f"routes-{name}.yaml", f"""apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: default}}
spec: {{hosts: [{SERVER}], http: [{http}]}}
""")
        if change:
            return write("a", f"{{match: [{{uri: {{exact: /change}}}}], directResponse: {{status: {change}}}}}")
        for first in range(0, n, AT_ONCE):
            write(f"r{first:06}", rules(first))
        write("z", f"{{route: [{{destination: {{host: {SERVER}}}}}]}}")


class MeshdSidecarWay(MeshdWay):
    """A sidecar that honours the waypoint."""
    name, client_mode, client_env = "meshd-sidecar-waypoint", "sidecar", {"MESHD_SIDECAR_USE_WAYPOINT": "true"}


KIND = "type.googleapis.com/envoy."
ANY = lambda kind, **fields: {"@type": KIND + kind, **fields}
named = lambda name, kind, **fields: {"name": name, "typed_config": ANY(kind, **fields)}
at = lambda ip, port: {"socket_address": {"address": ip, "port_value": port}}


LIMITS = {"circuit_breakers": {"thresholds": [{k: 2 ** 32 - 1 for k in ("max_connections", "max_pending_requests", "max_requests", "max_retries")}]}}     # as istiod's: none


class EnvoyWay(Way):
    """Envoy as istiod lays a waypoint out: CONNECT ends, a second listener within the process has the service's HTTP, a third opens CONNECT."""

    @classmethod
    def here(cls):
        cls.envoy = Envoy.here()
        return cls.envoy

    def tls(self, side, certs):
        cert, key, root = certs
        return named("tls", f"extensions.transport_sockets.tls.v3.{side}TlsContext", **({"require_client_certificate": True} if side == "Downstream" else {}), common_tls_context={
            "alpn_protocols": ["h2"], "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{"certificate_chain": {"filename": cert}, "private_key": {"filename": key}}], "validation_context": {
                "trusted_ca": {"filename": root}, "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/"}}]}})

    def hcm(self, name, filters, **more):
        return named("hcm", "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix=name, use_remote_address=False, stream_idle_timeout="0s",
                     http_filters=filters + [named("router", "extensions.filters.http.router.v3.Router")], **more)

    def terminate(self, certs):
        state = lambda key, value, **more: {"object_key": key, "format_string": {"text_format_source": {"inline_string": value}}, "shared_with_upstream": "ONCE", **more}
        keep = named("connect_authority", "extensions.filters.http.set_filter_state.v3.Config", on_request_headers=[
            state("envoy.filters.listener.original_dst.local_ip", "%REQ(:AUTHORITY)%"), state("envoy.filters.listener.original_dst.remote_ip", "%DOWNSTREAM_REMOTE_ADDRESS%"),
            state("io.istio.peer_principal", "%DOWNSTREAM_PEER_URI_SAN%", factory_key="envoy.string"), state("io.istio.local_principal", "%DOWNSTREAM_LOCAL_URI_SAN%", factory_key="envoy.string")])
        route = {"match": {"connect_matcher": {}}, "route": {"cluster": "main_internal", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}}
        return {"name": "connect_terminate", "address": at("0.0.0.0", 15008), "connection_balance_config": {"exact_balance": {}}, "filter_chains": [{
            "transport_socket": self.tls("Downstream", certs), "filters": [self.hcm("terminate", [keep], upgrade_configs=[{"upgrade_type": "CONNECT"}], http2_protocol_options={
                "allow_connect": True, "max_concurrent_streams": 100}, route_config={"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]})]}]}

    def internal(self, name, filters):
        return {"name": name, "internal_listener": {}, "filter_chains": [{"filters": filters}],
                "listener_filters": [named("original_dst", "extensions.filters.listener.original_dst.v3.OriginalDst")]}

    def service(self):
        rbac = named("rbac", "extensions.filters.http.rbac.v3.RBAC", rules={"action": "ALLOW", "policies": {"p": {"permissions": [{"any": True}], "principals": [
            {"filter_state": {"key": "io.istio.peer_principal", "string_match": {"exact": self.lab.client.identity}}}]}}})
        filters = [rbac, named("grpc_stats", "extensions.filters.http.grpc_stats.v3.FilterConfig", emit_filter_state=True),
                   named("fault", "extensions.filters.http.fault.v3.HTTPFault"), named("cors", "extensions.filters.http.cors.v3.Cors")]
        return self.internal("main_internal", [self.hcm("service", filters, normalize_path=True, access_log=[named("f", "extensions.access_loggers.file.v3.FileAccessLog", path="/dev/null")], rds={
            "route_config_name": "service", "config_source": {"path_config_source": {"path": f"{self.dir}/routes.json", "watched_directory": {"path": self.dir}}}})])

    def config(self, certs):
        within = lambda name, to, **more: {"name": name, "type": "STATIC", **LIMITS, "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"envoy_internal_address": to}}, **more}]}]}, "transport_socket": named("internal", "extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
                passthrough_metadata=[{"kind": {"host": {}}, "name": "envoy.filters.listener.original_dst"}], transport_socket=named("raw", "extensions.transport_sockets.raw_buffer.v3.RawBuffer"))}
        app = f"{self.lab.server.v4}:{PORT}"
        options = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": ANY("extensions.upstreams.http.v3.HttpProtocolOptions", explicit_http_config={"http2_protocol_options": {"allow_connect": True}})}
        tunnel = named("tcp", "extensions.filters.network.tcp_proxy.v3.TcpProxy", stat_prefix="o", cluster="connect_originate", tunneling_config={"hostname": "%DOWNSTREAM_LOCAL_ADDRESS%"})
        return {"node": {"id": "wp", "cluster": "bench"}, "bootstrap_extensions": [named("internal", "extensions.bootstrap.internal_listener.v3.InternalListener")], "static_resources": {
            "listeners": [self.terminate(certs), self.service(), self.internal("connect_originate", [tunnel])],
            "clusters": [within("main_internal", {"server_listener_name": "main_internal"}),
                         within("server", {"server_listener_name": "connect_originate", "endpoint_id": app}, metadata={"filter_metadata": {"envoy.filters.listener.original_dst": {"local": app}}}),
                         {"name": "connect_originate", "type": "ORIGINAL_DST", **LIMITS, "lb_policy": "CLUSTER_PROVIDED", "original_dst_lb_config": {"upstream_port_override": 15008},
                          "typed_extension_protocol_options": options, "transport_socket": self.tls("Upstream", certs)}]}}

    def routes(self, n, change=None):
        to = lambda **match: {"match": match, "route": {"cluster": "server", "timeout": "0s"}}
        first = [{"match": {"path": "/change"}, "direct_response": {"status": change}}] if change else []
        self.version = getattr(self, "version", 0) + 1
        text = json.dumps({"version_info": str(self.version), "resources": [ANY("config.route.v3.RouteConfiguration", name="service", virtual_hosts=[
            {"name": "v", "domains": ["*"], "routes": first + [to(prefix=f"/r{i}/") for i in range(n)] + [to(prefix="/")]}])]})
        with open(f"{self.dir}/new", "w") as f:
            f.write(text)
        os.rename(f"{self.dir}/new", f"{self.dir}/routes.json")

    def envoy_up(self, certs):
        self.dir = f"{self.lab.dir}/rds"
        os.mkdir(self.dir)
        self.routes(0)
        path = f"{self.lab.dir}/envoy-wp.json"
        with open(path, "w") as f:
            json.dump(self.config(certs), f)
        self.spawn(self.wp, self.envoy, "-c", path, "--concurrency", THREADS, "-l", "warn", "--use-dynamic-base-id")
        self.listening(self.wp, 15008)

    def middle(self):
        return [self.procs[0].pid]

    def pids(self):
        return [h.proc.pid for h in (self.lab.client, self.lab.server)] + self.middle()

    def start(self):
        self.mesh(False)
        self.envoy_up(self.lab.issue("wp"))
        self.ends()

    def stop(self):
        Peer.stop(self)
        for h in (self.lab.client, self.lab.server):
            h.stop()                 # nothing where ztunnel is


class MeshdEnvoyWay(EnvoyWay):
    """Envoy alone is another."""
    name = "envoy-waypoint"


class ZtunnelEnvoyWay(EnvoyWay):
    """As Istio has it: ztunnel, Envoy, ztunnel. $ZT_CA: the folder of ztunnel's test CA."""
    name = "ztunnel-envoy-waypoint"

    @classmethod
    def here(cls):
        cls.ztunnel = Ztunnel.here()
        return cls.ztunnel and os.path.exists(f"{os.environ.get('ZT_CA', '')}/ca-key.pem") and super().here()

    def config_of_ztunnel(self):
        lab = self.lab
        row = lambda h, services: (f'- {{uid: "c//Pod/default/{h.name}", name: {h.name}, namespace: default, serviceAccount: {h.name}, trustDomain: cluster.local, workloadIps: ["{h.v4}"], '
                                   f'protocol: HBONE, node: n, network: "", services: {services}}}\n')
        wp = "wp.default.svc.cluster.local"
        return ("workloads:\n" + row(lab.client, "{}") + row(lab.server, f'{{"default/{SERVER}": {{{PORT}: {PORT}}}}}') + row(self.wp, f'{{"default/{wp}": {{15008: 15008}}}}') + "policies: []\nservices:\n" +
                f'- {{name: server, namespace: default, hostname: {SERVER}, vips: ["/{VIP}"], ports: {{{PORT}: {PORT}}}, canonical: true, '
                f'waypoint: {{destination: default/{wp}, hboneMtlsPort: 15008}}}}\n'
                f'- {{name: wp, namespace: default, hostname: {wp}, vips: ["/10.96.99.1"], ports: {{15008: 15008}}, canonical: true}}\n')

    def start(self):
        self.mesh(False)
        self.envoy_up(certs(self.lab, "wp"))
        path = f"{self.lab.dir}/zt.yaml"
        with open(path, "w") as f:
            f.write(self.config_of_ztunnel())
        for h in (self.lab.server, self.lab.client):
            self.spawn(h, self.ztunnel, env=dict(FAKE_CA="true", XDS_ADDRESS="", LOCAL_XDS_PATH=path, PROXY_MODE="dedicated", PACKET_MARK="1337",
                       PROXY_WORKLOAD_INFO=f"default/{h.name}/{h.name}", ENABLE_ORIG_SRC="false", ZTUNNEL_WORKER_THREADS=THREADS))
        self.listening(self.lab.server, 15008)
        self.listening(self.lab.client, 15001)
        self.lab.client.run("nft", "-f", "-", input=REDIRECT % PORT)

    def pids(self):
        return [p.pid for p in self.procs]


WAYS = {p.name: p for p in (MeshdWay, MeshdSidecarWay, MeshdEnvoyWay, ZtunnelEnvoyWay)}
