# SPDX-License-Identifier: Apache-2.0
"""Names, as applications in captured pods ask for them: istio-cni's rules, a resolver that the pod names, the C library."""
import os, shutil, socket, struct, threading, time
from ambient import MESHD, Node
from cluster import Cluster
from harness import eventually, read_exact

A, TXT, AAAA, HTTPS = 1, 16, 28, 65


def name(text):
    return b"".join(bytes([len(p)]) + p.encode() for p in text.split(".") if p) + b"\0"


def question(text, qtype, edns=b"", id=4711, flags=0x0120):
    """RD and AD are set; edns: options of an OPT record of 1232 bytes, DO set."""
    opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0x8000, len(edns)) + edns if edns else b""
    return struct.pack("!6H", id, flags, 1, 0, 0, 1 if edns else 0) + name(text) + struct.pack("!HH", qtype, 1) + opt


def skip_name(m, at):
    while m[at] and m[at] < 192:
        at += m[at] + 1
    return at + (2 if m[at] else 1)


class Answer:
    def __init__(self, m):
        self.raw = m
        self.id, self.flags, qd, an, ns, ar = struct.unpack("!6H", m[:12])
        self.rcode, self.truncated, self.authentic = self.flags & 15, bool(self.flags & 0x200), bool(self.flags & 0x20)
        at = skip_name(m, 12) + 4 if qd else 12
        self.records = []
        for section in [0] * an + [1] * ns + [2] * ar:
            at = skip_name(m, at)
            kind, _, ttl, n = struct.unpack("!HHIH", m[at:at + 10])
            self.records.append((section, kind, ttl, m[at + 10:at + 10 + n]))
            at += 10 + n
        self.addresses = {socket.inet_ntop(socket.AF_INET if k == A else socket.AF_INET6, d) for s, k, _, d in self.records if s == 0 and k in (A, AAAA)}
        self.soa = any(s == 1 and k == 6 for s, k, _, _ in self.records)

    def nodata(self):
        return self.rcode == 0 and not [r for r in self.records if r[0] == 0]


class Resolver:
    """The name server that the pods' resolv.conf names, on a host outside of the mesh: it knows *.example, and keeps the questions."""
    def __init__(self, host):
        self.host, self.asked = host, []
        with host:
            self.udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            self.tcp = socket.socket(socket.AF_INET6)
        for s in self.udp, self.tcp:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("::", 53))
        self.tcp.listen(16)
        threading.Thread(target=self.serve_udp, daemon=True).start()
        threading.Thread(target=self.serve_tcp, daemon=True).start()

    def answer(self, q, tcp):
        self.asked.append(q)
        head, end = q[:2], skip_name(q, 12)
        text, qtype = q[13:end], struct.unpack("!H", q[end:end + 2])[0]
        if b"example" not in text:
            return head + struct.pack("!5H", 0x8183, 1, 0, 0, 0) + q[12:end + 4]
        data = {A: socket.inet_aton("192.0.2.7"), AAAA: socket.inet_pton(socket.AF_INET6, "2001:db8::7"), TXT: b"\x04text"}.get(qtype)
        record = b"\xc0\x0c" + struct.pack("!HHIH", qtype, 1, 60, len(data)) + data if data else b""
        count = 200 if text.startswith(b"big") else 1 if data else 0
        if count > 1 and not tcp:
            return head + struct.pack("!5H", 0x83a0, 1, 0, 0, 0) + q[12:end + 4]                  # truncated
        return head + struct.pack("!5H", 0x81a0, 1, count, 0, 0) + q[12:end + 4] + record * count      # authentic data

    def serve_udp(self):
        while True:
            q, peer = self.udp.recvfrom(4096)
            self.udp.sendto(self.answer(q, False), peer)

    def serve_tcp(self):
        while True:
            c, _ = self.tcp.accept()
            threading.Thread(target=self.one, args=(c,), daemon=True).start()

    def one(self, c):
        try:
            while True:
                a = self.answer(read_exact(c, struct.unpack("!H", read_exact(c, 2))[0]), True)
                c.sendall(struct.pack("!H", len(a)) + a)
        except (OSError, AssertionError):
            c.close()


def ask(pod, server, text, qtype=A, tcp=False, edns=b"", timeout=3):
    q = question(text, qtype, edns)
    with pod:
        s = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    with s:
        s.settimeout(timeout)
        s.connect((server, 53))
        if tcp:
            s.sendall(struct.pack("!H", len(q)) + q)
            a = Answer(read_exact(s, struct.unpack("!H", read_exact(s, 2))[0]))
        else:
            s.send(q)
            a = Answer(s.recv(65535))
    assert a.id == 4711, a.raw
    return a


