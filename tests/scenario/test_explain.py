# SPDX-License-Identifier: Apache-2.0
"""meshd explain and analyze against what traffic meets, and refusals counted by cause."""
import http.client, json, os, re
from harness import Lab, eventually, policy, principal, service, sh, using

SHOP, BANK = ("10.96.0.7", "shop.default.svc.cluster.local"), ("10.96.0.8", "bank.default.svc.cluster.local")
TO_WAYPOINT = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: shop-l7, namespace: default}
spec: {targetRefs: [{kind: ServiceEntry, group: networking.istio.io, name: shop}], action: DENY, rules: [{to: [{operation: {paths: [/no]}}]}]}
---
"""
ROUTE = f"""apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop, namespace: default}}
spec: {{hosts: [{SHOP[1]}], http: [{{match: [{{uri: {{prefix: /teapot}}}}], fault: {{abort: {{httpStatus: 418, percentage: {{value: 100}}}}}}, route: [{{destination: {{host: {SHOP[1]}}}}}]}}, {{route: [{{destination: {{host: {SHOP[1]}}}}}]}}]}}
---
"""


def explain(lab, client, host, path, env, *more):
    who = client.v4 if client.name == "bare" else f"default/{client.name}"
    r = sh(lab.meshd, "explain", f"--config-dir={lab.config}", f"--from={who}", f"--to={host}:80", f"--path={path}", *more, env={**os.environ, **env})
    assert r.stderr == "", r.stderr
    return r.stdout


def predicted(lab, client, host, path, env):
    """What the application will see: 200, the status of an answer, or 0."""
    said = json.loads(explain(lab, client, host, path, env, "--format=json"))
    assert len(said["outcomes"]) == 1, said
    v = said["outcomes"][0]["verdict"]
    return (200 if v["kind"] == "ALLOW" else v["status"]), v


def seen(client, ip, path):
    try:
        return client.http(path, port=80, ip=ip)[0]
    except (OSError, http.client.HTTPException):
        return 0


def causes(h):
    return {c["cause"]: c["count"] for c in json.loads(h.http("/status")[1])["refusalsByCause"]}


def mixed(lab, env):
    """A sidecar, an ambient and a bare client; a service behind a waypoint, and one without."""
    lab.write("shop.yaml", using("wp", service("shop", {80: 8080}, [SHOP[0]], protocol="HTTP", family="v4")))
    lab.write("bank.yaml", service("bank", {80: 8080}, [BANK[0]], protocol="HTTP", family="v4"))
    lab.write("policies.yaml", TO_WAYPOINT + policy("bank-l4", f"[{principal('web')}]", app="bank"))
    lab.write("route.yaml", ROUTE)
    bare = lab.plain("bare")
    side = lab.sidecars("side", env=env)
    web, shop, bank = lab.meshed("web", "shop", "bank", env=env)
    wp = lab.waypoint("wp", env=env)
    for h in (shop, bank):
        h.serve_http(8080)
    return bare, side, web, shop, bank, wp


def agree(lab, clients, env):
    """Both may be a moment behind the files."""
    for client in clients:
        for ip, host in (SHOP, BANK):
            for path in ("/", "/no", "/teapot"):
                def same():
                    want, verdict = predicted(lab, client, host, path, env)
                    got = seen(client, ip, path)
                    assert got == want, f"{client.name} to {host}{path}: {got}, but explain says {verdict}\n" + explain(lab, client, host, path, env)
                    return True
                eventually(same, 10)


def test_traffic_agrees():
    env = {"MESHD_SIDECAR_USE_WAYPOINT": "true"}
    with Lab() as lab:
        bare, side, web, shop, bank, wp = mixed(lab, env)
        agree(lab, (side, web), env)
        text = explain(lab, web, SHOP[1], "/no", env)
        assert text.endswith("\nverdict: DENY status 403 by default/wp (waypoint): DENIED AuthorizationPolicy default/shop-l7 rule 1\n"), text
        assert [l.split()[:4] for l in text.splitlines() if re.match(r"\d ", l)] == [["1", "client", "default/web", "(ztunnel)"], ["2", "waypoint", "default/wp", "(waypoint)"]], text
        # an address of no workload of the mesh dials endpoints itself
        text = explain(lab, bare, SHOP[1], "/", env)
        assert "bypass     of the waypoint default/wp.default.svc.cluster.local: allowed as in Istio" in text and text.endswith("\nverdict: ALLOW\n"), text
        assert bare.http("/", port=8080, ip=shop.v4)[0] == 200
        assert sh(lab.meshd, "explain", f"--config-dir={lab.config}", "--from=default/nobody", "--to=shop:80", check=False).returncode == 1
        assert sh(lab.meshd, "explain", f"--config-dir={lab.config}", "--from=default/web", check=False).returncode == 2
        eventually(lambda: causes(wp).get("DENIED_BY_RULE"))


def test_closed_refuses_by_cause():
    """Each refusal has a cause, in status and in the metrics, as explain foretells it."""
    env = {"MESHD_ENFORCEMENT": "closed"}
    with Lab() as lab:
        bare, side, web, shop, bank, wp = mixed(lab, env)
        agree(lab, (side, web), env)
        assert explain(lab, bare, SHOP[1], "/", env).endswith("\nverdict: REFUSE status 0 by default/shop (ztunnel): NOT_WAYPOINT default/wp.default.svc.cluster.local\n")
        assert bare.refused(shop.v4, 8080)
        eventually(lambda: causes(shop).get("NOT_WAYPOINT", 0) > 0)
        eventually(lambda: causes(bank).get("DENIED_NO_ALLOW"))          # the sidecar's calls
        eventually(lambda: causes(wp).get("DENIED_BY_RULE"))
        assert "FAULT_ABORT" not in causes(wp), causes(wp)
        assert shop.metric("meshd_refusals_total", cause="NOT_WAYPOINT") > 0
        assert re.search(r"Refused since the start, by cause:\n(  .*\n)*  NOT_WAYPOINT +\d+  refused because the destination admits only its waypoint: ", shop.cli("status").stdout)
        # what ztunnel cannot evaluate
        lab.write("policies.yaml", TO_WAYPOINT + policy("bank-l4", "[{to: [{operation: {paths: [/admin]}}]}]", app="bank", action="DENY"))
        eventually(lambda: seen(web, BANK[0], "/") == 0, 10)
        assert predicted(lab, web, BANK[1], "/", env)[1]["reason"] == "DENIED"
        eventually(lambda: causes(bank).get("DENIED_BLIND", 0) > 0)
        # the waypoint that is required is gone: its clients refuse
        wp.stop()
        lab.remove("workload-wp.json")
        eventually(lambda: seen(web, SHOP[0], "/") == 0 and causes(web).get("NO_WAYPOINT", 0) > 0, 10)
        assert explain(lab, web, SHOP[1], "/", env).endswith("(ztunnel): NO_WAYPOINT default/wp.default.svc.cluster.local\n")
        r = sh(lab.meshd, "analyze", lab.config, check=False, env={**os.environ, **env})
        assert "Gateway default/wp: no replica of this waypoint is ready: what goes to 1 services" in r.stdout, r.stdout
