# SPDX-License-Identifier: Apache-2.0
"""Certificates from files: rotation, wrong ones, revocation; and the development CA."""
import os, shutil, threading, time
from harness import Lab, REAL_ROOT, TD, eventually, need_root, read_exact, sh
from pki import Pki
from wire import H2, SETTINGS, Closed, context, hbone, tls


def put(lab, name, certs):
    """Copies cert, key and root to stable paths, each by rename."""
    out = []
    for kind, src in zip(("cert", "key", "root"), certs):
        dst = f"{lab.dir}/{name}.{kind}"
        shutil.copy(src, dst + ".tmp")
        os.rename(dst + ".tmp", dst)
        out.append(dst)
    return tuple(out)


def file_pair(lab, pki, *args):
    web, shop = lab.plain("web", "shop")
    for h in (web, shop):
        lab.workload(h)
    for h in (web, shop):
        h.start(*args, certs=put(lab, h.name, pki.leaf(h.name)))
    return web, shop


def test_files():
    with Lab() as lab:
        web, shop = file_pair(lab, Pki(lab.dir))
        shop.serve(8080)
        assert web.talk(shop.v4, 8080, b"x") == b"x"
        assert web.access(direction="outbound", dst_addr=shop.v4)["dst.identity"] == shop.identity


def test_rotation_under_load_drops_nothing():
    with Lab() as lab:
        pki = Pki(lab.dir)
        web, shop = file_pair(lab, pki)
        shop.serve(8080)
        serials = lambda h: [c["serialNumber"] for e in __import__("json").loads(h.http("/config_dump")[1])["certificates"] for c in e["certChain"]]
        stop, bad, done = threading.Event(), [], []
        def load():
            while not stop.is_set():
                try:
                    assert web.talk(shop.v4, 8080, b"y" * 1000) == b"y" * 1000
                    done.append(1)
                except Exception as e:
                    bad.append(e)
        ts = [threading.Thread(target=load) for _ in range(4)]
        [t.start() for t in ts]
        with web.connect(shop.v4, 8080) as live:
            for i in range(4):
                before = serials(shop)
                for h in (web, shop):
                    put(lab, h.name, pki.leaf(h.name))
                eventually(lambda: serials(shop) != before, 5, what="a new certificate served")
                live.sendall(b"%d" % i)
                assert read_exact(live, 1) == b"%d" % i
            stop.set()
            [t.join() for t in ts]
        assert not bad and len(done) > 50, (bad[:3], len(done))


def test_half_rotated_files_keep_the_old_pair():
    """A new key beside the old certificate, for a moment: the old pair serves on, and it is said."""
    with Lab() as lab:
        pki = Pki(lab.dir)
        web, shop = file_pair(lab, pki)
        shop.serve(8080)
        cert, key, root = pki.leaf("other")
        shutil.copy(key, f"{lab.dir}/shop.key.tmp")
        os.rename(f"{lab.dir}/shop.key.tmp", f"{lab.dir}/shop.key")
        eventually(lambda: "shop.key" in shop.log() or "key does not" in shop.log())
        assert web.talk(shop.v4, 8080, b"x") == b"x"


def test_server_refuses_bad_clients():
    with Lab() as lab:
        pki, foreign = Pki(lab.dir), Pki(lab.dir, "foreign")
        shop, out = lab.plain("shop", "out")
        lab.workload(shop)
        shop.start(certs=put(lab, "shop", pki.leaf("shop")))
        shop.serve(8080)
        web = f"spiffe://{TD}/ns/default/sa/web"
        bad = {
            "none": None,
            "another root": foreign.leaf("web"),
            "expired": pki.leaf("expired", start="20200101000000Z", end="20200102000000Z"),
            "not yet": pki.leaf("early", start="20390101000000Z", end="20390102000000Z"),
            "wrong trust domain": pki.leaf("wrongtd", "spiffe://elsewhere.test/ns/default/sa/web"),
            "no SAN": pki.leaf("nosan", ""),
            "DNS only": pki.leaf("dns", "DNS:web.example"),
            "two IDs": pki.leaf("two", web, f"spiffe://{TD}/ns/default/sa/admin"),
            "short path": pki.leaf("short", f"spiffe://{TD}/web"),
            "another scheme": pki.leaf("scheme", f"https://{TD}/ns/default/sa/web"),
            "server only": pki.leaf("serveronly", web, eku="serverAuth"),
        }
        for name, cert in bad.items():
            try:
                h = tls(out, shop.v4, context(cert))
                sid, status = h.connect(f"{shop.v4}:8080")
                raise AssertionError(f"{name}: the handshake passed, status {status}")
            except (OSError, Closed):
                pass
        eventually(lambda: sum(r.get("message") == "connection failed" for r in shop.records()) >= len(bad), what="a log line for each")
        h = hbone(out, shop.v4, pki.leaf("web"))
        assert h.connect(f"{shop.v4}:8080")[1] == 200


def test_client_refuses_a_wrong_server():
    """The destination shows another identity than its WorkloadEntry names."""
    with Lab() as lab:
        pki = Pki(lab.dir)
        web, shop = lab.plain("web", "shop")
        for h in (web, shop):
            lab.workload(h)
        web.start(certs=put(lab, "web", pki.leaf("web")))
        shop.start(certs=put(lab, "shop", pki.leaf("impostor")), ready=False)
        shop.serve(8080)
        assert web.refused(shop.v4, 8080)
        r = web.access(direction="outbound", dst_addr=shop.v4)
        assert "identity" in r["error"] or "refused" in r["error"] or "reset" in r["error"], r