class ResolvConf:
    """What programs under `ip netns exec` in the pod find as /etc/resolv.conf."""
    def __init__(self, pod, server):
        self.folder, self.pod = f"/etc/netns/{pod.ns}", pod
        os.makedirs(self.folder)
        with open(f"{self.folder}/resolv.conf", "w") as f:
            f.write(f"nameserver {server}\nsearch {pod.namespace}.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 timeout:3\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def lookup(self, text, database="ahosts"):
        """The addresses that the C library finds."""
        import subprocess
        r = subprocess.run(["ip", "netns", "exec", self.pod.ns, "getent", database, text], text=True, capture_output=True, timeout=15)
        return {l.split()[0] for l in r.stdout.splitlines()}


MORE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: default}
spec:
  hosts: ["*.wild.test"]
  addresses: [240.7.7.7]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 443, name: tls, protocol: TLS}]
  endpoints: [{address: 10.9.9.9}]
"""


def dns(program):
    with Cluster() as c:
        one = Node(c, "node1", program, env={"ISTIO_META_DNS_PROXY_ADDR": "localhost:15053"})      # the chart says 127.0.0.1 alone
        web, shop, shop2 = one.pod("default", "web"), one.pod("default", "shop"), one.pod("default", "shop-2", labels={"app": "shop"}, sa="shop")
        vip, vip6 = c.service("default", "shop", {80: 8080})
        only4 = c.service("default", "only4", {80: 8080}, selector={"app": "shop"}, ipFamilyPolicy="SingleStack", ipFamilies=["IPv4"])[0]
        c.service("default", "many", {80: 8080}, selector={"app": "shop"}, clusterIP="None")
        far = c.service("other", "far", {80: 8080})[0]
        c.apply(MORE)
        outer = c.plain("resolver")
        resolver = Resolver(outer)
        one.start()
        full = "shop.default.svc.cluster.local"
        eventually(lambda: ask(web, outer.v4, full).addresses == {vip}, 10)

        for server in outer.v4, outer.v6:
            for tcp in False, True:
                def get(text, qtype=A, **kw):
                    return ask(web, server, text, qtype, tcp, **kw)
                assert get(full).addresses == {vip} and get(full, AAAA).addresses == {vip6}
                assert get("far.other.svc.cluster.local").addresses == {far}
                assert get("many.default.svc.cluster.local").addresses == {shop.v4, shop2.v4}
                assert get("many.default.svc.cluster.local", AAAA).addresses == {shop.v6, shop2.v6}
                assert get("only4.default.svc.cluster.local").addresses == {only4}
                assert get("only4.default.svc.cluster.local", AAAA).nodata()
                assert get("any.wild.test").addresses == {"240.7.7.7"}
                assert get(full.upper()).addresses == {vip}
                if one.program == MESHD:       # a ztunnel asks its own resolver, and makes its own questions and answers
                    beyond(resolver, get, full, tcp)
        if one.program == MESHD:
            assert get("shop.many.default.svc.cluster.local").addresses == {shop.v4}       # a pod by its name
            assert ask(web, outer.v4, "big.example").truncated and len(ask(web, outer.v4, "big.example", tcp=True).records) == 200
            libc(web, outer, vip, vip6, shop, shop2, far)

        # The proxy dies, and starts again.
        died = time.time()
        one.kill()
        eventually(lambda: ask(web, outer.v4, full, timeout=0.3).addresses == {vip}, 10)
        print(f"{one.program} killed: names are answered again after {time.time() - died:.2f} s")


def beyond(resolver, get, full, tcp):
    """What is not of the mesh passes byte for byte, to the server that the pod asked and back."""
    cookie = b"\x00\x0a\x00\x08abcdefgh"
    resolver.asked.clear()
    a = get("www.example", edns=cookie)
    assert a.addresses == {"192.0.2.7"} and a.authentic
    assert [q[2:] for q in resolver.asked] == [question("www.example", A, cookie)[2:]], resolver.asked
    assert get("www.example", AAAA).addresses == {"2001:db8::7"}
    assert [r[3] for r in get("www.example", TXT).records] == [b"\x04text"]
    assert get("no.such.name").rcode == 3
    resolver.asked.clear()
    for qtype in TXT, HTTPS:                                    # names of the mesh are nobody else's
        a = get(full, qtype)
        assert a.nodata() and a.soa, a.raw
    assert get("only4.default.svc.cluster.local", AAAA).soa and not resolver.asked


def libc(web, outer, vip, vip6, shop, shop2, far):
    """As an application does it: short names, search domains, both families."""
    with ResolvConf(web, outer.v4) as conf:
        assert conf.lookup("shop") == {vip, vip6}, conf.lookup("shop")
        assert conf.lookup("shop", "ahostsv4") == {vip}
        assert far in conf.lookup("far.other") and far in conf.lookup("far.other.svc")
        assert conf.lookup("many", "ahostsv4") == {shop.v4, shop2.v4}
        assert conf.lookup("only4") == conf.lookup("only4", "ahostsv4")
        assert conf.lookup("www.example") == {"192.0.2.7", "2001:db8::7"}
        assert conf.lookup("nowhere") == set()


def test_meshd():
    dns(MESHD)
