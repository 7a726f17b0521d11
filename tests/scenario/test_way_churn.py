# SPDX-License-Identifier: Apache-2.0
"""A waypoint whose configuration changes all the time under clients that come, stop in the middle and go; and one with slow readers."""
import os, random, time
from harness import *
from test_way import VIP, VIP6, answered, fields, get, shops, to, virtual_service

RAW = "10.96.0.8"


class Clients(Threads):
    """Requests, uploads that stop, bytes in and out, resets."""
    def __init__(self, web, n):
        self.web, self.n, self.done = web, n, 0

    def once(self, r):
        k, ip, port = r.random(), *r.choice(((VIP, 80), (RAW, 90), (RAW, 91)))
        if k < 0.4:
            get(self.web, path=f"/{r.randrange(100)}", timeout=3)
            return
        with self.web.connect(ip, port, 3) as c:
            head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + os.urandom(1000)
            c.sendall(head[:r.randrange(len(head))])
            if r.random() < 0.5:
                c.settimeout(0.2)
                c.recv(10)
            if r.random() < 0.5:
                reset(c)

    def run(self, seed):
        r = random.Random(seed)
        while not self.over:
            try:
                self.once(r)
                self.done += 1
            except (OSError, http.client.HTTPException):
                pass


def test_changes_under_load():
    """All comes and goes: routes, policies, endpoints, the label that names the waypoint. In the end nothing is left behind."""
    with Lab() as lab:
        web, wp, a, b = shops(lab, "a", "b")
        other = lab.waypoint("other", vips=["10.96.99.2"])
        for h in (a, b):
            h.serve_http(8080)
            h.serve(9000)
            h.serve(9001, greeter(b"hi"))
        shop = using("wp", service("shop", {80: 8080}, [VIP, VIP6], protocol="HTTP", family="v4"))
        raw = using("wp", service("raw", {90: 9000, 91: 9001}, [RAW], app="shop", family="v4").replace("protocol: TCP", "protocol: ''").replace("name: tcp-", "name: p-"))
        plain = virtual_service("{route: [%s]}" % to())
        deny = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: default}
spec: {targetRefs: [{kind: ServiceEntry, group: networking.istio.io, name: raw}], action: DENY, rules: [%s]}
""" % principal("web")
        changes = (("r.yaml", virtual_service("{directResponse: {status: 418}}")), ("r.yaml", plain),
                   ("r.yaml", virtual_service("{fault: {delay: {percentage: {value: 50}, fixedDelay: 0.1s}}, retries: {attempts: 3, retryOn: '5xx,reset,connect-failure'}, route: [%s]}" % to())),
                   ("shop.yaml", shop.replace("use-waypoint: wp", "use-waypoint: other")), ("shop.yaml", shop), ("p.yaml", deny), ("p.yaml", ""),
                   ("raw.yaml", raw.replace("use-waypoint: wp", "use-waypoint: none")), ("raw.yaml", raw), None)
        lab.write("raw.yaml", raw)
        answered(web)
        r = random.Random(7)
        with Clients(web, 8) as clients:
            end = time.time() + 8
            while time.time() < end:
                change = r.choice(changes)
                lab.write(*change) if change else lab.workload(b, labels={"app": r.choice(("shop", "no"))})
                time.sleep(0.3 * r.random())
        assert clients.done > 100, clients.done
        for name, text in (("p.yaml", ""), ("r.yaml", plain), ("shop.yaml", shop), ("raw.yaml", raw)):
            lab.write(name, text)
        lab.workload(b, labels={"app": "shop"})
        eventually(lambda: fields(answered(web)[1])["x-forwarded-client-cert"].startswith(f"By={wp.identity};"), 10)
        eventually(lambda: web.talk(RAW, 90, b"ok", timeout=2) == b"ok", 10)
        eventually(lambda: "no live connections" in wp.http("/connections?format=text")[1], 20, what="nothing is left behind")
        eventually(lambda: "no live connections" in web.http("/connections?format=text")[1], 20)


def test_slow_readers():
    """Who does not read holds his server back, not the waypoint's memory; others go on; both directions."""
    sent = []
    def flood(c, peer):
        n = 0
        try:
            while n < 1 << 28:
                n += c.send(b"x" * 65536)
        except OSError:
            sent.append(n)
    def body(handler, got):
        if got["path"] != "/flood":
            return False
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 28))
        handler.end_headers()
        flood(handler.connection, None)
        handler.close_connection = True
        return True
    with Lab() as lab:
        web, wp, shop = shops(lab)
        shop.serve_http(8080, body)
        shop.serve(9000, flood)
        lab.write("raw.yaml", using("wp", service("raw", {90: 9000}, [RAW], app="shop")))
        answered(web)
        eventually(lambda: wp_has(web, RAW), 10)
        before = wp.memory_kib()
        with web.connect(RAW, 90, 20) as c, web.connect(VIP, 80, 20) as d:
            d.sendall(b"GET /flood HTTP/1.1\r\nHost: shop\r\n\r\n")
            read_exact(c, 1 << 20)
            read_exact(d, 1 << 20)
            time.sleep(1)
            assert wp.memory_kib() < before + 24576, (before, wp.memory_kib())
            for _ in range(20):
                assert get(web)[0] == 200
            read_exact(c, 1 << 22)
            read_exact(d, 1 << 22)
        eventually(lambda: len(sent) >= 2, 10)
        assert max(sent) < 160 << 20, sent
        eventually(lambda: "no live connections" in wp.http("/connections?format=text")[1], 20)


def wp_has(web, ip):
    with web.connect(ip, 90, 2) as c:
        return c.recv(10)
