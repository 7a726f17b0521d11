# SPDX-License-Identifier: Apache-2.0
"""The real control plane by itself: what the other tests stand on."""
import base64, concurrent.futures, json, os, signal, socket, ssl
from ambient import Node, ZTUNNEL
from cluster import Cluster
from harness import eventually


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def certificate(c, address="10.77.0.1", port=15012):
    """The one istiod shows, verified against c.root."""
    tls = ssl.create_default_context(cafile=c.root)
    tls.set_alpn_protocols(["h2"])
    with tls.wrap_socket(c.plane.connect(address, port), server_hostname=address) as s:
        assert s.selected_alpn_protocol() == "h2"
        return s.getpeercert()


def test_cluster():
    with Cluster() as c:
        assert ("DNS", "istiod.istio-system.svc") in certificate(c)["subjectAltName"]
        token = claims(c.ztunnel_token())
        assert token["sub"] == "system:serviceaccount:istio-system:ztunnel" and token["aud"] == ["istio-ca"], token
        assert token["kubernetes.io"]["pod"]["name"] == "ztunnel-node1" and token["kubernetes.io"]["node"]["name"] == "node1", token
        c.token("istio-system", "default")      # makes the account as which istioctl shows itself at 15012
        clients = json.loads(c.istioctl("x", "internal-debug", "adsz", "--xds-address", c.istiod))["clients"]
        assert clients[0]["metadata"]["SERVICE_ACCOUNT"] == "default", clients
        web = c.pod("default", "web")
        shop = c.pod("other", "shop", ip="10.77.0.77", labels={"app": "store"}, sa="seller", node="node2")
        assert c.kubectl("get", "pod", "-n", "other", "-o", "jsonpath={.items[*].status.podIPs[*].ip}") == "10.77.0.77 fd77::4d"
        v4, v6 = c.service("other", "store", {80: 8080})
        assert v4.startswith("10.96.") and v6.startswith("fd96::")
        shop.serve(8080)
        assert web.talk(shop.v4, 8080) == b"hello" and web.talk(shop.v6, 8080) == b"hello"
        c.apply("{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v, namespace: other}, "
                "spec: {hosts: [store], http: [{route: [{destination: {host: nowhere}}]}]}}")
        assert "IST0101" in c.istioctl("analyze", "-n", "other", check=False)      # nowhere is not found: it reads the objects


def test_istiod_restarts():
    with Cluster(ca=False) as c:
        certificate(c)
        c.restart_istiod()
        certificate(c)          # the self-signed root outlives it
        c.stop_istiod(signal.SIGTERM)
        try:
            c.plane.connect("10.77.0.1", 15012).close()
            raise AssertionError("istiod is not down")
        except ConnectionRefusedError:
            c.start_istiod()
        certificate(c)


def test_ca_changes():
    with Cluster(env={"ISTIO_MULTIROOT_MESH": "true"}) as c:
        def issuer():
            return dict(i[0] for i in certificate(c)["issuer"])["organizationName"]
        assert issuer() == "istiod1"
        c.plug_ca()
        eventually(lambda: issuer() == "istiod2", 10)
        c.plug_ca("other")
        c.write_root(2)
        eventually(lambda: issuer() == "istiod3", 10)
        c.plug_ca("other", alone=True)
        c.write_root(1)
        eventually(lambda: issuer() == "istiod4", 10)


class Client:
    """A ZDS client; see zds.proto."""
    def __init__(self, zds):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.s.settimeout(10)
        self.s.connect(zds.socket)
        self.s.send(b"\x08\x01")

    def read(self, answer=b""):
        """(message, number of descriptors); acknowledges, with this error if given."""
        data, fds, _, _ = socket.recv_fds(self.s, 1024, 4)
        for fd in fds:
            os.close(fd)
        error = b"\x0a" + bytes([len(answer)]) + answer if answer else b""
        self.s.send(b"\x0a" + bytes([len(error)]) + error)
        return data, len(fds)


def test_zds():
    with Cluster() as c:
        zds, shop, web = c.zds(), c.pod("default", "shop"), c.pod("default", "web")
        assert zds.add(shop) is None            # nobody is connected
        one = Client(zds)
        data, fds = one.read()
        assert fds == 1 and shop.uid.encode() in data and b"\x0a\x04shop\x12\x07default\x1a\x04shop" in data, data
        assert one.read() == (b"\x1a\x00", 0)
        zds.wait("received hello")
        zds.wait("snapshot sent to ztunnel")

        def told(command, arg, answer=b""):
            """A command while the client is connected: (its result, what the client read)."""
            with concurrent.futures.ThreadPoolExecutor() as pool:
                result = pool.submit(command, arg)
                return result, one.read(answer)
        result, (data, fds) = told(zds.add, web, b"no room")
        assert fds == 1 and web.uid.encode() in data and "no room" in result.result()
        result, (data, fds) = told(zds.delete, shop)
        assert fds == 0 and data == b"\x12\x26\x12\x24" + shop.uid.encode() and result.result() is None
        one.s.close()
        zds.wait("ztunnel disconnected", seconds=10)
        zds.keep("gone")
        one = Client(zds)
        got = sorted([one.read(), one.read()])
        assert b"\x2a\x06\x0a\x04gone" in [d for d, _ in got] and [n for _, n in got].count(1) == 1, got


def test_ztunnels():
    """Two real ztunnels are content with this control plane and this ZDS server: certificates, workloads, policies."""
    with Cluster() as c:
        one, two = Node(c, "node1", ZTUNNEL), Node(c, "node2", ZTUNNEL)
        web, shop = one.pod("default", "web"), two.pod("default", "shop")
        vip, _ = c.service("default", "shop", {80: 8080})
        one.start(), two.start()
        shop.serve(8080)
        for address, port in ((shop.v4, 8080), (shop.v6, 8080), (vip, 80)):
            assert eventually(lambda: web.talk(address, port)) == b"hello"
        assert web.identity in two.daemon.log(), two.daemon.tail()
        c.apply("{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: none, namespace: default}, spec: {selector: {matchLabels: {app: shop}}}}")
        eventually(lambda: web.refused(shop.v4, 8080))
