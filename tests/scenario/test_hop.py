# SPDX-License-Identifier: Apache-2.0
"""The hop between a waypoint and its neighbours: sidecars that go through the waypoint of their destination, and what the destination
believes of it."""
import json
from harness import Lab, eventually, greeter, policy, principal, read_exact, service, using, TD
from wire import Closed, hbone

VIP, VIP6, SHOP = "10.96.0.7", "fd96::7", "shop.default.svc.cluster.local"
THROUGH, PAST = ({"MESHD_SIDECAR_USE_WAYPOINT": v} for v in ("true", "false"))
CLOSED = {"MESHD_ENFORCEMENT": "closed"}
ROUTE = f"""apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop, namespace: default}}
spec: {{hosts: [{SHOP}], http: [{{headers: {{request: {{add: {{x-step: one}}}}}}, route: [{{destination: {{host: {SHOP}}}}}]}}]}}
---
"""


def app(h, port=8080):
    """Tells beside what it got who called."""
    return h.serve_http(port, lambda handler, got: got.update(peer=handler.client_address[0].removeprefix("::ffff:")))


class Got:
    """An answer of app(): what it got, its headers as lists by their names in lower case."""
    def __init__(self, text):
        self.all = json.loads(text)
        self.peer, self.headers = self.all["peer"], {}
        for k, v in self.all["headers"]:
            self.headers.setdefault(k.lower(), []).append(v)


def get(h, ip=VIP, port=80, path="/", status=200, seconds=10, **headers):
    def once():
        # before the objects are read the address leads nowhere
        r = h.http(path, port=port, ip=ip, headers={k.replace("_", "-"): v for k, v in headers.items()}, timeout=2)
        assert r[0] == status, r[:2]
        return r
    r = eventually(once, seconds)
    return Got(r[1]) if status == 200 else r


def shop(lab, wp="wp", vips=(VIP, VIP6), protocol="HTTP", family=None):
    text = service("shop", {80: 8080}, vips, protocol=protocol, family=family)
    lab.write("shop.yaml", using(wp, text) if wp else text)


def test_one_step():
    """The route is the waypoint's alone, whether the client called the service by its address or by its name."""
    with Lab() as lab:
        web = lab.sidecars("web", env=THROUGH)
        server = lab.meshed("shop")
        wp = lab.waypoint("wp")
        app(server)
        lab.write("route.yaml", ROUTE)
        for ip, family in ((VIP, "v4"), (VIP6, "v6"), ("10.96.99.99", "v4")):
            shop(lab, family=family)
            got = eventually(lambda: (g := get(web, ip, host="shop.default")).peer == getattr(web, family) and g)
            assert got.headers["x-step"] == ["one"], got.all
            assert got.headers["x-forwarded-client-cert"] == [f"By={wp.identity};URI={web.identity}"], got.all
        eventually(lambda: web.metric("istio_tcp_connections_opened_total", reporter="source", destination_workload="wp", destination_service=SHOP))
        # the client looked into those alone that it had to: it knew them by their name
        assert eventually(lambda: web.metric("istio_requests_total", reporter="source")) < wp.metric("istio_requests_total", destination_service=SHOP)
        assert wp.metric("istio_requests_total", destination_service=SHOP) >= 3


def test_skipped_as_in_istio():
    with Lab() as lab:
        web = lab.sidecars("web")                       # auto: web itself has a sidecar without HBONE
        server = lab.meshed("shop")
        lab.waypoint("wp")
        app(server)
        shop(lab)
        lab.write("route.yaml", ROUTE)
        got = get(web)
        assert got.headers["x-step"] == ["one"] and "x-forwarded-client-cert" not in got.headers, got.all
        eventually(lambda: server.metric("meshd_waypoint_bypasses_total"))
        assert web.metric("istio_requests_total", reporter="source", destination_service=SHOP) >= 1
        assert f"past default/wp.default.svc.cluster.local, by {web.identity}" in server.cli("status").stdout


