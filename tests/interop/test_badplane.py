# SPDX-License-Identifier: Apache-2.0
"""A control plane that is not there, does not let us in, or is not the one that we trust: what was known stays, readiness tells the truth,
the log says once what to do, and no restart is needed when it is put right."""
import os, re, time
from ambient import MESHD, Node
from cluster import Cluster, read, replace
from harness import eventually
from pki import Pki


def complaints(node, *words):
    """The warnings that hold all of these words."""
    return [l for l in node.log().splitlines() if re.search(r'"level":"(warn|error)"', l) and all(w in l for w in words)]


def stays_unready(node, seconds=3):
    end = time.time() + seconds
    while time.time() < end:
        try:
            assert not node.is_ready()
        except ConnectionRefusedError:
            pass
        node.daemon.alive()
        time.sleep(0.2)


def says(node, *words, most=3):
    """To the operator, with these words, and not over and over."""
    if node.program == MESHD:
        lines = eventually(lambda: complaints(node, *words), 10, what=f"a warning with {words} in\n{node.log()[-3000:]}")
        print(lines[0])
        assert len(lines) <= most, lines


def test_absent_then_there():
    with Cluster() as c:
        c.stop_istiod()
        one = Node(c, "node1", MESHD)
        web, shop = one.pod("default", "web"), one.pod("default", "shop")
        shop.serve(8080)
        one.start(wait=False)
        stays_unready(one, 6)
        says(one, c.istiod)
        c.start_istiod()
        one.ready(30)
        eventually(lambda: web.talk(shop.v4, 8080) == b"hello", 10)


def test_wrong_token_then_right():
    with Cluster() as c:
        one = Node(c, "node1", MESHD)
        web, shop = one.pod("default", "web"), one.pod("default", "shop")
        shop.serve(8080)
        one.renew_token(audience="https://kubernetes.default.svc")      # not for istiod
        one.start(wait=False)
        stays_unready(one)
        says(one, "AUTH_TOKEN")
        one.renew_token()
        one.ready(30)
        eventually(lambda: web.talk(shop.v4, 8080) == b"hello", 10)
        # The file vanishes. What is known stays; nothing new comes once istiod asks who we are.
        os.rename(one.token, one.token + ".away")
        c.restart_istiod()
        says(one, one.token)
        assert one.is_ready() and web.talk(shop.v4, 8080) == b"hello"
        late = one.pod("default", "late")
        os.rename(one.token + ".away", one.token)
        eventually(lambda: late.talk(shop.v4, 8080) == b"hello", 60)
        assert one.is_ready()


def test_wrong_root_then_right():
    with Cluster() as c:
        root = f"{c.dir}/other-root.pem"
        replace(root, read(Pki(c.dir, "stranger").root))
        one = Node(c, "node1", MESHD, env={"XDS_ROOT_CA": root, "CA_ROOT_CA": root})
        web, shop = one.pod("default", "web"), one.pod("default", "shop")
        shop.serve(8080)
        one.start(wait=False)
        stays_unready(one)
        says(one, "XDS_ROOT_CA")
        replace(root, read(c.root))
        one.ready(40)
        eventually(lambda: web.talk(shop.v4, 8080) == b"hello", 20)
