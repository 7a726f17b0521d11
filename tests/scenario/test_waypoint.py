# SPDX-License-Identifier: Apache-2.0
"""Waypoints and other networks, with meshd at every hop. A waypoint is played by a meshd whose application takes the PROXY
protocol: it says whom it was asked for, which is all that a layer 4 waypoint decides by."""
import json, socket
from harness import Lab, eventually, greeter, principal, policy, read_all, read_exact, service, TD


def gateway(name, labels="", spec="gatewayClassName: istio-waypoint"):
    return f"""apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: default, labels: {{{labels}}}}}
spec: {{{spec}}}
---
"""


def proxy_says(c, peer):
    """An application behind PROXY v2: answers with source, destination and identity of the header, then echoes."""
    head = read_exact(c, 16)
    n = int.from_bytes(head[14:16], "big")
    body = read_exact(c, n)
    v4 = head[13] >> 4 == 1
    size = 4 if v4 else 16
    dst = socket.inet_ntop(socket.AF_INET if v4 else socket.AF_INET6, body[size:2 * size])
    port = int.from_bytes(body[2 * size + 2:2 * size + 4], "big")
    tlv = body[2 * size + 4:]
    c.sendall(f"{dst} {port} {tlv[3:].decode()}\n".encode())
    while data := c.recv(65536):
        c.sendall(data)
    c.shutdown(socket.SHUT_WR)


def waypoint(lab, h, wp_service=True):
    lab.workload(h, labels={"meshd.io/application-tunnel": "proxy-15088"})
    lab.write(f"wp-{h.name}.yaml", gateway(h.name, "istio.io/waypoint-for: all") +
              (service(h.name, {15008: 15008}, ["10.96.9.9", "fd96::99"]) if wp_service else ""))
    h.serve(15088, proxy_says)


def use(lab, name, text, wp):
    """The same objects with the label that names a waypoint."""
    lab.write(name, text.replace("metadata: {name: ", f"metadata: {{labels: {{istio.io/use-waypoint: {wp}}}, name: ", 1))


def test_service_waypoint():
    with Lab() as lab:
        web, shop, wp = lab.meshed("web", "shop", "wp")
        use(lab, "s.yaml", service("shop", {80: 8080}, ["10.96.0.7", "fd96::7"]), "wp")
        waypoint(lab, wp)
        shop.serve(8080)
        for vip in ("10.96.0.7", "fd96::7"):
            said = eventually(lambda: (d := web.talk(vip, 80, b"hi", timeout=1)).startswith(vip.encode()) and d)
            assert said == f"{vip} 80 spiffe://{TD}/ns/default/sa/web\nhi".encode(), said
        r = web.access(direction="outbound", dst_workload="wp", dst_service="shop.default")
        assert r["dst.hbone_addr"].endswith(":80") and r["dst.identity"].endswith("/sa/wp"), r
        # a workload's own address is no service: it goes straight
        assert web.talk(shop.v4, 8080, b"direct") == b"direct"


def test_workload_waypoint_and_its_own_way_on():
    with Lab() as lab:
        web, shop, wp = lab.meshed("web", "shop", "wp")
        lab.workload(shop, labels={"istio.io/use-waypoint": "wp"})
        waypoint(lab, wp)
        shop.serve(8080)
        eventually(lambda: web.talk(shop.v4, 8080, b"x").startswith(shop.v4.encode()))
        assert wp.talk(shop.v4, 8080, b"from the waypoint") == b"from the waypoint"


