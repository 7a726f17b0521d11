# SPDX-License-Identifier: Apache-2.0
"""Servers that want the client's address first (DestinationRule proxyProtocol)."""
import socket, struct

from harness import *

VIP, LEGACY = "10.88.0.3", "legacy.example.com"


def entry(host, version):
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "legacy", "namespace": "default"},
         "spec": {"hosts": [LEGACY], "addresses": [VIP], "location": "MESH_EXTERNAL", "resolution": "STATIC", "endpoints": [{"address": host.v4}],
                  "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}, {"number": 9000, "name": "tcp", "protocol": "TCP"}]}},
        {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "legacy", "namespace": "default"},
         "spec": {"host": LEGACY, "trafficPolicy": {"proxyProtocol": {"version": version}}}}]})


def told(c):
    """(address, port) of the client, and of where it wanted to go."""
    first = read_exact(c, 12)
    if first == b"\r\n\r\n\0\r\nQUIT\n":
        assert read_exact(c, 4) == b"\x21\x11\0\x0c"
        src, dst, sport, dport = struct.unpack(">4s4sHH", read_exact(c, 12))
        return socket.inet_ntoa(src), sport, socket.inet_ntoa(dst), dport
    while not first.endswith(b"\r\n"):
        first += read_exact(c, 1)
    proxy, family, src, dst, sport, dport = first.decode().split()
    assert (proxy, family) == ("PROXY", "TCP4"), first
    return src, int(sport), dst, int(dport)


def check(version):
    with Lab() as lab:
        legacy = lab.plain("legacy")
        lab.write("legacy.json", entry(legacy, version))
        web = lab.sidecars("web")
        clients = []

        def tcp(c, peer):
            clients.append(told(c))
            echo(c, peer)

        def http(c, peer):
            clients.append(told(c))
            while c.recv(1):
                while not c.recv(1 << 16).endswith(b"\r\n\r\n"):
                    pass
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        legacy.serve(9000, tcp)
        legacy.serve(80, http)
        with web.connect(VIP, 9000) as s:
            s.sendall(b"hello")
            assert read_exact(s, 5) == b"hello"
            assert clients == [(web.v4, s.getsockname()[1], VIP, 9000)], clients
        # What is said is one client's: others do not share its connection.
        for n in 1, 2:
            with web.connect(VIP, 80) as s:
                for _ in range(2):
                    s.sendall(f"GET / HTTP/1.1\r\nHost: {LEGACY}\r\n\r\n".encode())
                    assert s.recv(4096).startswith(b"HTTP/1.1 200")
                assert clients[-1] == (web.v4, s.getsockname()[1], VIP, 80) and len(clients) == 1 + n, clients


def test_version_1():
    check("V1")


def test_version_2():
    check("V2")
