# SPDX-License-Identifier: Apache-2.0
"""istiod is away, comes back, is replaced, ends its connections: traffic and state stay, and nothing is sent twice."""
import json, os, re, signal, time
from ambient import MESHD, ZTUNNEL, Load, Node
from cluster import Cluster
from harness import eventually
from test_swap import policy

AWAY_S = float(os.environ.get("OUTAGE_SECONDS", 15))


def pair(c, client, server):
    one, two = Node(c, "node1", client), Node(c, "node2", server)
    web, shop = one.pod("default", "web"), two.pod("default", "shop")
    vip = c.service("default", "shop", {80: 8080})[0]
    one.start(wait=False)
    two.start()
    one.ready()
    shop.serve(8080)
    eventually(lambda: web.talk(vip, 80) == b"hello", 10)
    return one, two, web, shop, vip


def away(client, server):
    with Cluster() as c:
        one, two, web, shop, vip = pair(c, client, server)
        late = one.pod("default", "late")
        eventually(lambda: late.talk(vip, 80) == b"hello", 10)
        with Load(web, vip, 80) as load:
            c.stop_istiod()
            start = time.time()
            fresh = one.pod("default", "fresh")                    # acknowledged, though nothing is known of it
            c.apply(policy("only-web", "shop", "web"))             # the API server is there
            while time.time() < start + AWAY_S:
                assert one.is_ready() and two.is_ready()
                assert late.talk(vip, 80) == b"hello"              # the policy is not known yet
                time.sleep(1)
            c.start_istiod()
            back, patience = time.time(), 15 if one.program == two.program == MESHD else 45
            eventually(lambda: late.refused(vip, 80), patience)
            eventually(lambda: fresh.refused(vip, 80) and "default/sa/fresh" in str(one.certificates()), patience)
            print(f"{AWAY_S:.0f} s without istiod; a policy of that time holds {time.time() - back:.1f} s after istiod is ready")
        print(load)
        assert load.done > 200 and not load.failed and not load.lost, load
        c.delete("authorizationpolicy", "default", "only-web")
        eventually(lambda: fresh.talk(vip, 80) == b"hello", 5)


def test_away_meshd():
    away(MESHD, MESHD)


def sent(c, node):
    """How many workloads and services istiod has sent to the node in answer to its subscriptions, one number for each of its connections."""
    return [int(n) for n in re.findall(rf"WDS: PUSH request for node:{node.instance}\S* resources:(\d+)", c.pilot.log())]


def connects(c, node):
    return len(re.findall(rf"ADS: new delta connection for node:\S*{node.instance}\b", c.pilot.log()))


def test_connection_age():
    """istiod ends connections every few seconds. The next one asks only for what is new."""
    with Cluster(max_connection_age="3s") as c:
        for i in range(150):
            c.pod_object("default", f"many-{i}", [f"10.78.0.{i + 1}"], {"app": "many"}, "many")
        c.service("default", "many", {80: 80})
        one, two, web, shop, vip = pair(c, MESHD, ZTUNNEL if os.environ.get("ZTUNNEL") else MESHD)
        for n in one, two:
            eventually(lambda: len(n.dump()["workloads"]) > 150, 10)
        first = [sent(c, n) for n in (one, two)]
        assert all(f[0] > 150 and sum(f) < f[0] + 10 for f in first), first
        with Load(web, vip, 80) as load:
            before = [connects(c, n) for n in (one, two)]
            time.sleep(27)
            more = [connects(c, n) - b for n, b in zip((one, two), before)]
            late = two.pod("default", "late")                      # and news still comes
            late.serve(8080)
            eventually(lambda: web.talk(late.v4, 8080) == b"hello" and "late" in json.dumps(one.dump()["workloads"]), 10)
        print(load)
        for n, f, m in zip((one, two), first, more):
            again = sum(sent(c, n)) - sum(f)
            print(f"{n.program}: {sum(f)} resources at first, {again} more in {m} reconnections")
            assert again < 20, sent(c, n)
        assert load.done > 200 and not load.failed and not load.lost, load
        assert 1 <= more[0] <= 8, more


def test_istiod_upgraded():
    """istiod ends in order and a new one starts; nothing is sent again, and what went meanwhile is gone."""
    with Cluster() as c:
        for i in range(150):
            c.pod_object("default", f"many-{i}", [f"10.78.0.{i + 1}"], {"app": "many"}, "many")
        one, two, web, shop, vip = pair(c, MESHD, MESHD)
        eventually(lambda: len(one.dump()["workloads"]) > 150, 10)
        logged = len(sent(c, one))
        with Load(web, vip, 80) as load:
            c.stop_istiod(signal.SIGTERM)
            c.pod_delete("default", "many-7")
            c.start_istiod()
            eventually(lambda: "many-7\"" not in json.dumps(one.dump()["workloads"]), 20)
            late = one.pod("default", "late")
            eventually(lambda: late.talk(vip, 80) == b"hello", 20)
        print(f"{load}\nthe new istiod sent {sent(c, one)[logged:]} resources")
        assert load.done > 50 and not load.failed and not load.lost, load
        assert len(sent(c, one)) > logged and sum(sent(c, one)[logged:]) < 20
        assert one.is_ready() and two.is_ready()
