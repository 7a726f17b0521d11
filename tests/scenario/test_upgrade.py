# SPDX-License-Identifier: Apache-2.0
"""A new meshd takes over from the running one: no connection is lost, none is refused.
UPGRADE_BUSY and UPGRADE_IDLE set how many connections there are."""
import os, signal, socket, subprocess, threading, time
import zds
from harness import Lab, eventually, greeter, read_exact
from test_inpod import SERVICE, Node, resolve

BUSY, IDLE = int(os.environ.get("UPGRADE_BUSY", 60)), int(os.environ.get("UPGRADE_IDLE", 300))


# A server for many connections, in a process of its own: descriptors are counted per process.
ECHO = """
import select, socket, sys
s = socket.socket(socket.AF_INET6); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("::", int(sys.argv[1]))); s.listen(4096)
ep, held = select.epoll(), {}
ep.register(s, select.EPOLLIN)
print("up", flush=True)
while True:
    for fd, _ in ep.poll():
        if fd == s.fileno():
            c = s.accept()[0]
            held[c.fileno()] = c
            ep.register(c, select.EPOLLIN)
            continue
        try:
            d = held[fd].recv(4096)
        except OSError:
            d = b""
        if d:
            held[fd].sendall(d)
        else:
            held.pop(fd).close()
"""


class Closing:
    """A process that ends with the lab."""
    def __init__(self, process):
        self.process = process

    def close(self):
        self.process.kill()
        self.process.wait()


def echo_many(host, port):
    p = host.popen("python3", "-c", ECHO, str(port), stdout=subprocess.PIPE, text=True)
    host.lab.closing.append(Closing(p))
    assert p.stdout.readline() == "up\n"


class Load:
    """Idle connections, connections that talk without pause, and threads that open new ones all the time."""
    def __init__(self, web, ip, port, openers=2):
        self.web, self.ip, self.port = web, ip, port
        self.stop, self.problems, self.opened = False, [], 0
        self.busy = [self.open() for _ in range(BUSY)]
        self.idle = [self.open() for _ in range(IDLE)]
        self.rounds = 0
        self.threads = [threading.Thread(target=self.talk)] + [threading.Thread(target=self.new) for _ in range(openers)]
        for t in self.threads:
            t.start()

    def open(self):
        s = self.web.connect(self.ip, self.port, timeout=20)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(b"x")
        assert read_exact(s, 1) == b"x"
        return s

    def talk(self):
        try:
            while not self.stop:
                for s in self.busy:
                    s.sendall(b"y")
                for s in self.busy:
                    assert read_exact(s, 1) == b"y"
                self.rounds += 1
        except BaseException as e:
            self.problems.append(("busy", e))

    def new(self):
        while not self.stop:
            try:
                self.open().close()
                self.opened += 1
            except BaseException as e:
                self.problems.append(("new", e))
            time.sleep(0.002)

    def ask(self, host):
        """DNS questions all the time, too."""
        def run():
            while not self.stop:
                try:
                    assert resolve(host, "shop.example", tcp=self.asked % 2 == 1) == "240.240.0.9"
                    self.asked += 1
                except BaseException as e:
                    self.problems.append(("dns", e))
        self.asked = 0
        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def check(self):
        """All are still there."""
        for s in self.idle:
            s.sendall(b"z")
        for s in self.idle:
            assert read_exact(s, 1) == b"z"
        before = self.rounds
        eventually(lambda: self.rounds > before + 1 or self.problems, 20)
        assert not self.problems, self.problems[:5]

    def end(self):
        self.stop = True
        for t in self.threads:
            t.join()
        for s in self.busy + self.idle:
            s.close()
        assert not self.problems, self.problems[:5]


def replace(host, *args, **kw):
    """Starts another meshd beside the running one. Returns the old process."""
    old, host.proc = host.proc, None
    host.start(*args, ready=False, capture=False, **kw)
    return old


