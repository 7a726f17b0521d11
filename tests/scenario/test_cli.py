# SPDX-License-Identifier: Apache-2.0
"""Subcommands: redirect, run, analyze, ca, help."""
import os, re
from harness import Lab, eventually, meshd_path, need_root, policy, sh


def ruleset(h):
    return h.run("nft", "list", "ruleset").stdout + h.run("ip", "rule").stdout + h.run("ip", "-6", "rule").stdout + h.run("ip", "route", "show", "table", "all").stdout


def test_redirect_is_reversible_and_idempotent():
    with Lab() as lab:
        out = lab.plain("out")
        before = ruleset(out)
        out.cli("redirect", "up", "--mode=ztunnel")
        once = ruleset(out)
        assert once != before and "15001" in once and "15006" in once
        out.cli("redirect", "up", "--mode=ztunnel")
        assert ruleset(out) == once
        out.cli("redirect", "down")
        assert ruleset(out) == before
        out.cli("redirect", "down")


def test_redirect_leaves_foreign_rules_and_ssh_alone():
    with Lab() as lab:
        shop, out = lab.plain("shop", "out")
        shop.run("nft", "add", "table", "inet", "mine")
        shop.serve(22)
        live = out.connect(shop.v4, 22)
        shop.cli("redirect", "up", "--mode=ztunnel")
        live.sendall(b"x")
        assert live.recv(1) == b"x"                        # a session that was there stays
        assert out.talk(shop.v4, 22, b"ssh") == b"ssh"     # and a new one comes in, without any meshd running
        shop.cli("redirect", "down")
        assert "table inet mine" in shop.run("nft", "list", "ruleset").stdout


def test_redirect_rules():
    """Exclusions, families, marks: a script of its own."""
    need_root()                  # other user ids, and cgroups
    r = sh("sh", os.path.join(os.path.dirname(__file__), "redirect.sh"), meshd_path(), check=False, timeout=100)
    assert r.returncode == 0, r.stdout + r.stderr


def test_run_captures_the_command_only():
    need_root()                  # a cgroup, or a user id of its own
    with Lab() as lab:
        shop = lab.meshed("shop")
        web = lab.plain("web")
        lab.workload(web)
        server = shop.serve(8080)
        code = f"import socket,sys; s=socket.create_connection(('{shop.v4}',8080),5); s.sendall(b'hi'); assert s.recv(2)==b'hi'; sys.exit(7)"
        before = ruleset(web)
        r = web.cli("run", f"--config-dir={lab.config}", "--workload=default/web", f"--ca-dir={lab.ca()}", "--", "python3", "-c", code, check=False)
        assert r.returncode == 7, (r.returncode, r.stdout, r.stderr)
        assert shop.access(direction="inbound", src_identity=web.identity)
        assert ruleset(web) == before, ruleset(web)


def test_run_leaves_others_alone_and_passes_signals():
    need_root()
    with Lab() as lab:
        web, ext = lab.plain("web", "ext")
        lab.workload(web)
        s = ext.serve(80)
        p = web.popen(lab.meshd, "run", f"--config-dir={lab.config}", "--workload=default/web", f"--ca-dir={lab.ca()}", "--", "sleep", "60", env=lab.env)
        eventually(lambda: "15001" in ruleset(web), 10)
        port = web.connect(ext.v4, 80)
        port.sendall(b"x")
        assert port.recv(1) == b"x"
        assert s.peers[-1] == port.getsockname(), "a process beside the command was captured"
        p.terminate()
        assert p.wait(10) in (143, -15, 128 + 15)
        assert "15001" not in ruleset(web)


def test_analyze():
    with Lab() as lab:
        lab.write("good.yaml", policy("good", "[{}]"))
        assert sh(lab.meshd, "analyze", lab.config).returncode == 0
        lab.write("bad.yaml", policy("bad", "[{from: [{source: {ipBlocks: [nonsense]}}]}]"))
        r = sh(lab.meshd, "analyze", lab.config, check=False)
        assert r.returncode != 0
        assert re.search(r"bad\.yaml:\d+: error: AuthorizationPolicy default/bad: spec\.rules\[0\].*ipBlocks", r.stdout + r.stderr), r.stdout + r.stderr


