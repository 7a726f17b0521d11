# SPDX-License-Identifier: Apache-2.0
"""Certificates of a real istiod: renewal and root rotation under load, a CA that is away, one that refuses, and what is forgotten.
They live a minute or less here."""
import base64, json, os, re, threading, time
from ambient import MESHD, Node
from cluster import Cluster
from harness import eventually, read_exact

WEB, SHOP = "spiffe://cluster.local/ns/default/sa/web", "spiffe://cluster.local/ns/default/sa/shop"


def certificates(node):
    """Identity -> its row of the dump."""
    return {c["identity"]: c for c in json.loads(node.host.http("/config_dump", timeout=20)[1])["certificates"]}


def serial(node, identity):
    chain = certificates(node)[identity]["certChain"]
    return chain and chain[0]["serialNumber"]


def roots(node, identity):
    return len(certificates(node)[identity]["rootCerts"])


class Load:
    """New connections all the time, each with an answer, and one that stays."""
    def __init__(self, src, dst, port=8080, threads=2):
        self.args, self.bad, self.done, self.over = (src, dst, port), [], 0, threading.Event()
        self.live = src.connect(dst.v4, port)
        self.beat()
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]
        [t.start() for t in self.threads]

    def run(self):
        src, dst, port = self.args
        while not self.over.is_set():
            try:
                assert src.talk(dst.v4, port, b"y" * 1000) == b"y" * 1000
                self.done += 1
            except Exception as e:
                self.bad.append(f"{time.time():.1f} {e!r}")
            time.sleep(0.01)

    def beat(self):
        self.live.sendall(b"beat")
        assert read_exact(self.live, 4) == b"beat"

    def end(self):
        self.over.set()
        [t.join() for t in self.threads]
        self.beat()
        self.live.close()
        assert not self.bad and self.done > 100, (self.bad[:3], len(self.bad), self.done)


def pair(c, ttl):
    one, two = [Node(c, name, MESHD, {"SECRET_TTL": ttl}) for name in ("node1", "node2")]
    web, shop = one.pod("default", "web"), two.pod("default", "shop")
    shop.serve(8080)
    one.start()
    two.start()
    return one, two, web, shop


def test_rotation_under_load():
    with Cluster() as c:
        one, two, web, shop = pair(c, "60s")       # renewed after 27 to 33 s
        load = Load(web, shop)
        seen = {WEB: set(), SHOP: set()}
        start = time.monotonic()
        while time.monotonic() - start < 40:
            seen[WEB].add(serial(one, WEB))
            seen[SHOP].add(serial(two, SHOP))
            load.beat()
            time.sleep(0.5)
        load.end()
        assert len(seen[WEB]) == len(seen[SHOP]) == 2, seen
        assert "warn" not in one.log() + two.log(), one.log() + two.log()


def test_root_rotation_under_load():
    """Signed by A, then A with both trusted, B with both, B alone: as Istio's manual has it."""
    with Cluster(env={"ISTIO_MULTIROOT_MESH": "true"}) as c:
        one, two, web, shop = pair(c, "20s")
        load = Load(web, shop)
        serials = lambda: {serial(one, WEB), serial(two, SHOP)}
        assert roots(one, WEB) == roots(two, SHOP) == 1
        c.plug_ca("other")
        c.plug_ca("root")
        c.write_root(2)
        eventually(lambda: roots(one, WEB) == roots(two, SHOP) == 2, 30, 0.5, "both roots everywhere")
        load.beat()
        c.plug_ca("other")
        time.sleep(1)
        before = serials()
        eventually(lambda: not before & serials(), 20, 0.5, "certificates by the new root")
        load.beat()
        c.plug_ca("other", alone=True)
        c.write_root(1)
        eventually(lambda: roots(one, WEB) == roots(two, SHOP) == 1, 20, 0.5, "the new root alone")
        load.end()


