# SPDX-License-Identifier: Apache-2.0
"""The HTTP core alone (tests/interop/relay): what clients and servers do to it that they should not. A clear answer, a bounded
cost, the others unharmed."""
import socket, struct, threading, time
from harness import Lab, eventually, service
from relay import (CONTINUATION, DATA, GOAWAY, H2, HEADERS, RST, SETTINGS, Http, Relay, Tcp, frame, head, literal, read_end, request)

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
UPGRADE = b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
END_STREAM, END_HEADERS = 1, 4


def status(answer):
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer[9:12])


def first_status(h2, stream=1):
    """The :status of a response, which comes first: indexed, or a literal with an indexed name."""
    block = h2.wait(HEADERS, stream)[3]
    indexed = {0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500}
    if block[0] in indexed:
        return indexed[block[0]]
    n, text = block[1] & 0x7f, block[2:2 + (block[1] & 0x7f)]
    if not block[1] & 0x80:
        return int(text)
    bits = int.from_bytes(text, "big")          # Huffman: digits have five bits (0-2) or six (3-9)
    left, digits = 8 * n, ""
    while len(digits) < 3:
        five = bits >> (left - 5) & 31
        if five < 3:
            digits, left = digits + str(five), left - 5
        else:
            digits, left = digits + str((bits >> (left - 6) & 63) - 22), left - 6
    return int(digits)


# ---- heads ----

def test_heads_are_bounded():
    with Http() as server, Relay(server.port) as r:
        before = r.memory_kib()
        for data in (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 10000 + b"\r\n",
                     b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: h\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * (1 << 20) + b"\r\n\r\n"):
            for _ in range(20):
                assert status(r.send(data)) == 431
        r.well()
        assert server.seen == ["GET h /well []"]
        assert r.memory_kib() < before + 4096


def test_heads_are_bounded_in_http2():
    with Http() as server, Relay(server.port) as r:
        before = r.memory_kib()
        for more in ([literal(b"x", b"y")] * 10000, [literal(b"x", b"y" * 1000)] * 1000):
            with H2(r) as c:
                block = request() + b"".join(more)
                pieces = [block[i:i + 16000] for i in range(0, len(block), 16000)]
                if len(pieces) <= 8:
                    c.send(frame(HEADERS, END_STREAM, 1, pieces[0]),
                           *[frame(CONTINUATION, END_HEADERS if p is pieces[-1] else 0, 1, p) for p in pieces[1:]])
                    assert first_status(c) == 431
                else:       # more CONTINUATIONs than anybody needs
                    try:
                        c.send(frame(HEADERS, END_STREAM, 1, pieces[0]), *[frame(CONTINUATION, 0, 1, p) for p in pieces[1:]])
                    except OSError:
                        pass
                    c.ends()
        r.well()
        assert server.seen == ["GET h /well []"]
        assert r.memory_kib() < before + 4096


def test_hpack_bomb():
    """One large entry of the table, named ten thousand times."""
    with Http() as server, Relay(server.port) as r:
        before = r.memory_kib()
        with H2(r) as c:
            entry = b"\x40" + literal(b"bomb", b"x" * 3000)[1:]
            c.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, request() + entry + b"\xbe" * 10000))
            assert first_status(c) == 431
            c.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, request(path=b"/after")))
            assert first_status(c, 3) == 200
        r.well()
        assert r.memory_kib() < before + 4096


def test_fields_that_smuggle_in_http2():
    """What HTTP/2 can say of a head and HTTP/1 would read as something else goes nowhere."""
    bad = [((b"x", b"a\r\nb: c"),), ((b"x\r\ny", b"a"),), ((b"X", b"a"),), ((b"", b"a"),), ((b"x y", b"a"),), ((b"x:", b"a"),),
           ((b"transfer-encoding", b"chunked"),), ((b"connection", b"close"),), ((b"upgrade", b"h2c"),), ((b"host", b"other"),),
           ((b"content-length", b"5"),), ((b"content-length", b"0"), (b"content-length", b"0")), ((b"x", b"a\0b"),), ((b"te", b"chunked"),),
           ((b"keep-alive", b"1"),), ((b"proxy-connection", b"x"),), ((b"content-length", b"-1"),), ((b":path", b"/x"),), ((b"x", b" a"),)]
    with Http() as server, Relay(server.port) as r:
        for n, more in enumerate(bad):
            with H2(r) as c:
                c.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, request(*more)))
                while True:
                    f = c.read()
                    if not f or f[0] in (RST, GOAWAY):
                        break
                    if f[0] == HEADERS:
                        assert f[3][0] != 0x88, f"{more} was answered"
                        break
        for kw in ({"path": b"/a b"}, {"path": b"/a HTTP/1.1\r\nX: y"}, {"path": b""}, {"path": b"a"}, {"path": b"*"}, {"method": b"G T"},
                   {"method": b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET"}, {"path": b"/a#b"}):
            with H2(r) as c:
                c.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, request(**kw)))
                f = c.read()
                while f and f[0] not in (RST, GOAWAY, HEADERS):
                    f = c.read()
                assert not f or f[0] != HEADERS or f[3][0] != 0x88, f"{kw} was answered"
        assert server.seen == []
        r.well()


