# SPDX-License-Identifier: Apache-2.0
"""The stream from a real istiod: what it says becomes the mesh, and stays through its restarts, outages and hang-ups."""
import json, re, signal, time
from ambient import Node
from cluster import Cluster
from harness import eventually

ADDRESS, POLICY = "istio.workload.Address", "istio.security.Authorization"


def dump(node):
    d = json.loads(node.host.http("/config_dump", timeout=20)[1])
    return {"workloads": {w["uid"]: w for w in d["workloads"]}, "services": {s["hostname"]: s for s in d["services"]},
            "policies": {p["name"]: p for p in d["policies"]}}


def metrics(node):
    text = node.host.http("/metrics", port=15020)[1]
    return {k: float(v) for k, v in re.findall(r"^(istio_xds_[^ ]*) ([0-9.e+-]+)$", text, re.M)}


def counter(node, name, label):
    return sum(v for k, v in metrics(node).items() if k.startswith(name + "{") and label in k)


def messages(node, url):
    return counter(node, "istio_xds_message_total", url)


def received(node, url):
    return counter(node, "istio_xds_message_bytes_total", url)


def ends(node, reason):
    return counter(node, "istio_xds_connection_terminations_total", f'"{reason}"')


def policy(name, action="DENY", rules="[{to: [{operation: {ports: ['9999']}}]}]", more=""):
    return f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: default}}
