#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""meshd and ztunnel as the node's proxy under a real istiod, side by side: istio-cni's own server and rules, a client pod and a server
pod on two nodes, policy, mutual TLS. What bench.py measures, and what only a control plane brings.

usage: istiod.py [--programs meshd,ztunnel] [--rounds 3] [--secs 5] [--what lat,flat,conn,bulk,churn,pods,load] [--objects 10000]
As root. Peers as for tests/interop; ztunnel by PATH or $ZTUNNEL. $THREADS: workers of every proxy (2). CPU and memory are sums over both
nodes' proxies, except pods (50 idle pods on one node) and load (a mesh of objects x 10 workloads arriving), which are one proxy's."""
import argparse, concurrent.futures, json, os, statistics, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [f"{HERE}/../interop", HERE]
sys.dont_write_bytecode = True
from ambient import MESHD, ZTUNNEL, Node
from bench import PORT, THREADS, Bench, cpu_s, pss_kib, table
from cluster import Cluster
from harness import eventually, sh

PODS = 50


class Pair:
    """The two nodes' proxies, in the shape that Bench wants."""
    def __init__(self, *nodes):
        self.nodes = nodes

    def pids(self):
        return [n.daemon.proc.pid for n in self.nodes]


def start(c, name, program):
    return Node(c, name, program, env={"ZTUNNEL_WORKER_THREADS": THREADS, "LOG_FORMAT": "plain"})


def parallel(fn, items, n=16):
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        list(pool.map(fn, items))


class Churn:
    """Another service's pods come and go in readiness, as fast as the API server takes it."""
    def __init__(self, c):
        self.c, self.done, self.changes = c, False, 0
        for i in range(20):
            c.pod_object("other", f"p{i}", [f"10.99.0.{i + 1}"], labels={"app": "p"}, sa="p", node="node9", hbone=False)
        c.service("other", "p", {80: 80})
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def one(self, i):
        while not self.done:
            self.c.pod_status("other", f"p{i}", [f"10.99.0.{i + 1}"], ready=self.changes % 2 == 0)
            self.changes += 1

    def run(self):
        parallel(self.one, range(4), 4)

    def stop(self):
        self.done = True
        self.thread.join()


def traffic(program, load, secs, what):
    with Cluster() as c:
        one, two = start(c, "node1", program), start(c, "node2", program)
        c.client, c.server = one.pod("default", "client"), two.pod("default", "server")
        c.apply(json.dumps({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "a", "namespace": "default"},
                "spec": {"rules": [{"from": [{"source": {"principals": [c.client.identity.removeprefix("spiffe://")]}}]}]}}))
        one.start()
        two.start()
        server = c.server.popen(load, "serve", str(PORT))
        try:
            eventually(lambda: c.client.talk(c.server.v4, PORT, b"x") is not None, 20)
            b = Bench(c, Pair(one, two), load, secs)
            for w in ("lat", "flat", "conn", "bulk"):
                if w in what:
                    getattr(b, w)()
            if "churn" in what:
                churn, t = Churn(c), time.time()
                j, cpu = b.client("echo", 16, secs, 1000, 0)
                churn.stop()
                b.row.update(churn_per_s=churn.changes / (time.time() - t), churn_p50_us=j["p50"], churn_p99_us=j["p99"], churn_cpu_us_req=cpu / j["n"] * 1e6)
            return b.row
        finally:
            server.kill()
            server.wait()


def pods(program):
    """Memory for each of PODS idle pods that join one node."""
    with Cluster() as c:
        node = start(c, "node1", program)
        first = node.pod("default", "first")
        node.start()
        pair = Pair(node)
        time.sleep(1)
        base, before = pss_kib(pair.pids()), cpu_s(pair.pids())
        for i in range(PODS):
            node.pod("default", f"idle{i}")
        time.sleep(3)
        return {"pods_idle_mib": base / 1024, "kib_pod": (pss_kib(pair.pids()) - base) / PODS, "cpu_ms_pod": (cpu_s(pair.pids()) - before) / PODS * 1e3}


def mesh(programs, objects):
    """A mesh of `objects` services with 10 workloads each, from ServiceEntries: seconds until ready, MiB."""
    rows = {}
    with Cluster() as c:
        c.namespace("big")
        def one(i):
            at = lambda k: f"10.{64 + (i * 10 + k >> 16)}.{(i * 10 + k) >> 8 & 255}.{(i * 10 + k) & 255}"
            c.api("POST", "/apis/networking.istio.io/v1/namespaces/big/serviceentries", {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
                  "metadata": {"name": f"s{i}"}, "spec": {"hosts": [f"s{i}.big.example"], "addresses": [f"10.200.{i >> 8}.{i & 255}"], "location": "MESH_INTERNAL",
                  "resolution": "STATIC", "ports": [{"number": 80, "name": "tcp", "protocol": "TCP", "targetPort": 8080}],
                  "endpoints": [{"address": at(k), "serviceAccount": f"sa{i % 1000}"} for k in range(10)]}})
        parallel(one, range(objects))
        for i, program in enumerate(programs):
            node = start(c, f"node{i + 1}", program)
            time.sleep(5)
            t = time.time()
            node.start(wait=False)
            node.ready(180)
            seconds = time.time() - t
            time.sleep(2)
            n = len(json.loads(node.host.http("/config_dump", timeout=60)[1])["workloads"])
            node_pids = Pair(node).pids()
            rows[program] = {"load_workloads": n, "load_s": seconds, "load_cpu_s": cpu_s(node_pids), "load_mib": pss_kib(node_pids) / 1024}
            node.stop()
    return rows


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--programs", default="meshd,ztunnel")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--secs", type=float, default=5)
    ap.add_argument("--what", default="lat,flat,conn,bulk,churn,pods,load")
    ap.add_argument("--objects", type=int, default=10000)
    a = ap.parse_args()
    programs, what = a.programs.split(","), a.what.split(",")
    rows = {p: {} for p in programs}
    with tempfile.TemporaryDirectory() as d:
        load = f"{d}/load"
        sh(os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-o", load, f"{HERE}/load.c")
        for r in range(a.rounds):
            for p in programs:
                row = traffic(p, load, a.secs, what) if {"lat", "flat", "conn", "bulk", "churn"} & set(what) else {}
                if "pods" in what and r == 0:
                    row.update(pods(p))
                print(f"round {r + 1} {p}: " + json.dumps({k: round(v, 2) for k, v in row.items()}), flush=True)
                for k, v in row.items():
                    rows[p].setdefault(k, []).append(v)
    if "load" in what:
        for p, row in mesh(programs, a.objects).items():
            print(f"load {p}: " + json.dumps({k: round(v, 2) for k, v in row.items()}), flush=True)
            rows[p].update({k: [v] for k, v in row.items()})
    table({p: {k: statistics.median(v) for k, v in m.items()} for p, m in rows.items()})


if __name__ == "__main__":
    main()
