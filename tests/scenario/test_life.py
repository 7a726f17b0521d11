# SPDX-License-Identifier: Apache-2.0
"""Start, drain, stop, descriptors."""
import os, signal, socket, time
from harness import Lab, eventually, read_all, read_exact, sh


def test_drain_lets_live_streams_finish():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop", args=["--drain-time=8s"])
        out = lab.plain("out")
        shop.serve(8080)
        a, b = web.connect(shop.v4, 8080), out.connect(shop.v4, 8080)     # one over HBONE, one plaintext
        for s in (a, b):
            s.sendall(b"1")
            assert read_exact(s, 1) == b"1"
        t = time.time()
        os.kill(shop.proc.pid, signal.SIGTERM)
        eventually(lambda: refused_connect(out, shop.v4, 15008))
        for s in (a, b):
            s.sendall(b"2")
            assert read_exact(s, 1) == b"2"
            s.shutdown(socket.SHUT_WR)
            assert s.recv(1) == b""
        assert shop.proc.wait(6) == 0                                     # nothing left: it does not wait for the deadline
        assert time.time() - t < 6


def refused_connect(host, ip, port):
    try:
        host.connect(ip, port).close()
    except ConnectionRefusedError:
        return True


def test_drain_deadline_cuts():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop", args=["--drain-time=1s"])
        shop.serve(8080)
        s = web.connect(shop.v4, 8080)
        s.sendall(b"1")
        assert read_exact(s, 1) == b"1"
        os.kill(shop.proc.pid, signal.SIGTERM)
        try:
            assert s.recv(1) == b""
        except ConnectionResetError:
            pass
        assert shop.proc.wait(4) == 0
        assert "shutting down" in shop.log()


def test_restart_of_the_other_side():
    """The pooled connection went away with the peer: the next connection makes a new one."""
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080)
        for _ in range(3):
            assert web.talk(shop.v4, 8080, b"x") == b"x"
            shop.stop()
            shop.start()
            assert web.talk(shop.v4, 8080, b"x") == b"x"


def test_peer_killed():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080)
        s = web.connect(shop.v4, 8080)
        s.sendall(b"x")
        assert read_exact(s, 1) == b"x"
        os.kill(shop.proc.pid, signal.SIGKILL)
        shop.proc.wait()
        shop.proc = None
        try:
            assert s.recv(1) == b"", "bytes from a dead peer"
            raise AssertionError("a killed peer looked like a clean end")
        except ConnectionResetError:
            pass
        shop.start()
        assert web.talk(shop.v4, 8080, b"x") == b"x"


def test_out_of_descriptors():
    """At the limit admin answers, new connections are shed with few log lines, and it recovers by itself."""
    with Lab() as lab:
        shop = lab.plain("shop")
        web = lab.plain("web")
        for h in (shop, web):
            lab.workload(h)
        shop.start(ulimit=64)
        web.start()
        out = lab.plain("out")
        shop.serve(8080)
        held = []
        for _ in range(120):
            try:
                s = out.connect(shop.v4, 8080)
                s.settimeout(0.3)
                s.sendall(b"x")
                held.append(s)
            except OSError:
                pass
        time.sleep(1)
        size = len(shop.log())
        assert shop.http("/config_dump")[0] == 200 and shop.http("/metrics", port=15020)[0] == 200
        busy = cpu(shop)
        time.sleep(2)
        assert cpu(shop) - busy < 1, "it spins"
        assert len(shop.log()) - size < 20000, shop.tail()
        for s in held:
            s.close()
        eventually(lambda: out.talk(shop.v4, 8080, b"x") == b"x")
        eventually(lambda: web.talk(shop.v4, 8080, b"x") == b"x")


def cpu(host):
    s = open(f"/proc/{host.proc.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(s[11]) + int(s[12])) / os.sysconf("SC_CLK_TCK")


def test_idle_costs_nothing():
    with Lab() as lab:
        web = lab.meshed("web")
        time.sleep(1)
        t = cpu(web)
        time.sleep(3)
        assert cpu(web) - t <= 0.05, cpu(web) - t


def test_descriptors_do_not_leak():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080)
        assert web.talk(shop.v4, 8080, b"x") == b"x"
        fds = lambda: [len(os.listdir(f"/proc/{h.proc.pid}/fd")) for h in (web, shop)]
        before = fds()
        for i in range(200):
            try:
                with web.connect(shop.v4, 8080 if i % 2 else 9) as s:
                    s.sendall(b"x")
                    if i % 4 == 1:
                        read_exact(s, 1)
            except OSError:
                pass
        eventually(lambda: max(a - b for a, b in zip(fds(), before)) <= 4, what=f"{before} {fds()}")


def test_sd_notify():
    with Lab() as lab:
        web = lab.plain("web")
        lab.workload(web)
        path = f"{lab.dir}/notify"
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(path)
        s.settimeout(10)
        web.start(env={"NOTIFY_SOCKET": path})
        assert b"READY=1" in s.recv(4096)
        web.stop()
        assert b"STOPPING=1" in s.recv(4096)


def test_occupied_port_stops_the_start():
    with Lab() as lab:
        web = lab.plain("web")
        lab.workload(web)
        web.serve(15008)
        web.start(ready=False)
        assert eventually(lambda: web.proc.poll() is not None, 10) and web.proc.returncode != 0
        assert "15008" in web.log()
        web.proc = None
