# SPDX-License-Identifier: Apache-2.0
"""Peers that send nonsense to the HBONE port: each ends clearly, at a bounded cost, and disturbs nobody."""
import os, socket, ssl, struct, time
from harness import Lab, eventually, read_exact
from wire import *


class Victim:
    """shop under attack from `out`; web is the honest client that must not notice."""

    def __init__(self, lab):
        self.lab = lab
        self.web, self.shop = lab.meshed("web", "shop")
        self.out = lab.plain("out")
        self.shop.serve(8080)
        self.to = f"{self.shop.v4}:8080"
        self.cert = lab.issue("guest")
        self.honest = self.web.connect(self.shop.v4, 8080)
        self.check()

    def open(self, **kw):
        return hbone(self.out, self.shop.v4, self.cert, **kw)

    def check(self):
        self.honest.sendall(b"still here?")
        assert read_exact(self.honest, 11) == b"still here?"
        assert self.web.talk(self.shop.v4, 8080, b"x") == b"x"
        assert self.shop.proc.poll() is None
        assert self.shop.memory_kib() < 150 * 1024, self.shop.memory_kib()

    def ends(self, h, seconds=10):
        """The peer closes the connection (GOAWAY or end)."""
        h.sock.settimeout(seconds)
        try:
            while not h.goaway:
                h.recv()
        except (Closed, OSError) as e:
            assert not isinstance(e, TimeoutError), "the connection stayed open"


def raw(v, data, timeout=3):
    s = v.out.connect(v.shop.v4, 15008, timeout)
    try:
        s.sendall(data)
        return s.recv(4096)
    except ConnectionError:
        return b""