# ---- floods ----

def flood(r, frames, most_kib=8192):
    """Others are served while and after; the memory stays."""
    before = r.memory_kib()
    with H2(r) as c:
        try:
            c.send(frames)
        except OSError:
            pass
        r.well()
        try:
            c.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        codes = c.ends()
    r.well()
    assert r.memory_kib() < before + most_kib
    return codes


def test_rapid_reset():
    with Http() as server, Relay(server.port) as r:
        block = request()
        flood(r, b"".join(frame(HEADERS, END_STREAM | END_HEADERS, i, block) + frame(RST, 0, i, struct.pack("!I", 8)) for i in range(1, 40001, 2)), 16384)


def test_empty_frames():
    with Http() as server, Relay(server.port) as r:
        assert 11 in flood(r, frame(HEADERS, END_HEADERS, 1, request(method=b"POST")) + frame(DATA, 0, 1) * 10000)


def test_settings_and_pings():
    with Http() as server, Relay(server.port) as r:
        flood(r, frame(SETTINGS) * 20000)
        flood(r, frame(6, 0, 0, b"12345678") * 20000)


def test_continuations_without_end():
    with Http() as server, Relay(server.port) as r:
        flood(r, frame(HEADERS, 0, 1, request()) + frame(CONTINUATION, 0, 1, literal(b"x", b"y")) * 20000)


# ---- slow ones ----

def test_slow_heads():
    with Http() as server, Relay(server.port, "h1", "-t", "1000") as r:
        slow = [r.connect() for _ in range(50)]
        for s in slow:
            s.sendall(b"GET / HTTP/1.1\r\nHos")
        r.well()
        for s in slow[:3]:
            assert status(read_end(s)) == 408
        for s in slow:
            s.close()
        with r.connect() as s:          # not a byte
            assert read_end(s) == b""


def test_slow_bodies():
    with Http() as server, Relay(server.port, "h1", "-t", "1000") as r:
        with r.connect() as s:
            s.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc")
            r.well()
            assert status(read_end(s)) == 408
        with r.connect() as s:
            s.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc")
        r.ended(" DC ")
        assert server.seen == ["GET h /well []"]


def test_a_reader_that_stops():
    """An endless answer to a client who does not read costs a bounded memory, and stops its server."""
    sent = []

    def endless(c):
        head(c)
        c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        c.settimeout(2)
        try:
            while True:
                c.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent.append(65536)
        except TimeoutError:
            sent.append("stopped")

    with Tcp(endless) as server, Relay(server.port) as r:
        before = r.memory_kib()
        with r.connect() as s:
            s.sendall(GET)
            eventually(lambda: "stopped" in sent, 15)
            assert r.memory_kib() < before + 4096
        with H2(r) as c:
            sent.clear()
            c.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, request()))
            eventually(lambda: "stopped" in sent, 15)
            assert r.memory_kib() < before + 4096


# ---- servers ----

def answering(data, hold=0.0):
    def fn(c):
        head(c)
        c.sendall(data)
        time.sleep(hold)
    return fn


def test_servers_that_break_the_protocol():
    for answer, want, detail in (
            (b"", 503, "UC upstream_reset_before_response_started{connection_termination}"),
            (b"\x16\x03\x01\x02\0\x01\0\r\n\r\n", 502, "UPE "),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 502, "UPE "),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx", 502, "UPE "),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", 502, "UPE "),
            (b"HTTP/1.1 200 OK\r\nX y: z\r\n\r\n", 502, "UPE "),
            (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 502, "UPE "),
            (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10000 + b"\r\n", 502, "UPE "),
            (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100, 502, "UPE "),
            (b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 502, "UPE "),
            (b"HTTP/2.0 200 OK\r\n\r\n", 502, "UPE ")):
        with Tcp(answering(answer)) as server, Relay(server.port) as r:
            with r.connect() as s:
                s.sendall(GET[:-2] + b"Connection: close\r\n\r\n")
                got = read_end(s)
            while got.startswith(b"HTTP/1.1 103 "):
                got = got[got.index(b"\r\n\r\n") + 4:]
            assert status(got) == want, (answer[:80], got)
            r.ended(f"{want} {detail}")
            with H2(r) as c:
                c.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, request()))
                if b" 103 " not in answer:
                    assert first_status(c) == want


