# SPDX-License-Identifier: Apache-2.0
"""HBONE by hand: TLS and raw HTTP/2 frames, so that tests can also send what no library would."""
import socket, ssl, struct

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_HEADER_LIST = range(1, 7)
STATIC_STATUS = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
DIGITS = {"00000": "0", "00001": "1", "00010": "2", "011001": "3", "011010": "4",
          "011011": "5", "011100": "6", "011101": "7", "011110": "8", "011111": "9"}


def context(cert=None, root=None, version=ssl.TLSVersion.TLSv1_3, alpn=("h2",)):
    """cert: (cert, key) or (cert, key, root) paths."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_REQUIRED if root else ssl.CERT_NONE
    c.minimum_version = c.maximum_version = version
    if root:
        c.load_verify_locations(root)
    if cert:
        c.load_cert_chain(*cert[:2])
    if alpn:
        c.set_alpn_protocols(alpn)
    return c


def integer(n, bits, first):
    top = (1 << bits) - 1
    if n < top:
        return bytes([first | n])
    out, n = bytes([first | top]), n - top
    while n >= 128:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def hpack(fields):
    """Literals without indexing and without Huffman."""
    out = b""
    for k, v in fields:
        k, v = (x.encode() if isinstance(x, str) else x for x in (k, v))
        out += b"\0" + integer(len(k), 7, 0) + k + integer(len(v), 7, 0) + v
    return out


def status(block):
    """The :status that a response's header block starts with (our table size is 0)."""
    while block and block[0] & 0xe0 == 0x20:
        block = block[1:]
    if block[0] & 0x80:
        return STATIC_STATUS[block[0] & 0x7f]
    v = block[1]
    raw = block[2:2 + (v & 127)]
    if not v & 128:
        return int(raw)
    bits, text = "".join(f"{b:08b}" for b in raw), ""
    while len(text) < 3:
        n = 5 if bits[:5] in DIGITS else 6
        text, bits = text + DIGITS[bits[:n]], bits[n:]
    return int(text)


class Closed(Exception):
    """GOAWAY or the end of the connection came instead of what was waited for."""


class H2:
    """One HTTP/2 client connection. Frames that came are kept by stream in .got."""

    def __init__(self, sock, settings=(), window=1 << 20):
        self.sock, self.next, self.buf, self.got, self.goaway = sock, 1, b"", {}, None
        self.peer_settings = {}
        s = {HEADER_TABLE_SIZE: 0, ENABLE_PUSH: 0, INITIAL_WINDOW: window, **dict(settings)}
        sock.sendall(PREFACE + self.frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in s.items()))
                     + self.frame(WINDOW, 0, 0, struct.pack(">I", (1 << 30))))

    @staticmethod
    def frame(kind, flags, stream, payload=b""):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    def send(self, kind, flags, stream, payload=b""):
        self.sock.sendall(self.frame(kind, flags, stream, payload))

    def pull(self, n):
        while len(self.buf) < n:
            try:
                d = self.sock.recv(1 << 16)
            except (ConnectionError, ssl.SSLError) as e:
                raise Closed(e)
            if not d:
                raise Closed("EOF")
            self.buf += d
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def recv(self):
        """The next frame: (kind, flags, stream, payload). SETTINGS and PING are answered."""
        h = self.pull(9)
        n, kind, flags, sid = int.from_bytes(h[:3], "big"), h[3], h[4], int.from_bytes(h[5:], "big") & 0x7fffffff
        p = self.pull(n)
        if kind == SETTINGS and not flags & ACK:
            self.peer_settings.update(struct.iter_unpack(">HI", p))
            self.send(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self.send(PING, ACK, 0, p)
        elif kind == GOAWAY:
            self.goaway = struct.unpack(">II", p[:8])
        self.got.setdefault(sid, []).append((kind, flags, p))
        return kind, flags, sid, p

    def wait(self, kind, sid):
        """The first frame of this kind on this stream, kept ones first; RST_STREAM raises unless it is asked for."""
        while True:
            for i, f in enumerate(self.got.get(sid, [])):
                if f[0] == kind:
                    return self.got[sid].pop(i)
                if f[0] == RST and sid:
                    raise ConnectionResetError(int.from_bytes(f[2], "big"))
            self.recv()

    def open(self, fields, end=False):
        sid, self.next = self.next, self.next + 2
        self.send(HEADERS, END_HEADERS | (END_STREAM if end else 0), sid, hpack(fields))
        return sid

    def connect(self, authority, *extra):
        """CONNECT; (stream, status)."""
        sid = self.open([(":method", "CONNECT"), (":authority", authority), *extra])
        return sid, self.reply(sid)

    def reply(self, sid):
        return status(self.wait(HEADERS, sid)[2])

    def data(self, sid, payload, end=False):
        self.send(DATA, END_STREAM if end else 0, sid, payload)

    def read(self, sid, n):
        """n bytes of DATA; gives the credit back."""
        out = b""
        while len(out) < n:
            _, flags, p = self.wait(DATA, sid)
            out += p
            if p:
                self.send(WINDOW, 0, sid, struct.pack(">I", len(p)))
            if flags & END_STREAM:
                break
        return out


def hbone(host, ip, cert, settings=(), window=1 << 20, timeout=5, port=15008):
    """An HTTP/2 connection to a meshd from a host without one."""
    raw = host.connect(ip, port, timeout)
    return H2(context(cert).wrap_socket(raw), settings, window)


def tls(host, ip, ctx, timeout=5, port=15008):
    """A handshake that is known to be through both ways: TLS 1.3 reports a refused client only on the first read."""
    s = ctx.wrap_socket(host.connect(ip, port, timeout))
    h = H2(s)
    h.wait(SETTINGS, 0)
    return h
