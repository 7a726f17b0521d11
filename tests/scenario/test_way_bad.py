# SPDX-License-Identifier: Apache-2.0
"""What a waypoint is asked for and does not do, and what comes through its tunnels that should not."""
import os
from harness import *
from pki import Pki
from test_way import SHOP, VIP, VIP6, answered, fields, get, shops, to, virtual_service
from wire import DATA, END_STREAM, RST, Closed, hbone


class Peer:
    """`out`, a host without meshd that has the certificate of the service account guest, at the waypoint's port 15008."""
    def __init__(self, lab, wp, **kw):
        self.out, self.wp, self.cert = lab.plain("out"), wp, lab.issue("guest")
        self.h = self.open(**kw)

    def open(self, **kw):
        return hbone(self.out, self.wp.v4, self.cert, **kw)

    def ask(self, authority, *extra):
        return self.h.connect(authority, *extra)[1]

    def tunnel(self, authority, *extra):
        sid, status = self.h.connect(authority, *extra)
        assert status == 200, status
        return sid

    def say(self, sid, data, until=None, end=False, seconds=5):
        """What came back until `until` is in it, or the stream's end."""
        self.h.sock.settimeout(seconds)
        self.h.data(sid, data, end)
        got, flags = b"", 0
        try:
            while not flags & END_STREAM and not (until and until in got):
                _, flags, more = self.h.wait(DATA, sid)
                got += more
        except ConnectionResetError:
            pass
        return got


REQUEST = b"GET /%s HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n"


def test_destinations():
    """Only what names this waypoint; by address or by name; and no way back to a proxy's own ports."""
    with Lab() as lab:
        web, wp, shop = shops(lab)
        bank = lab.meshed("bank")
        other = lab.waypoint("other", vips=["10.96.99.2"])
        shop.serve_http(8080)
        lab.workload(shop, labels={"istio.io/use-waypoint": "wp"})
        lab.write("bank.yaml", using("other", service("bank", {80: 8080}, ["10.96.0.9"], protocol="HTTP")) + service("bare", {80: 8080}, ["10.96.0.10"], app="shop"))
        p = Peer(lab, wp)
        answered(web)
        for authority in (f"{VIP}:80", f"[{VIP6}]:80", f"{SHOP}:80", f"{shop.v4}:8080", f"[{shop.v6}]:8080"):
            answer = p.say(p.tunnel(authority), REQUEST % b"ok", b'"body_bytes"')
            assert answer.startswith(b"HTTP/1.1 200 "), (authority, answer)
        opened = shop.metric("istio_tcp_connections_opened_total")
        for authority, status in {
                "10.96.0.9:80": 404, "bank.default.svc.cluster.local:80": 404, f"{bank.v4}:8080": 404,        # another waypoint's
                "10.96.0.10:80": 404, "bare.default.svc.cluster.local:80": 404,                               # nobody's
                "no.example:80": 404, "192.0.2.1:80": 404, "127.0.0.1:15000": 404, "localhost:15000": 404, "[::1]:15020": 404,
                f"{VIP}:81": 404, f"{SHOP}:15008": 404,                                                       # no such port
                f"{wp.v4}:15008": 503, f"{wp.v4}:15000": 503, "10.96.99.1:15008": 404, "10.96.99.2:15008": 404,   # itself, another
                f"{shop.v4}:15008": 503, f"{shop.v4}:15001": 503, f"[{shop.v6}]:15006": 503}.items():
            assert p.ask(authority) == status, authority
        for bad in ("", "shop", "10.96.0.7", "10.96.0.7:", "10.96.0.7:0", "10.96.0.7:99999", "http://10.96.0.7:80/", "a b:80", "@10.96.0.7:80"):
            try:
                assert p.ask(bad) == 400, bad
            except (ConnectionResetError, Closed):
                p.h = p.open()
        assert shop.metric("istio_tcp_connections_opened_total") == opened
        assert p.ask(f"{VIP}:80") == 200
        r = wp.access(direction="inbound", reason="NOT_SERVED", error="10.96.0.9:80", src_identity="/sa/guest")
        assert "does not name this waypoint" in r["error"], r
        wp.access(direction="inbound", reason="NO_PORT", dst_addr=f"{VIP}:81", src_identity="/sa/guest")
        # a GET is no CONNECT
        sid = p.h.open([(":method", "GET"), (":scheme", "https"), (":authority", f"{VIP}:80"), (":path", "/")], end=True)
        assert p.h.reply(sid) == 400


