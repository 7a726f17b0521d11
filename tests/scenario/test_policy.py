# SPDX-License-Identifier: Apache-2.0
"""AuthorizationPolicy and PeerAuthentication while connections live."""
import time
from harness import Lab, eventually, policy, principal, read_exact

STRICT = """apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: %s, namespace: %s}
spec: {%smtls: {mode: %s}}
"""


def test_change_closes_a_live_connection():
    with Lab() as lab:
        lab.write("p.yaml", policy("callers", f"[{principal('web', 'cron')}]", app="shop"))
        web, cron, shop = lab.meshed("web", "cron", "shop")
        out = lab.plain("out")
        shop.serve(8080)
        live = {h: h.connect(shop.v4, 8080) for h in (web, cron)}
        for s in live.values():
            s.sendall(b"x")
            assert read_exact(s, 1) == b"x"
        t = time.time()
        lab.write("p.yaml", policy("callers", f"[{principal('cron')}]", app="shop"))
        try:
            assert live[web].recv(1) == b""
        except ConnectionResetError:
            pass
        assert time.time() - t < 1.5, time.time() - t
        live[cron].sendall(b"y")
        assert read_exact(live[cron], 1) == b"y"
        r = shop.access(direction="inbound", src_identity=web.identity, error="policy now denies")
        assert shop.metric("istio_tcp_connections_closed_total", reporter="destination", source_principal=web.identity, response_flags="DENY") \
            + shop.metric("istio_tcp_connections_failed_total", reporter="destination", source_principal=web.identity, response_flags="DENY") >= 1, r
        live[cron].close()


def test_change_closes_plaintext_and_tells_from_todays_workloads():
    """A selector policy written later binds a workload whose labels change later still."""
    with Lab() as lab:
        lab.write("p.yaml", policy("closed", "[{}]", app="closed", action="DENY"))
        shop, out = lab.meshed("shop"), lab.plain("out")
        shop.serve(8080)
        s = out.connect(shop.v4, 8080)
        s.sendall(b"x")
        assert read_exact(s, 1) == b"x"
        lab.workload(shop, labels={"app": "closed"})
        try:
            assert s.recv(1) == b""
        except ConnectionResetError:
            pass
        assert out.refused(shop.v4, 8080)


def test_strict_and_permissive():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        out = lab.plain("out")
        shop.serve(8080)
        def both():
            ok = web.talk(shop.v4, 8080, b"x") == b"x"
            try:
                return ok, out.talk(shop.v4, 8080, b"x") == b"x"
            except ConnectionError:
                return ok, False
        def becomes(plain_ok):
            eventually(lambda: both() == (True, plain_ok), 3)
        becomes(True)
        lab.write("pa.yaml", STRICT % ("default", "istio-system", "", "STRICT"))
        becomes(False)
        assert "mTLS is required" in str(shop.access(direction="inbound", src_addr=out.v4, error=""))
        lab.write("pb.yaml", STRICT % ("default", "default", "", "PERMISSIVE"))       # the namespace wins over the mesh
        becomes(True)
        lab.write("pc.yaml", STRICT % ("shop", "default", "selector: {matchLabels: {app: shop}}, ", "STRICT"))   # the workload over both
        becomes(False)
        lab.write("pc.yaml", (STRICT % ("shop", "default", "selector: {matchLabels: {app: shop}}, ", "STRICT")).replace(
            "STRICT}}", "STRICT}, portLevelMtls: {8080: {mode: PERMISSIVE}}}"))
        becomes(True)


def test_broken_policy_fails_closed_and_says_so():
    with Lab() as lab:
        web, shop, other = lab.meshed("web", "shop", "other")
        for h in (shop, other):
            h.serve(8080)
        assert web.talk(shop.v4, 8080, b"x") == b"x"
        lab.write("bad.yaml", "\n\n" + policy("broken", "[{from: [{source: {ipBlocks: ['ten.0.0.0/8']}}]}]", app="shop"))
        eventually(lambda: web.refused(shop.v4, 8080))
        assert web.talk(other.v4, 8080, b"x") == b"x"
        for place in (shop.log, lambda: shop.cli("status").stdout):
            eventually(lambda: all(part in place() for part in ("bad.yaml:", "default/broken", "ipBlocks")))
        shop.access(direction="inbound", policy="default/broken", rule="could not be loaded")
        lab.remove("bad.yaml")
        eventually(lambda: web.talk(shop.v4, 8080, b"x") == b"x")


def test_broken_policy_keeps_its_last_good_version():
    with Lab() as lab:
        lab.write("p.yaml", policy("callers", f"[{principal('web')}]", app="shop"))
        web, cron, shop = lab.meshed("web", "cron", "shop")
        shop.serve(8080)
        lab.write("p.yaml", policy("callers", "[{from: [{source: {principals: 7}}]}]", app="shop"))
        eventually(lambda: "p.yaml:" in shop.log())
        assert web.talk(shop.v4, 8080, b"x") == b"x"
        assert cron.refused(shop.v4, 8080)


def test_allow_nothing():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080)
        lab.write("p.yaml", "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: none, namespace: default}\nspec: {}\n")
        eventually(lambda: web.refused(shop.v4, 8080))


def test_root_namespace_reaches_everybody():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080)
        lab.write("p.yaml", policy("all", "[{from: [{source: {namespaces: [default]}}]}]", ns="istio-system", action="DENY"))
        eventually(lambda: web.refused(shop.v4, 8080))


def test_dry_run_only_tells():
    with Lab() as lab:
        lab.write("p.yaml", policy("try", "[{}]", app="shop", action="DENY").replace("{name: try,", '{name: try, annotations: {istio.io/dry-run: "true"},'))
        web, shop = lab.meshed("web", "shop", args=["--log-level=info,policy=debug"])
        shop.serve(8080)
        assert web.talk(shop.v4, 8080, b"x") == b"x"
        eventually(lambda: "dry-run" in shop.log() and "default/try" in shop.log())


def test_http_fields_at_l4():
    """As ztunnel: an ALLOW with HTTP fields never matches; a DENY with only HTTP fields denies nothing."""
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080)
        lab.write("p.yaml", policy("http", "[{to: [{operation: {methods: [GET]}}]}]", app="shop", action="DENY"))
        eventually(lambda: "default/http" in shop.http("/config_dump")[1] or '"http"' in shop.http("/config_dump")[1])
        assert web.talk(shop.v4, 8080, b"x") == b"x"
        lab.write("p.yaml", policy("http", "[{to: [{operation: {methods: [GET]}}]}]", app="shop"))
        eventually(lambda: web.refused(shop.v4, 8080))


def test_trust_domain_alias():
    with Lab() as lab:
        lab.write("mesh.yaml", "trustDomain: cluster.local\ntrustDomainAliases: [old.example]\n")
        lab.write("p.yaml", policy("callers", f"[{principal('web')}]", app="shop"))
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080)
        assert web.talk(shop.v4, 8080, b"x") == b"x"