def test_bodies_of_a_wrong_length():
    with Tcp(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")) as server, Relay(server.port) as r:
        got = r.send(GET)
        assert got.endswith(b"short") and b"content-length: 10" in got
        r.ended("200 UC upstream_reset_after_response_started{connection_termination}")
        with H2(r) as c:
            c.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, request()))
            c.wait(RST, 1)
    with Tcp(answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n")) as server, Relay(server.port) as r:
        assert not r.send(GET).endswith(b"0\r\n\r\n")
    # Too much: what is over is nobody's, and the connection is not used again.
    with Tcp(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 1)) as server, \
         Relay(server.port) as r:
        with r.connect() as s:
            s.sendall(GET)
            got = b""
            while b"\r\n\r\nok" not in got:
                piece = s.recv(1000)
                assert piece, got
                got += piece
            s.settimeout(0.3)
            try:
                got += s.recv(1000)
            except TimeoutError:
                pass
            assert got.endswith(b"\r\n\r\nok"), got
            s.settimeout(10)
            s.sendall(GET)
            assert b"evil" not in s.recv(1000)


def test_servers_that_answer_early():
    """The request's body still comes: the answer gets through, whole."""
    early = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"
    with Tcp(answering(early, 0.3)) as server, Relay(server.port) as r:
        with r.connect() as s:
            s.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
            got = s.recv(1000)
            for _ in range(10):
                try:
                    s.sendall(b"x" * 10000)
                except OSError:
                    break
            got += read_end(s)
            assert status(got) == 413 and got.endswith(b"big"), got
        with H2(r) as c:
            c.send(frame(HEADERS, END_HEADERS, 1, request(method=b"POST")), frame(DATA, 0, 1, b"x" * 10000))
            assert first_status(c) == 413
            assert c.wait(DATA, 1)[3] == b"big"
            assert c.wait(RST, 1)[3] == b"\0\0\0\0"
            c.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, request()))
            assert c.wait(DATA, 3)[3] == b"big"


def test_no_server():
    with Tcp(lambda c: None) as server:
        port = server.port
    with Relay(port) as r:
        got = r.send(GET[:-2] + b"Connection: close\r\n\r\n")
        assert status(got) == 503 and b"remote connection failure" in got, got
        with H2(r) as c:
            c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, request((b"content-type", b"application/grpc"), (b"te", b"trailers"), method=b"POST")))
            block = c.wait(HEADERS, 1)
            assert block[1] & END_STREAM


def test_half_closed_clients():
    with Http() as server, Relay(server.port) as r:
        with r.connect() as s:
            s.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
            s.shutdown(socket.SHUT_WR)
            assert read_end(s).endswith(b"\r\n\r\nabc")
        with r.connect() as s:
            s.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabc")
            s.shutdown(socket.SHUT_WR)
            assert read_end(s) == b""
        assert server.seen == ["POST h / [abc]"]


# ---- tunnels ----

def chat(c):
    """A WebSocket server that echoes bytes, and closes after "bye"."""
    asked = head(c)
    assert b"\r\nupgrade: websocket\r\n" in asked.lower() and b"\r\nsec-websocket-key: " in asked.lower(), asked
    c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\nhello")
    while True:
        data = c.recv(1000)
        c.sendall(data)
        if not data or data == b"bye":
            return


def talk_h1(r):
    with r.connect() as s:
        talk(s)


def talk(s, host=b"h"):
    s.sendall(UPGRADE.replace(b"Host: h", b"Host: " + host) + b"early")
    got = b""
    while not got.endswith(b"helloearly"):
        piece = s.recv(1000)
        assert piece, got
        got += piece
    assert status(got) == 101 and ACCEPT in got and b"upgrade: websocket" in got, got
    s.sendall(b"bye")
    start = time.time()
    assert read_end(s) == b"bye"
    assert time.time() - start < 2


