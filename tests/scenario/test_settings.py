# SPDX-License-Identifier: Apache-2.0
"""ztunnel's variables of the environment, as what they change."""
import re
from harness import Lab, eventually


def tunnels(h, to):
    """Established connections to the peer's HBONE port, with their timers."""
    return [l for l in h.run("ss", "-Htno", "state", "established", "dst", f"{to}").stdout.splitlines() if re.search(r":15008(\s|$)", l)]


def pair(lab, env):
    shop, web = lab.meshed("shop"), lab.plain("web")
    lab.workload(web)
    web.start("--concurrency=1", env=env)
    shop.serve(8080)
    return web, shop


def test_pool_and_keepalive():
    with Lab() as lab:
        web, shop = pair(lab, {"KEEPALIVE_TIME": "90s"})
        held = [web.connect(shop.v4, 8080) for _ in range(3)]
        for s in held:
            s.sendall(b"x")
            assert s.recv(1) == b"x"
        shared = tunnels(web, shop.v4)
        assert len(shared) == 1, shared                     # many connections in one tunnel
        left = re.search(r"timer:\(keepalive,(\d+)min", shared[0])
        assert left and int(left[1]) < 2, shared            # not the 3 minutes of the default
        for s in held:
            s.close()


def test_one_connection_per_tunnel_and_no_keepalive():
    with Lab() as lab:
        web, shop = pair(lab, {"POOL_MAX_STREAMS_PER_CONNECTION": "1", "KEEPALIVE_ENABLED": "false", "POOL_UNUSED_RELEASE_TIMEOUT": "1s"})
        held = [web.connect(shop.v4, 8080) for _ in range(3)]
        for s in held:
            s.sendall(b"x")
            assert s.recv(1) == b"x"
        mine = tunnels(web, shop.v4)
        assert len(mine) == 3 and not any("keepalive" in l for l in mine), mine
        for s in held:
            s.close()
        eventually(lambda: not tunnels(web, shop.v4), 5)    # unused ones go


def test_http2_settings_and_mark():
    with Lab() as lab:
        web, shop = pair(lab, {"HTTP2_STREAM_WINDOW_SIZE": "70000", "HTTP2_CONNECTION_WINDOW_SIZE": "100000", "HTTP2_FRAME_SIZE": "16384",
                               "PACKET_MARK": "5433"})     # 0x1539: the rules look at the low bits
        data = bytes(range(256)) * 8192
        assert web.talk(shop.v4, 8080, data) == data       # 2 MiB each way through small windows
        dump = web.http("/config_dump")[1]
        assert '"HTTP2_STREAM_WINDOW_SIZE": 70000' in dump and '"PACKET_MARK": "5433"' in dump, dump[-2000:]


def test_socks_only_when_asked_for():
    with Lab() as lab:
        web, shop = pair(lab, {"UNSTABLE_ENABLE_SOCKS5": "true"})
        assert "127.0.0.1:15080" in web.run("ss", "-Hltn").stdout
        assert ":15080" not in shop.run("ss", "-Hltn").stdout
        assert not [r for r in web.records() if "SOCKS" in r.get("message", "")], web.records()


def test_log_levels():
    with Lab() as lab:
        shop = lab.meshed("shop")
        web = lab.plain("web")
        lab.workload(web)
        web.start(env={"RUST_LOG": "warn,ztunnel::access=info,nowhere=debug"})
        assert web.http("/logging", method="POST")[1] == "current log level is access=info,warn\n"
        shop.serve(8080)
        assert web.talk(shop.v4, 8080)
        web.access(direction="outbound")
        told = [r for r in web.records() if "RUST_LOG" in r.get("message", "")]
        assert len(told) == 1 and "nowhere=debug" in told[0]["message"], web.records()
        assert not [r for r in web.records() if r["scope"] == "main" and r["level"] == "info" and "ready" in r["message"]]
