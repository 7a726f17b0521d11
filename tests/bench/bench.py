#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""meshd and its peers side by side: two hosts, a proxy on each, mutual TLS between, the same loads through one after the other.

usage: bench.py [--layer 4|7|waypoint] [--peers meshd,haproxy-tcp,ztunnel] [--rounds 5] [--secs 5] [--what lat,flat,conn,bulk,calls,mem,routes,load] [--json FILE]
Layer 4: bytes, by HBONE or TLS; 7: HTTP/1.1 requests, through meshd-sidecars, haproxy (no policy, no log), envoy; waypoint: the same through
three proxies (ways.py): meshd thrice, meshd as sidecar that goes through the waypoint, Envoy as waypoint between meshds, and between ztunnels.
As root. haproxy and strace by PATH; envoy by PATH or $ENVOY; ztunnel by PATH or $ZTUNNEL (built with its `testing` feature; as neighbour of
Envoy also $ZT_CA); a peer that is missing is left out.
$THREADS: workers of every proxy (2). CPU and memory are sums over all proxies, what begins with way_ is the waypoint's alone; added_ is
beyond the same load without proxies. Prints medians over the rounds, then meshd's as ratios
to each peer. Figures compare within one run only, and nothing here fails because of a time."""
import argparse, json, os, re, shutil, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{HERE}/../scenario")
sys.dont_write_bytecode = True
from harness import Lab, REAL_ROOT, eventually, service, sh
sys.path.append(f"{HERE}/../interop")
from peers import LOAD_USER, PEERS, PORT, THREADS
from ways import WAYS

HZ = os.sysconf("SC_CLK_TCK")
AS_USER = ["setpriv", f"--reuid={LOAD_USER}", "--clear-groups"]
TUNNELS, SIDECARS, WAYPOINTS = "meshd,haproxy-tcp,ztunnel", "meshd-sidecars,haproxy,envoy", ",".join(WAYS)
PEERS = {**PEERS, **WAYS}
ROUTES, CHANGES = 5000, 5


# --- what is measured

def cpu_s(pids):
    t = 0
    for p in pids:
        s = open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()
        t += int(s[11]) + int(s[12])
    return t / HZ


def pss_kib(pids):
    return sum(int(re.search(r"^Pss:\s+(\d+)", open(f"/proc/{p}/smaps_rollup").read(), re.M)[1]) for p in pids)


# Asks one connection for /change again and again; says when the status is another.
PROBE = """
import http.client, sys, time
c, last = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20), 0
while True:
    c.request("GET", "/change")
    r = c.getresponse()
    r.read()
    if r.status != last:
        print(r.status, time.time(), flush=True)
    last = r.status
    time.sleep(0.001)
