# SPDX-License-Identifier: Apache-2.0
"""The pairs of proxies that bench.py compares: one on the client's host, one on the server's, mutual TLS between."""
import json, os, shutil, subprocess
from harness import eventually, policy, principal, service
from pki import Pki

THREADS = os.environ.get("THREADS", "2")
PORT = 8080

class Peer:
    """One pair of proxies between lab.client and lab.server; .pids() are theirs."""
    load = "echo"           # or "http": what goes through it, of load.c
    def __init__(self, lab):
        self.lab, self.procs = lab, []

    def spawn(self, host, *cmd, env=None):
        log = open(f"{self.lab.dir}/{self.name}-{host.name}.log", "w")
        p = host.popen(*cmd, stdout=log, stderr=log, env={**os.environ, **(env or {})})
        self.procs.append(p)

    def at(self):
        """Where the load goes."""
        return self.lab.server.v4, PORT

    def pids(self):
        return [p.pid for p in self.procs]

    def middle(self):
        """Those of them that are a waypoint."""
        return []

    def stop(self):
        for p in self.procs:
            p.terminate()
        for p in self.procs:
            p.wait(20)

    def listening(self, host, port):
        eventually(lambda: host.run("ss", "-ltnH", f"sport = :{port}").stdout.strip(), 30, what=f"{self.name} on {host.name}:{port}")

    @classmethod
    def here(cls):
        return True


class Direct(Peer):
    name = "direct"

    def start(self):
        pass


# The same capture for every peer: the proxies are compared, not rules. The load runs as LOAD_USER.
LOAD_USER = 65534
REDIRECT = """table ip bench {
 chain output {
  type nat hook output priority -100;
  oifname lo accept
  meta skuid 65534 tcp dport %d redirect to :15001
 }
}
"""


# What comes to the application goes to the server's proxy first, where it listens on another port (layer 7).
INBOUND = """table ip bench {
 chain prerouting {
  type nat hook prerouting priority -100;
  tcp dport %d redirect to :%d
 }
}
"""


class Meshd(Peer):
    name = "meshd"
    env = {"ENABLE_ORIG_SRC": "false"}

    def start(self):
        lab = self.lab
        for h in (lab.client, lab.server):
            lab.workload(h)
        lab.write("policy.yaml", policy("only-client", f"[{principal('client')}]", app="server"))
        for h in (lab.server, lab.client):
            h.start(f"--concurrency={THREADS}", "--log-format=text", env=self.env, capture=False)
        lab.client.run("nft", "-f", "-", input=REDIRECT % PORT)

    def pids(self):
        return [h.proc.pid for h in (self.lab.client, self.lab.server)]

    def stop(self):
        for h in (self.lab.client, self.lab.server):
            h.stop()


class Ztunnel(Peer):
    name = "ztunnel"

    @classmethod
    def here(cls):
        cls.path = os.environ.get("ZTUNNEL") or shutil.which("ztunnel")
        return cls.path

    def config(self):
        rows = "".join(f'- {{uid: "c//Pod/default/{h.name}", name: {h.name}, namespace: default, serviceAccount: {h.name}, trustDomain: cluster.local, '
                       f'workloadIps: ["{h.v4}"], protocol: HBONE, node: n, network: "", services: {{}}}}\n' for h in (self.lab.client, self.lab.server))
        return f"workloads:\n{rows}policies: []\nservices: []\n"

    def start(self):
        path = f"{self.lab.dir}/zt.yaml"
        with open(path, "w") as f:
            f.write(self.config())
        self.lab.client.run("nft", "-f", "-", input=REDIRECT % PORT)
        for h in (self.lab.server, self.lab.client):
            self.spawn(h, self.path, env=dict(FAKE_CA="true", XDS_ADDRESS="", LOCAL_XDS_PATH=path, PROXY_MODE="dedicated", PACKET_MARK="1337",
                       PROXY_WORKLOAD_INFO=f"default/{h.name}/{h.name}", ENABLE_ORIG_SRC="false", ZTUNNEL_WORKER_THREADS=THREADS))
        self.listening(self.lab.server, 15008)
        self.listening(self.lab.client, 15001)


class HaproxyTcp(Peer):
    """A TLS connection for each TCP connection: what a plain C relay costs on the same OpenSSL."""
    name, mode, more, to = "haproxy-tcp", "tcp", "", 15101

    @classmethod
    def here(cls):
        return shutil.which("haproxy")

    def start(self):
        lab, pki = self.lab, Pki(self.lab.dir, self.name)
        head = (f"global\n nbthread {THREADS}\n maxconn 9000\ndefaults\n mode {self.mode}\n{self.more} timeout client 60s\n timeout server 60s\n"
                " timeout connect 5s\n")
        def tls(h):
            cert, key, root = pki.leaf(h.name)
            with open(f"{lab.dir}/{h.name}.both", "w") as f:
                f.write(open(cert).read() + open(key).read())
            return f"ssl crt {lab.dir}/{h.name}.both ca-file {root} verify required"
        rows = {lab.server: f"listen s\n bind :15101 {tls(lab.server)}\n server a {lab.server.v4}:{PORT}\n",
                lab.client: f"listen c\n bind :15001\n server s {lab.server.v4}:{self.to} {tls(lab.client)}\n"}
        lab.client.run("nft", "-f", "-", input=REDIRECT % PORT)
        if self.to == PORT:
            lab.server.run("nft", "-f", "-", input=INBOUND % (PORT, 15101))
        for h, text in rows.items():
            with open(f"{lab.dir}/{h.name}.cfg", "w") as f:
                f.write(head + text)
            self.spawn(h, "haproxy", "-db", "-f", f"{lab.dir}/{h.name}.cfg")
        self.listening(lab.server, 15101)
        self.listening(lab.client, 15001)