def test_revoked():
    with Lab() as lab:
        pki = Pki(lab.dir)
        crl = f"{lab.dir}/crl.pem"
        pki.crl(crl)
        shop, out = lab.plain("shop", "out")
        lab.workload(shop)
        shop.start(certs=put(lab, "shop", pki.leaf("shop")), env={"CRL_PATH": crl})
        shop.serve(8080)
        good, bad = pki.leaf("web"), pki.leaf("thief")
        live = hbone(out, shop.v4, bad)
        assert live.connect(f"{shop.v4}:8080")[1] == 200
        pki.revoke(bad[0], crl)
        try:                                            # the live one is cut
            live.sock.settimeout(6)
            while True:
                live.recv()
        except (OSError, Closed) as e:
            assert not isinstance(e, TimeoutError), "a revoked peer's connection stayed"
        try:
            tls(out, shop.v4, context(bad)).connect(f"{shop.v4}:8080")
            raise AssertionError("a revoked certificate was taken")
        except (OSError, Closed):
            pass
        assert hbone(out, shop.v4, good).connect(f"{shop.v4}:8080")[1] == 200


def test_tickets_do_not_outlive_what_they_stand_for():
    """A peer that is no meshd shows its ticket again: it is who it was, and after its revocation nobody."""
    with Lab() as lab:
        pki = Pki(lab.dir)
        crl = f"{lab.dir}/crl.pem"
        pki.crl(crl)
        shop, out = lab.plain("shop", "out")
        lab.workload(shop)
        shop.start(certs=put(lab, "shop", pki.leaf("shop")), env={"CRL_PATH": crl})
        shop.serve(8080)
        thief = pki.leaf("thief")
        ctx = context(thief)

        def again(session):
            h = H2(ctx.wrap_socket(out.connect(shop.v4, 15008), session=session))
            h.wait(SETTINGS, 0)
            return h

        h = again(None)
        for resumed in (False, True, True):
            assert h.sock.session_reused == resumed
            assert h.connect(f"{shop.v4}:8080")[1] == 200
            before, h = h, again(h.sock.session)
            before.sock.close()
        peers = [r["src.identity"] for r in eventually(lambda: [r for r in shop.records() if r.get("message") == "connection complete"][2:] and shop.records())
                 if r.get("message") == "connection complete"]
        assert set(peers) == {f"spiffe://{TD}/ns/default/sa/thief"}, peers
        ticket = h.sock.session
        pki.revoke(thief[0], crl)
        eventually(lambda: "was reloaded" in shop.log(), 6)
        try:
            again(ticket).connect(f"{shop.v4}:8080")
            raise AssertionError("the ticket of a revoked peer was taken")
        except (OSError, Closed) as e:
            assert not isinstance(e, TimeoutError)


def test_development_ca_is_guarded():
    with Lab() as lab:
        web = lab.plain("web")
        lab.workload(web)
        d = lab.ca()
        keys = [f"{p}/{f}" for p, _, fs in os.walk(d) for f in fs if "key" in f]
        assert keys and all(os.stat(k).st_mode & 0o077 == 0 for k in keys), keys
        r = sh(lab.meshd, "ca", "init", d, check=False)
        assert r.returncode != 0 and "exist" in r.stderr, r.stderr      # never overwritten
        os.chmod(keys[0], 0o644)
        web.start(ready=False)
        assert eventually(lambda: web.proc.poll() is not None) and web.proc.returncode != 0
        assert "read" in web.log() and d in web.log(), web.log()
        web.proc = None
        os.chmod(keys[0], 0o600)
        web.start()
        assert "development" in web.log().lower(), "no warning at start"


def test_ca_issue_and_constraints():
    with Lab() as lab:
        cert, key, root = lab.issue("web")
        text = sh("openssl", "x509", "-in", cert, "-noout", "-text").stdout
        assert f"URI:spiffe://{TD}/ns/default/sa/web" in text and "prime256v1" in text
        text = sh("openssl", "x509", "-in", root, "-noout", "-text").stdout
        assert "pathlen:0" in text and TD in text.split("Name Constraints")[1], text
        assert os.stat(key).st_mode & 0o077 == 0


def test_keys_are_out_of_reach():
    """The process is not dumpable, so an application beside it (same uid, no capabilities) cannot read its memory."""
    need_root()
    with Lab() as lab:
        if "Sanitizer" in sh("sh", "-c", f"nm -D {lab.meshd} | grep -c -i asan || true").stdout:
            return
        web = lab.meshed("web")
        r = sh("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--clear-groups", "cat", f"/proc/{web.proc.pid}/environ", check=False)
        assert r.returncode != 0


def test_tls12_only_by_a_setting():
    import ssl
    with Lab() as lab:
        pki = Pki(lab.dir)
        shop, out = lab.plain("shop", "out")
        lab.workload(shop)
        shop.start(certs=put(lab, "shop", pki.leaf("shop")))
        shop.serve(8080)
        try:
            context(pki.leaf("web"), version=ssl.TLSVersion.TLSv1_2).wrap_socket(out.connect(shop.v4, 15008))
            raise AssertionError("TLS 1.2 was taken")
        except OSError as e:
            assert "protocol" in str(e).lower(), e
        shop.stop()
        shop.start(certs=put(lab, "shop", pki.leaf("shop")), env={"TLS12_ENABLED": "true"})
        s = context(pki.leaf("web"), version=ssl.TLSVersion.TLSv1_2).wrap_socket(out.connect(shop.v4, 15008))
        assert s.version() == "TLSv1.2"