"""


class Bench:
    def __init__(self, lab, peer, load, secs):
        self.lab, self.peer, self.load, self.secs, self.row = lab, peer, load, secs, {}

    def run(self, user, at, *args):
        r = self.lab.client.run(*user, self.load, args[0], at[0], str(at[1]), *map(str, args[1:]), timeout=self.secs + 60)
        return json.loads(r.stdout)

    def client(self, *args):
        """Runs a load; its JSON, and the proxies' CPU seconds meanwhile."""
        c0, w0 = cpu_s(self.peer.pids()), cpu_s(self.peer.middle())
        j = self.run(AS_USER, self.peer.at(), *args)
        self.way_s = cpu_s(self.peer.middle()) - w0
        return j, cpu_s(self.peer.pids()) - c0

    def cpu(self, what, n, c):
        self.row[f"cpu_us_{what}"] = c / n * 1e6
        if self.peer.middle():
            self.row[f"way_cpu_us_{what}"] = self.way_s / n * 1e6

    def lat(self):
        if self.peer.middle():       # what is of root is not captured
            alone = self.run([], (self.lab.server.v4, PORT), self.peer.load, 16, self.secs, 1000, 0)
        j, c = self.client(self.peer.load, 16, self.secs, 1000, 0)
        self.row.update(p50_us=j["p50"], p99_us=j["p99"])
        if self.peer.middle():
            self.row.update({f"added_{p}_us": j[p] - alone[p] for p in ("p50", "p99")})
        self.cpu("req_1000", j["n"], c)

    def flat(self):
        j, c = self.client(self.peer.load, 32, self.secs, 0, 0)
        self.row.update(req_s=j["rate"])
        self.cpu("req_flat", j["n"], c)

    def conn(self):
        j, c = self.client(self.peer.load, 16, self.secs, 0, 1)
        self.row.update(conn_s=j["rate"], conn_failed=j["failed"])
        self.cpu("conn", j["n"], c)

    def bulk(self):
        for kind, name in (("u", "up"), ("d", "down")):
            j, c = self.client("bulk", self.secs, kind)
            self.row.update({f"gbit_{name}": j["bytes"] * 8 / j["seconds"] / 1e9, f"cpu_s_gib_{name}": c / (j["bytes"] / 2**30)})

    def calls(self):
        """System calls of both proxies for each GB; counted in a run of its own, since counting slows it."""
        if not shutil.which("strace") or not self.peer.pids():
            return
        for kind, name in (("u", "up"), ("d", "down")):
            out = f"{self.lab.dir}/strace"
            s = subprocess.Popen(["strace", "-c", "-f", "-o", out] + sum((["-p", str(p)] for p in self.peer.pids()), []), stderr=subprocess.DEVNULL)
            time.sleep(1)
            j, _ = self.client("bulk", 2, kind)
            s.terminate()
            s.wait()
            m = re.search(r"^\s*100\.00\s+\S+\s+(?:\S+\s+)?(\d+)(?:\s+\d+)?\s+total", open(out).read(), re.M)
            self.row[f"calls_gb_{name}"] = int(m[1]) / (j["bytes"] / 1e9)

    def mem(self):
        pids = self.peer.pids()
        if not pids:
            return
        self.row["idle_mib"] = pss_kib(pids) / 1024
        if self.peer.middle():
            self.row["way_idle_mib"] = pss_kib(self.peer.middle()) / 1024
        for n in (1000, 4000):
            base = pss_kib(pids)
            h = self.lab.client.popen(*AS_USER, self.load, "hold", self.peer.at()[0], str(PORT), str(n), self.peer.load, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            held = int(h.stdout.readline() or 0)
            time.sleep(1)
            self.row[f"kib_conn_{n}"] = (pss_kib(pids) - base) / max(held, 1)
            h.stdin.close()
            h.wait()
            time.sleep(2)

    def routes(self):
        """A waypoint with many routes: its memory, and how long until traffic sees one more."""
        if not self.peer.middle():
            return
        self.peer.routes(ROUTES)
        probe = self.lab.client.popen(*AS_USER, sys.executable, "-c", PROBE, self.peer.at()[0], str(PORT), stdout=subprocess.PIPE, text=True)
        assert probe.stdout.readline().startswith("200")
        time.sleep(1)
        self.row["way_routes_mib"] = pss_kib(self.peer.middle()) / 1024
        took = []
        for status in range(480, 480 + CHANGES):
            t = time.time()
            self.peer.routes(ROUTES, change=status)
            seen = probe.stdout.readline().split()
            assert seen[0] == str(status), seen
            took.append((float(seen[1]) - t) * 1e3)
        self.row["way_change_ms"] = statistics.median(took)
        probe.kill()
        probe.wait()

    def after(self):
        if self.peer.pids():
            time.sleep(5)
            self.row["after_mib"] = pss_kib(self.peer.pids()) / 1024


def measure(name, load, secs, what):
    with Lab() as lab:
        lab.client, lab.server = lab.plain("client", "server")
        server = lab.server.popen(load, "serve", str(PORT))
        peer = PEERS[name](lab)
        try:
            peer.listening(lab.server, PORT)
            peer.start()
            if peer.middle():        # once the way is open
                eventually(lambda: lab.client.run(*AS_USER, load, "http", *map(str, peer.at()), "1", "0.1", "10", "0", timeout=10), 15)
            time.sleep(1)
            b = Bench(lab, peer, load, secs)
            for w in ("mem", "lat", "flat", "conn", "routes", "bulk", "calls"):
                if w in what and not (peer.load == "http" and w in ("bulk", "calls")):
                    getattr(b, w)()
            b.after()
            return b.row
        finally:
            peer.stop()
            server.kill()
            server.wait()


# --- a large mesh from files

def big_mesh(name):
    """100 000 workloads and 10 000 services: seconds until ready, and MiB."""
    n, services = 100000, 10000
    with Lab() as lab:
        lab.client = lab.plain("client")
        ip = lambda i: f"10.{64 + (i >> 16)}.{i >> 8 & 255}.{i & 255}"
        if name == "meshd":
            lab.workload(lab.client)
            with open(f"{lab.config}/workloads.yaml", "w") as f:
                for i in range(n):
                    f.write(f"apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: w{i}, namespace: ns{i % 100}}}\n"
                            f"spec: {{address: {ip(i)}, serviceAccount: sa{i % 1000}, labels: {{app: s{i % services}, networking.istio.io/tunnel: http}}}}\n---\n")
            with open(f"{lab.config}/services.yaml", "w") as f:
                for i in range(services):
                    f.write(service(f"s{i}", {80: 8080}, [f"10.200.{i >> 8}.{i & 255}"], ns=f"ns{i % 100}"))
            lab.ca()
            t = time.time()
            lab.client.start(capture=False, ready=False)
            pid = lab.client.proc.pid
        else:
            path = f"{lab.dir}/zt.yaml"
            with open(path, "w") as f:
                f.write(f'workloads:\n- {{uid: c, name: client, namespace: default, serviceAccount: client, workloadIps: ["{lab.client.v4}"], services: {{}}}}\n')
                for i in range(n):
                    s = i % services
                    f.write(f'- {{uid: w{i}, name: w{i}, namespace: ns{i % 100}, serviceAccount: sa{i % 1000}, workloadIps: ["{ip(i)}"], protocol: HBONE, '
                            f'services: {{ns{s % 100}/s{s}.ns{s % 100}.svc.cluster.local: {{80: 8080}}}}}}\n')
                f.write("policies: []\nservices:\n")
                for i in range(services):
                    f.write(f'- {{name: s{i}, namespace: ns{i % 100}, hostname: s{i}.ns{i % 100}.svc.cluster.local, vips: ["/10.200.{i >> 8}.{i & 255}"], ports: {{80: 8080}}}}\n')
            z = PEERS[name](lab)
            t = time.time()
            z.spawn(lab.client, z.path, env=dict(FAKE_CA="true", XDS_ADDRESS="", LOCAL_XDS_PATH=path, PROXY_MODE="dedicated",
                    PROXY_WORKLOAD_INFO="default/client/client", ZTUNNEL_WORKER_THREADS=THREADS))
            pid = z.procs[0].pid
            lab.closing.append(type("Stop", (), {"close": lambda self: z.stop()})())
        eventually(lambda: lab.client.http("/healthz/ready", port=15021)[0] == 200, 120)
        seconds = time.time() - t
        time.sleep(1)
        return {"load_s": seconds, "load_mib": pss_kib([pid]) / 1024}


# --- the table

def table(rows):
    names = list(rows)
    keys = [k for k in dict.fromkeys(k for r in rows.values() for k in r)]
    print("\n" + " " * 20 + "".join(f" {n:>13}" for n in names))
    for k in keys:
        print(f"{k:20}" + "".join(f" {rows[n][k]:{max(13, len(n))}.2f}" if k in rows[n] else f" {'-':>{max(13, len(n))}}" for n in names))
    for n in names:
        ours = "meshd-waypoint" if n in WAYS else "meshd" if PEERS[n].load == "echo" else "meshd-sidecars"
        if ours in rows and n not in (ours, "direct"):
            print(f"\n{ours} / {n}: " + "  ".join(f"{k} {rows[ours][k] / rows[n][k]:.2f}" for k in keys if rows[ours].get(k) and rows[n].get(k)))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--layer", choices=("4", "7", "waypoint"), help="without --peers: all")
    ap.add_argument("--peers")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--secs", type=float, default=5)
    ap.add_argument("--what", default="lat,flat,conn,bulk,calls,mem,routes,load")
    ap.add_argument("--json", help="also write every row here")
    a = ap.parse_args()
    if not REAL_ROOT:
        sys.exit("bench: needs root")
    wanted = a.peers or {"4": TUNNELS, "7": SIDECARS, "waypoint": WAYPOINTS}.get(a.layer, f"{TUNNELS},{SIDECARS},{WAYPOINTS}")
    peers = [p for p in wanted.split(",") if PEERS[p].here() or print(f"{p}: not here, left out")]
    what, all_rows = a.what.split(","), {p: {} for p in peers}
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        load = f"{d}/load"
        sh(os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-o", load, f"{HERE}/load.c")
        for r in range(a.rounds):
            for p in peers:
                row = measure(p, load, a.secs, what)
                if "load" in what and r == 0 and p in ("meshd", "ztunnel"):
                    row.update(big_mesh(p))
                print(f"round {r + 1} {p}: " + json.dumps({k: round(v, 2) for k, v in row.items()}), flush=True)
                for k, v in row.items():
                    all_rows[p].setdefault(k, []).append(v)
    if a.json:
        with open(a.json, "w") as f:
            json.dump(all_rows, f)
    table({p: {k: statistics.median(v) for k, v in m.items()} for p, m in all_rows.items()})


if __name__ == "__main__":
    main()
