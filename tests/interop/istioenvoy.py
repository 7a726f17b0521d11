# SPDX-License-Identifier: Apache-2.0
"""Envoy in the shape that istiod gives it as a sidecar, without the filters that only Istio's build has (metadata exchange, istio.alpn):
where those would speak, it offers and chooses ALPNs as if they were switched off."""
from test_envoy import ANY, at, cluster, envoy_path, start

HTTP_ALPN = {1: ["istio-http/1.1", "istio", "http/1.1"], 2: ["istio-h2", "istio", "h2"]}
MX = ["istio-peer-exchange", "istio"]
PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def tls(kind, certs, alpn, peers=(), sni=None, prefix="spiffe://cluster.local/"):
    cert, key, root = certs
    names = [{"san_type": "URI", "matcher": {"exact": p}} for p in peers] or [{"san_type": "URI", "matcher": {"prefix": prefix}}]
    return {"name": "tls", "typed_config": ANY(f"transport_sockets.tls.v3.{kind}TlsContext", common_tls_context={
        "alpn_protocols": alpn, "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3",
                                               "cipher_suites": ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
                                                                 "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"]},
        "tls_certificates": [{"certificate_chain": {"filename": cert}, "private_key": {"filename": key}}],
        "validation_context": {"trusted_ca": {"filename": root}, "match_typed_subject_alt_names": names}},
        **({"require_client_certificate": True} if kind == "Downstream" else {}), **({"sni": sni} if sni else {}))}


def hcm(name, cluster_name=None, reply=None, **more):
    action = {"route": {"cluster": cluster_name, "timeout": "0s"}} if cluster_name else {"direct_response": reply}
    return {"name": "hcm", "typed_config": ANY(
        "filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix=name, codec_type="AUTO", server_name="istio-envoy",
        normalize_path=True, upgrade_configs=[{"upgrade_type": "websocket"}], proxy_100_continue=True,
        route_config={"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **action}]}]},
        http_filters=[{"name": "router", "typed_config": ANY("filters.http.router.v3.Router")}], **more)}


def tcp(name, cluster_name):
    return {"name": "tcp", "typed_config": ANY("filters.network.tcp_proxy.v3.TcpProxy", stat_prefix=name, cluster=cluster_name)}


def rbac(*peers):
    """As istiod makes it of an ALLOW policy with principals."""
    return {"name": "rbac", "typed_config": ANY("filters.network.rbac.v3.RBAC", stat_prefix="tcp.", rules={"action": "ALLOW", "policies": {
        "ns[default]-policy[callers]-rule[0]": {"permissions": [{"any": True}], "principals": [
            {"authenticated": {"principal_name": {"exact": p}}} for p in peers]}}})}


def server(lab, host, strict=False, allow=(), ns="default"):
    """virtualInbound: what host's applications get is captured to it (call capture() then)."""
    certs = lab.issue(host.name, ns)
    first = [rbac(*allow)] if allow else []
    xfcc = dict(forward_client_cert_details="APPEND_FORWARD", set_current_client_cert_details={"subject": True, "uri": True, "dns": True})
    chains = [
        {"name": "http-mtls", "filter_chain_match": {"transport_protocol": "tls", "application_protocols": ["istio-http/1.0", "istio-http/1.1", "istio-h2"]},
         "transport_socket": tls("Downstream", certs, ["h2", "http/1.1"]), "filters": [hcm("in", "inbound", **xfcc)]},
        {"name": "tcp-mtls", "filter_chain_match": {"transport_protocol": "tls", "application_protocols": ["istio-peer-exchange", "istio"]},
         "transport_socket": tls("Downstream", certs, ["h2", "http/1.1"]), "filters": first + [tcp("in", "inbound")]}]
    if not strict:
        chains += [
            {"name": "http", "filter_chain_match": {"transport_protocol": "raw_buffer", "application_protocols": ["http/1.1", "h2c"]}, "filters": [hcm("in", "inbound", **xfcc)]},
            {"name": "tcp", "filter_chain_match": {"transport_protocol": "raw_buffer"}, "filters": first + [tcp("in", "inbound")]},
            {"name": "tls", "filter_chain_match": {"transport_protocol": "tls"}, "filters": [tcp("in", "inbound")]}]
    def filters(name, kind):
        return {"name": name, "typed_config": ANY(f"filters.listener.{kind}")}
    start(lab, host, [{"name": f"virtualInbound{ip}", "address": at(ip, 15006), "filter_chains": chains, "listener_filters_timeout": "0s",
                       "listener_filters": [filters("original_dst", "original_dst.v3.OriginalDst"), filters("tls", "tls_inspector.v3.TlsInspector"),
                                            filters("http", "http_inspector.v3.HttpInspector")]} for ip in ("0.0.0.0", "::")],
          [{"name": "inbound", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "10s",
            "upstream_bind_config": {"source_address": {"address": "127.0.0.6", "port_value": 0}},
            "typed_extension_protocol_options": {PROTOCOL: ANY("upstreams.http.v3.HttpProtocolOptions", use_downstream_protocol_config={
                "http_protocol_options": {}, "http2_protocol_options": {}})}}])
    host.run(lab.meshd, "redirect", "up", "--mode=sidecar", env=lab.env)


def client(lab, host, ip, ports, peer):
    """Listeners on loopback, each to one port of ip: {local port: (port, kind)}; kind 1 or 2: HTTP of that version, "tcp": bytes."""
    certs = lab.issue(host.name)
    listeners, clusters = [], []
    for local, (port, kind) in ports.items():
        name = f"outbound|{port}||shop.default.svc.cluster.local"
        alpn = HTTP_ALPN.get(kind, ["istio"])
        options = {2: {"http2_protocol_options": {}}}.get(kind, {"http_protocol_options": {}})
        listeners.append({"name": f"l{local}", "address": at("0.0.0.0", local), "filter_chains": [
            {"filters": [hcm("out", f"c{local}") if kind in (1, 2) else tcp("out", f"c{local}")]}]})
        clusters.append(cluster(f"c{local}", ip, port, transport_socket=tls("Upstream", certs, alpn, [peer], sni=name.replace("|", "_.")),
                                typed_extension_protocol_options={PROTOCOL: ANY("upstreams.http.v3.HttpProtocolOptions", explicit_http_config=options)}))
    start(lab, host, listeners, clusters)


def h2_app(lab, host, port, body="h2 app"):
    """An application that speaks HTTP/1.1 and cleartext HTTP/2."""
    start(lab, host, [{"name": "app", "address": at("0.0.0.0", port), "filter_chains": [
        {"filters": [hcm("app", reply={"status": 200, "body": {"inline_string": body}})]}]}], [])
