# SPDX-License-Identifier: Apache-2.0
"""The CNI's side of ZDS: a SOCK_SEQPACKET server that hands out pods (protobuf by hand, as in istio pkg/zdsapi/zds.proto)."""
import array, os, socket


def field(number, value):
    """A length-delimited field."""
    value = value.encode() if isinstance(value, str) else value
    assert len(value) < 16384
    size = bytes([len(value)]) if len(value) < 128 else bytes([len(value) & 127 | 128, len(value) >> 7])
    return bytes([number << 3 | 2]) + size + value


def add(uid, name, ns="default", sa=None, info=True):
    return field(1, field(1, uid) + (field(2, field(1, name) + field(2, ns) + field(3, sa or name)) if info else b""))


def delete(uid):
    return field(2, field(2, uid))


def keep(uid):
    return field(5, field(1, uid))


SNAPSHOT = field(3, b"")


class Cni:
    """Listens at once; a proxy that connects is served by whoever calls accept()."""
    def __init__(self, path):
        self.path = path
        if os.path.exists(path):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(8)
        self.listener.settimeout(10)
        self.conn = None

    def accept(self):
        """The next connection, after its hello."""
        if self.conn:
            self.conn.close()
        self.conn = self.listener.accept()[0]
        self.conn.settimeout(10)
        hello = self.conn.recv(1024)
        assert hello == b"\x08\x01", hello
        return self

    def send(self, packet, *fds):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.conn.sendmsg([packet], control)

    def ask(self, packet, *fds):
        """The error of the answer: "" is a yes. EOFError when the connection ended instead."""
        self.send(packet, *fds)
        return self.answer()

    def answer(self):
        a = self.conn.recv(1024)
        if not a:
            raise EOFError
        assert a[0] == 10, a                      # ack
        body = a[2:] if a[1] < 128 else a[3:]
        return (body[2:] if len(body) < 130 else body[3:]).decode() if body else ""

    def ended(self):
        try:
            return self.conn.recv(1024) == b""
        except ConnectionResetError:
            return True

    def pod(self, host, uid=None, **kw):
        return self.ask(add(uid or f"uid-{host.name}", host.name, **kw), host.fd)

    def close(self):
        if self.conn:
            self.conn.close()
        self.listener.close()