def test_without_an_address():
    """Then the service has one that was made up, and may be called by its name at any address."""
    with Lab() as lab:
        web = lab.sidecars("web", env=THROUGH)
        server = lab.meshed("shop")
        wp = lab.waypoint("wp")
        app(server)
        shop(lab, vips=())
        got = get(web, "10.96.99.99", host="shop.default")
        assert got.headers["x-forwarded-client-cert"] == [f"By={wp.identity};URI={web.identity}"], got.all


def test_many_names():
    """A wildcard: the waypoint is asked for the name that the client used."""
    with Lab() as lab:
        web = lab.sidecars("web", env=THROUGH)
        server = lab.meshed("shop")
        wp = lab.waypoint("wp")
        app(server)
        lab.write("many.yaml", using("wp", service("many", {80: 8080}, app="shop", protocol="HTTP").replace("many.default.svc.cluster.local", "'*.many.test'")))
        for name in ("a.many.test", "b.many.test", "a.many.test"):
            got = get(web, "10.96.99.99", host=name)
            assert got.headers["host"] == [name] and got.headers["x-forwarded-client-cert"] == [f"By={wp.identity};URI={web.identity}"], got.all


def test_waypoint_that_is_gone():
    """Istio's stance: no Gateway, no waypoint. Closed: refused, with a reason; back when it is there again."""
    for env, refused in ((THROUGH, False), ({**THROUGH, **CLOSED}, True)):
        with Lab() as lab:
            web = lab.sidecars("web", env=env)
            server = lab.meshed("shop")
            app(server)
            shop(lab)
            if refused:
                eventually(lambda: web.refused(VIP, 80, timeout=1), 10)
                assert "default/wp" in web.log()
                assert get(web, "10.96.99.99", status=503, host="shop.default")
            else:
                get(web)
                eventually(lambda: "no Gateway 'default/wp'" in web.log() and "passes no waypoint, as in Istio" in web.log())
            wp = lab.waypoint("wp")
            eventually(lambda: get(web).headers.get("x-forwarded-client-cert") == [f"By={wp.identity};URI={web.identity}"], 15)


def test_another_waypoint():
    """One of two replicas is killed: what is begun later goes to the other one."""
    with Lab() as lab:
        web = lab.sidecars("web", env=THROUGH)
        server = lab.meshed("shop")
        wp, wp2 = lab.waypoint("wp"), lab.waypoint("wp2", gateway="wp")
        app(server)
        shop(lab)
        eventually(lambda: get(web) and all(w.metric("istio_requests_total", destination_service=SHOP) for w in (wp, wp2)), 15)
        wp2.proc.kill()
        wp2.proc.wait()
        wp2.proc = None
        for _ in range(20):
            assert web.http("/", port=80, ip=VIP)[0] == 200
            assert web.http("/", port=80, ip="10.96.99.99", headers={"host": "shop.default"})[0] == 200


def test_server_sidecar():
    """Behind a waypoint the caller is judged where waypoints are used, else the waypoint, as in Istio."""
    for env, who in ((THROUGH, "web"), (PAST, "wp")):
        with Lab() as lab:
            web = lab.meshed("web")
            server = lab.sidecars("shop", env=env)
            wp = lab.waypoint("wp")
            app(server)
            shop(lab)
            get(web)
            got = get(web, x_forwarded_for="1.2.3.4", x_forwarded_client_cert=f"By={wp.identity};URI=spiffe://{TD}/ns/forged/sa/root")
            first, own = got.headers["x-forwarded-client-cert"][0].split(",", 1)
            assert first == f"By={wp.identity};URI={web.identity}" and own.endswith(f"URI={wp.identity}"), got.all
            assert got.headers["x-forwarded-for"] == ["1.2.3.4"], got.all
            lab.write("allow.yaml", policy("allow", f"[{principal(who)}]", app="shop"))
            get(web)
            lab.write("allow.yaml", policy("allow", f"[{principal('wp' if who == 'web' else 'web')}]", app="shop"))
            get(web, status=403)


