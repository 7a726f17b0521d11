# SPDX-License-Identifier: Apache-2.0
"""{IPv4, IPv6} x {HBONE, plaintext} x {allowed, denied, unknown}."""
from harness import Lab, eventually, greeter, policy, principal
from wire import hbone

HELLO = b"220 hello\r\n"


def allow_web_and(out, ports):
    return "[{from: [{source: {principals: [cluster.local/ns/default/sa/web]}}], to: [{operation: {ports: ['%d']}}]}, " \
           "{from: [{source: {ipBlocks: ['%s', '%s']}}], to: [{operation: {ports: ['%d']}}]}]" % (ports, out.v4, out.v6, ports)


def mesh(lab):
    out = lab.plain("out")
    lab.write("allow.yaml", policy("allow", allow_web_and(out, 8001), app="shop"))
    lab.write("deny.yaml", policy("deny", "[{to: [{operation: {ports: ['8002']}}]}]", app="shop", action="DENY"))
    web, shop, free = lab.meshed("web", "shop", "free")
    for port in (8001, 8002, 8003):
        shop.serve(port, greeter(HELLO))
    free.serve(8001, greeter(HELLO))
    return web, shop, free, out


def row(family):
    with Lab() as lab:
        web, shop, free, out = mesh(lab)
        for client, who in ((web, web.identity), (out, None)):
            # allowed: the bytes are exact both ways, and the log knows both ends
            assert client.talk(shop.addr(family), 8001, b"ping") == HELLO + b"ping"
            r = shop.access(direction="inbound", message="connection complete", src_addr=client.addr(family))
            assert (r.get("src.identity"), r["bytes_sent"], r["bytes_recv"]) == (who, 15, 4), r
            # denied: no byte of the greeting is heard, and no connection reaches the application
            before = len(lab.closing[1].peers)
            assert client.refused(shop.addr(family), 8002)
            assert len(lab.closing[1].peers) == before
            r = shop.access(direction="inbound", src_addr=client.addr(family), error="denied")
            assert "default/deny" in str(r), r
            # no rule speaks of port 8003: an ALLOW policy is there, so it refuses
            assert client.refused(shop.addr(family), 8003)
            # a workload without policies takes everybody
            assert client.talk(free.addr(family), 8001, b"x") == HELLO + b"x"
        eventually(lambda: shop.metric("istio_tcp_connections_failed_total", reporter="destination", response_flags="DENY") == 4)


def test_ipv4():
    row(4)


def test_ipv6():
    row(6)


def test_unknown_destination_passes_through():
    with Lab() as lab:
        web, ext = lab.meshed("web"), lab.plain("ext")
        server = ext.serve(80)
        for family in (4, 6):
            assert web.talk(ext.addr(family), 80, b"plain") == b"plain"
            assert server.peers[-1][0] == web.addr(family)
            r = web.access(direction="outbound", dst_addr=ext.addr(family))
            assert "dst.identity" not in r, r


def test_unknown_identity_over_hbone():
    """A certificate of the mesh for a service account that no object names."""
    with Lab() as lab:
        shop, out = lab.meshed("shop"), lab.plain("out")
        shop.serve(8001)
        for family in (4, 6):
            ip = shop.addr(family)
            h = hbone(out, ip, lab.issue("ghost"))
            sid, status = h.connect(f"[{ip}]:8001" if family == 6 else f"{ip}:8001",
                                    ("baggage", "k8s.namespace.name=attic,k8s.pod.name=ghost-1,service.name=ghost"))
            assert status == 200
            h.data(sid, b"boo", end=True)
            assert h.read(sid, 3) == b"boo"
            h.sock.close()
            r = shop.access(direction="inbound", src_identity="/sa/ghost")
            assert r["src.workload"] == "ghost" and r["src.namespace"] == "attic", r
        eventually(lambda: shop.metric("istio_tcp_connections_opened_total", source_canonical_service="ghost") == 2)


def test_hbone_is_used_between_workloads():
    with Lab() as lab:
        lab.write("strict.yaml", "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: istio-system}\nspec: {mtls: {mode: STRICT}}\n")
        web, shop = lab.meshed("web", "shop")
        out = lab.plain("out")
        shop.serve(8001)
        for family in (4, 6):
            assert web.talk(shop.addr(family), 8001, b"x") == b"x"
            r = web.access(direction="outbound", message="connection complete", dst_hbone_addr=shop.addr(family))
            assert r["dst.identity"] == shop.identity and r["src.identity"] == web.identity, r
            assert out.refused(shop.addr(family), 8001)


def test_principals():
    with Lab() as lab:
        lab.write("p.yaml", policy("only-web", f"[{principal('web')}]", app="shop"))
        web, cron, shop = lab.meshed("web", "cron", "shop")
        shop.serve(8001)
        assert web.talk(shop.v4, 8001, b"x") == b"x"
        assert cron.refused(shop.v4, 8001)
        assert "401" in cron.access(direction="outbound", dst_addr=shop.v4)["error"]
