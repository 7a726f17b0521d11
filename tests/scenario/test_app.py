# SPDX-License-Identifier: Apache-2.0
"""Applications that refuse, hang, close at once, or reset in the middle."""
import os, socket, time
from harness import Lab, echo, eventually, read_all, reset


def test_refuses():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        for ip in (shop.v4, shop.v6):
            assert web.refused(ip, 9999)
        assert shop.access(direction="inbound", error="")["message"]
        for h, reporter in ((web, "source"), (shop, "destination")):
            eventually(lambda: h.metric("istio_tcp_connections_failed_total", reporter=reporter, response_flags="CONNECT") == 2)


def test_hangs():
    """An application that accepts and stays silent keeps only its own client."""
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080, lambda c, p: time.sleep(20))
        shop.serve(8081)
        s = web.connect(shop.v4, 8080)
        s.sendall(b"anybody?")
        for _ in range(20):
            assert web.talk(shop.v4, 8081, b"x") == b"x"
        s.settimeout(0.2)
        try:
            assert s.recv(1) is None
        except TimeoutError:
            pass


def test_closes_at_once():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080, lambda c, p: None)
        for _ in range(20):
            with web.connect(shop.v4, 8080) as s:
                assert s.recv(1) == b""


def test_resets_in_the_middle():
    def fn(c, peer):
        c.sendall(os.urandom(5 << 20))
        reset(c)
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080, fn)
        shop.serve(8081)
        for _ in range(5):
            with web.connect(shop.v4, 8080) as s:
                try:
                    read_all(s)
                    raise AssertionError("a reset arrived as EOF")
                except ConnectionResetError:
                    pass
            assert web.talk(shop.v4, 8081, b"x") == b"x"     # the pooled connection is alive


def test_connect_timeout():
    """A server whose queue is full never answers: the client hears within the connect timeout."""
    with Lab() as lab:
        lab.write("mesh.yaml", "connectTimeout: 1s\n")
        web, shop = lab.meshed("web", "shop")
        with shop:
            lazy = socket.socket()
        lazy.bind(("0.0.0.0", 8080))
        lazy.listen(0)
        held = [shop.connect("127.0.0.1", 8080)]
        for _ in range(3):                       # fills the queue
            with shop:
                s = socket.socket()
            s.setblocking(False)
            try:
                s.connect(("127.0.0.1", 8080))
            except BlockingIOError:
                pass
            held.append(s)
        time.sleep(0.3)
        t = time.time()
        assert web.refused(shop.v4, 8080, timeout=8)
        assert time.time() - t < 5
        assert "timed out" in str(shop.access(direction="inbound", error="timed out"))


def test_source_address_is_kept():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        out = lab.plain("out")
        s = shop.serve(8080)
        for client in (web, out):
            for f in (4, 6):
                assert client.talk(shop.addr(f), 8080, b"x") == b"x"
                assert s.peers[-1][0] == client.addr(f), s.peers[-1]


def test_source_address_off():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop", env={"ENABLE_ORIG_SRC": "false"})
        s = shop.serve(8080)
        assert web.talk(shop.v4, 8080, b"x") == b"x"
        assert s.peers[-1][0] != web.v4


def test_proxy_protocol():
    """An application that asks for PROXY v2 reads who called, and the caller's identity in TLV 0xD0."""
    head = []
    def fn(c, peer):
        h = c.recv(16, socket.MSG_WAITALL)
        head.append(h + c.recv(int.from_bytes(h[14:16], "big"), socket.MSG_WAITALL))
        echo(c, peer)
    with Lab() as lab:
        web, shop = lab.plain("web", "shop")
        lab.workload(web)
        lab.workload(shop, labels={"meshd.io/application-tunnel": "proxy"})
        for h in (web, shop):
            h.start(f"--workload=default/{h.name}-v6")
        shop.serve(8080, fn)
        for ip, family, fam_len in ((shop.v4, 0x11, 12), (shop.v6, 0x21, 36)):
            assert web.talk(ip, 8080, b"x") == b"x"
            h = head.pop()
            assert h[:12] == b"\r\n\r\n\0\r\nQUIT\n" and h[12] == 0x21 and h[13] == family, h
            client = web.v4 if family == 0x11 else web.v6
            assert h[16:].startswith(socket.inet_pton(socket.AF_INET if family == 0x11 else socket.AF_INET6, client))
            tlv = h[16 + fam_len:]
            assert tlv[0] == 0xD0 and tlv[3:] == web.identity.encode(), tlv


def test_calls_to_own_ports_are_refused():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080)
        for port in (15001, 15006, 15008):
            assert web.refused(shop.v4, port)
            assert web.refused(web.v4, port)
            assert web.refused("127.0.0.1", port)
        assert web.talk(shop.v4, 8080, b"x") == b"x"
        eventually(lambda: shop.memory_kib() < 100000)


def test_server_talks_first():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080, lambda c, p: c.sendall(b"220 first\r\n"))
        with web.connect(shop.v4, 8080) as s:
            assert read_all(s) == b"220 first\r\n"


def test_self_call():
    """A workload that calls its own address reaches itself."""
    with Lab() as lab:
        web = lab.meshed("web")
        web.serve(8080)
        for ip in (web.v4, web.v6, "127.0.0.1", "::1"):
            assert web.talk(ip, 8080, b"me") == b"me"
