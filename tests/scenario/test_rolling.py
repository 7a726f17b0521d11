# SPDX-License-Identifier: Apache-2.0
"""Instances of a service are replaced, one after the other and again, under load: no request fails."""
import asyncio, os, re, signal, threading, time

from harness import *
from relay import relay_path
from test_retry import VIP, SHOP

ARGS = ["--drain-time=3s"]
ROUNDS = 2


def quick(c, peer):
    """The least HTTP/1.1 server."""
    data = b""
    while got := c.recv(1 << 16):
        data += got
        n = data.count(b"\r\n\r\n")
        if n:
            data = data[data.rindex(b"\r\n\r\n") + 4:]
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" * n)


def replace(lab, host):
    """As a rollout does it: the endpoint goes from the configuration while its proxy is told to end, and comes back new."""
    lab.remove(f"workload-{host.name}.json")
    os.kill(host.proc.pid, signal.SIGTERM)
    time.sleep(0.5)
    host.stop()
    host.start(f"--workload=default/{host.name}-v6", *ARGS, config=host.own)
    lab.workload(host, labels={"app": "shop"})


def roll(lab, hosts, seconds):
    end = time.time() + seconds
    while time.time() < end:
        for h in hosts:
            replace(lab, h)
            time.sleep(0.3)


def mesh(lab, protocol):
    """Clients see endpoints come and go; each instance has a configuration of its own, in which it stays."""
    svc = service("shop", {80: 8080}, [VIP], app="shop", family="v4", protocol=protocol)
    lab.write("svc.yaml", svc)
    web, a, b = hosts = [lab.plain(n) for n in ("web", "a", "b")]
    for h in hosts:
        h.mode = "sidecar"
        lab.workload(h, labels={"app": "web" if h is web else "shop"})
    for h in hosts:
        h.own = f"{lab.dir}/mesh-{h.name}"
        if h is not web:
            shutil.copytree(lab.config, h.own)
        h.start(f"--workload=default/{h.name}-v6", *ARGS, ready=False, config=None if h is web else h.own)
    for h in hosts:
        h.ready()
    return web, [a, b]


class Load:
    """Clients that keep their connections, and together ask so many times a second; while the block runs."""
    def __init__(self, host, clients=20, rate=1000):
        self.host, self.clients, self.rate = host, clients, rate
        self.done, self.failed, self.over = 0, [], False

    async def client(self, k):
        reader = writer = None
        t = time.time() + k / self.rate
        while not self.over:
            await asyncio.sleep(max(0, t - time.time()))
            t += self.clients / self.rate
            try:
                if not writer:
                    s = self.host.connect(VIP, 80)
                    s.setblocking(False)
                    reader, writer = await asyncio.open_connection(sock=s)
                writer.write(f"POST /{self.done} HTTP/1.1\r\nHost: {SHOP}\r\nContent-Length: 0\r\n\r\n".encode())
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                n = int(re.search(rb"content-length: (\d+)", head.lower())[1])
                body = await asyncio.wait_for(reader.readexactly(n), 10)
                self.done += 1
                if not head.startswith(b"HTTP/1.1 200"):
                    self.failed.append((time.time(), head, body))
                if b"connection: close" in head.lower():
                    writer.close()
                    writer = None
            except Exception as e:
                self.failed.append((time.time(), repr(e)))
                writer = None

    async def all(self):
        await asyncio.gather(*(self.client(k) for k in range(self.clients)))

    def __enter__(self):
        self.thread = threading.Thread(target=lambda: asyncio.run(self.all()))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()


def test_http1():
    with Lab() as lab:
        web, hosts = mesh(lab, "HTTP")
        for h in hosts:
            h.serve(8080, quick)
        with Load(web) as load:
            eventually(lambda: load.done > 50)
            roll(lab, hosts, 8)
        assert not load.failed, (len(load.failed), load.done, load.failed[:3])
        assert load.done > 1000, load.done


def h2load(web, *args):
    p = web.popen("h2load", "-c", "10", "-m", "4", "-t", "1", "-D", "10", "--rps=100", *args, f"http://{VIP}/", stdout=subprocess.PIPE, text=True)
    return p


def check(p):
    out = p.communicate(timeout=60)[0]
    got = re.search(r"(\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", out)
    codes = re.search(r"(\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
    assert got and int(got[3]) > 1000 and got[5] == got[6] == "0" and codes[2] == codes[3] == codes[4] == "0", out


def h2_apps(lab, hosts):
    """The relay takes HTTP/2 in front of the least server."""
    for h in hosts:
        h.serve(8081, quick)
        p = h.popen(relay_path(), "-a", "8080", "8081", "h1", stdout=subprocess.PIPE, text=True)
        lab.closing.append(type("Ends", (), {"close": lambda self, p=p: (p.terminate(), p.wait())})())
        assert p.stdout.readline().startswith("listening")


def test_http2():
    need_program("h2load")
    with Lab() as lab:
        web, hosts = mesh(lab, "HTTP2")
        h2_apps(lab, hosts)
        p = h2load(web, "-H", f":authority: {SHOP}")
        time.sleep(0.5)
        roll(lab, hosts, 8)
        check(p)


def test_grpc():
    need_program("h2load")
    with Lab() as lab:
        web, hosts = mesh(lab, "GRPC")
        h2_apps(lab, hosts)
        with open(f"{lab.dir}/message", "wb") as f:
            f.write(b"\0\0\0\0\5hello")
        p = h2load(web, "-H", f":authority: {SHOP}", "-H", "content-type: application/grpc", "-H", "te: trailers", "-d", f"{lab.dir}/message")
        time.sleep(0.5)
        roll(lab, hosts, 8)
        check(p)
