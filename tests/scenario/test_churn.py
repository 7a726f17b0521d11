# SPDX-License-Identifier: Apache-2.0
"""Pods go and come back, and configuration changes, in the midst of connections in every state. What this finds, it finds under
sanitizers. CHURN_SECONDS sets for how long."""
import os, random, socket, threading, time
import zds
from harness import eventually, greeter, service
from test_inpod import Node, question

SECONDS = float(os.environ.get("CHURN_SECONDS", 8))
DENY = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: default}
spec: {action: DENY, rules: [{from: [{source: {principals: ["cluster.local/ns/default/sa/%s"]}}]}]}
"""


def made(host, *kind):
    with host:
        return socket.socket(*kind)


class Churn:
    def __init__(self, lab, hosts, seconds):
        self.lab, self.hosts, self.end, self.done = lab, hosts, time.time() + seconds, {}

    def on(self, fn, *args):
        """Again and again; that connections fail is the point."""
        def run():
            while time.time() < self.end:
                try:
                    fn(*args)
                    self.done[fn.__name__] = self.done.get(fn.__name__, 0) + 1
                except (OSError, EOFError):
                    time.sleep(0.002)
        return threading.Thread(target=run)

    def traffic(self, host):
        others = [h for h in self.hosts if h is not host]
        held = []
        for _ in range(6):
            to = random.choice(others)
            ip, port = random.choice([(to.v4, 8080), (to.v6, 8080), ("10.96.0.7", 80), ("10.96.0.8", 80), (to.v4, 9), ("10.77.9.9", 81)])
            s = made(host, socket.AF_INET6 if ":" in ip else socket.AF_INET)
            held.append(s)
            s.settimeout(0.3)
            try:
                s.connect((ip, port))
                s.sendall(b"x" * random.choice([1, 70000]))
                if random.random() < 0.5:
                    s.recv(1000)
                if random.random() < 0.3:
                    s.shutdown(socket.SHUT_WR)
                elif random.random() < 0.3:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            except OSError:
                pass
        for s in held:
            s.close()

    def socks(self, host):
        s = made(host, socket.AF_INET)
        s.settimeout(0.3)
        try:
            s.connect(("127.0.0.1", 15080))
            name = random.choice([b"shop.default.svc.cluster.local", b"nobody.invalid", b"x" * 200])
            s.sendall(b"\x05\x01\x00\x05\x01\x00\x03" + bytes([len(name)]) + name + b"\0\x50more"[: random.choice([2, 6])])
            s.recv(100)
        finally:
            s.close()

    def dns(self, host):
        s = made(host, socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(0.2)
        try:
            s.connect(("127.0.0.1", 15053))
            s.send(question(random.choice(["shop.default.svc.cluster.local", "out.example"])))
            s.recv(1000)
        finally:
            s.close()

    def junk(self, host):
        """At the HBONE port: handshakes that stop or are none."""
        to = random.choice(self.hosts)
        s = made(host, socket.AF_INET)
        s.settimeout(0.3)
        try:
            s.connect((to.v4, 15008))
            s.sendall(random.choice([b"\x16\x03\x01\x02\x00\x01", os.urandom(50), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]))
            s.recv(10)
        finally:
            s.close()

    def pods(self, host):
        time.sleep(random.random() * 0.15)
        with self.lab.lock:
            self.lab.cni.ask(zds.delete(f"uid-{host.name}"))
        time.sleep(random.random() * 0.02)
        with self.lab.lock:
            self.lab.cni.pod(host)

    def config(self):
        which = random.choice(self.hosts).name
        self.lab.write("policy.yaml", DENY % which)
        time.sleep(0.3)
        os.unlink(f"{self.lab.config}/policy.yaml")
        time.sleep(0.2)


def start(lab, seconds):
    lab.lock = threading.Lock()
    lab.write("s.yaml", service("shop", {80: 8080}, ["10.96.0.7", "fd96::7"]))
    lab.write("t.yaml", service("web", {80: 8080}, ["10.96.0.8"]))
    lab.start(UNSTABLE_ENABLE_SOCKS5="true", MESHD_ENFORCEMENT="closed")
    hosts = lab.pods("web", "shop", "cart")
    lab.snapshot()
    for h in hosts:
        h.serve(8080, greeter(b"hello"))
    c = Churn(lab, hosts, seconds)
    threads = [c.on(c.config)]
    for h in hosts:
        threads += [c.on(f, h) for f in (c.traffic, c.traffic, c.socks, c.dns, c.junk)]
    threads += [c.on(c.pods, h) for h in hosts[1:]]
    for t in threads:
        t.start()
    return hosts, c, threads


def test_churn():
    with Node() as lab:
        hosts, c, threads = start(lab, SECONDS)
        for t in threads:
            t.join()
        assert lab.node.proc.poll() is None, lab.node.tail()
        eventually(lambda: hosts[0].talk(hosts[1].v4, 8080, b"x")[:5] == b"hello", 10)
        print(c.done)


def test_the_end_amid_all():
    with Node() as lab:
        hosts, c, threads = start(lab, 3)
        time.sleep(1 + random.random())
        lab.node.proc.terminate()
        assert lab.node.proc.wait(20) == 0, lab.node.tail()
        lab.node.proc = None
        for t in threads:
            t.join()