class Haproxy(HaproxyTcp):
    """HTTP/1.1 on both hops, pooled; without a log and without a policy."""
    name, mode, load, more, to = "haproxy", "http", "http", " option http-keep-alive\n http-reuse always\n", PORT


class MeshdSidecars(Meshd):
    """Identity checked, access log written."""
    name, load = "meshd-sidecars", "http"

    def start(self):
        lab = self.lab
        for h in (lab.client, lab.server):
            lab.workload(h, tunnel=False, labels={"security.istio.io/tlsMode": "istio"})
        lab.write("policy.yaml", policy("only-client", f"[{principal('client')}]", app="server"))
        lab.write("service.yaml", service("server", {PORT: PORT}, [lab.server.v4], family="v4", protocol="HTTP"))
        lab.write("mesh.yaml", "accessLogFile: /dev/null\n")
        for h in (lab.server, lab.client):
            h.mode = "sidecar"
            h.start(f"--concurrency={THREADS}", "--log-format=text", env=self.env, capture=False)
        lab.client.run("nft", "-f", "-", input=REDIRECT % PORT)
        lab.server.run("nft", "-f", "-", input=INBOUND % (PORT, 15006))


class Envoy(Peer):
    """As Istio lays them out for HTTP: plaintext in at the client's, mutual TLS between, RBAC on the peer's SPIFFE ID at the server's, a
    log each."""
    name, load = "envoy", "http"

    @classmethod
    def here(cls):
        cls.path = os.environ.get("ENVOY") or shutil.which("envoy")
        return cls.path

    def config(self, h, files, port, to, caller):
        kind = "type.googleapis.com/envoy.extensions."
        tls = {"tls_certificates": [{"certificate_chain": {"filename": files[0]}, "private_key": {"filename": files[1]}}],
               "validation_context": {"trusted_ca": {"filename": files[2]}, "match_typed_subject_alt_names": [
                   {"san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/"}}]}}
        socket = {"name": "tls", "typed_config": {"@type": kind + f"transport_sockets.tls.v3.{'Downstream' if caller else 'Upstream'}TlsContext",
                  "common_tls_context": tls, **({"require_client_certificate": True} if caller else {})}}
        at = lambda ip, port: {"socket_address": {"address": ip, "port_value": port}}
        rbac = [{"name": "rbac", "typed_config": {"@type": kind + "filters.http.rbac.v3.RBAC", "rules": {"action": "ALLOW", "policies": {"p": {
            "permissions": [{"any": True}], "principals": [{"authenticated": {"principal_name": {"exact": caller}}}]}}}}}] if caller else []
        hcm = {"@type": kind + "filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "l",
               "access_log": [{"name": "f", "typed_config": {"@type": kind + "access_loggers.file.v3.FileAccessLog", "path": "/dev/null"}}],
               "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}]}]},
               "http_filters": rbac + [{"name": "router", "typed_config": {"@type": kind + "filters.http.router.v3.Router"}}]}
        return {"node": {"id": h.name, "cluster": "bench"}, "static_resources": {
            "listeners": [{"name": "l", "address": at("0.0.0.0", port), "filter_chains": [
                {"filters": [{"name": "hcm", "typed_config": hcm}], **({"transport_socket": socket} if caller else {})}]}],
            "clusters": [{"name": "up", "type": "STATIC", "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": at(*to)}}]}]}, **({} if caller else {"transport_socket": socket})}]}}

    def start(self):
        lab, pki = self.lab, Pki(self.lab.dir, self.name)
        lab.client.run("nft", "-f", "-", input=REDIRECT % PORT)
        lab.server.run("nft", "-f", "-", input=INBOUND % (PORT, 15006))
        for h, port, caller in ((lab.server, 15006, lab.client.identity), (lab.client, 15001, None)):
            path = f"{lab.dir}/envoy-{h.name}.json"
            with open(path, "w") as f:
                json.dump(self.config(h, pki.leaf(h.name), port, (lab.server.v4, PORT), caller), f)
            self.spawn(h, self.path, "-c", path, "--concurrency", THREADS, "-l", "warn", "--use-dynamic-base-id")
            self.listening(h, port)


PEERS = {p.name: p for p in (Direct, Meshd, HaproxyTcp, Ztunnel, MeshdSidecars, Haproxy, Envoy)}
