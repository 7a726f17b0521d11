# SPDX-License-Identifier: Apache-2.0
"""DNS in pods that istio-cni's own rules capture, names from the real istiod; the real ztunnel's answers beside ours; systemd-resolved."""
import glob, ipaddress, os, signal, struct, subprocess
from ambient import MESHD, ZTUNNEL, Node
from cluster import PEERS, Cluster, Skip
from dns import A, AAAA, HTTPS, MX, TXT, asks, counts, dnsmasq, question, resolver, tcp, udp
from harness import Lab, eventually

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: default}
spec:
  hosts: [api.example.test]
  addresses: [10.99.7.7]
  location: MESH_INTERNAL
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.77.0.99}]
"""


def addresses(answer, type):
    """The addresses of a small answer, whose owners are pointers or the question's name."""
    n = 4 if type == A else 16
    mark = struct.pack("!HH", type, 1)
    out, at = set(), answer.find(mark, answer.find(mark, 12) + 4)
    while at > 0:
        out.add(answer[at + 10:at + 10 + n])
        at = answer.find(mark, at + 10)
    return out


def bytes_of(*ips):
    return {ipaddress.ip_address(i).packed for i in ips}


def test_names_and_servers():
    with Cluster() as c:
        one = Node(c, "node1", MESHD)
        vips = c.service("default", "cart", {80: 8080})
        c.service("default", "db", {5432: 5432}, clusterIP="None")
        c.apply(ENTRY)
        web, db = one.pod("default", "web"), one.pod("default", "db-0", labels={"app": "db"}, hostname="db-0", subdomain="db")
        one.start()
        up, other, out = c.plain("up", "other", "out")
        dnsmasq(c, up, "--address=/who.test/10.1.1.1")
        dnsmasq(c, other, "--address=/who.test/10.2.2.2")
        cart = "cart.default.svc.cluster.local"
        v4, v6 = [v for v in vips if ":" not in v], [v for v in vips if ":" in v]
        eventually(lambda: addresses(udp(web, up.v4, question("db", A)), A) == bytes_of(db.v4), 10)
        for ask in (udp, tcp):
            for server in (up.v4, up.v6):
                for name in (cart, "cart", "cart.default", "cart.default.svc", cart + ".default.svc.cluster.local"):
                    assert addresses(ask(web, server, question(name, A)), A) == bytes_of(*v4), name
                    assert addresses(ask(web, server, question(name, AAAA)), AAAA) == bytes_of(*v6), name
                for name in ("db", "db-0.db.default.svc.cluster.local", "db-0.db"):
                    assert addresses(ask(web, server, question(name, A)), A) == bytes_of(db.v4), name
                    assert addresses(ask(web, server, question(name, AAAA)), AAAA) == bytes_of(db.v6), name
                for type in (HTTPS, TXT, MX):
                    assert counts(ask(web, server, question(cart, type))) == (0, 0, 1), type
                assert addresses(ask(web, server, question("api.example.test", A)), A) == bytes_of("10.99.7.7")
            # Each question to the server that it was meant for, and its bytes as they are.
            for server in (up, other):
                for name, type, edns in (("who.test", A, None), ("plain.test", TXT, 4096), ("no.where", A, 1232)):
                    for ip in (server.v4, server.v6):
                        q = question(name, type, edns=edns)
                        assert ask(web, ip, q) == ask(out, ip, q), (name, type, edns, ip)
        # istio-cni leaves nobody to answer while the proxy is away; the next one answers.
        one.kill()
        eventually(lambda: addresses(udp(web, up.v4, question("cart", A)), A) == bytes_of(*v4), 15)
        assert one.host.metric("istio_dns_requests_total", request_query_type="a", source_canonical_service="web") > 0


