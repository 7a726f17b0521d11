# SPDX-License-Identifier: Apache-2.0
"""DNS through the real binary: pods whose questions are captured, a host whose capture lives only as long as meshd does."""
import os, signal, struct, threading, time
from dns import A, AAAA, ANY, DNSKEY, HTTPS, MX, RRSIG, SRV, TXT, Upstream, asks, counts, dnsmasq, question, resolver, tcp, udp, unbound
from harness import Lab, eventually, need_program
from test_inpod import Node

SERVICES = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart, namespace: default}
spec:
  hosts: [cart.default.svc.cluster.local]
  addresses: [10.77.9.1, "fd77::9:1"]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.77.0.99}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: default}
spec:
  hosts: [api.example.test]
  addresses: [10.77.9.2]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.77.0.99}]
"""

# As istio-cni captures DNS in pods.
CAPTURE = """table inet captured-dns {
	chain output {
		type nat hook output priority -101; policy accept;
		meta mark & 0xfff == 0x539 return
		oifname != "lo" udp dport 53 redirect to :15053
		oifname != "lo" tcp dport 53 redirect to :15053
	}
}
"""


def captured(lab, host):
    host.run("nft", "-f", "-", input=CAPTURE)


def pods(lab, *names, **env):
    lab.write("services.yaml", SERVICES)
    lab.start("--log-level=dns=debug,info", **env)
    out = lab.pods(*names)
    lab.snapshot()
    for h in out if isinstance(out, list) else [out]:
        captured(lab, h)
    return out


def test_names_of_the_mesh_and_of_others():
    with Node() as lab:
        web = pods(lab, "web")
        up, out = lab.plain("up", "out")
        dnsmasq(lab, up)
        rows = [("cart.default.svc.cluster.local", A, (0, 1, 0)), ("cart.default.svc.cluster.local", AAAA, (0, 1, 0)),
                ("cart.default", A, (0, 1, 0)), ("CART", A, (0, 1, 0)), ("cart.default.svc.cluster.local", ANY, (0, 2, 0)),
                ("cart.default.svc.cluster.local.default.svc.cluster.local", A, (0, 2, 0)),
                ("cart.default.svc.cluster.local", HTTPS, (0, 0, 1)), ("cart.default.svc.cluster.local", TXT, (0, 0, 1)),
                ("cart.default.svc.cluster.local", SRV, (0, 0, 1)), ("api.example.test", A, (0, 1, 0)), ("api.example.test", AAAA, (0, 0, 1)),
                ("api.example.test", MX, (0, 1, 0)), ("api.example.test", TXT, (0, 0, 1))]
        for name, type, want in rows:
            for ip in (up.v4, up.v6):
                q = question(name, type)
                for got in (udp(web, ip, q), tcp(web, ip, q)):
                    assert counts(got) == want and got[:2] == q[:2], (name, type, counts(got))
        # Others: the very bytes that the server gives to who asks it directly.
        for name, type, edns in (("plain.test", A, None), ("plain.test", A, 1232), ("plain.test", TXT, 4096), ("no.where", A, None),
                                 ("plain.test", 64000, None)):
            q = question(name, type, edns=edns)
            for ask in (udp, tcp):
                assert ask(web, up.v4, q) == ask(out, up.v4, q), (name, type, edns)
        # A pipeline of both kinds on one connection.
        qs = [question("cart" if i % 2 else "plain.test", A, id=i) for i in range(40)]
        got = tcp(web, up.v4, *qs)
        assert sorted(struct.unpack("!H", g[:2])[0] for g in got) == list(range(40)) and all(counts(g)[:2] == (0, 1) for g in got)
        # What is told of it.
        node = lab.node
        assert node.metric("istio_dns_requests_total", request_query_type="a", request_protocol="udp") > 0
        assert node.metric("istio_dns_upstream_requests_total", request_query_type="txt", request_protocol="tcp") > 0
        assert node.metric("istio_dns_upstream_request_duration_seconds_count") == node.metric("istio_dns_upstream_requests_total")
        assert node.metric("istio_dns_upstream_failures_total") == 0
        record = eventually(lambda: [r for r in node.records() if r.get("scope") == "dns" and r.get("domain") == "cart.default.svc.cluster.local"])[0]
        assert record["src.workload"] == "web" and record["query"] == "A" and record["result"] == "success" and record["endpoints"] == 1


def test_two_pods_and_two_servers():
    """Each question goes to the server that it was meant for."""
    with Node() as lab:
        web, job = pods(lab, "web", "job")
        one, two = lab.plain("one", "two")
        dnsmasq(lab, one, "--address=/who.test/10.1.1.1")
        dnsmasq(lab, two, "--address=/who.test/10.2.2.2")
        for _ in range(5):
            for pod in (web, job):
                for server, want in ((one, b"\x0a\1\1\1"), (two, b"\x0a\2\2\2")):
                    for ask in (udp, tcp):
                        assert ask(pod, server.v4, question("who.test", A))[-4:] == want
                        assert ask(pod, server.v6, question("who.test", A))[-4:] == want
        # A server that is not there is not replaced by another one.
        got = udp(web, "10.77.0.250", question("who.test", A), timeout=8)
        assert counts(got) == (2, 0, 0)


def test_real_clients_and_signed_answers():
    with Node() as lab:
        web = pods(lab, "web")
        up, out = lab.plain("up", "out")
        unbound(lab, up)
        direct = udp(out, up.v4, question("www.example.test", A, edns=4096))
        assert counts(direct)[:2] == (0, 2) and struct.pack("!H", RRSIG) in direct        # with its RRSIG
        assert udp(out, up.v4, question("large.example.test", TXT))[2] & 2             # and one that is truncated
        for name, type, edns in (("www.example.test", A, None), ("www.example.test", A, 4096), ("alias.example.test", AAAA, 1232),
                                 ("large.example.test", TXT, None), ("large.example.test", TXT, 1232), ("large.example.test", TXT, 4096),
                                 ("none.example.test", A, 4096), ("example.test", DNSKEY, 4096), ("_s._tcp.example.test", SRV, None),
                                 ("gone.test", A, 1232)):
            for ask in (udp, tcp):
                for flags in (0x0100, 0x0110, 0x0120):       # RD, with CD, with AD
                    q = question(name, type, edns=edns, flags=flags)
                    assert ask(web, up.v4, q) == ask(out, up.v4, q), (name, type, edns, ask, flags)
        conf = resolver(web, lab, f"nameserver {up.v4}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n")
        assert asks(web, conf, "getent", "ahostsv4", "cart").stdout.split()[0] == "10.77.9.1"
        assert asks(web, conf, "getent", "ahostsv6", "cart").stdout.split()[0] == "fd77::9:1"
        assert asks(web, conf, "getent", "ahostsv4", "www.example.test").stdout.split()[0] == "10.1.1.80"
        assert asks(web, conf, "getent", "ahosts", "gone.test", check=False).returncode == 2
        need_program("dig")
        dig = lambda *a: asks(web, conf, "dig", "+noall", "+answer", "+comments", *a).stdout
        assert "status: NOERROR" in dig("cart.default", "A") and "10.77.9.1" in dig("cart.default", "A")
        assert "RRSIG" in dig("+dnssec", "www.example.test") and "flags: qr aa rd" in dig("cart.default")
        assert dig("large.example.test", "TXT").count("TXT") == 20      # by way of TC and TCP
        assert "status: NXDOMAIN" in dig("gone.test")


def test_without_a_server_in_mind():
    """Asked directly, it asks the node's servers, and follows their file."""
    with Node() as lab:
        up = lab.plain("up")
        dnsmasq(lab, up)
        conf = resolver(lab.node, lab, "nameserver 10.77.0.250\n")
        real = lab.meshd
        wrapper = f"{lab.dir}/meshd-wrapped"
        with open(wrapper, "w") as f:
            f.write(f'#!/bin/sh\nexec unshare -m sh -c \'mount --bind "$0" /etc/resolv.conf && exec "$@"\' {conf} {real} "$@"\n')
        os.chmod(wrapper, 0o755)
        lab.meshd = wrapper
        lab.write("services.yaml", SERVICES)
        lab.start("--log-level=dns=debug,info")
        lab.meshd = real
        web = lab.pods("web")
        lab.snapshot()
        assert counts(udp(web, "127.0.0.1", question("cart", A), port=15053)) == (0, 1, 0)
        assert counts(udp(web, "::1", question("cart", A), port=15053)) == (0, 1, 0)
        t = time.time()
        assert counts(udp(web, "127.0.0.1", question("plain.test", A), port=15053, timeout=8))[0] == 2
        assert 4 < time.time() - t < 7
        with open(conf, "w") as f:
            f.write(f"nameserver {up.v4}\n")
        eventually(lambda: counts(udp(web, "127.0.0.1", question("plain.test", A), port=15053)) == (0, 1, 0))
        assert counts(tcp(web, "::1", question("plain.test", A), port=15053)) == (0, 1, 0)


