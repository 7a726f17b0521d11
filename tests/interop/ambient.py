# SPDX-License-Identifier: Apache-2.0
"""Nodes of an ambient mesh as Istio's charts make them: istio-cni's own ZDS server and capture rules, and meshd or the real ztunnel as
the node's proxy, started with the environment of the ztunnel chart.

    with Cluster() as c:
        one, two = Node(c, "node1", MESHD), Node(c, "node2", ZTUNNEL)
        web, shop = one.pod("default", "web"), two.pod("default", "shop")
        one.start(); two.start()
With REFERENCE set the real ztunnel takes the place of meshd everywhere: it shows that a test asks for nothing that ztunnel does not do.
"""
import json, os, signal, subprocess, threading, time
from cluster import PEERS, replace, ztunnel_path
from harness import eventually, sh

MESHD, ZTUNNEL = "meshd", "ztunnel"
REFERENCE = bool(os.environ.get("REFERENCE"))


class Node:
    def __init__(self, cluster, name, program=MESHD, env={}):
        self.c, self.name, self.env = cluster, name, env
        self.use(program)
        self.host, self.zds, self.pods = cluster.node(name), cluster.zds(name), []
        self.token, self.instance = f"{cluster.dir}/token-{name}", f"ztunnel-{name}"
        self.renew_token()
        self.daemon, self.starts = None, 0

    def use(self, program):
        """What the next start() starts."""
        self.program = ZTUNNEL if REFERENCE else program
        if self.program == ZTUNNEL:
            ztunnel_path()       # skips early

    def renew_token(self, **kw):
        replace(self.token, self.c.token("istio-system", "ztunnel", pod=self.instance, **kw))

    def command(self):
        own = [f"--handover-dir={self.c.dir}/handover-{self.name}"]      # nodes share the file system here
        return [self.c.meshd, "proxy", "ztunnel", *own] if self.program == MESHD else [ztunnel_path(), "proxy", "ztunnel"]

    def environment(self):
        return {"XDS_ADDRESS": f"https://{self.c.istiod}", "CA_ADDRESS": f"https://{self.c.istiod}", "XDS_ROOT_CA": self.c.root,
                "CA_ROOT_CA": self.c.root, "AUTH_TOKEN": self.token, "NODE_NAME": self.name, "POD_NAME": self.instance,
                "POD_NAMESPACE": "istio-system", "SERVICE_ACCOUNT": "ztunnel", "INSTANCE_IP": self.host.v4, "CLUSTER_ID": "Kubernetes",
                "ISTIO_META_CLUSTER_ID": "Kubernetes", "ISTIO_META_DNS_CAPTURE": "true", "ISTIO_META_DNS_PROXY_ADDR": "127.0.0.1:15053",
                "INPOD_ENABLED": "true", "INPOD_UDS": self.zds.socket, "ZTUNNEL_WORKER_THREADS": "2", "RUST_LOG": "info", "LOG_FORMAT": "json",
                "TERMINATION_GRACE_PERIOD_SECONDS": "7", "ISTIO_META_ENABLE_HBONE": "true", **self.env}

    def start(self, wait=True, env={}):
        self.starts += 1
        self.daemon = self.c.daemon(self.host, f"{self.program}-{self.name}-{self.starts}", *self.command(), env={**self.environment(), **env})
        if wait:
            self.ready()
        return self

    def is_ready(self):
        return self.host.http("/healthz/ready", port=15021)[0] == 200

    def ready(self, seconds=20):
        def up():
            self.daemon.alive()
            return self.is_ready()
        eventually(up, seconds, what=f"{self.daemon.name} ready")

    def stop(self, sig=signal.SIGTERM, timeout=15):
        return self.daemon.stop(sig, timeout)

    def kill(self):
        """As the kernel does when memory is short; the kubelet starts it again."""
        self.c.forget(self.daemon, signal.SIGKILL)
        self.start()

    def roll(self):
        """As the DaemonSet does with maxSurge 1: the next one is ready in a pod of its own before the one before has to go."""
        before, self.instance = self.daemon, f"ztunnel-{self.name}-{self.starts + 1}"
        self.host = self.c.plain(self.instance)
        self.c.pod_object("istio-system", self.instance, [self.host.v4, self.host.v6], {"app": "ztunnel"}, "ztunnel", self.name, hbone=False)
        self.renew_token()
        self.start()
        self.c.forget(before)

    def restart_cni(self, keep=()):
        """istio-cni ends without a word and starts again; its snapshot is complete before it listens. keep: pods whose network namespaces
        it does not find."""
        path = self.zds.socket
        self.c.forget(self.zds, signal.SIGKILL)
        self.zds = self.c.zds(self.name, path + ".new")
        for pod in self.pods:
            if pod in keep:
                self.zds.keep(pod.uid)
            else:
                self.zds.add(pod)
        os.rename(path + ".new", path)
        self.zds.socket = path

    def pod(self, ns, name, add=True, **more):
        """A pod on this node, captured by istio-cni's rules and given to the node's proxy."""
        pod = self.c.pod(ns, name, node=self.name, **more)
        if add:
            self.add(pod)
        return pod

    def add(self, pod):
        r = subprocess.run(["nsenter", f"--net={pod.netns}", f"{PEERS}/inpodrules"], capture_output=True, text=True, env=self.c.env)
        assert r.returncode == 0, r.stdout + r.stderr
        error = self.zds.add(pod)
        assert not error, error
        self.pods.append(pod)

    def remove(self, pod):
        """The pod ends: its API object, its interface, then istio-cni's word to the proxy."""
        self.c.pod_delete(pod.namespace, pod.pod)
        self.unplug(pod)
        self.zds.delete(pod)
        self.pods.remove(pod)

    def unplug(self, pod):
        """What the container runtime does: the pod's network is gone, its address is free."""
        sh("ip", "-n", self.c.hub, "link", "del", f"v{pod.index}")
        sh("ip", "netns", "del", pod.ns)
        os.close(pod.fd)
        self.c.hosts.remove(pod)

    def cut_off(self, ip):
        """Packets from and to this address are lost; returns what undoes it."""
        self.host.run("nft", "-f", "-", input=f"""table ip cut {{
            chain in {{ type filter hook input priority 0; ip saddr {ip} drop; }}
            chain out {{ type filter hook output priority 0; ip daddr {ip} drop; }}
        }}""")
        return lambda: self.host.run("nft", "delete", "table", "ip", "cut")

    def dump(self):
        return json.loads(self.host.http("/config_dump")[1])

    def certificates(self):
        """{identity: its entry in the dump} of those that have come."""
        return {c["identity"]: c for c in self.dump()["certificates"] if c.get("certChain")}

    def log(self):
        return self.daemon.log()


