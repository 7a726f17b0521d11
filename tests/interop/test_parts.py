# SPDX-License-Identifier: Apache-2.0
"""Each part is killed and started again in turn, under load: what of it a user notices. A pair of real ztunnels, if there, is
treated the same at the same time, and may not do better."""
import time
from ambient import MESHD, ZTUNNEL, Load, Node
from cluster import Cluster, ztunnel_path
from harness import Skip, eventually


class Pair:
    """A client on one node, its server on another."""
    def __init__(self, c, program):
        self.program = program
        self.one, self.two = Node(c, f"{program}1", program), Node(c, f"{program}2", program)
        self.web, self.shop = self.one.pod("default", f"web-{program}"), self.two.pod("default", f"shop-{program}")
        self.vip = c.service("default", f"shop-{program}", {80: 8080})[0]
        self.one.start(wait=False)
        self.two.start()
        self.one.ready()
        self.shop.serve(8080)
        eventually(lambda: self.web.talk(self.vip, 80) == b"hello", 10)

    def load(self):
        return Load(self.web, self.vip, 80, clients=1, live=5, timeout=3)


def pairs(c):
    programs = [MESHD]
    try:
        ztunnel_path()
        programs.append(ZTUNNEL)
    except Skip:
        pass
    return [Pair(c, p) for p in programs]


def during(all, what, act, after=1.5):
    """The loads of all pairs while act() is done."""
    loads = [p.load() for p in all]
    for l in loads:
        l.__enter__()
    time.sleep(0.5)
    act()
    time.sleep(after)
    for l in loads:
        l.__exit__()
    for p, l in zip(all, loads):
        print(f"{what}, {p.program}: {l}", flush=True)
    return loads


def unnoticed(loads):
    for l in loads:
        assert l.done > 10 and not l.failed and not l.lost, l


def works(all):
    for p in all:
        eventually(lambda: p.web.talk(p.vip, 80) == b"hello", 10)


def test_control_plane_killed():
    with Cluster() as c:
        all = pairs(c)
        unnoticed(during(all, "kube-apiserver killed", c.restart_apiserver))
        unnoticed(during(all, "istiod killed", c.restart_istiod))
        unnoticed(during(all, "istio-cni killed", lambda: [n.restart_cni() for p in all for n in (p.one, p.two)]))
        for p in all:      # and all of them are connected again
            for n in p.one, p.two:
                n.zds.wait("snapshot sent to ztunnel", seconds=20)
                n.ready()
            late = p.one.pod("default", f"late-{p.program}")
            eventually(lambda: late.talk(p.vip, 80) == b"hello", 20)


def test_proxies_killed():
    with Cluster() as c:
        all = pairs(c)
        for what, nodes in ("proxy of the server killed", [p.two for p in all]), ("proxy of the client killed", [p.one for p in all]):
            loads = during(all, what, lambda: [n.kill() for n in nodes])
            works(all)
            assert len(loads[0].failed) <= 2 + 2 * len(loads[-1].failed), "more than with ztunnel"


def test_proxies_rolled():
    with Cluster() as c:
        all = pairs(c)
        for what, nodes in ("proxy of the server rolled", [p.two for p in all]), ("proxy of the client rolled", [p.one for p in all]):
            loads = during(all, what, lambda: [n.roll() for n in nodes])
            works(all)
            assert not loads[0].failed, loads[0]
