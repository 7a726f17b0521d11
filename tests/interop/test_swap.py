# SPDX-License-Identifier: Apache-2.0
"""The proxy of a node is swapped for meshd and nothing else: istiod, istio-cni, and the other node's ztunnel stay."""
import json, socket, threading, time
from ambient import MESHD, ZTUNNEL, Node
from cluster import Cluster
from harness import TD, echo, eventually, read_exact, reset


def policy(name, app, *accounts):
    """Only these accounts may reach the application."""
    return json.dumps({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": name, "namespace": "default"},
                       "spec": {"selector": {"matchLabels": {"app": app}}, "action": "ALLOW",
                                "rules": [{"from": [{"source": {"principals": [f"{TD}/ns/default/sa/{a}" for a in accounts]}}]}]}})


STRICT = ('{"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "default", "namespace": "default"}, '
          '"spec": {"mtls": {"mode": "STRICT"}}}')


def says(who):
    def fn(c, peer):
        c.sendall(who)
        echo(c, peer)
    return fn


def flows(web, shop, vips):
    """Data both ways, half-close, IPv4 and IPv6, by pod and by service address."""
    for ip, port in ((shop.v4, 8080), (shop.v6, 8080), *((v, 80) for v in vips)):
        eventually(lambda: web.talk(ip, port, b"over " + ip.encode()) == b"over " + ip.encode(), 10, what=f"{ip}:{port}")
    big = bytes(range(256)) * 8192
    for vip in vips:
        with web.connect(vip, 80) as s:
            t = threading.Thread(target=lambda: (s.sendall(big), s.shutdown(socket.SHUT_WR)))
            t.start()
            assert read_exact(s, len(big)) == big
            t.join()
            assert s.recv(1) == b""


def resets(web, shop, vip, kept):
    """A reset at one end is one at the other if both ends keep it; else the connection just ends."""
    ends = []
    def watch(c, peer):
        try:
            while c.recv(100):
                c.sendall(b"y")
            ends.append("EOF")
        except ConnectionResetError:
            ends.append("RST")
    def cut(c, peer):
        c.recv(1)
        reset(c)
    shop.serve(8081, watch)
    shop.serve(8082, cut)
    s = web.connect(vip, 81)
    s.sendall(b"x")
    assert read_exact(s, 1) == b"y"
    reset(s)
    assert eventually(lambda: ends)[0] in (["RST"] if kept else ["RST", "EOF"]), ends
    with web.connect(vip, 82) as s:
        s.sendall(b"x")
        try:
            assert s.recv(1) == b"" and not kept
        except ConnectionResetError:
            pass


def ended(s):
    s.settimeout(3)
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


def policies(c, server, web, late, out, shop, vip):
    live = late.connect(vip, 80)
    live.sendall(b"x")
    assert read_exact(live, 1) == b"x"
    assert out.talk(shop.v4, 8080) == b"hello"                     # permissive: not of the mesh, and served
    start = time.time()
    c.apply(policy("only-web", "shop", "web"))
    applied = time.time()
    eventually(lambda: late.refused(vip, 80), 3, every=0.02)
    print(f"{server.program}: kubectl apply took {applied - start:.2f} s, then refused after {time.time() - applied:.2f} s")
    assert time.time() < applied + 1
    if server.program == MESHD:
        assert ended(live)                                         # a ztunnel lets it go on
    live.close()
    assert out.refused(shop.v4, 8080) and out.refused(shop.v6, 8080)
    assert web.talk(vip, 80) == b"hello"
    c.delete("authorizationpolicy", "default", "only-web")
    eventually(lambda: late.talk(vip, 80) == b"hello", 3)
    c.apply(STRICT)
    eventually(lambda: out.refused(shop.v4, 8080), 3)
    assert out.refused(shop.v6, 8080)
    assert web.talk(vip, 80) == b"hello" and late.talk(shop.v6, 8080) == b"hello"
    c.delete("peerauthentication", "default", "default")
    eventually(lambda: out.talk(shop.v4, 8080) == b"hello", 3)