def test_forged():
    """Who asks is the peer of the tunnel's TLS, whatever its headers, or the request's, say."""
    with Lab() as lab:
        web, wp, shop = shops(lab)
        app = shop.serve_http(8080)
        lab.write("p.yaml", f"""apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: only-web, namespace: default}}
spec: {{targetRefs: [{{kind: ServiceEntry, group: networking.istio.io, name: shop}}], action: ALLOW, rules: [{principal("web")}]}}
""")
        answered(web)
        p = Peer(lab, wp)
        n = len(app.requests)
        lies = [("forwarded", f"for={web.v4}"), ("x-forwarded-client-cert", f"By={wp.identity};URI={web.identity}"), ("x-forwarded-for", web.v4),
                ("baggage", "k8s.namespace.name=default,k8s.deployment.name=web,service.name=web"), ("x-istio-source", "waypoint"), ("x-forwarded-network", "far")]
        inner = b"GET /%s HTTP/1.1\r\nHost: shop\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in lies) + b"\r\n"
        eventually(lambda: p.say(p.tunnel(f"{VIP}:80", *lies), inner % b"lies", b"denied").startswith(b"HTTP/1.1 403 "))
        assert [r for r in app.requests if r["path"] == "/lies"] == [] and len(app.requests) == n
        # a good one's are replaced, too
        seen = fields(get(web, headers=dict(lies))[1])
        assert seen["x-forwarded-client-cert"] == f"By={wp.identity};URI={web.identity}", seen
        lab.remove("p.yaml")
        said = lambda: p.say(p.tunnel(f"{VIP}:80", *lies), inner % b"lies", b'"body_bytes"', seconds=1)
        answer = eventually(lambda: (a := said()).startswith(b"HTTP/1.1 200 ") and a)
        seen = fields(answer.split(b"\r\n\r\n", 1)[1].decode())
        assert seen["x-forwarded-client-cert"] == f"By={wp.identity};URI=spiffe://{TD}/ns/default/sa/guest", seen


def test_smuggling():
    """HTTP/1 whose end two readers could see in two places: one answer that says no, and nothing at the server."""
    bad = (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
           b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
           b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
           b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
           b"GET /x HTTP/1.1\r\nHost: a\r\n X: folded\r\nContent-Length: 44\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
           b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
           b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET /x HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n",
           b"CONNECT 10.77.0.11:22 HTTP/1.1\r\nHost: 10.77.0.11:22\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
           b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    with Lab() as lab:
        web, wp, shop = shops(lab)
        app = shop.serve_http(8080)
        answered(web)
        p = Peer(lab, wp)
        for data in bad:
            answer = p.say(p.tunnel(f"{VIP}:80"), data, b"\r\n\r\n", end=True)
            assert not answer or not answer.startswith(b"HTTP/1.1 2"), (data, answer)
        assert [r["path"] for r in app.requests if r["path"] in ("/x", "/smuggled")] == []
        # two requests in one piece are two
        both = p.say(p.tunnel(f"{VIP}:80"), REQUEST % b"one" + REQUEST % b"two", b'"/two"')
        assert both.count(b"HTTP/1.1 200 ") == 2, both
        assert get(web)[0] == 200


def test_tunnels_that_carry_nothing():
    """Silent ones, half-open ones, and those that end at once: they cost little and disturb nobody."""
    with Lab() as lab:
        web, wp, shop = shops(lab)
        shop.serve_http(8080)
        shop.serve(9000)
        lab.write("raw.yaml", using("wp", service("raw", {90: 9000}, ["10.96.0.8"], app="shop").replace("protocol: TCP", "protocol: ''").replace("name: tcp-", "name: p-")))
        answered(web)
        eventually(lambda: web.talk("10.96.0.8", 90, b"x", timeout=2) == b"x", 10)
        p = Peer(lab, wp)
        before = wp.memory_kib()
        held = [p.tunnel(a) for _ in range(40) for a in (f"{VIP}:80", "10.96.0.8:90")]
        for sid in held[:20]:
            p.h.data(sid, b"", end=True)
        for sid in held[20:40]:
            p.h.send(RST, 0, sid, b"\0\0\0\x08")
        for sid in held[40:60]:
            p.h.data(sid, b"G")
        assert get(web)[0] == 200 and web.talk("10.96.0.8", 90, b"x") == b"x"
        assert wp.memory_kib() < before + 16384
        p.h.sock.close()
        eventually(lambda: "guest" not in wp.http("/connections")[1])
        assert get(web)[0] == 200


def test_not_http_where_http_is_declared():
    with Lab() as lab:
        web, wp, shop = shops(lab)
        app = shop.serve_http(8080)
        answered(web)
        n = len(app.requests)
        p = Peer(lab, wp)
        for data in (os.urandom(2000), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300), b"EHLO there\r\n\r\n"):
            answer = p.say(p.tunnel(f"{VIP}:80"), data, b"\r\n\r\n", end=True)
            assert not answer or not answer.startswith(b"HTTP/1.1 2"), answer
        assert len(app.requests) == n and get(web)[0] == 200