def test_server_that_speaks_first():
    """Through a sidecar, a waypoint and a sidecar, which admits the caller alone."""
    with Lab() as lab:
        web = lab.sidecars("web", env=THROUGH)
        server = lab.sidecars("shop", env=THROUGH, labels=HBONE)
        lab.waypoint("wp")
        server.serve(9000, greeter(b"220 ready\r\n"))
        lab.write("allow.yaml", policy("allow", f"[{principal('web')}]", app="shop"))
        for protocol in ("TCP", ""):                 # declared, and not
            text = service("raw", {9000: 9000}, ["10.96.0.9"], app="shop")
            lab.write("raw.yaml", using("wp", text if protocol else text.replace("name: tcp-9000, protocol: TCP", "name: any")))

            def greeted():
                with web.connect("10.96.0.9", 9000, 2) as c:
                    return read_exact(c, 11) == b"220 ready\r\n"
            eventually(greeted, 15)
        lab.write("allow.yaml", policy("allow", f"[{principal('wp')}]", app="shop"))
        eventually(lambda: web.refused("10.96.0.9", 9000, timeout=2), 10)


def tunnel_get(h, ip, cert, headers=(), connect=(), to=None):
    """GET by hand through HBONE from a host without meshd."""
    t = hbone(h, ip, cert)
    sid, status = t.connect(to or f"{ip}:8080", *connect)
    if status != 200:
        return status
    lines = "".join(f"{k}: {v}\r\n" for k, v in headers)
    t.data(sid, f"GET / HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n{lines}\r\n".encode())
    out = b""
    try:
        while part := t.read(sid, 1):
            out += part
    except (ConnectionResetError, Closed):        # the end, both ways at once
        pass
    head, _, body = out.partition(b"\r\n\r\n")
    return Got(body) if head.startswith(b"HTTP/1.1 200") else int(head.split()[1])


HBONE = {"shop": {"networking.istio.io/tunnel": "http"}}        # labels of a sidecar that takes it
FORGED = "spiffe://cluster.local/ns/forged/sa/root"


def test_forgery():
    """What a CONNECT and a request say of who asks is believed of the own waypoint alone: its identity is the proof."""
    with Lab() as lab:
        out, web = lab.plain("out", "web")
        ambient = lab.meshed("ambient")
        server = lab.sidecars("shop", env={**THROUGH, "ENABLE_ORIG_SRC": "true"}, labels=HBONE)
        lab.write("gate.yaml", """apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: wp, namespace: default, labels: {istio.io/waypoint-for: all}}
spec: {gatewayClassName: istio-waypoint}
---
""" + service("wp", {15008: 15008}, ["10.96.99.1"]))
        lab.workload(web)
        wp = lab.plain("wp")
        lab.workload(wp)
        shop(lab)
        lab.write("ambient.yaml", using("wp", service("ambient", {80: 8080}, ["10.96.0.8"], protocol="HTTP")))
        app(server)
        app(ambient)
        lab.write("deny.yaml", policy("deny", f"[{{from: [{{source: {{namespaces: [forged]}}}}]}}]", app="shop", action="DENY"))
        guest, own = lab.issue("guest"), lab.issue("wp")
        for h in (server, ambient):              # they know of the waypoint
            eventually(lambda: (tunnel_get(out, h.v4, guest), h.metric("meshd_waypoint_bypasses_total"))[1], 10)

        def said(by, frm=web.v4):
            return [("forwarded", f'for="{frm}:4321";host=x'), ("x-forwarded-client-cert", f"By=spiffe://{TD}/ns/default/sa/{by};URI={FORGED}")]
        head = [("X-Forwarded-Client-Cert", f"By=spiffe://{TD}/ns/default/sa/wp;URI={FORGED}"), ("x-forwarded-for", "9.9.9.9"), ("x-envoy-internal", "true"),
                ("x-envoy-retry-on", "5xx"), ("x-envoy-expected-rq-timeout-ms", "1")]
        # a guest: of all that nothing
        for by in ("wp", "guest"):
            got = eventually(lambda: isinstance(g := tunnel_get(out, server.v4, guest, head, said(by)), Got) and g)
            assert got.headers["x-forwarded-client-cert"] == [f"By={server.identity};URI=spiffe://{TD}/ns/default/sa/guest"], got.all
            assert "x-forwarded-for" not in got.headers and not any(k.startswith("x-envoy-") for k in got.headers), got.all
            assert got.peer == out.v4, got.all
            got = tunnel_get(out, ambient.v4, guest, (), said(by))
            assert got.peer == out.v4, got.all
        # the waypoint: believed of address and identity, unless it says what is not its own word
        got = tunnel_get(out, ambient.v4, own, (), said("wp"))
        assert got.peer == web.v4, got.all
        assert tunnel_get(out, server.v4, own, (), said("wp")) == 403          # DENY of that namespace
        got = tunnel_get(out, server.v4, own, (), [("forwarded", f'for="{web.v4}:4321"')])
        assert got.peer == web.v4 and got.headers["x-forwarded-client-cert"] == [f"By={server.identity};URI=spiffe://{TD}/ns/default/sa/wp"], got.all
        got = tunnel_get(out, server.v4, own, (), said("guest"))
        assert got.headers["x-forwarded-client-cert"] == [f"By={server.identity};URI=spiffe://{TD}/ns/default/sa/wp"], got.all
        assert tunnel_get(out, server.v4, own, [("x-forwarded-client-cert", f"By=spiffe://{TD}/ns/default/sa/wp;URI={FORGED}")]) == 403
        assert tunnel_get(out, ambient.v4, own, (), said("wp") + [("forwarded", 'for="9.9.9.9:1"')]).peer == out.v4
        # plaintext
        got = get(out, server.v4, 8080, x_forwarded_client_cert=f"By={wp.identity};URI={FORGED}", x_forwarded_for="9.9.9.9", x_envoy_internal="true")
        assert not {"x-forwarded-client-cert", "x-forwarded-for", "x-envoy-internal"} & set(got.headers), got.all