def swap(client, server):
    with Cluster() as c:
        one, two = Node(c, "node1", client), Node(c, "node2", server)
        web, shop = one.pod("default", "web"), two.pod("default", "shop")
        vips = c.service("default", "shop", {80: 8080, 81: 8081, 82: 8082})
        one.start(wait=False)
        two.start()
        one.ready()
        served = shop.serve(8080)
        flows(web, shop, vips)
        assert {p[0] for p in served.peers} == {web.v4, web.v6}, served.peers      # the application sees the client's address
        resets(web, shop, vips[0], kept=one.program == two.program == MESHD)
        late, out = one.pod("default", "late"), c.plain("out")                     # one more, and one that is not of the mesh
        eventually(lambda: late.talk(vips[0], 80) == b"hello", 10)
        policies(c, two, web, late, out, shop, vips[0])
        for n in one, two:
            assert n.is_ready()


def test_meshd_to_meshd():
    swap(MESHD, MESHD)


def test_meshd_to_ztunnel():
    swap(MESHD, ZTUNNEL)


def test_ztunnel_to_meshd():
    swap(ZTUNNEL, MESHD)


def moves(client, server):
    """Pods come, go and move; an address that another identity has got carries nothing of the one before."""
    with Cluster() as c:
        one, two = Node(c, "node1", client), Node(c, "node2", server)
        web, shop, guard = one.pod("default", "web"), two.pod("default", "shop"), two.pod("default", "guard")
        vip = c.service("default", "shop", {80: 8080})[0]
        one.start(wait=False)
        two.start()
        one.ready()
        shop.serve(8080, says(b"one "))
        guard.serve(8080)
        c.apply(policy("only-shop", "guard", "shop"))
        eventually(lambda: web.talk(vip, 80) == b"one hello", 10)
        eventually(lambda: web.refused(guard.v4, 8080), 5)
        assert shop.talk(guard.v4, 8080) == b"hello"
        # Deleted: nothing is there, and nothing hangs.
        old = shop.v4
        two.remove(shop)
        eventually(lambda: web.refused(vip, 80), 10)
        # On the other node, with the same name.
        shop = one.pod("default", "shop")
        shop.serve(8080, says(b"two "))
        eventually(lambda: web.talk(vip, 80) == b"two hello", 10)
        eventually(lambda: shop.talk(guard.v4, 8080) == b"hello", 10)
        # Its first address goes to another identity, unknown to the node of the client, where istiod is out of reach.
        one.remove(shop)
        shop = two.pod("default", "shop", ip=old)
        shop.serve(8080, says(b"three "))
        eventually(lambda: web.talk(old, 8080) == b"three hello", 10)
        undo = one.cut_off("10.77.0.1")
        two.remove(shop)
        thief = two.pod("default", "thief", ip=old)
        thief.serve(8080, says(b"thief "))
        eventually(lambda: guard.talk(old, 8080) == b"thief hello", 15)            # its own node knows it
        for _ in range(3):
            assert web.refused(old, 8080) and web.refused(vip, 80)                 # the certificate is not the one of shop
        undo()
        eventually(lambda: web.talk(old, 8080) == b"thief hello", 30)              # now as what it is
        assert web.refused(vip, 80)
        for _ in range(3):
            assert thief.refused(guard.v4, 8080)
        # The mesh without the service.
        c.delete("service", "default", "shop")
        eventually(lambda: vip not in one.host.http("/config_dump")[1], 10)


def test_pods_move_meshd_to_meshd():
    moves(MESHD, MESHD)


def test_pods_move_meshd_to_ztunnel():
    moves(MESHD, ZTUNNEL)


def test_pods_move_ztunnel_to_meshd():
    moves(ZTUNNEL, MESHD)