class Load:
    """Traffic during which something happens: connections of one request each, one after the other, and connections that live.

        with Load(web, vip, 80) as load:
            ...
        load.failed == [] and load.lost == []       # (seconds since the start, why)
    """
    def __init__(self, host, ip, port, clients=2, live=8, pause=0.02, timeout=5):
        self.host, self.ip, self.port, self.pause, self.timeout = host, ip, port, pause, timeout
        self.done, self.failed, self.lost, self.longest = 0, [], [], 0
        self.start, self.over = time.time(), threading.Event()
        self.live = [host.connect(ip, port, timeout) for _ in range(live)]
        self.threads = [threading.Thread(target=self.requests, daemon=True) for _ in range(clients)] + [threading.Thread(target=self.beats, daemon=True)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join(self.timeout + 5)
        for s in self.live:
            s.close()

    def note(self, where, error):
        where.append((round(time.time() - self.start, 2), repr(error)))

    def requests(self):
        while not self.over.wait(self.pause):
            began = time.time()
            try:
                assert self.host.talk(self.ip, self.port, b"x" * 1000, self.timeout) == b"x" * 1000, "short answer"
                self.done += 1
            except (OSError, AssertionError) as e:
                self.note(self.failed, e)
            self.longest = max(self.longest, time.time() - began)

    def beats(self):
        """Each live connection says something about ten times a second."""
        while not self.over.wait(0.1):
            for s in list(self.live):
                try:
                    s.sendall(b"ping")
                    got = s.recv(4)
                    assert got, "EOF"
                except (OSError, AssertionError) as e:
                    self.note(self.lost, e)
                    s.close()
                    self.live.remove(s)

    def __str__(self):
        why = "".join(f"\n    {t:7.2f} s {e}" for t, e in (self.failed + self.lost)[:12])
        return (f"{len(self.failed)} of {self.done + len(self.failed)} requests failed, {len(self.lost)} of {len(self.lost) + len(self.live)} live connections lost, "
                f"longest request {self.longest * 1000:.0f} ms{why}")
