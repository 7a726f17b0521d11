# SPDX-License-Identifier: Apache-2.0
"""What a TCP connection may count on: half-close, resets, exact bytes, nobody slowed by somebody else."""
import hashlib, os, socket, threading, time
from harness import Lab, echo, eventually, read_all, read_exact, reset

MIB = 1 << 20


def pair(lab, fn, port=8080):
    web, shop = lab.meshed("web", "shop")
    return web, shop, shop.serve(port, fn)


def test_half_close_client_first():
    """The server answers only after the client's FIN, and the answer arrives whole."""
    def fn(c, peer):
        got = read_all(c)
        time.sleep(0.3)
        c.sendall(b"%d:" % len(got) + got[::-1])
    with Lab() as lab:
        web, shop, _ = pair(lab, fn)
        data = os.urandom(300000)
        for ip in (shop.v4, shop.v6):
            assert web.talk(ip, 8080, data) == b"300000:" + data[::-1]


def test_half_close_server_first():
    """The server says all and closes its side; the client still sends afterwards."""
    heard = []
    def fn(c, peer):
        c.sendall(b"bye" * 1000)
        c.shutdown(socket.SHUT_WR)
        heard.append(read_all(c))
    with Lab() as lab:
        web, shop, _ = pair(lab, fn)
        with web.connect(shop.v4, 8080) as s:
            assert read_all(s) == b"bye" * 1000
            time.sleep(0.2)
            s.sendall(b"after" * 1000)
        eventually(lambda: heard == [b"after" * 1000])


def expect_reset(s):
    try:
        d = s.recv(100)
    except ConnectionResetError:
        return
    raise AssertionError(f"expected a reset, got {d!r}")


def test_server_reset_reaches_the_client():
    def fn(c, peer):
        c.recv(10)
        reset(c)
    with Lab() as lab:
        web, shop, _ = pair(lab, fn)
        out = lab.plain("out")
        for client in (web, out):               # HBONE, plaintext
            for ip in (shop.v4, shop.v6):
                with client.connect(ip, 8080) as s:
                    s.sendall(b"x")
                    expect_reset(s)


def test_client_reset_reaches_the_server():
    seen = []
    def fn(c, peer):
        try:
            while c.recv(100):
                c.sendall(b"ok")
            seen.append("eof")
        except ConnectionResetError:
            seen.append("reset")
    with Lab() as lab:
        web, shop, _ = pair(lab, fn)
        out = lab.plain("out")
        for n, client in enumerate((web, out), 1):
            s = client.connect(shop.v4, 8080)
            s.sendall(b"x")
            assert s.recv(2) == b"ok"
            reset(s)
            eventually(lambda: seen == ["reset"] * n, what=f"{seen}")


def test_big_transfers_with_checksum():
    size = 64 * MIB
    block = os.urandom(MIB)
    want = hashlib.sha256(block * 64).hexdigest()
    def fn(c, peer):
        kind = c.recv(1)
        if kind == b"d":
            for _ in range(64):
                c.sendall(block)
            return
        h, n = hashlib.sha256(), 0
        while d := c.recv(1 << 18):
            h.update(d)
            n += len(d)
        c.sendall(f"{n} {h.hexdigest()}".encode())
    with Lab() as lab:
        web, shop, _ = pair(lab, fn)
        for ip in (shop.v4, shop.v6):
            s = web.connect(ip, 8080, 30)
            s.sendall(b"u")
            for _ in range(64):
                s.sendall(block)
            s.shutdown(socket.SHUT_WR)
            assert read_all(s).decode() == f"{size} {want}"
            s = web.connect(ip, 8080, 30)
            s.sendall(b"d")
            h = hashlib.sha256()
            while d := s.recv(1 << 18):
                h.update(d)
            assert h.hexdigest() == want


def test_both_directions_at_once():
    with Lab() as lab:
        web, shop, _ = pair(lab, echo)
        data, got = os.urandom(MIB) * 16, []
        s = web.connect(shop.v4, 8080, 30)
        t = threading.Thread(target=lambda: got.append(read_all(s)))
        t.start()
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        t.join(30)
        assert got == [data]


def test_ten_stalled_streams_leave_the_eleventh_alone():
    """Ten readers that stop, on the one pooled connection: memory stays bounded and another stream keeps its speed."""
    stop = threading.Event()
    def fn(c, peer):
        kind = c.recv(1)
        if kind == b"s":                       # a source that never ends
            c.settimeout(None)
            while not stop.is_set():
                c.sendall(b"\0" * 65536)
        else:
            echo(c, peer)
    with Lab() as lab:
        web, shop, _ = pair(lab, fn)
        def speed():
            s, t = web.connect(shop.v4, 8080, 30), time.time()
            s.sendall(b"e")
            for _ in range(16):
                s.sendall(b"\1" * MIB)
                read_exact(s, MIB)
            s.close()
            return time.time() - t
        before = min(speed() for _ in range(2))
        stalled = []
        for _ in range(10):
            s = web.connect(shop.v4, 8080)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            s.sendall(b"s")
            stalled.append(s)
        time.sleep(2)
        rss = [h.memory_kib() for h in (web, shop)]
        after = min(speed() for _ in range(2))
        time.sleep(1)
        grown = [h.memory_kib() - r for h, r in zip((web, shop), rss)]
        stop.set()
        for s in stalled:
            reset(s)
        assert after < 3 * before + 0.5, f"{before:.2f} s alone, {after:.2f} s beside ten stalled streams"
        assert max(rss) < 200 * 1024 and max(grown) < 40 * 1024, (rss, grown)


def test_stalled_reader_stops_its_writer():
    """A server that does not read: the client's writes stop soon, and go on when it reads."""
    go = threading.Event()
    def fn(c, peer):
        go.wait(30)
        n = 0
        while d := c.recv(1 << 18):
            n += len(d)
        c.sendall(str(n).encode())
    with Lab() as lab:
        web, shop, _ = pair(lab, fn)
        s = web.connect(shop.v4, 8080)
        s.setblocking(False)
        sent, quiet = 0, 0
        while quiet < 20 and sent < 200 * MIB:
            try:
                sent += s.send(b"\0" * 65536)
                quiet = 0
            except BlockingIOError:
                quiet += 1
                time.sleep(0.05)
        assert sent < 64 * MIB, f"{sent >> 20} MiB vanished into the proxies"
        go.set()
        s.settimeout(20)
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == str(sent).encode()


def test_many_short_connections():
    with Lab() as lab:
        web, shop, _ = pair(lab, echo)
        bad = []
        def work(n):
            for i in range(100):
                d = b"%d-%d" % (n, i)
                try:
                    if web.talk(shop.v4, 8080, d) != d:
                        bad.append(d)
                except OSError as e:
                    bad.append(e)
        ts = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        [t.start() for t in ts]
        [t.join() for t in ts]
        assert not bad, bad[:5]
        eventually(lambda: web.metric("istio_tcp_connections_closed_total", reporter="source") == 800)
        # all of them over pooled connections: far fewer than one each
        peers = {r["src.addr"] for r in shop.records() if r.get("scope") == "access"}
        assert len(shop.run("ss", "-tnH", "sport = :15008").stdout.splitlines()) <= 16, peers