def test_authz():
    with Lab() as lab:
        lab.write("w.yaml", WORKLOAD)
        lab.write("p.yaml", policy("readers", "[{from: [{source: {namespaces: [web]}}], to: [{operation: {methods: [GET], paths: ['/items*']}}]}]"))
        table = os.path.join(lab.dir, "table.yaml")
        with open(table, "w") as f:
            f.write(TABLE)
        r = sh(lab.meshd, "authz", "test", f"--config-dir={lab.config}", table, check=False)
        assert r.returncode == 1 and "4 tests, 1 failed." in r.stdout, r.stdout + r.stderr
        assert "FAILED writes: want ALLOW, got DENY." in r.stdout and "wants method GET and path /items*" in r.stdout, r.stdout
        assert sh(lab.meshd, "authz", "test", table, check=False).returncode == 2
        with open(table, "w") as f:
            f.write("tests: [{expct: ALLOW}]")
        r = sh(lab.meshd, "authz", "test", f"--config-dir={lab.config}", table, check=False)
        assert r.returncode == 1 and "tests[0].expct: unknown field" in r.stderr, r.stderr


WORKLOAD = """apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: cart, namespace: default}
spec: {address: 10.0.0.9}
"""
TABLE = """workload: default/cart
port: 8080
tests:
- {name: reads, from: {principal: cluster.local/ns/web/sa/a}, request: {path: /items?x=1}, expect: ALLOW, policy: default/readers}
- {name: writes, from: {principal: cluster.local/ns/web/sa/a}, request: {method: POST, path: /items}, expect: ALLOW}
- {name: dots, from: {principal: cluster.local/ns/web/sa/a}, request: {path: /items/../x}, expect: DENY}
- {name: bytes, from: {principal: cluster.local/ns/web/sa/a}, expect: DENY}
"""


def test_analyze_the_examples():
    with Lab() as lab:
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        for d in sorted(os.listdir(f"{root}/examples")):
            if os.path.isdir(f"{root}/examples/{d}"):
                r = sh(lab.meshd, "analyze", f"{root}/examples/{d}", check=False)
                assert r.returncode == 0, d + ": " + r.stdout + r.stderr


def test_help_and_errors():
    with Lab() as lab:
        assert "redirect" in sh(lab.meshd, "help").stdout and "--config-dir" in sh(lab.meshd, "--help").stdout
        assert re.match(r"meshd \d", sh(lab.meshd, "version").stdout)
        for bad in (["--mode=nonsense"], ["--mode=ztunnel", "--config-dir=/nonexistent", "--workload=a/b"], ["frobnicate"], ["--mode=ztunnel", "--concurrency=x"]):
            r = sh(lab.meshd, *bad, check=False)
            assert r.returncode != 0 and len(r.stderr.strip().splitlines()) <= 3 and r.stderr, (bad, r.stderr)


def as_ztunnel(lab, *words, **env):
    link = os.path.join(lab.dir, "ztunnel")
    if not os.path.exists(link):
        os.symlink(os.path.abspath(meshd_path()), link)
    return sh("env", "-i", "PATH=" + os.environ["PATH"], *[f"{k}={v}" for k, v in env.items()], link, *words, check=False, timeout=10)


def test_called_as_ztunnel():
    """The words that Istio's chart starts it with, and what a wrong environment says."""
    with Lab() as lab:
        assert as_ztunnel(lab, "version").stdout.startswith("meshd ")
        assert "XDS_ADDRESS" in as_ztunnel(lab, "help").stdout
        r = as_ztunnel(lab, "bogus")
        assert r.returncode == 1 and "bogus" in r.stderr, r
        for env, want in (({"XDS_ADDRESS": "istiod"}, "XDS_ADDRESS: want HOST:PORT or https://HOST:PORT, got 'istiod'"),
                          ({"PROXY_MODE": "dedicated"}, "PROXY_WORKLOAD_INFO"),
                          ({"FAKE_CA": "true"}, "meshd ca init"),
                          ({"XDS_ADDRESS": "https://istiod:15012", "XDS_ON_DEMAND": "true", "MESHD_ENFORCEMENT": "closed"}, "XDS_ON_DEMAND does not go with"),
                          ({"XDS_ADDRESS": ""}, "no configuration: want --config-dir=DIR, or XDS_ADDRESS")):
            for words in (("proxy", "ztunnel"), ()):
                r = as_ztunnel(lab, *words, **env)
                assert r.returncode != 0 and want in r.stderr, (words, env, r)
        r = sh("env", "XDS_ADDRESS=", meshd_path(), "proxy", "ztunnel", check=False, timeout=10)
        assert "no configuration" in r.stderr, r
        r = sh(meshd_path(), "proxy", "sidecar", check=False, timeout=10)
        assert r.returncode == 2 and "from a control plane it is not built" in r.stderr, r


def test_help_environment_has_the_variables_of_the_manual():
    with Lab() as lab:
        text = sh(meshd_path(), "help", "environment").stdout
        for name in ("CA_ADDRESS", "AUTH_TOKEN", "ZTUNNEL_WORKER_THREADS", "OTEL_EXPORTER_OTLP_ENDPOINT", "Not honoured", "FAKE_CA=true"):
            assert name in text, name