def test_waypoint_that_is_gone():
    """Istio's stance: no Gateway, no waypoint; a Gateway without endpoints refuses. Closed: both refuse, with a reason."""
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        use(lab, "s.yaml", service("shop", {80: 8080}, ["10.96.0.7"]), "wp")
        shop.serve(8080)
        eventually(lambda: web.talk("10.96.0.7", 80, b"x", timeout=1) == b"x")
        lab.write("wp.yaml", gateway("wp"))
        eventually(lambda: web.refused("10.96.0.7", 80))
        r = web.access(dst_addr="10.96.0.7:80", reason="NO_WAYPOINT")
        assert "default/wp.default.svc.cluster.local" in r["error"], r
        lab.remove("wp.yaml")
        eventually(lambda: web.talk("10.96.0.7", 80, b"x", timeout=1) == b"x")
        web.stop()
        web.start("--workload=default/web-v6", env={"MESHD_ENFORCEMENT": "closed"})
        assert web.refused("10.96.0.7", 80)
        assert "default/wp" in web.access(dst_addr="10.96.0.7:80", reason="NO_WAYPOINT")["error"]
        assert web.metric("istio_tcp_connections_failed_total", response_flags="CONNECT", reporter="source") is not None


def test_bypass_is_counted_or_refused():
    with Lab() as lab:
        web, wp = lab.meshed("web", "wp")
        shop, bare = lab.plain("shop", "bare")
        lab.workload(shop, labels={"istio.io/use-waypoint": "wp"})
        waypoint(lab, wp)
        # the client knows of no waypoint: as an older proxy, or one with other objects
        other = f"{lab.dir}/other"
        import os, shutil
        shutil.copytree(lab.config, other)
        shop.start("--workload=default/shop-v6")
        shop.serve(8080)
        for n in os.listdir(other):
            text = open(f"{other}/{n}").read().replace("istio.io/use-waypoint", "x")
            lab.write(n, text, dir=other)
        web.stop()
        web.start("--workload=default/web-v6", config=other)
        assert web.talk(shop.v4, 8080, b"past") == b"past"
        assert bare.talk(shop.v4, 8080, b"plain") == b"plain"
        assert wp.talk(shop.v4, 8080, b"right") == b"right"
        assert shop.metric("meshd_waypoint_bypasses_total") == 2
        assert "past default/wp.default.svc.cluster.local, by plaintext: 1" in shop.cli("status").stdout
        assert json.loads(shop.http("/status")[1])["waypointBypasses"] == 2
        eventually(lambda: "reached past its waypoint default/wp.default.svc.cluster.local by plaintext" in shop.log())
        shop.stop()
        shop.start("--workload=default/shop-v6", env={"MESHD_ENFORCEMENT": "closed"})
        assert web.refused(shop.v4, 8080) and bare.refused(shop.v4, 8080)
        assert wp.talk(shop.v4, 8080, b"right") == b"right"
        r = shop.access(direction="inbound", reason="NOT_WAYPOINT", src_identity="/sa/web")
        assert shop.metric("istio_tcp_connections_failed_total", response_flags="DENY", reporter="destination") >= 1
        assert web.access(direction="outbound", error="denied"), r
        why = shop.cli("why", r["id"]).stdout
        assert "admits only its waypoint" in why, why


def test_closed_ends_what_came_past():
    """A waypoint that is named later is required of connections that live."""
    with Lab() as lab:
        web, shop, wp = lab.meshed("web", "shop", "wp", env={"MESHD_ENFORCEMENT": "closed"})
        shop.serve(8080)
        c = web.connect(shop.v4, 8080)
        c.sendall(b"x")
        assert read_exact(c, 1) == b"x"
        waypoint(lab, wp)
        lab.workload(shop, labels={"istio.io/use-waypoint": "wp"})
        c.settimeout(5)
        try:
            assert c.recv(1) == b""
        except ConnectionResetError:
            pass
        shop.access(direction="inbound", reason="NOT_WAYPOINT")


def far(lab, name, ports, vip, gate):
    """A service of which this network knows only that it is behind a gateway."""
    return service(name, ports, [vip], app="far-" + name) + f"""apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: far-{name}, namespace: default}}
spec: {{network: far, serviceAccount: {name}, labels: {{app: far-{name}, networking.istio.io/tunnel: http}}}}
---
""" + gateway("gate", "topology.istio.io/network: far", f"gatewayClassName: istio-east-west, addresses: [{{value: {gate.v4}}}]") + f"""apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: gate, namespace: default}}
spec: {{network: far, address: {gate.v4}, serviceAccount: gate, labels: {{networking.istio.io/tunnel: http}}}}
---
"""


