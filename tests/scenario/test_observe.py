# SPDX-License-Identifier: Apache-2.0
"""What an operator sees: metrics, access log, admin, status, why."""
import json, re, time
from harness import Lab, eventually, policy, principal, service

LABELS = """reporter source_workload source_canonical_service source_canonical_revision source_workload_namespace source_principal
source_app source_version source_cluster destination_service destination_service_namespace destination_service_name
destination_workload destination_canonical_service destination_canonical_revision destination_workload_namespace
destination_principal destination_app destination_version destination_cluster request_protocol response_flags
connection_security_policy""".split()
FIELDS = """src.addr src.workload src.namespace src.identity dst.addr dst.hbone_addr dst.service dst.workload dst.namespace
dst.identity direction bytes_sent bytes_recv duration""".split()


def traffic(lab, **kw):
    lab.write("s.yaml", service("shop", {80: 8080}, ["10.96.0.7"], family="v4") + policy("callers", f"[{principal('web')}]", app="shop"))
    web, cron, shop = lab.meshed("web", "cron", "shop", **kw)
    shop.serve(8080)
    assert web.talk("10.96.0.7", 80, b"12345") == b"12345"
    assert cron.refused("10.96.0.7", 80)
    return web, cron, shop


def test_metrics():
    with Lab() as lab:
        web, cron, shop = traffic(lab)
        eventually(lambda: all(h.metric("istio_tcp_connections_closed_total") for h in (web, shop)))
        for h, reporter in ((web, "source"), (shop, "destination")):
            status, text, headers = h.http("/stats/prometheus", port=15020)
            assert status == 200 and headers["Content-Type"].startswith("text/plain"), headers
            assert text == h.http("/metrics", port=15020)[1] or "istio_tcp" in text
            want = dict(reporter=reporter, source_principal=web.identity, destination_principal=shop.identity)
            rows = [(n, l, v) for n, l, v in h.metrics() if n == "istio_tcp_sent_bytes_total" and want.items() <= l.items()]
            assert len(rows) == 1 and rows[0][2] == 5, rows
            l = rows[0][1]
            assert list(l)[:len(LABELS)] == LABELS, list(l)
            assert l["source_workload"] == "web" and l["destination_workload"] == "shop" and l["request_protocol"] == "tcp", l
            assert l["connection_security_policy"] == "mutual_tls" and l["destination_service"] == "shop.default.svc.cluster.local", l
            assert l["source_workload_namespace"] == "default" and l["source_cluster"] == "Kubernetes" and l["response_flags"] == "-", l
            for n in ("istio_tcp_connections_opened_total", "istio_tcp_connections_closed_total", "istio_tcp_received_bytes_total"):
                assert f"# TYPE {n.removesuffix('_total')}" in text, n
                assert h.metric(n, **want) == (5 if "bytes" in n else 1), n
            assert h.metric("istio_build") == 1 and h.metric("process_open_fds") > 3
        assert shop.metric("istio_tcp_connections_failed_total", source_principal=cron.identity, response_flags="DENY") == 1
        eventually(lambda: web.metric("istio_tcp_sockets_open", reporter="source") == 0)


def test_access_log_json():
    with Lab() as lab:
        web, cron, shop = traffic(lab)
        r = web.access(direction="outbound", message="connection complete")
        assert [k for k in r if k in FIELDS] == FIELDS, list(r)
        assert r["level"] == "info" and r["scope"] == "access" and r["src.workload"] == "web" and r["dst.workload"] == "shop", r
        assert r["dst.addr"] == f"{shop.v4}:15008" and r["dst.hbone_addr"] == f"{shop.v4}:8080", r
        assert r["bytes_sent"] == 5 and r["bytes_recv"] == 5 and re.fullmatch(r"\d+ms", r["duration"]), r
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", r["time"]), r
        r = shop.access(direction="inbound", src_identity=cron.identity)
        assert r["level"] == "error" and "denied" in r["error"], r


def test_access_log_text():
    with Lab() as lab:
        web, cron, shop = traffic(lab, args=["--log-format=text"])
        line = eventually(lambda: re.search(r".*\taccess\tconnection complete\t.*", web.log()))[0]
        assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z\tinfo\taccess\t", line), line
        for part in (f'src.workload="web"', f"dst.addr={shop.v4}:15008", f'dst.identity="{shop.identity}"', 'direction="outbound"', "bytes_sent=5"):
            assert part in line, (part, line)


def test_config_dump():
    """The shape that `istioctl ztunnel-config` reads."""
    with Lab() as lab:
        web, cron, shop = traffic(lab)
        status, text, headers = web.http("/config_dump")
        d = json.loads(text)
        assert status == 200 and {"workloads", "services", "policies", "certificates", "version", "config"} <= set(d), list(d)
        w = next(w for w in d["workloads"] if w["name"] == "shop")
        assert w["protocol"] == "HBONE" and w["workloadIps"] == [shop.v4] and w["serviceAccount"] == "shop" and w["status"] == "Healthy", w
        s = next(s for s in d["services"] if s["hostname"] == "shop.default.svc.cluster.local")
        assert s["vips"] == ["/10.96.0.7"] and s["ports"] == {"80": 8080} and len(s["endpoints"]) == 1, s
        p = next(p for p in d["policies"] if p["name"] == "callers")
        assert p["scope"] == "WorkloadSelector" and p["action"] == "Allow", p
        c = d["certificates"][0]
        assert c["identity"] == web.identity and c["state"] == "Available", c
        assert {"pem", "serialNumber", "validFrom", "expirationTime"} <= set(c["certChain"][0]), c
        assert "PRIVATE" not in text