def test_closed_sidecar():
    """It admits only its waypoint, whatever the way; Istio's stance counts who came past it."""
    with Lab() as lab:
        web = lab.sidecars("web", env=PAST)
        ambient = lab.meshed("ambient")
        server = lab.sidecars("shop", env=PAST, labels=HBONE)
        out = lab.plain("out")
        app(server)
        server.serve(9000)
        lab.write("raw.yaml", service("raw", {9000: 9000}, ["10.96.0.9"], app="shop"))
        shop(lab, wp=None)
        get(web)
        get(ambient)
        lab.waypoint("wp")
        lab.workload(server, labels={"istio.io/use-waypoint": "wp", **HBONE["shop"]})
        shop(lab)
        eventually(lambda: get(web) and server.metric("meshd_waypoint_bypasses_total"))
        past = f"past default/wp.default.svc.cluster.local, by {web.identity}"
        eventually(lambda: past in server.cli("status").stdout)
        server.stop()
        server.start("--workload=default/shop-v6", env={**PAST, **CLOSED})
        for h in (web, out):
            assert h.refused(server.v4, 8080) and h.refused(server.v4, 9000)
        why = server.cli("status").stdout
        assert "waypoint" in why, why
        get(ambient)                                         # through the waypoint
        assert tunnel_get(out, server.v4, lab.issue("guest")) == 401


def test_closed_sidecar_judges_anew():
    with Lab() as lab:
        web = lab.sidecars("web", env=PAST)
        server = lab.sidecars("shop", env={**PAST, **CLOSED})
        app(server)
        server.serve(9000)
        lab.write("raw.yaml", service("raw", {9000: 9000}, ["10.96.0.9"], app="shop"))
        shop(lab, wp=None)
        get(web)
        c, h = web.connect("10.96.0.9", 9000), web.connect(VIP, 80)
        c.sendall(b"x")
        assert read_exact(c, 1) == b"x"
        h.sendall(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n")
        assert h.recv(100)
        lab.waypoint("wp")
        lab.workload(server, labels={"istio.io/use-waypoint": "wp"})
        c.settimeout(5)
        try:
            assert c.recv(1) == b""
        except ConnectionResetError:
            pass
        eventually(lambda: web.http("/", port=80, ip=VIP)[0] == 503)
