# SPDX-License-Identifier: Apache-2.0
"""Waypoints that die, start again, and come in other numbers, under load. What may be lost is what was under way on a process that was killed."""
import os, signal, threading, time

from harness import *
from wire import H2

VIP, SHOP = "10.96.0.7", "shop.default.svc.cluster.local"
READ = b"GET / HTTP/1.1\r\nHost: shop\r\n"


def mesh(lab, replicas, sidecar=False, fn=None):
    """A client in ztunnel mode or with a sidecar, an application, and its waypoint."""
    lab.write("mesh.yaml", "accessLogFile: /dev/stdout\n")
    lab.write("s.yaml", using("wp", service("shop", {80: 8080}, [VIP], protocol="HTTP") .replace("ports: [", "ports: [{number: 9000, name: tcp, protocol: TCP}, ")))
    shop = lab.meshed("shop")
    web = lab.sidecars("web", env={"MESHD_SIDECAR_USE_WAYPOINT": "true"}) if sidecar else lab.meshed("web")
    wps = [lab.waypoint("wp", gateway="wp", args=["--drain-time=20s"])] + [lab.waypoint(f"wp{i + 2}", gateway="wp", args=["--drain-time=20s"]) for i in range(replicas - 1)]
    shop.serve_http(8080, fn)
    shop.serve(9000)
    eventually(lambda: get(web) == 200 and all(served(w) for w in wps), 10, what="all know of the waypoints")
    eventually(lambda: web.talk(VIP, 9000) == b"hello", 10)
    return web, shop, wps


def get(host):
    return host.http("/", ip=VIP, port=80, headers={"Host": SHOP})[0]


def served(wp):
    return wp.metric("istio_requests_total", reporter="waypoint")


class Load:
    """Clients, each with one request at a time: those that keep their connections, and those that do not. `failed` has (start, end, why)."""
    def __init__(self, host, keep=6, once=2, pause=0.05):
        self.host, self.pause, self.over, self.done, self.failed = host, pause, threading.Event(), 0, []
        self.again = [0] * keep                # connections that each has opened after its first one
        self.threads = [threading.Thread(target=self.run, args=(i if i < keep else None,), daemon=True) for i in range(keep + once)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join(15)

    def run(self, keep):
        sock = None
        while not self.over.wait(self.pause):
            start = time.time()
            try:
                fresh = sock is None
                sock = sock or self.host.connect(VIP, 80, 10)
                sock.sendall(READ + (b"\r\n" if keep is not None else b"Connection: close\r\n\r\n"))
                last = self.answer(sock)
                self.done += 1
            except (OSError, AssertionError) as e:
                self.failed.append((start, time.time(), repr(e)))
                last = True
            if last and sock:
                sock.close()
                sock = None
                if keep is not None:
                    self.again[keep] += 1

    @staticmethod
    def answer(sock):
        """Whether it was the last on this connection."""
        head = b""
        while b"\r\n\r\n" not in head:
            d = sock.recv(1 << 16)
            assert d, f"EOF after {head!r}"
            head += d
        head, body = head.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 200"), head + body
        fields = dict(l.lower().split(b": ", 1) for l in head.split(b"\r\n")[1:])
        read_exact(sock, int(fields[b"content-length"]) - len(body))
        return fields.get(b"connection") == b"close"


def more(lab, *names):
    return [lab.waypoint(n, gateway="wp", args=["--drain-time=20s"]) for n in names]


def less(lab, *hosts):
    """As a control plane does it: they are endpoints of nothing any more, and then they end."""
    for h in hosts:
        lab.workload(h, serviceAccount="wp")
    time.sleep(1)                              # configuration is on its way to clients
    for h in hosts:
        os.kill(h.proc.pid, signal.SIGTERM)
    for h in hosts:
        eventually(lambda: "draining" in h.log(), 10)


def scaled(sidecar):
    with Lab() as lab:
        web, shop, (wp,) = mesh(lab, 1, sidecar)
        with Load(web) as load:
            wps = more(lab, "wp2", "wp3")
            eventually(lambda: all(served(w) > 5 for w in wps), 30, what="the new waypoints serve")
            eventually(lambda: all(load.again), 30, what="old connections come again")
            live = [web.connect(VIP, 9000, 20) for _ in range(12)]
            for s in live:
                s.sendall(b"a")
                assert read_exact(s, 1) == b"a"
            less(lab, *wps)
            for s in live:                     # bytes are carried to their end
                s.sendall(b"b")
                assert read_exact(s, 1) == b"b"
                s.close()
            for w in wps:
                assert w.proc.wait(15) == 0    # and then nothing keeps it
                w.stop()
            before = load.done
            eventually(lambda: load.done > before + 20, 10)
        assert not load.failed, (load.done, load.failed[:10])


def test_scaled():
    scaled(sidecar=False)


def test_scaled_for_sidecars():
    scaled(sidecar=True)


def test_long_streams():
    """A stream of HTTP/2 lives on when its connection is to be chosen anew, and when its waypoint ends."""
    over = threading.Event()
    def slow(handler, got):
        if got["path"] != "/slow":
            return False
        handler.send_response(200)
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        while not over.wait(0.1):
            handler.wfile.write(b"1\r\nx\r\n")
        handler.wfile.write(b"4\r\nlast\r\n0\r\n\r\n")
        return True
    with Lab() as lab:
        web, shop, (wp,) = mesh(lab, 1, fn=slow)
        c = H2(web.connect(VIP, 80, 20))
        def ask(path):
            return c.open([(":method", "GET"), (":scheme", "http"), (":authority", SHOP), (":path", path)], end=True)
        stream = ask("/slow")
        assert c.reply(stream) == 200 and c.read(stream, 2) == b"xx"
        more(lab, "wp2")
        def told():
            return c.goaway or c.reply(ask("/")) == 200 and c.goaway
        eventually(told, 30, every=0.3)
        assert c.read(stream, 3) == b"xxx"
        less(lab, wp)
        assert c.read(stream, 3) == b"xxx"
        over.set()
        assert c.read(stream, 1 << 20).endswith(b"last")
        assert wp.proc.wait(15) == 0
        wp.stop()


def killed(sidecar):
    with Lab() as lab:
        web, shop, (wp, wp2) = mesh(lab, 2, sidecar)
        with Load(web, pause=0.01) as load:
            eventually(lambda: load.done > 100 and served(wp2) > 10, 10)
            before = time.time()
            os.kill(wp2.proc.pid, signal.SIGKILL)
            wp2.proc.wait()
            wp2.proc = None
            dead, done = time.time(), load.done
            eventually(lambda: load.done > done + 200, 15)
            wp2.start("--workload=default/wp2-v6", "--drain-time=20s", capture=False)
            eventually(lambda: served(wp2) > 10, 20)
        # a connection dies with its waypoint, and whoever wrote to it at that moment has lost that one request
        late = [f for f in load.failed if f[0] > dead + 1 or f[1] < before]
        assert not late and len(load.failed) <= len(load.threads), (before, dead, load.failed)


def test_killed():
    killed(sidecar=False)


def test_killed_for_sidecars():
    killed(sidecar=True)


def test_restarted():
    """One after the other, without the configuration's knowledge: nothing is lost while another is there."""
    with Lab() as lab:
        web, shop, wps = mesh(lab, 2)
        with Load(web) as load:
            for wp in wps:
                wp.stop(timeout=25)
                wp.start(f"--workload=default/{wp.name}-v6", "--drain-time=20s", capture=False)
                done = load.done
                eventually(lambda: load.done > done + 20, 10)
        assert not load.failed, (load.done, load.failed[:10])