def test_client_that_is_not_known():
    with Node() as lab:
        lab.start()
        web, other = lab.plain("web", "other")
        lab.workload(other)
        lab.known(other)
        assert lab.cni.pod(web) == ""            # istiod has not told of it yet
        captured(lab, web)
        lab.snapshot()
        t = time.time()
        assert counts(udp(web, "10.77.0.250", question("x.test", A), timeout=8)) == (2, 0, 0)
        assert 4.5 < time.time() - t < 7
        lab.write("services.yaml", SERVICES)
        got = []
        th = threading.Thread(target=lambda: got.append(udp(web, "10.77.0.250", question("cart", A), timeout=8)))
        th.start()
        time.sleep(0.5)
        lab.workload(web)
        th.join(8)
        assert got and counts(got[0]) == (0, 1, 0)


def test_switched_off_and_moved():
    with Node() as lab:
        lab.start(ISTIO_META_DNS_CAPTURE="false")
        web = lab.pods("web")
        lab.snapshot()
        assert ":15053" not in web.run("ss", "-Hlntu").stdout
    with Lab() as lab:
        lab.write("services.yaml", SERVICES)
        web = lab.meshed("web", env={"ISTIO_META_DNS_PROXY_ADDR": "127.0.0.5:5300"})
        assert counts(udp(web, "127.0.0.5", question("cart", A), port=5300)) == (0, 1, 0)
        assert ":15053" not in web.run("ss", "-Hlntu").stdout


