# SPDX-License-Identifier: Apache-2.0
"""istio-cni's own ZDS server and what a node's proxy makes of it."""
import os
from ambient import MESHD, Node
from cluster import Cluster
from harness import eventually, read_exact


def served(pod):
    """Something listens for HBONE in the pod."""
    return bool(pod.run("ss", "-Hltn", "sport", "=", ":15008").stdout)


def alive(s):
    s.sendall(b"x")
    return read_exact(s, 1) == b"x"


def test_istio_cni():
    with Cluster() as c:
        one = Node(c, "node1", MESHD)
        web, shop, extra = (one.pod("default", n) for n in ("web", "shop", "extra"))
        shop.serve(8080)
        one.start()
        one.zds.wait("received hello")
        one.zds.wait("snapshot sent to ztunnel")
        assert all(served(p) for p in (web, shop, extra))
        eventually(lambda: web.talk(shop.v4, 8080) == b"hello", 10)
        live = web.connect(shop.v4, 8080)
        assert alive(live)

        # The same once more; one that was never there.
        assert one.zds.add(shop) is None and alive(live)
        assert one.zds.tell("del", "11111111-2222-3333-4444-555555555555") is None
        # A pod goes; it comes back with another network, without the end of the one before having been told.
        one.zds.delete(extra)
        one.pods.remove(extra)
        eventually(lambda: not served(extra))
        again = one.pod("default", "again")
        one.unplug(again)
        again = c.pod("default", "again", node="node1")
        one.pods.pop()
        one.add(again)
        eventually(lambda: served(again))
        eventually(lambda: again.talk(shop.v4, 8080) == b"hello", 10)

        # Its network vanishes while it is served: others do not notice, and the word that it is gone is taken.
        one.unplug(again)
        assert alive(live) and web.talk(shop.v4, 8080) == b"hello" and one.is_ready()
        assert one.zds.delete(again) is None
        one.pods.remove(again)

        # istio-cni starts again: it knows one, keeps another, and a third is gone.
        third = one.pod("default", "third")
        eventually(lambda: served(third))
        one.pods.remove(third)
        one.restart_cni(keep=[shop])
        one.zds.wait("snapshot sent to ztunnel", seconds=20)
        eventually(lambda: not served(third))
        eventually(one.is_ready, 10)
        assert served(web) and served(shop) and alive(live) and web.talk(shop.v4, 8080) == b"hello"

        # It is away: pods go on, and new ones are told to the next one.
        path = one.zds.socket
        c.forget(one.zds)
        eventually(lambda: not one.is_ready(), 10)       # as ztunnel: a pod that starts now would wait
        assert alive(live) and web.talk(shop.v4, 8080) == b"hello"
        if os.path.exists(path):
            os.unlink(path)
        one.zds = c.zds("node1", path + ".new")
        for p in one.pods:
            one.zds.add(p)
        os.rename(path + ".new", path)
        one.zds.wait("snapshot sent to ztunnel", seconds=20)
        eventually(one.is_ready, 10)
        assert alive(live)
        live.close()
