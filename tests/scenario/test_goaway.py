# SPDX-License-Identifier: Apache-2.0
"""An HTTP/2 application that goes away: its clients hear of it, and nothing that was under way is lost."""
import struct, time

import wire
from harness import *

VIP, SHOP = "10.88.0.1", "shop.default.svc.cluster.local"
OK = b"\x88"                     # :status 200, of the static table


class App:
    """Answers each request when it is told to; says GOAWAY when it is told to."""
    def __init__(self, host, port):
        self.conns, self.streams = [], []
        self.server = host.serve(port, self.one)

    def one(self, c, peer):
        h = wire.H2.__new__(wire.H2)
        h.sock, h.buf, h.got, h.goaway, h.peer_settings = c, b"", {}, None, {}
        assert h.pull(len(wire.PREFACE)) == wire.PREFACE
        h.send(wire.SETTINGS, 0, 0)
        self.conns.append(h)
        while True:
            kind, flags, sid, payload = h.recv()
            if kind == wire.HEADERS:
                self.streams.append((h, sid))

    def answer(self):
        h, sid = self.streams.pop(0)
        h.send(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, sid, OK)

    def leave(self):
        for h in self.conns:
            h.send(wire.GOAWAY, 0, 0, struct.pack(">II", 0x7fffffff, 0))


def request(h):
    return h.open([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", SHOP)], end=True)


def test_clients_hear_of_it():
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080}, [VIP], app="shop", family="v4", protocol="HTTP2"))
        shop = lab.sidecars("shop")
        out = lab.plain("out")
        app = App(shop, 8080)
        h = wire.H2(out.connect(shop.v4, 8080, timeout=10))
        first = request(h)
        eventually(lambda: app.streams)
        app.answer()
        assert h.reply(first) == 200
        second = request(h)                     # under way while it leaves
        eventually(lambda: app.streams)
        app.leave()
        h.wait(wire.GOAWAY, 0)
        app.answer()
        assert h.reply(second) == 200


def test_requests_go_on_elsewhere():
    """Between sidecars: the connection that was told to end takes no more, a new one does."""
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080}, [VIP], app="shop", family="v4", protocol="HTTP2"))
        web, shop = lab.sidecars("web", "shop")
        app = App(shop, 8080)
        h = wire.H2(web.connect(VIP, 80, timeout=10))
        for n in range(1, 4):
            sid = request(h)
            eventually(lambda: app.streams)
            if n == 2:
                app.leave()
            app.answer()
            assert h.reply(sid) == 200
            time.sleep(0.2)
        assert len(app.conns) >= 2