spec: {{action: {action}, rules: {rules}{more}}}
"""


def start(c):
    node = Node(c, "node1").start(wait=False)
    web, shop = node.pod("default", "web"), node.pod("default", "shop")
    vips = c.service("default", "shop", {80: 8080})
    shop.serve(8080)
    node.ready()
    eventually(lambda: web.talk(vips[0], 80, b"hi") == b"hi", 20, what="the service answers")
    return node, web, shop, vips


def hold(web, ip, port):
    s = web.connect(ip, port)
    s.sendall(b"a")
    assert s.recv(1) == b"a"
    return s


def alive(s):
    s.sendall(b"b")
    return s.recv(1) == b"b"


def test_objects_come_change_and_go():
    with Cluster() as c:
        node, web, shop, vips = start(c)
        held = hold(web, vips[0], 80)

        # endpoints: a pod comes, is unhealthy, and goes
        c.pod_object("default", "other", ["10.77.9.9"], labels={"app": "shop"})
        c.pod_status("default", "other", ["10.77.9.9"])
        uid = "Kubernetes//Pod/default/other"
        host = "shop.default.svc.cluster.local"
        eventually(lambda: uid in dump(node)["services"][host]["endpoints"], 10)
        c.pod_status("default", "other", ["10.77.9.9"], ready=False)
        eventually(lambda: dump(node)["workloads"].get(uid, {}).get("status") == "Unhealthy", 10)
        for _ in range(20):
            assert web.talk(vips[0], 80, b"hi") == b"hi"
        c.pod_delete("default", "other")
        eventually(lambda: uid not in dump(node)["workloads"] and uid not in dump(node)["services"][host]["endpoints"], 10)

        # policies: a DENY ends the held connection; without it there is peace again
        assert alive(held)
        c.apply(policy("no-shop", rules="[{to: [{operation: {ports: ['8080']}}]}]"))
        eventually(lambda: "no-shop" in dump(node)["policies"], 10)
        eventually(lambda: web.refused(vips[0], 80), 10)
        c.delete("authorizationpolicy", "default", "no-shop")
        eventually(lambda: web.talk(vips[0], 80, b"hi") == b"hi", 10)

        # PeerAuthentication comes as a policy by name
        c.apply("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: default}\nspec: {mtls: {mode: STRICT}}")
        eventually(lambda: "istio_converted_static_strict" in dump(node)["policies"], 10)
        assert web.talk(vips[0], 80, b"hi") == b"hi"

        # a service goes and comes back: its endpoints were kept for it
        c.delete("service", "default", "shop")
        eventually(lambda: host not in dump(node)["services"], 10)
        vips = c.service("default", "shop", {80: 8080})
        eventually(lambda: list(dump(node)["services"].get(host, {}).get("endpoints", [])) == ["Kubernetes//Pod/default/shop"], 10)
        eventually(lambda: web.talk(vips[0], 80, b"hi") == b"hi", 10)
        assert "refused" not in node.log()


def test_outage_and_restart():
    with Cluster() as c:
        node, web, shop, vips = start(c)
        c.apply(policy("old"))
        c.pod_object("default", "gone", ["10.77.9.8"])
        c.pod_status("default", "gone", ["10.77.9.8"])
        eventually(lambda: "old" in dump(node)["policies"] and "Kubernetes//Pod/default/gone" in dump(node)["workloads"], 10)
        held = hold(web, vips[0], 80)
        before = dump(node)

        c.stop_istiod()
        eventually(lambda: ends(node, "Error") + ends(node, "ConnectionError") >= 1, 10)
        assert dump(node) == before and node.is_ready()
        assert alive(held) and web.talk(vips[0], 80, b"hi") == b"hi"
        c.delete("authorizationpolicy", "default", "old")
        c.pod_delete("default", "gone")
        c.apply(policy("new"))
        c.pod_object("default", "born", ["10.77.9.7"])
        c.pod_status("default", "born", ["10.77.9.7"])
        time.sleep(1)
        assert dump(node) == before

        bytes_before = received(node, ADDRESS)
        c.start_istiod()
        eventually(lambda: "new" in dump(node)["policies"] and "old" not in dump(node)["policies"], 40)
        eventually(lambda: "Kubernetes//Pod/default/born" in dump(node)["workloads"], 10)
        assert "Kubernetes//Pod/default/gone" not in dump(node)["workloads"]
        assert alive(held)
        # what it knew of us was told by version: only the news came
        assert received(node, ADDRESS) - bytes_before < 600, (bytes_before, received(node, ADDRESS))
        assert node.log().count("no stream from the control plane") < 6, node.log()


def test_a_stalled_istiod():
    """Stopped, not gone: nothing changes, nothing is lost when it goes on."""
    with Cluster() as c:
        node, web, shop, vips = start(c)
        before = dump(node)
        c.pilot.kill(signal.SIGSTOP)
        for _ in range(20):
            assert web.talk(vips[0], 80, b"hi") == b"hi"
            time.sleep(0.1)
        assert dump(node) == before
        c.apply(policy("later"))
        c.pilot.kill(signal.SIGCONT)
        eventually(lambda: "later" in dump(node)["policies"], 20)


def test_connection_age():
    """istiod retires each stream now and then: a new one takes over without a word, and brings nothing known again."""
    with Cluster(max_connection_age="5s") as c:
        node, web, shop, vips = start(c)
        held = hold(web, vips[0], 80)
        time.sleep(1)
        count, size = messages(node, ADDRESS), received(node, ADDRESS)
        eventually(lambda: ends(node, "Reconnect") >= 2, 50)
        eventually(lambda: messages(node, ADDRESS) > count, 10)
        assert received(node, ADDRESS) == size, (size, received(node, ADDRESS))
        assert alive(held) and node.is_ready()
        assert ends(node, "Error") == ends(node, "ConnectionError") == 0, metrics(node)
        assert "no stream" not in node.log(), node.log()
        c.apply(policy("after"))
        eventually(lambda: "after" in dump(node)["policies"], 10)


def test_a_wrong_token():
    """Said once, with what istiod answers; the right token helps without a restart."""
    with Cluster() as c:
        node = Node(c, "node1")
        with open(node.token) as f:
            good = f.read()
        with open(node.token, "w") as f:
            f.write("eyJhbGciOiJSUzI1NiJ9.e30.x")
        node.start(wait=False)
        eventually(lambda: "no stream from the control plane" in node.log(), 20)
        assert "UNAUTHENTICATED" in node.log() and not node.is_ready(), node.log()
        time.sleep(2)
        assert node.log().count("no stream from the control plane") == 1, node.log()
        with open(node.token, "w") as f:
            f.write(good)
        eventually(lambda: "the control plane is back" in node.log(), 30)
        node.ready()


def test_on_demand():
    """Only what traffic asks for is told; an address that nobody knows is passed through, and without an answer refused."""
    with Cluster() as c:
        for i in range(20):
            c.pod_object("default", f"other{i}", [f"10.77.8.{i + 1}"], node="node9")
        out = c.plain("out")
        out.serve(7000)
        node = Node(c, "node1", env={"XDS_ON_DEMAND": "true"}).start(wait=False)
        far = c.pod("default", "far", node="node9", hbone=False)
        web, shop = node.pod("default", "web"), node.pod("default", "shop")
        vips = c.service("default", "shop", {80: 8080})
        shop.serve(8080)
        far.serve(8080)
        node.ready()
        eventually(lambda: web.talk(vips[0], 80, b"hi") == b"hi", 20, what="the service answers")
        assert "shop.default.svc.cluster.local" in dump(node)["services"]
        assert not [u for u in dump(node)["workloads"] if "/other" in u], dump(node)["workloads"].keys()
        assert web.talk(out.v4, 7000, b"hi") == b"hi"

        # what was told is kept up to date, and told again after a restart
        c.restart_istiod()
        c.pod_object("default", "second", ["10.77.8.99"], labels={"app": "shop"}, node="node9")
        eventually(lambda: "Kubernetes//Pod/default/second" in dump(node)["services"].get("shop.default.svc.cluster.local", {}).get("endpoints", {}), 40)
        c.pod_delete("default", "second")
        eventually(lambda: "Kubernetes//Pod/default/second" not in dump(node)["workloads"], 10)
        assert web.talk(vips[0], 80, b"hi") == b"hi"

        # nobody can say what this is: it is not taken for a stranger
        c.pilot.kill(signal.SIGSTOP)
        assert web.refused(far.v4, 8080, timeout=10)
        eventually(lambda: "did not say in time" in node.log(), 5)
        assert web.talk(vips[0], 80, b"hi") == b"hi"
        c.pilot.kill(signal.SIGCONT)
        eventually(lambda: web.talk(far.v4, 8080, b"hi") == b"hi", 20)