def host_with_dns(lab, up, conf_text):
    lab.write("services.yaml", SERVICES)
    web = lab.meshed("web")
    conf = resolver(web, lab, conf_text)
    asks(web, conf, lab.meshd, "redirect", "up", "--mode=ztunnel", "--dns")
    return web, conf


def test_dns_that_worked_before_works_again_when_meshd_dies():
    with Lab() as lab:
        up = lab.plain("up")
        dnsmasq(lab, up)
        web, conf = host_with_dns(lab, up, f"nameserver {up.v4}\n")
        ask = lambda name: asks(web, conf, "getent", "ahostsv4", name, check=False).stdout.split()[:1]
        eventually(lambda: ask("cart") == ["10.77.9.1"])
        assert ask("plain.test") == ["10.1.1.1"]
        for sig in (signal.SIGSTOP, signal.SIGKILL):
            os.kill(web.proc.pid, sig)
            # Not at once: glibc gives a question that got no answer, and its socket, ten seconds.
            eventually(lambda: ask("plain.test") == ["10.1.1.1"], 20)
            assert ask("cart") == []
            assert udp(web, up.v4, question("plain.test", A))[-4:] == b"\x0a\1\1\1"
            if sig == signal.SIGSTOP:
                os.kill(web.proc.pid, signal.SIGCONT)
                eventually(lambda: ask("cart") == ["10.77.9.1"])
        web.proc.wait()
        web.proc = None
        web.start("--workload=default/web-v6")
        asks(web, conf, lab.meshd, "redirect", "up", "--mode=ztunnel", "--dns")
        eventually(lambda: ask("cart") == ["10.77.9.1"])


def test_with_a_resolver_on_loopback():
    """As systemd-resolved and dnsmasq are used: the host asks 127.0.0.1, which asks the network; both ways lead through us."""
    with Lab() as lab:
        up = lab.plain("up")
        dnsmasq(lab, up)
        web, conf = host_with_dns(lab, up, "nameserver 127.0.0.1\n")
        local = Upstream(lab, web, "dnsmasq", "-k", "-C", "/dev/null", "-p", "53", "--no-resolv", "--no-hosts", "--user=root",
                         f"--pid-file={lab.dir}/dnsmasq-local.pid", f"--server={up.v4}", "--listen-address=127.0.0.1", "--bind-interfaces",
                         ip="127.0.0.1")
        ask = lambda name: asks(web, conf, "getent", "ahostsv4", name, check=False).stdout.split()[:1]
        eventually(lambda: ask("cart.default") == ["10.77.9.1"])
        assert ask("plain.test") == ["10.1.1.1"]
        got = udp(web, "127.0.0.1", question("plain.test", TXT, edns=1232))
        assert counts(got)[:2] == (0, 1)
        assert web.metric("istio_dns_upstream_failures_total") == 0
        os.kill(web.proc.pid, signal.SIGKILL)
        web.proc.wait()
        eventually(lambda: ask("plain.test") == ["10.1.1.1"], 20)
        web.proc = None