def test_logging():
    with Lab() as lab:
        web = lab.meshed("web")
        assert web.http("/logging")[0] == 405
        assert web.http("/logging", method="POST")[1].startswith("current log level is")
        status, text, _ = web.http("/logging?level=access=debug,info", method="POST")
        assert status == 200 and "access=debug" in text, text
        ext = lab.plain("ext")
        ext.serve(80)
        assert web.talk(ext.v4, 80, b"x") == b"x"
        eventually(lambda: "connection opened" in web.log())
        assert web.http("/logging?reset", method="POST")[0] == 200
        assert web.http("/logging?level=loud", method="POST")[0] == 400


def test_admin_guards():
    """Only loopback; Host and Origin are checked against DNS rebinding; POST where it changes something."""
    with Lab() as lab:
        web, out = lab.meshed("web"), lab.plain("out")
        status, text, headers = web.http("/")
        csp = headers["Content-Security-Policy"]
        assert status == 200 and "<html" in text and "default-src 'none'" in csp and "unsafe" not in csp and "frame-ancestors 'none'" in csp, csp
        assert not re.search(r"<script(?! src=\"page.js\" defer></script>)|\son\w+=|style=|https?://(?!www.w3.org)", text), text
        for ip in ("127.0.0.1", "::1"):
            assert web.http("/config_dump", ip=ip)[0] == 200
        assert web.http("/config_dump", headers={"Host": "evil.example:15000"})[0] == 403
        assert web.http("/config_dump", headers={"Host": "localhost:15000"})[0] == 200
        assert web.http("/config_dump", headers={"Origin": "http://evil.example"})[0] == 403
        assert web.http("/quitquitquit", method="POST", headers={"Origin": "http://evil.example"})[0] == 403
        assert web.http("/quitquitquit")[0] == 405
        assert web.http("/nothing")[0] == 404
        assert web.http("/healthz/ready", port=15021, method="POST")[0] == 405
        try:
            out.connect(web.v4, 15000)
            raise AssertionError("admin listens beyond loopback")
        except ConnectionError:
            pass
        for junk in (b"\0" * 100, b"GET " + b"a" * 100000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000):
            try:
                with web.connect("127.0.0.1", 15000) as s:
                    s.sendall(junk)
                    s.recv(1000)
            except (ConnectionError, TimeoutError):
                pass
        assert web.http("/config_dump")[0] == 200


def test_quitquitquit():
    with Lab() as lab:
        web = lab.meshed("web")
        assert web.http("/quitquitquit", method="POST")[0] == 200
        assert web.proc.wait(10) == 0


def test_why_and_status():
    with Lab() as lab:
        web, cron, shop = traffic(lab)
        r = shop.access(direction="inbound", src_identity=cron.identity)
        ident = next(str(v) for k, v in r.items() if k == "id")
        text = shop.cli("why", ident).stdout
        for part in (cron.identity, "default/callers", "web"):     # who, what decided, what would have been allowed
            assert part in text, text
        r = shop.cli("why", "ffffffffffffffff", check=False)
        assert r.returncode != 0 and r.stdout + r.stderr
        text = shop.cli("status").stdout
        for part in (shop.identity, "ready"):
            assert part in text.lower() or part in text, text


def test_status_without_a_daemon():
    with Lab() as lab:
        r = lab.plain("out").cli("status", check=False)
        assert r.returncode != 0 and "15000" in r.stderr, r.stderr


def test_slow_log_reader_does_not_slow_traffic():
    """Standard output is a pipe that nobody reads: lines are dropped and counted, traffic goes on."""
    import subprocess
    with Lab() as lab:
        shop = lab.meshed("shop")
        web = lab.plain("web")
        lab.workload(web)
        web.logfile, web.capture = f"{lab.dir}/none", True
        web.proc = web.popen(lab.meshd, "--mode=ztunnel", f"--config-dir={lab.config}", "--workload=default/web", f"--ca-dir={lab.ca()}",
                             "--user=root", "--drain-time=1s", "--log-level=debug", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=lab.env)
        web.ready()
        shop.serve(8080)
        t = time.time()
        for _ in range(1500):
            assert web.talk(shop.v4, 8080, b"x") == b"x"
        assert time.time() - t < 30
        out = web.proc.stdout
        import threading
        threading.Thread(target=lambda: [None for _ in out], daemon=True).start()
        web.stop()


def test_full_disk_for_logs():
    with Lab() as lab:
        web, shop = lab.plain("web"), lab.meshed("shop")
        lab.workload(web)
        shop.serve(8080)
        web.logfile, web.capture = f"{lab.dir}/none", True
        with open("/dev/full", "w") as full:
            web.proc = web.popen(lab.meshd, "--mode=ztunnel", f"--config-dir={lab.config}", "--workload=default/web", f"--ca-dir={lab.ca()}",
                                 "--user=root", "--drain-time=1s", stdout=full, stderr=full, env=lab.env)
        web.ready()
        for _ in range(50):
            assert web.talk(shop.v4, 8080, b"x") == b"x"