def test_standalone():
    with Lab() as lab:
        web, shop = lab.plain("web", "shop")
        args = {h.name: [f"--handover-dir={lab.dir}/{h.name}.handover", f"--workload=default/{h.name}-v6"] for h in (web, shop)}
        for h in (web, shop):
            lab.workload(h)
        for h in (web, shop):
            h.start(*args[h.name])
        echo_many(shop, 8080)
        load = Load(web, shop.v4, 8080)
        old = []
        for h in (shop, web, shop):
            old.append(replace(h, *args[h.name]))
            eventually(lambda: "has taken over" in h.log(), 10)
            # For a moment nobody has the admin ports.
            eventually(lambda: h.http("/healthz/ready", port=15021)[0] == 200 and h.cli("status", check=False).returncode == 0, 10)
            load.check()
        assert all(p.poll() is None for p in old[:2])     # their connections are still there
        load.end()
        for p in old:
            assert p.wait(20) == 0
        assert web.talk(shop.v4, 8080, b"x") == b"x" and web.talk(shop.v6, 8080, b"x") == b"x"
        print(f"{BUSY} busy and {IDLE} idle connections, {load.opened} new ones: none lost")


def test_in_pods():
    with Node() as lab:
        lab.write("service.yaml", SERVICE)
        lab.start()
        web, shop = lab.pods("web", "shop")
        lab.snapshot()
        echo_many(shop, 8080)
        load = Load(web, shop.v4, 8080)
        load.ask(web)
        first = lab.cni.conn
        lab.cni.conn = None
        node2 = lab.plain("node2")                        # the new proxy's pod
        env = {"PROXY_MODE": "shared", "INPOD_UDS": lab.path}
        node2.start(workload=False, capture=False, ready=False, env=env)
        lab.cni.accept()
        assert "has taken over" not in lab.node.log()
        assert lab.cni.pod(web) == ""
        load.check()                                      # both accept
        assert lab.cni.pod(shop) == ""
        assert lab.cni.ask(zds.SNAPSHOT) == ""
        eventually(lambda: "has taken over" in lab.node.log())
        assert node2.http("/healthz/ready", port=15021)[0] == 200
        load.check()
        node2.access(dst_workload="shop", direction="inbound")
        lab.node.proc.send_signal(0)
        time.sleep(0.5)
        load.check()
        # A pod is deleted on both; the old one does not come back to the CNI.
        first.send(zds.delete("uid-none"))
        assert first.recv(100) == b"\x0a\x00"
        first.close()
        load.end()
        lab.node.stop()                                   # SIGTERM: nothing is left, so it ends at once
        assert web.talk(shop.v4, 8080, b"x") == b"x"
        print(f"{BUSY} busy and {IDLE} idle connections, {load.opened} new ones, {load.asked} DNS questions: none lost")


def test_a_new_one_that_fails_changes_nothing():
    with Lab() as lab:
        web, shop = lab.plain("web", "shop")
        dirs = {h.name: f"--handover-dir={lab.dir}/{h.name}.handover" for h in (web, shop)}
        for h in (web, shop):
            lab.workload(h)
        for h in (web, shop):
            h.start(dirs[h.name])
        shop.serve(8080)
        path = f"{lab.dir}/shop.handover/handover.sock"
        assert oct(os.stat(os.path.dirname(path)).st_mode & 0o777) == "0o700"
        # Asks, and goes away; says nonsense; says that it serves, with nothing taken.
        for words in ([b"\x0a\x02\x08\x01"], [b"nonsense"], [b""], [b"\x0a\x02\x08\x01", b"\x1a\x00"]):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            s.settimeout(5)
            s.connect(path)
            for w in words:
                if w:
                    s.send(w)
            s.close()
            assert web.talk(shop.v4, 8080, b"x") == b"x"
        # Another user is refused; a directory that others may enter, too.
        os.chmod(f"{lab.dir}/web.handover", 0o755)
        r = web.run(lab.meshd, "--mode=ztunnel", f"--config-dir={lab.config}", "--workload=default/web", f"--ca-dir={lab.ca()}", "--user=root",
                    dirs["web"], check=False, env=lab.env)
        assert r.returncode == 1 and "only user" in r.stderr, r.stderr
        assert web.talk(shop.v4, 8080, b"x") == b"x"