def test_not_tls():
    with Lab() as lab:
        v = Victim(lab)
        for junk in (os.urandom(3000), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", PREFACE, b"\0", b"\x16\x03\x01\xff\xff" + b"\0" * 70000):
            try:
                got = raw(v, junk, 1)
                assert not got or got[0] == 21, got[:50]            # nothing, or a TLS alert
            except TimeoutError:
                pass                                                 # it waits for more; the handshake timeout ends it
        v.check()


def test_truncated_client_hello_is_ended_in_time():
    with Lab() as lab:
        v = Victim(lab)
        s = v.out.connect(v.shop.v4, 15008, 20)
        s.sendall(bytes.fromhex("160301020001" "0001fc0303"))
        t = time.time()
        try:
            while s.recv(100):
                pass
        except ConnectionResetError:
            pass
        assert 10 < time.time() - t < 18, time.time() - t
        v.check()


def test_silent_tcp_connections():
    with Lab() as lab:
        v = Victim(lab)
        held = [v.out.connect(v.shop.v4, 15008) for _ in range(500)]
        v.check()
        del held


def test_http1_inside_tls():
    with Lab() as lab:
        v = Victim(lab)
        for alpn in (("h2",), ()):
            s = context(v.cert, alpn=alpn).wrap_socket(v.out.connect(v.shop.v4, 15008))
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            drain_until_closed(s)
        try:
            context(v.cert, alpn=("http/1.1",)).wrap_socket(v.out.connect(v.shop.v4, 15008)).recv(1)
            raise AssertionError("ALPN http/1.1 was taken")
        except OSError:
            pass
        v.check()


def drain_until_closed(s):
    try:
        while s.recv(4096):
            pass
    except ConnectionError:
        pass


def test_requests_with_their_status():
    """The table of replies: 400 for form, 503 for what is unknown or a loop, 401 is policy's."""
    with Lab() as lab:
        v = Victim(lab)
        ip = v.shop.v4
        h = v.open()
        connect = lambda a: [(":method", "CONNECT"), (":authority", a)]
        rows = [
            ([(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", v.to)], 400),
            ([(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", v.to)], 400),
            (connect(ip), 400), (connect(f"{ip}:"), 400), (connect(f"{ip}:0"), 400), (connect(f"{ip}:99999"), 400),
            (connect(f"{ip}:http"), 400), (connect("[::1"), 400), (connect(":80"), 400), (connect("a" * 300 + ":80"), 400),
            (connect("10.9.9.9:8080"), 400),                       # somebody else's address
            (connect("127.0.0.1:8080"), 400), (connect("[::1]:8080"), 400),
            (connect("nobody.default.svc.cluster.local:80"), 503),
            (connect(f"{ip}:15001"), 503), (connect(f"{ip}:15006"), 503), (connect(f"{ip}:15008"), 503),
            (connect(f"{ip}:9"), 503),                             # nothing listens there
            (connect(v.to), 200),
        ]
        for fields, want in rows:
            sid = h.open(fields)
            try:
                got = h.reply(sid)
            except ConnectionResetError:
                got = 400 if want == 400 else "reset"              # a stream error says the same of a malformed request
            except Closed:
                raise AssertionError(f"{fields}: the connection ended")
            assert got == want, f"{fields}: {got}, not {want}"
        v.check()


def test_odd_headers_disturb_nothing():
    with Lab() as lab:
        v = Victim(lab)
        h = v.open()
        for name, value in (("baggage", "k8s.namespace.name"), ("baggage", ",,,==;;="), ("baggage", "k8s.namespace.name=" + "a" * 8000),
                            ("baggage", b"k8s.namespace.name=\xff\xfe"), ("forwarded", "for=;host="), ("forwarded", 'for="[::1]:x";host="'),
                            ("forwarded", "host=" + "b" * 5000), ("forwarded", b"host=\x80\x81"), ("traceparent", "00-zz"), ("traceparent", "0" * 5000),
                            ("x-forwarded-network", "elsewhere")):
            sid, status = h.connect(v.to, (name, value))
            assert status == 200, (name, value, status)
            h.data(sid, b"ok", end=True)
            assert h.read(sid, 2) == b"ok"
        v.check()


def test_large_headers():
    with Lab() as lab:
        v = Victim(lab)
        h = v.open()
        block = hpack([(":method", "CONNECT"), (":authority", v.to)] + [(f"x-{i}", "v" * 1000) for i in range(64)])
        try:
            h.send(HEADERS, 0, 1, block[:16000])
            for i in range(16000, len(block), 16000):
                h.send(CONTINUATION, END_HEADERS if i + 16000 >= len(block) else 0, 1, block[i:i + 16000])
            status = h.reply(1)
            assert status in (400, 431), status
        except (OSError, Closed):
            pass
        v.check()


def flood(v, frames, per=1000, rounds=300):
    """Sends `frames` again and again until the peer ends the connection; its answers are read on the way."""
    h = v.open()
    h.sock.settimeout(0.0)
    try:
        for _ in range(rounds):
            data = frames(h, per)
            h.sock.settimeout(5)
            h.sock.sendall(data)
            h.sock.settimeout(0.0)
            try:
                while h.sock.recv(1 << 16):
                    pass
            except (ssl.SSLWantReadError, BlockingIOError):
                pass
        return False
    except (OSError, Closed):
        return True
    finally:
        h.sock.close()


def test_ping_flood():
    with Lab() as lab:
        v = Victim(lab)
        flood(v, lambda h, n: H2.frame(PING, 0, 0, b"12345678") * n)
        v.check()


def test_settings_flood():
    with Lab() as lab:
        v = Victim(lab)
        flood(v, lambda h, n: H2.frame(SETTINGS, 0, 0, struct.pack(">HI", MAX_FRAME, 16384)) * n)
        v.check()


def test_reset_flood():
    """Rapid reset: the attacker is cut off, or bounded."""
    with Lab() as lab:
        v = Victim(lab)
        def frames(h, n):
            out = b""
            for _ in range(n):
                out += H2.frame(HEADERS, END_HEADERS, h.next, hpack([(":method", "CONNECT"), (":authority", v.to)])) + H2.frame(RST, 0, h.next, struct.pack(">I", 8))
                h.next += 2
            return out
        flood(v, frames, per=200, rounds=100)
        eventually(lambda: (v.check(), True)[1], 10)


def test_stream_flood():
    """More streams than were granted are refused; the granted ones work."""
    with Lab() as lab:
        v = Victim(lab)
        h = v.open()
        h.wait(SETTINGS, 0)
        limit = h.peer_settings.get(MAX_STREAMS)
        assert limit and limit <= 1000, limit
        opened = 0
        try:
            for _ in range(limit + 50):
                h.open([(":method", "CONNECT"), (":authority", v.to)])
            for sid in range(1, h.next, 2):
                try:
                    opened += h.reply(sid) == 200
                except ConnectionResetError:
                    pass
        except (Closed, OSError):
            pass
        assert opened <= limit
        v.check()


def test_continuation_flood():
    with Lab() as lab:
        v = Victim(lab)
        h = v.open()
        h.send(HEADERS, 0, 1, hpack([(":method", "CONNECT"), (":authority", v.to)]))
        try:
            for _ in range(20000):
                h.send(CONTINUATION, 0, 1, hpack([("x", "y" * 100)]))
            raise AssertionError("20 000 CONTINUATION frames were taken")
        except (OSError, Closed):
            pass
        v.check()


def test_window_of_zero_for_ever():
    """A client that gives no credit: the server's memory for it stays bounded, others keep their speed."""
    with Lab() as lab:
        v = Victim(lab)
        def source(c, peer):
            c.settimeout(5)
            while True:
                c.sendall(b"\0" * 65536)
        v.shop.serve(8081, source)
        h = v.open(window=0)
        for _ in range(50):
            assert h.connect(f"{v.shop.v4}:8081")[1] == 200
        time.sleep(2)
        v.check()


def test_frames_against_the_protocol():
    with Lab() as lab:
        v = Victim(lab)
        rows = [
            H2.frame(DATA, 0, 0, b"x"), H2.frame(HEADERS, END_HEADERS, 2, hpack([(":method", "CONNECT"), (":authority", v.to)])),
            H2.frame(WINDOW, 0, 0, struct.pack(">I", 0)), H2.frame(WINDOW, 0, 0, struct.pack(">I", 0x7fffffff)) * 2,
            H2.frame(PING, 0, 0, b"short"), H2.frame(SETTINGS, 0, 0, b"odd"), H2.frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 0x80000000)),
            H2.frame(PUSH, END_HEADERS, 1, struct.pack(">I", 2)), H2.frame(CONTINUATION, END_HEADERS, 1, b""), b"\xff" * 5000,
            H2.frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"), H2.frame(RST, 0, 1, struct.pack(">I", 8)),
        ]
        for row in rows:
            h = v.open()
            h.sock.sendall(row)
            v.ends(h)
        v.check()


def test_data_after_the_end_and_unknown_frames():
    with Lab() as lab:
        v = Victim(lab)
        h = v.open()
        sid, status = h.connect(v.to)
        h.send(0x77, 0, sid, b"unknown frames are ignored")
        h.data(sid, b"a", end=True)
        assert h.read(sid, 1) == b"a"
        h.data(sid, b"late")
        sid, status = h.connect(v.to)
        assert status == 200
        v.check()


def test_tiny_frames_cost_no_more():
    """One byte in each DATA frame towards an application that does not read."""
    with Lab() as lab:
        v = Victim(lab)
        v.shop.serve(8082, lambda c, p: time.sleep(15))
        h = v.open()
        h.wait(SETTINGS, 0)
        window = h.peer_settings.get(INITIAL_WINDOW, 65535)
        sid, status = h.connect(f"{v.shop.v4}:8082")
        assert status == 200
        before = v.shop.memory_kib()
        for _ in range(min(window, 250000) // 1000):
            h.sock.sendall(H2.frame(DATA, 0, sid, b"x") * 1000)
        time.sleep(1)
        assert v.shop.memory_kib() - before < 20 * 1024, (before, v.shop.memory_kib())
        v.check()


def test_plaintext_port_takes_no_tunnels():
    """15006 and 15001 reached directly, without capture."""
    with Lab() as lab:
        v = Victim(lab)
        for port in (15001, 15006):
            assert v.out.refused(v.shop.v4, port)
        v.check()