def test_another_network():
    """web (near) > gate > shop (far): a tunnel in a tunnel; the gateway sees which service is meant and no byte more."""
    with Lab() as lab:
        gate, shop = lab.plain("gate", "shop")
        web = lab.plain("web")
        near = f"{lab.dir}/near"
        import os
        os.mkdir(near)
        # the far network's own view
        for h in (gate, shop):
            lab.workload(h)
        lab.write("s.yaml", service("shop", {80: 8080}, ["10.96.0.7"]) +
                  gateway("gate", "topology.istio.io/network: far", f"gatewayClassName: istio-east-west, addresses: [{{value: {gate.v4}}}]"))
        net = {"NETWORK": "far"}
        gate.start("--workload=default/gate-v6", env=net)
        shop.start("--workload=default/shop-v6", env=net)
        shop.serve(8080)
        # and the near one's
        lab.write("s.yaml", far(lab, "shop", {80: 8080}, "10.96.0.7", gate), dir=near)
        lab.write("w.yaml", f"""apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: web, namespace: default}}
spec: {{address: {web.v4}, serviceAccount: web, labels: {{networking.istio.io/tunnel: http}}}}
""", dir=near)
        web.start(config=near, env={"NETWORK": "near"})
        assert web.talk("10.96.0.7", 80, b"over there") == b"over there"
        big = bytes(range(256)) * 20000
        assert web.talk("10.96.0.7", 80, big) == big
        r = web.access(direction="outbound", dst_service="shop.default.svc.cluster.local")
        assert r["dst.hbone_addr"] == "shop.default.svc.cluster.local:80" and r["dst.identity"].endswith("/sa/shop"), r
        assert r["dst.addr"] == f"{gate.v4}:15008" and r["dst.workload"] == "shop", r
        r = shop.access(direction="inbound", src_identity="/sa/web")
        assert r["dst.hbone_addr"] == "shop.default.svc.cluster.local:80" and r["src.workload"] == "web", r
        r = gate.access(direction="inbound", src_identity="/sa/web")
        assert r["dst.hbone_addr"] == "shop.default.svc.cluster.local:80", r
        # the gateway forwards to nobody else's service, and policy at the destination sees the client
        lab.write("p.yaml", policy("only-gate", "[%s]" % principal("gate"), app="shop"))
        eventually(lambda: web.refused("10.96.0.7", 80))
        assert web.refused("10.96.0.7", 80)     # the first may have been under way when the policy came
        shop.access(direction="inbound", reason="DENIED", src_identity="/sa/web")
        lab.write("p.yaml", policy("only-web", "[%s]" % principal("web"), app="shop"))
        eventually(lambda: web.talk("10.96.0.7", 80, b"again") == b"again")
        gate.stop()
        assert web.refused("10.96.0.7", 80)
        assert "refused" in web.access(direction="outbound", reason="CONNECT")["error"]


def test_host_name_endpoint():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080, greeter(b"by name"))
        # of /etc/hosts, which the tests' process shares: localhost is the one name that is there for certain
        web.serve(8081, greeter(b"local"))
        lab.write("s.yaml", """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext, namespace: default}
spec: {hosts: [ext.test], addresses: [10.96.0.9], resolution: DNS, ports: [{number: 80, targetPort: 8081, name: tcp, protocol: TCP}], endpoints: [{address: localhost}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: none, namespace: default}
spec: {hosts: [none.invalid], addresses: [10.96.0.10], resolution: DNS, ports: [{number: 80, name: tcp, protocol: TCP}]}
""")
        eventually(lambda: web.talk("10.96.0.9", 80, b"", timeout=1) == b"local")
        assert web.refused("10.96.0.10", 80, timeout=20)
        assert "host name has no address" in web.access(dst_addr="10.96.0.10:80", reason="RESOLVE")["error"]
        assert web.metric("istio_on_demand_dns_total", hostname="localhost") >= 1