def test_beside_ztunnel():
    """The same questions, the same addresses. (What is not the mesh's, ztunnel asks the servers of its own resolv.conf.)"""
    with Cluster() as c:
        one, two = Node(c, "node1", MESHD), Node(c, "node2", ZTUNNEL)
        c.service("default", "cart", {80: 8080})
        c.service("default", "db", {5432: 5432}, clusterIP="None")
        c.apply(ENTRY)
        pods = [one.pod("default", "web-1"), two.pod("default", "web-2")]
        one.pod("default", "db-0", labels={"app": "db"})
        one.start()
        two.start()
        up = c.plain("up")
        dnsmasq(c, up)
        for pod in pods:
            eventually(lambda: counts(udp(pod, up.v4, question("db", A)))[1] == 1, 10)
        for name in ("cart", "cart.default", "cart.default.svc", "cart.default.svc.cluster.local", "cart.default.default.svc.cluster.local", "db",
                     "cart.default.svc.cluster.local.cluster.local", "api.example.test"):
            for type in (A, AAAA):
                for ask in (udp, tcp):
                    ours, his = (ask(p, up.v4, question(name, type, id=7)) for p in pods)
                    assert counts(ours)[:2] == counts(his)[:2] and addresses(ours, type) == addresses(his, type), (name, type, ours, his)


def resolved_path():
    for p in ("/lib/systemd/systemd-resolved", f"{PEERS}/resolved/lib/systemd/systemd-resolved"):
        if os.access(p, os.X_OK):
            return p
    os.makedirs(f"{PEERS}/resolved", exist_ok=True)
    subprocess.run(["apt-get", "download", "-qq", "systemd-resolved"], cwd=f"{PEERS}/resolved", capture_output=True)
    for deb in glob.glob(f"{PEERS}/resolved/*.deb"):
        subprocess.run(["dpkg", "-x", deb, f"{PEERS}/resolved"])
    if not os.access(p, os.X_OK):
        raise Skip("no systemd-resolved, and it cannot be downloaded")
    return p


def resolved(lab, host, server):
    """systemd-resolved with a file system of its own, as far as it looks."""
    path = resolved_path()
    for name, line in (("passwd", "systemd-resolve:x:991:991::/:/usr/sbin/nologin\n"), ("group", "systemd-resolve:x:991:\n")):
        with open(f"/etc/{name}") as f, open(f"{lab.dir}/{name}", "w") as to:
            to.write("".join(l for l in f if not l.startswith("systemd-resolve:")) + line)
    os.makedirs(f"{lab.dir}/systemd")
    with open(f"{lab.dir}/systemd/resolved.conf", "w") as f:
        f.write(f"[Resolve]\nDNS={server}\nDomains=~.\nDNSSEC=no\nMulticastDNS=no\nLLMNR=no\nCache=no\n")
    script = """mkdir -p /etc/systemd && mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/group" /etc/group &&
        mount --bind "$0/systemd" /etc/systemd && mount -t tmpfs none /run && mkdir -p /run/systemd/resolve && chown 991:991 /run/systemd/resolve &&
        exec "$1" """
    log = open(f"{lab.dir}/resolved.log", "w")
    p = host.popen("unshare", "-m", "sh", "-c", script, lab.dir, path, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    eventually(lambda: p.poll() is None and udp(host, "127.0.0.53", question("plain.test", A), 0.3), 10, what="systemd-resolved answers")
    return p


def test_host_with_systemd_resolved():
    """Names of the mesh and others by way of 127.0.0.53; without meshd as before."""
    with Lab() as lab:
        up = lab.plain("up")
        dnsmasq(lab, up)
        lab.write("entry.yaml", ENTRY)
        web = lab.plain("web")
        lab.workload(web)
        p = resolved(lab, web, up.v4)
        try:
            conf = resolver(web, lab, "nameserver 127.0.0.53\noptions edns0 trust-ad\n")
            ask = lambda name: asks(web, conf, "getent", "ahostsv4", name, check=False).stdout.split()[:1]
            assert ask("plain.test") == ["10.1.1.1"]
            for _ in range(2):
                web.start(f"--workload=default/{web.name}-v6")
                asks(web, conf, lab.meshd, "redirect", "up", "--mode=ztunnel", "--dns")
                eventually(lambda: ask("api.example.test") == ["10.99.7.7"])
                assert ask("plain.test") == ["10.1.1.1"]
                assert counts(udp(web, "127.0.0.53", question("plain.test", TXT, edns=1232)))[:2] == (0, 1)
                os.kill(web.proc.pid, signal.SIGKILL)
                web.proc.wait()
                web.proc = None
                eventually(lambda: ask("plain.test") == ["10.1.1.1"], 20)
        finally:
            p.kill()
            p.wait()