def test_ca_is_away():
    """Certificates are used to their end meanwhile, and there are new ones when the CA is back."""
    with Cluster() as c:
        one, two, web, shop = pair(c, "40s")
        load = Load(web, shop)
        before = serial(one, WEB)
        c.stop_istiod()
        eventually(lambda: "the one from before is used until" in one.log(), 55, 0.5, "a failed renewal")
        load.end()
        line = next(l for l in one.log().splitlines() if "the one from before is used until" in l)
        assert "the certificate of spiffe://cluster.local/ns/" in line and "the CA at https://10.77.0.1:15012" in line and "CA_ADDRESS" in line, line
        eventually(lambda: certificates(one)[WEB]["state"].startswith("Unavailable: the CA at"), 50, 0.5, "its end")
        assert web.refused(shop.v4, 8080, timeout=10)
        c.start_istiod()
        eventually(lambda: serial(one, WEB) not in (before, []) and serial(two, SHOP), 40, 0.5, "a new certificate")
        assert eventually(lambda: web.talk(shop.v4, 8080, b"x"), 10) == b"x"


def test_refused():
    """Our service account is not listed; the token is not there; then all is well, without a restart."""
    with Cluster(env={"CA_TRUSTED_NODE_ACCOUNTS": "istio-system/another"}) as c:
        one = Node(c, "node1", MESHD)
        one.pod("default", "web")
        one.start(wait=False)
        state = lambda: certificates(one)[WEB]["state"]
        eventually(lambda: WEB in certificates(one) and state().startswith("Unavailable: the CA at https://10.77.0.1:15012 refused: "), 20, what="the reason")
        assert "(UNAUTHENTICATED)" in state() and "the CA must list our service account in CA_TRUSTED_NODE_ACCOUNTS" in state(), state()
        right = open(one.token).read()
        os.remove(one.token)
        eventually(lambda: f"{one.token}" in state() and "No such file" in state(), 20, what="a missing token")
        with open(one.token, "w") as f:
            f.write(right)
        c.restart_istiod(env={"CA_TRUSTED_NODE_ACCOUNTS": "istio-system/ztunnel"})
        eventually(lambda: state() == "Available", 60, what="a certificate")
        assert 2 <= one.log().count("there is no certificate for") <= 4, one.log()


def memory(pid):
    """All that the process can write to."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, mode = line.split()[:2]
            start, end = (int(x, 16) for x in span.split("-"))
            if "w" in mode and end - start < 1 << 30:      # larger is a sanitizer's shadow
                mem.seek(start)
                try:
                    yield mem.read(end - start)
                except OSError:
                    pass


def keys(pid):
    """The private numbers of the PEM texts in its memory. PKCS #8 of a P-256 key has it at byte 36."""
    found = set()
    for block in memory(pid):
        for m in re.finditer(rb"-----BEGIN PRIVATE KEY-----\n([A-Za-z0-9+/=\n]{180,200})-----END", block):
            found.add(base64.b64decode(m[1])[36:68])
    return found


def traces(pid, number):
    """How often a private number is in its memory: as it is, as OpenSSL computes with it, and as PEM."""
    text = base64.b64encode(bytes(36) + number)[64:90]      # of its second line
    return sum(block.count(form) for block in memory(pid) for form in (number, number[::-1], text))


def test_forgotten_with_the_last_pod():
    """Two pods of one identity: its certificate and key stay until the second goes, and then nothing of the key is left in memory."""
    with Cluster() as c:
        one = Node(c, "node1", MESHD)
        mine = lambda: [i for i in certificates(one) if not i.endswith("/sa/ztunnel")]      # its own, for its metrics over HBONE
        a, b, shop = one.pod("default", "a", sa="web"), one.pod("default", "b", sa="web"), one.pod("default", "shop")
        shop.serve(8080)
        one.start()
        eventually(lambda: certificates(one)[WEB]["state"] == certificates(one)[SHOP]["state"] == "Available", what="certificates")
        first, pid = serial(one, WEB), one.daemon.proc.pid
        assert sorted(mine()) == sorted([WEB, SHOP])
        before = keys(pid)
        assert len(before) == 3, len(before)
        for pod in (a, b):
            assert pod.talk(shop.v4, 8080, b"x") == b"x"
        assert all(traces(pid, k) for k in before)
        assert not one.zds.delete(a)
        time.sleep(1)
        assert serial(one, WEB) == first and keys(pid) == before
        assert not one.zds.delete(b)
        eventually(lambda: mine() == [SHOP], 10, what="the certificate gone")
        gone = eventually(lambda: before - keys(pid), 10, what="the key gone")
        assert len(gone) == 1
        eventually(lambda: traces(pid, *gone) == 0, 10, what=lambda: f"{traces(pid, *gone)} traces of the key")
        assert all(traces(pid, k) for k in before - gone)
