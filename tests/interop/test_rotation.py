# SPDX-License-Identifier: Apache-2.0
"""Certificates and roots change under traffic, and nobody notices."""
import time
from ambient import MESHD, ZTUNNEL, Load, Node
from cluster import Cluster
from harness import eventually

# meshd renews when half of what was left is over. ztunnel counts from the start that istiod writes, two minutes ago: the half of 250 s
# is over in 5 s.
SHORT = {MESHD: {"SECRET_TTL": "20s"}, ZTUNNEL: {"SECRET_TTL": "130s"}}


def mesh(c, client, server):
    """(web, VIP of shop, both nodes)"""
    one, two = Node(c, "node1", client), Node(c, "node2", server)
    for n in one, two:
        n.env = SHORT[n.program]
    web, shop = one.pod("default", "web"), two.pod("default", "shop")
    vip = c.service("default", "shop", {80: 8080})[0]
    one.start(wait=False)
    two.start()
    one.ready()
    shop.serve(8080)
    eventually(lambda: web.talk(vip, 80) == b"hello", 10)
    return web, vip, (one, two)


def certificate_rotation(client, server):
    with Cluster() as c:
        web, vip, nodes = mesh(c, client, server)
        seen = [set(), set()]
        def serials():
            for n, s in zip(nodes, seen):
                s.update(cert["certChain"][0]["serialNumber"] for cert in n.certificates().values())
            return all(len(s) >= 4 for s in seen)
        with Load(web, vip, 80) as load:
            eventually(serials, 50, every=1, what="four certificates on each node")
            eventually(lambda: time.time() > load.start + 32, 40)      # connections older than the first and second certificates
        print(load)
        assert load.done > 200 and not load.failed and not load.lost, load


def test_certificates_meshd_to_meshd():
    certificate_rotation(MESHD, MESHD)


def test_certificates_meshd_to_ztunnel():
    certificate_rotation(MESHD, ZTUNNEL)


def test_certificates_ztunnel_to_meshd():
    certificate_rotation(ZTUNNEL, MESHD)


def root_rotation(client, server):
    """As Istio's manual says: trust the new root too, sign under it, trust the old one no more."""
    with Cluster(env={"ISTIO_MULTIROOT_MESH": "true"}) as c:
        web, vip, nodes = mesh(c, client, server)
        def certificates():
            return [cert for node in nodes for cert in node.certificates().values()]
        def roots(n):
            return lambda: all(len(cert["rootCerts"]) == n for cert in certificates())
        def issuers():
            return {cert["certChain"][1]["pem"] for cert in certificates()}
        with Load(web, vip, 80) as load:
            c.plug_ca("root", trust=["other"])
            c.write_root(2)
            eventually(roots(2), 30, every=0.5, what="two roots")
            old = issuers()
            c.plug_ca("other")
            eventually(lambda: not issuers() & old, 30, every=0.5, what="certificates under the new root")
            c.plug_ca("other", alone=True)
            c.write_root(1)
            eventually(roots(1), 30, every=0.5, what="one root")
        print(load)
        assert load.done > 200 and not load.failed and not load.lost, load
        # The streams of xDS are renewed with the new root.
        c.restart_istiod()
        late = nodes[0].pod("default", "late")
        eventually(lambda: late.talk(vip, 80) == b"hello", 30)


def test_roots_meshd_to_meshd():
    root_rotation(MESHD, MESHD)


def test_roots_meshd_to_ztunnel():
    root_rotation(MESHD, ZTUNNEL)
