# SPDX-License-Identifier: Apache-2.0
"""tests/interop/relay, the HTTP core as a proxy of its own, on the loopback of this test's namespace; and peers by hand."""
import http.server, os, socket, struct, subprocess, threading, time
from harness import complaint, eventually, meshd_path, sh


def relay_path():
    return os.path.join(os.path.dirname(os.path.dirname(meshd_path())), "tests/interop/relay")


class Relay:
    """with Relay(port of the server, "h1" or "h2") as r: r.port, r.lines() of exchanges that ended."""
    def __init__(self, server, codec="h1", *flags):
        self.log = []
        self.proc = subprocess.Popen([relay_path(), "-l", *flags, "0", str(server), codec], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                     errors="replace")
        first = self.proc.stdout.readline()
        assert first.startswith("listening on "), first
        self.port = int(first.split()[-1])
        threading.Thread(target=lambda: self.log.extend(iter(self.proc.stdout.readline, "")), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        alive = self.proc.poll() is None
        self.proc.terminate()
        said = self.proc.stderr.read()
        self.proc.wait(10)
        self.proc.stdout.close()
        if not kind:
            assert alive and self.proc.returncode == 0 and not complaint(said), f"relay ended with {self.proc.returncode}\n{said}"

    def connect(self, timeout=10):
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def send(self, data, timeout=10):
        """All that comes back until the end, after these bytes."""
        with self.connect(timeout) as s:
            s.sendall(data)
            return read_end(s)

    def ended(self, text, seconds=5):
        return eventually(lambda: [line for line in self.log if text in line], seconds, what=f"{text} in {self.log[-5:]}")

    def memory_kib(self):
        """Resident memory; 0 under a sanitizer, whose own use says nothing."""
        if any("san.so" in line for line in open(f"/proc/{self.proc.pid}/maps")):
            return 0
        return next(int(line.split()[1]) for line in open(f"/proc/{self.proc.pid}/status") if line.startswith("VmRSS"))

    def well(self):
        """Others are served all the same, once what a flood left is gone."""
        def served():
            got = self.send(b"GET /well HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            assert got.startswith(b"HTTP/1.1 200 "), got
            return True
        eventually(served)


def read_end(s):
    got = b""
    try:
        while True:
            piece = s.recv(65536)
            if not piece:
                return got
            got += piece
    except ConnectionResetError:
        return got


def loopback():
    sh("ip", "link", "set", "lo", "up", check=False)


class Http(http.server.ThreadingHTTPServer):
    """A server of Python's that writes down how it read each request: "METHOD HOST TARGET [BODY]"."""
    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        loopback()
        self.seen = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass

    def __exit__(self, *a):
        self.shutdown()
        super().__exit__(*a)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        got = b""
        while True:
            n = int(self.rfile.readline().split(b";")[0], 16)
            got += self.rfile.read(n)
            if not n:
                while self.rfile.readline().strip():
                    pass
                return got
            self.rfile.readline()

    def answer(self):
        body = self.body()
        self.server.seen.append(f"{self.command} {self.headers.get('Host', '')} {self.path} [{body.decode('latin-1')}]")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body or b"hello\n")))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body or b"hello\n")

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_):
        pass


class Tcp:
    """A server by hand: fn(connection) in a thread for each."""
    def __init__(self, fn):
        loopback()
        self.fn = fn
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c = self.sock.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.one, args=[c], daemon=True).start()

    def one(self, c):
        c.settimeout(20)
        try:
            with c:
                self.fn(c)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def head(c):
    """A request's head, as bytes; what follows it is lost."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = c.recv(65536)
        if not piece:
            break
        got += piece
    return got


# ---- HTTP/2 by hand ----

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def literal(name, value):
    """A field as HPACK writes it without a table or Huffman's code."""
    def text(s):
        n = len(s)
        if n < 127:
            return bytes([n]) + s
        n, out = n - 127, b"\x7f"
        while n >= 128:
            out += bytes([n % 128 | 128])
            n //= 128
        return out + bytes([n]) + s
    return b"\x00" + text(name) + text(value)


def request(*more, method=b"GET", path=b"/"):
    return b"".join(literal(*f) for f in ((b":method", method), (b":scheme", b"http"), (b":authority", b"h"), (b":path", path)) + more)


class H2:
    def __init__(self, relay, settings=b"", timeout=10):
        self.sock = relay.connect(timeout)
        self.sock.sendall(PREFACE + frame(SETTINGS, payload=settings))
        self.buf = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, *frames):
        self.sock.sendall(b"".join(frames))

    def read(self):
        """The next frame: kind, flags, stream, payload; None at the end."""
        while len(self.buf) < 9 or len(self.buf) < 9 + int.from_bytes(self.buf[:3], "big"):
            try:
                piece = self.sock.recv(65536)
            except ConnectionResetError:
                piece = b""
            if not piece:
                return None
            self.buf += piece
        n = int.from_bytes(self.buf[:3], "big")
        got = self.buf[3], self.buf[4], int.from_bytes(self.buf[5:9], "big"), self.buf[9:9 + n]
        self.buf = self.buf[9 + n:]
        if got[0] == SETTINGS and not got[1] & 1:
            try:
                self.sock.sendall(frame(SETTINGS, 1))
            except OSError:         # it is over; what was said before is still read
                pass
        return got

    def wait(self, kind, stream=None):
        while True:
            f = self.read()
            assert f, f"the connection ended before frame {kind}"
            if f[0] == kind and stream in (None, f[2]):
                return f

    def ends(self):
        """The codes of GOAWAY until the end."""
        codes = []
        while True:
            f = self.read()
            if not f:
                return codes
            if f[0] == GOAWAY:
                codes.append(int.from_bytes(f[3][4:8], "big"))
