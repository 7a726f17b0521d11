# SPDX-License-Identifier: Apache-2.0
"""SOCKS5 on loopback."""
import socket, struct
from harness import Lab, eventually, read_all, read_exact, service

ON = {"UNSTABLE_ENABLE_SOCKS5": "true"}


def ask(host, to, port, more=b"", hello=b"\x05\x01\x00"):
    """(socket, reply code) of a request to connect."""
    s = host.connect("127.0.0.1", 15080)
    s.sendall(hello)
    assert read_exact(s, 2) == b"\x05\x00"
    try:
        body = b"\x01" + socket.inet_aton(to)
    except OSError:
        body = b"\x04" + socket.inet_pton(socket.AF_INET6, to) if ":" in to else b"\x03" + bytes([len(to)]) + to.encode()
    s.sendall(b"\x05\x01\x00" + body + struct.pack("!H", port) + more)
    return s, read_exact(s, 10)[1]


def talk(host, to, port, more=b""):
    s, code = ask(host, to, port, more)
    assert code == 0, code
    s.sendall(b"hello")
    s.shutdown(socket.SHUT_WR)
    return read_all(s)


def test_socks():
    with Lab() as lab:
        lab.write("s.yaml", service("shop", {80: 8080}, ["10.96.0.7", "fd96::7"]))
        web, shop = lab.meshed("web", "shop", env=ON)
        shop.serve(8080)
        for to, port in ((shop.v4, 8080), (shop.v6, 8080), ("10.96.0.7", 80), ("shop.default.svc.cluster.local", 80), ("shop", 80), ("SHOP.default.", 80),
                         (f"{shop.v4}", 8080)):
            assert talk(web, to, port, b"early ") == b"early hello", to
        assert web.access(direction="outbound", message="connection complete", dst_identity=shop.identity, dst_hbone_addr=f"{shop.v4}:8080")
        # success is told after connecting
        for to, port, code in ((shop.v4, 9, 1), ("10.96.0.7", 81, 4), ("nobody.invalid", 80, 4), ("127.0.0.1", 15001, 2)):
            s, got = ask(web, to, port)
            assert got == code, (to, got)
            assert s.recv(1) == b""
        assert web.access(dst_addr=f"{shop.v4}:15008", error="503")
        # only from the host itself, and nobody reaches it through us
        assert shop.refused(web.v4, 15080)
        assert shop.access(direction="outbound", dst_addr=f"{web.v4}", error="503")


def test_bad_requests():
    with Lab() as lab:
        web, = [lab.meshed("web", env=ON)]
        for sent, reply in ((b"GET / HTTP/1.1\r\n\r\n", b""), (b"\x04\x01\x00\x50\x01\x02\x03\x04\x00", b""), (b"\x05\x01\x02", b"\x05\xff"),
                            (b"\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", b"\x05\x00\x05\x07"), (b"\x05\x01\x00\x05\x01\x00\x09", b"\x05\x00\x05\x08"),
                            (b"\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50", b"\x05\x00\x05\x01")):
            s = web.connect("127.0.0.1", 15080)
            s.sendall(sent)
            try:
                got = read_all(s)
            except ConnectionResetError:
                got = b""
            assert got.startswith(reply) and (reply or not got), (sent, got)
        s = web.connect("127.0.0.1", 15080)
        s.sendall(b"\x05")
        s.shutdown(socket.SHUT_WR)
        try:
            s.recv(1)
        except ConnectionResetError:
            pass
        eventually(lambda: sum("SOCKS5" in str(r) for r in web.records()) >= 4)
        assert web.http("/healthz/ready", port=15021)[0] == 200


def test_it_is_off():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        shop.serve(15080)
        assert web.talk(shop.v4, 15080, b"an application's own port") == b"an application's own port"