def talk_h2(r):
    with H2(r) as c:
        ask = b"".join(literal(*f) for f in ((b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"), (b":authority", b"h"),
                                              (b":path", b"/chat"), (b"sec-websocket-version", b"13")))
        c.send(frame(HEADERS, END_HEADERS, 1, ask))
        block = c.wait(HEADERS, 1)
        assert block[3][0] == 0x88 and not block[1] & END_STREAM, block
        c.send(frame(DATA, 0, 1, b"again"))
        got = b""
        while got != b"helloagain":
            got += c.wait(DATA, 1)[3]
        c.send(frame(DATA, 0, 1, b"bye"))
        end = c.wait(DATA, 1)
        assert end[3] == b"bye"
        while not end[1] & END_STREAM:
            end = c.wait(DATA, 1)


def test_websocket_in_every_pair_of_versions():
    with Tcp(chat) as server, Relay(server.port, "h1") as last, Relay(last.port, "h2") as first:
        talk_h1(last)
        talk_h2(last)
        talk_h1(first)
        talk_h2(first)
        first.ended("101 - via_upstream")


def test_websocket_through_sidecars():
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080}, ["10.88.0.1"], app="shop", family="v4", protocol="HTTP"))
        web, shop = lab.sidecars("web", "shop")
        shop.serve(8080, lambda c, peer: chat(c))
        for _ in range(3):
            with web.connect("10.88.0.1", 80) as s:
                talk(s, b"shop.default.svc.cluster.local")


def test_resets_pass_tunnels():
    seen = []

    def fn(c):
        chat_head = head(c)
        c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        try:
            seen.append(c.recv(10))
        except ConnectionResetError:
            seen.append("reset")

    with Tcp(fn) as server, Relay(server.port) as r:
        s = r.connect()
        s.sendall(UPGRADE)
        assert status(s.recv(1000)) == 101
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
        eventually(lambda: seen == ["reset"])


def test_switches_that_are_none():
    with Http() as server, Relay(server.port) as r:
        for upgrade in (b"h2c", b"websocket", b"TLS/1.2", b"foo"):
            got = r.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, close\r\nUpgrade: " + upgrade + b"\r\n\r\n")
            assert status(got) == 200, got
        with r.connect() as s:          # pipelined behind a switch that does not come
            s.sendall(UPGRADE + b"GET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            got = read_end(s)
            assert got.count(b"HTTP/1.1 200 ") == 2, got
        r.well()


def test_connect_is_a_tunnel():
    def fn(c):
        assert head(c).startswith(b"CONNECT a:1 HTTP/1.1\r\n")
        c.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            data = c.recv(1000)
            if not data:
                return
            c.sendall(data)

    with Tcp(fn) as server, Relay(server.port, "h1") as last, Relay(last.port, "h2") as first:
        for r in (last, first):
            with r.connect() as s:
                s.sendall(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nping")
                got = b""
                while not got.endswith(b"ping"):
                    got += s.recv(1000)
                assert status(got) == 200
                s.shutdown(socket.SHUT_WR)
                assert read_end(s) == b""


# ---- what must simply work ----

def test_pipelining_keeps_order():
    with Http() as server, Relay(server.port) as r:
        with r.connect() as s:
            s.sendall(b"".join(b"POST /%d HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n%05d" % (i, i) for i in range(200)) +
                      b"GET /end HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            got = read_end(s)
        assert [x[:5] for x in got.split(b"\r\n\r\n")[1:201]] == [b"%05d" % i for i in range(200)]
        assert server.seen[:200] == [f"POST h /{i} [{i:05}]" for i in range(200)]


def test_http_1_0():
    with Http() as server, Relay(server.port) as r:
        with r.connect() as s:
            s.sendall(b"GET / HTTP/1.0\r\nHost: h\r\n\r\n")
            got = read_end(s)
        assert status(got) == 200 and got.endswith(b"hello\n")
        assert status(r.send(b"GET / HTTP/1.0\r\n\r\n")) == 400      # no host, no way
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    with Tcp(answering(chunked)) as server, Relay(server.port) as r:
        got = r.send(b"GET / HTTP/1.0\r\nHost: h\r\n\r\n")
        assert got.endswith(b"\r\n\r\nabc") and b"chunked" not in got, got


def test_names_keep_their_case_where_asked():
    seen = []

    def fn(c):
        seen.append(head(c))
        c.sendall(b"HTTP/1.1 200 OK\r\nX-Back: 1\r\nContent-Length: 0\r\n\r\n")

    for flags, there, back in ((["-k"], b"X-There: 1", b"X-Back: 1"), ([], b"x-there: 1", b"x-back: 1")):
        with Tcp(fn) as server, Relay(server.port, "h1", *flags) as r:
            got = r.send(b"GET / HTTP/1.1\r\nHost: h\r\nX-There: 1\r\nConnection: close\r\n\r\n")
            assert back in got and there in seen[-1], (got, seen)
