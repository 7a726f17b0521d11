# SPDX-License-Identifier: Apache-2.0
"""Nodes of an ambient mesh as Istio's charts make them: istio-cni's own ZDS server and capture rules, and meshd or the real ztunnel as
the node's proxy, started with the environment of the ztunnel chart.

    with Cluster() as c:
        one, two = Node(c, "node1", MESHD), Node(c, "node2", ZTUNNEL)
        web, shop = one.pod("default", "web"), two.pod("default", "shop")
        one.start(); two.start()
"""
import os, signal, subprocess
from cluster import PEERS, ztunnel_path
from harness import eventually

MESHD, ZTUNNEL = "meshd", "ztunnel"


class Node:
    def __init__(self, cluster, name, program=MESHD, env={}):
        self.c, self.name, self.program, self.env = cluster, name, program, env
        if program == ZTUNNEL:
            ztunnel_path()       # skips early
        self.host, self.zds = cluster.node(name), cluster.zds(name)
        self.token = f"{cluster.dir}/token-{name}"
        self.renew_token()
        self.daemon, self.starts = None, 0

    def renew_token(self, **kw):
        with open(self.token + ".new", "w") as f:
            f.write(self.c.ztunnel_token(self.name, **kw))
        os.rename(self.token + ".new", self.token)

    def command(self):
        own = [f"--handover-dir={self.c.dir}/handover-{self.name}"]      # nodes share the file system here
        return [self.c.meshd, "proxy", "ztunnel", *own] if self.program == MESHD else [ztunnel_path(), "proxy", "ztunnel"]

    def environment(self):
        return {"XDS_ADDRESS": f"https://{self.c.istiod}", "CA_ADDRESS": f"https://{self.c.istiod}", "XDS_ROOT_CA": self.c.root,
                "CA_ROOT_CA": self.c.root, "AUTH_TOKEN": self.token, "NODE_NAME": self.name, "POD_NAME": f"ztunnel-{self.name}",
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

    def log(self):
        return self.daemon.log()