def test_two_that_point_at_each_other():
    """A waypoint never asks a waypoint: neither because its service names one, nor because a route leads to one."""
    with Lab() as lab:
        web, wp, shop = shops(lab)
        other = lab.waypoint("other", vips=["10.96.99.2"])
        shop.serve_http(8080)
        answered(web)
        # their own services and workloads name the other one
        for mine, its in (("wp", "other"), ("other", "wp")):
            text = open(f"{lab.config}/waypoint-{mine}.yaml").read()
            lab.write(f"waypoint-{mine}.yaml", text.replace("kind: ServiceEntry\nmetadata: {name: ", f"kind: ServiceEntry\nmetadata: {{labels: {{istio.io/use-waypoint: {its}}}, name: "))
        for h, its in ((wp, "other"), (other, "wp")):
            lab.workload(h, serviceAccount=h.name, labels={"gateway.networking.k8s.io/gateway-name": h.name, "istio.io/use-waypoint": its})
        # and a route of each leads to the other
        lab.write("r.yaml", virtual_service("{match: [{uri: {prefix: /loop}}], route: [{destination: {host: other.default.svc.cluster.local, port: {number: 15008}}}]}, "
                                            "{match: [{uri: {prefix: /self}}], route: [{destination: {host: wp.default.svc.cluster.local, port: {number: 15008}}}]}, {route: [%s]}" % to()))
        eventually(lambda: get(web, path="/loop")[0] == 503, 10)
        assert get(web, path="/self")[0] == 503 and get(web)[0] == 200
        p = Peer(lab, wp)
        for authority in (f"{other.v4}:15008", f"{other.v4}:80", "10.96.99.2:15008", "other.default.svc.cluster.local:15008"):
            assert p.ask(authority) in (404, 503), authority
        assert other.metric("istio_tcp_connections_opened_total") == 0
        assert get(web)[0] == 200


def test_a_namespace_that_names_its_own_waypoint():
    """The waypoint's service and workload pass none, whatever their namespace says: they would come back for ever."""
    with Lab() as lab:
        web, wp, shop = shops(lab)
        shop.serve_http(8080)
        answered(web)
        lab.write("ns.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {istio.io/use-waypoint: wp}}\n")
        lab.workload(wp, serviceAccount="wp", labels={"gateway": "wp"})       # nothing says that it is a waypoint's
        text = open(f"{lab.config}/waypoint-wp.yaml").read()
        lab.write("waypoint-wp.yaml", text.replace("gateway.networking.k8s.io/gateway-name: wp", "gateway: wp"))
        eventually(lambda: "x-forwarded-client-cert" in fields(answered(web, ip=shop.v4, port=8080)[1]), 10)
        p = Peer(lab, wp)
        for authority in (f"{wp.v4}:80", f"[{wp.v6}]:80", "10.96.99.1:15008", "wp.default.svc.cluster.local:15008"):
            assert p.ask(authority) in (404, 503), authority
        assert get(web)[0] == 200


def test_a_label_that_names_nothing():
    """Istio's stance: such a service is reached past any waypoint, and a finding says so. Closed: it is refused."""
    with Lab() as lab:
        web, wp, shop = shops(lab)
        shop.serve_http(8080)
        answered(web)
        lab.write("shop.yaml", using("nobody", service("shop", {80: 8080}, [VIP], protocol="HTTP")))
        eventually(lambda: "x-forwarded-client-cert" not in fields(answered(web)[1]), 10)
        eventually(lambda: all("there is no Gateway 'default/nobody'" in h.log() for h in (wp, web)))
        p = Peer(lab, wp)
        assert p.ask(f"{VIP}:80") == 404
        web.stop()
        web.start("--workload=default/web-v6", env={"MESHD_ENFORCEMENT": "closed"})
        assert web.refused(VIP, 80)
        web.access(direction="outbound", reason="NO_WAYPOINT")


def test_identities():
    """Without a certificate of the mesh there is no tunnel; a wrong waypoint's certificate is no waypoint's."""
    with Lab() as lab:
        web, wp, shop = shops(lab)
        shop.serve_http(8080)
        answered(web)
        out = lab.plain("out")
        for cert in (None, Pki(lab.dir, "foreign").leaf("web")):
            try:
                h = hbone(out, wp.v4, cert)
                h.connect(f"{VIP}:80")
            except (Closed, OSError):
                continue
            raise AssertionError("a stranger got a tunnel")
        assert get(web)[0] == 200


