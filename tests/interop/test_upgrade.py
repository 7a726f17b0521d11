# SPDX-License-Identifier: Apache-2.0
"""A node's meshd is replaced, under a real istiod and istio-cni's own server."""
import threading, time
from ambient import MESHD, ZTUNNEL, Node
from cluster import Cluster
from harness import eventually, read_exact


class Calls:
    """A held connection, and new ones all the time."""
    def __init__(self, web, shop, port):
        self.web, self.shop, self.port = web, shop, port
        self.n, self.problems, self.stop = 0, [], False
        self.held = web.connect(shop.v4, port, timeout=10)
        self.ask()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def ask(self):
        self.held.sendall(b"x")
        assert read_exact(self.held, 1) == b"x"

    def run(self):
        while not self.stop:
            try:
                assert self.web.talk(self.shop.v4, self.port, b"new", timeout=10) == b"new"
                self.n += 1
            except BaseException as e:
                self.problems.append(repr(e))
            time.sleep(0.005)

    def end(self):
        self.stop = True
        self.thread.join()
        self.held.close()


def swap(one, program, env={}):
    """Starts another proxy of the node in a pod of its own, as a DaemonSet with maxSurge does, and ends the old one."""
    old, one.program = one.daemon, program
    one.host = one.c.node(f"{one.name}-{one.starts}")
    one.start(env=env)
    return old


def test_meshd_by_meshd():
    with Cluster() as c:
        one, two = Node(c, "node1", MESHD), Node(c, "node2", MESHD)
        web, shop = one.pod("default", "web"), two.pod("default", "shop")
        shop.serve(8080)
        one.start()
        two.start()
        eventually(lambda: web.talk(shop.v4, 8080, b"x") == b"x", 10)
        calls = Calls(web, shop, 8080)
        for node in (two, one):
            old = swap(node, MESHD)
            eventually(lambda: "has taken over" in old.log())
            time.sleep(0.3)
            calls.ask()
            calls.held.close()
            calls.held = web.connect(shop.v4, 8080, timeout=10)
            calls.ask()
            old.stop()
            calls.ask()
        calls.end()
        assert calls.n > 20 and not calls.problems, (calls.n, calls.problems[:5])


def test_ztunnel_and_back():
    """They share the ports; what one has not accepted when it ends, the kernel gives to the other."""
    with Cluster() as c:
        one, two = Node(c, "node1", ZTUNNEL), Node(c, "node2", MESHD)
        web, shop = one.pod("default", "web"), two.pod("default", "shop")
        shop.serve(8080)
        one.start()
        two.start()
        eventually(lambda: web.talk(shop.v4, 8080, b"x") == b"x", 10)
        calls = Calls(web, shop, 8080)
        for program in (MESHD, ZTUNNEL, MESHD):
            old = swap(one, program)
            time.sleep(0.5)
            calls.held.close()
            calls.held = web.connect(shop.v4, 8080, timeout=10)
            calls.ask()
            old.stop()
            time.sleep(0.5)
        calls.end()
        print(calls.n, calls.problems)
        assert calls.n > 20 and not calls.problems, (calls.n, calls.problems[:5])