def test_what_is_not_wanted_any_more_is_closed():
    with Lab() as lab:
        web = lab.plain("web")
        lab.workload(web)
        args = f"--handover-dir={lab.dir}/web.handover"
        web.start(args, env={"UNSTABLE_ENABLE_SOCKS5": "true"})
        web.connect("127.0.0.1", 15080).close()
        old = replace(web, args)
        assert old.wait(20) == 0
        assert ":15080" not in web.run("ss", "-Hltn").stdout and ":15001" in web.run("ss", "-Hltn").stdout


def test_who_drains_hands_over_nothing():
    """Its listeners are closed: their descriptors are other files' by now."""
    with Lab() as lab:
        web, shop = lab.plain("web", "shop")
        for h in (web, shop):
            lab.workload(h)
        for h in (web, shop):
            h.start(f"--handover-dir={lab.dir}/{h.name}.handover", "--drain-time=10s")
        shop.serve(8080)
        held = web.connect(shop.v4, 8080)
        held.sendall(b"x")
        assert read_exact(held, 1) == b"x"
        path = f"{lab.dir}/shop.handover/handover.sock"
        early = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        early.connect(path)
        shop.proc.send_signal(signal.SIGTERM)
        eventually(lambda: "draining" in shop.log())
        early.settimeout(5)
        try:
            early.send(b"\x0a\x02\x08\x01")
            assert early.recv(100) == b""
        except BrokenPipeError:
            pass
        assert not os.path.exists(path)
        held.sendall(b"y")
        assert read_exact(held, 1) == b"y"
        held.close()
        assert shop.proc.wait(20) == 0


def test_after_a_crash_the_next_one_starts_anew():
    with Lab() as lab:
        web, shop = lab.plain("web", "shop")
        args = {h.name: f"--handover-dir={lab.dir}/{h.name}.handover" for h in (web, shop)}
        for h in (web, shop):
            lab.workload(h)
        for h in (web, shop):
            h.start(args[h.name])
        shop.serve(8080)
        os.kill(shop.proc.pid, signal.SIGKILL)
        shop.proc.wait()
        shop.proc = None
        shop.start(args["shop"])
        eventually(lambda: web.talk(shop.v4, 8080, b"x") == b"x")
        old = replace(shop, args["shop"])
        assert old.wait(20) == 0
        eventually(lambda: web.talk(shop.v4, 8080, b"x") == b"x")


def test_ports_shared_with_another_proxy():
    """A swap without a handover: both listen; the kernel moves what the one that ends has not accepted."""
    with Node() as lab:
        lab.start("--handover-dir=")
        web, shop = lab.pods("web", "shop")
        lab.snapshot()
        echo_many(shop, 8080)
        assert shop.run("cat", "/proc/sys/net/ipv4/tcp_migrate_req").stdout.strip() == "1"
        load = Load(web, shop.v4, 8080)
        first, lab.cni.conn = lab.cni.conn, None          # stays open: the old one does not come back
        node2 = lab.plain("node2")
        node2.start("--handover-dir=", workload=False, capture=False, ready=False, env={"PROXY_MODE": "shared", "INPOD_UDS": lab.path})
        lab.cni.accept()
        assert lab.cni.pod(web) == "" and lab.cni.pod(shop) == "" and lab.cni.ask(zds.SNAPSHOT) == ""
        eventually(lambda: node2.http("/healthz/ready", port=15021)[0] == 200)
        load.check()
        load.stop = True
        for t in load.threads:
            t.join()
        assert not load.problems, load.problems[:5]
        # New connections all the time, while the old one drains and ends.
        stop, problems, n = [], [], [0]
        def opener():
            while not stop:
                try:
                    assert web.talk(shop.v4, 8080, b"x") == b"x"
                    n[0] += 1
                except BaseException as e:
                    problems.append(e)
        threads = [threading.Thread(target=opener) for _ in range(4)]
        for t in threads:
            t.start()
        time.sleep(0.3)
        for s in load.busy + load.idle:
            s.close()
        lab.node.stop()
        first.close()
        time.sleep(0.3)
        stop.append(1)
        for t in threads:
            t.join()
        assert not problems, (len(problems), n, problems[:5])
        print(f"{n[0]} new connections while the old one ended")
