# SPDX-License-Identifier: Apache-2.0
"""Hosts as network namespaces, real meshd on them, real clients and servers.

    with Lab() as lab:
        lab.write("policy.yaml", "...")
        web, shop = lab.meshed("web", "shop")     # WorkloadEntry, meshd, capture
        out = lab.plain("out")                    # a host without meshd
        shop.serve(8080, echo)
        wp = lab.waypoint("wp")                   # and lab.write("s.yaml", using("wp", service("shop", {80: 8080}, ["10.96.0.7"], protocol="HTTP")))
        assert web.talk(shop.v4, 8080, b"hi") == b"hi"

Leaving the block stops every meshd with SIGTERM and fails on a bad exit status or on a sanitizer's report.
"""
import ctypes, http.client, json, os, re, shutil, signal, socket, struct, subprocess, tempfile, threading, time
import httpapp

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REAL_ROOT = open("/proc/self/uid_map").read().split() == ["0", "0", "4294967295"]
TD = "cluster.local"
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    pass


def need_root():
    if not REAL_ROOT:
        raise Skip("needs real root")


def need_program(name):
    if not shutil.which(name):
        raise Skip(f"{name} is not installed")


def meshd_path():
    for p in (os.environ.get("MESHD"), "src/meshd", f"{ROOT}/build/src/meshd", f"{ROOT}/src/meshd", shutil.which("meshd")):
        if p and os.path.isfile(p) and os.access(p, os.X_OK):
            return os.path.abspath(p)
    raise SystemExit("no meshd binary: build it, or name it in $MESHD")


def sh(*cmd, check=True, input=None, timeout=30, env=None, cwd=None):
    r = subprocess.run(cmd, text=True, capture_output=True, input=input, timeout=timeout, env=env, cwd=cwd)
    if check and r.returncode:
        raise AssertionError(f"{' '.join(cmd)}: exit {r.returncode}\n{r.stdout}{r.stderr}")
    return r


def eventually(fn, seconds=5, every=0.05, what=""):
    """The first true value of fn(); fails after `seconds`. AssertionError and OSError count as not yet."""
    end, last = time.time() + seconds, None
    while True:
        try:
            v = fn()
            if v:
                return v
        except (AssertionError, OSError) as e:
            last = e
        if time.time() > end:
            raise AssertionError(f"not within {seconds} s: {what or fn}: {last}")
        time.sleep(every)


def complaint(log):
    """What a sanitizer or an assertion said; else None."""
    bad = re.search(r"(ERROR|WARNING): \w+Sanitizer|runtime error:|Assertion .* failed", log)
    return bad and bad.group() + "\n" + log[max(0, bad.start() - 500):][:6000]


def reset(sock):
    """Closes with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_all(sock):
    out = b""
    while d := sock.recv(1 << 16):
        out += d
    return out


def read_exact(sock, n):
    out = b""
    while len(out) < n:
        d = sock.recv(n - len(out))
        if not d:
            raise AssertionError(f"EOF after {len(out)} of {n} bytes")
        out += d
    return out


# What a server does with a connection: fn(socket, peer address).
def echo(c, peer):
    while d := c.recv(1 << 16):
        c.sendall(d)


def greeter(text):
    def fn(c, peer):
        c.sendall(text)
        echo(c, peer)
    return fn


class Threads:
    """run(i) in n threads, from `with` to its end: until self.over."""
    n, over = 1, False

    def __enter__(self):
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(self.n)]
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over = True
        for t in self.threads:
            t.join()


class Server:
    def __init__(self, host, port, fn):
        self.host, self.fn, self.peers, self.errors, self.conns = host, fn, [], [], []
        with host:
            s = socket.socket(socket.AF_INET6)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("::", port))
        s.listen(1024)
        self.sock = s
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, peer = self.sock.accept()
            except OSError:
                return
            peer = (peer[0].removeprefix("::ffff:"), peer[1])
            self.peers.append(peer)
            self.conns.append(c)
            threading.Thread(target=self.one, args=(c, peer), daemon=True).start()

    def one(self, c, peer):
        try:
            c.settimeout(60)
            self.fn(c, peer)
        except OSError as e:
            self.errors.append(e)
        finally:
            c.close()

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


class Host:
    def __init__(self, lab, name, index):
        self.lab, self.name, self.index = lab, name, index
        self.ns = f"{lab.tag}-{name}"
        self.v4, self.v6 = f"10.77.0.{10 + index}", f"fd77::{10 + index:x}"
        self.identity = f"spiffe://{TD}/ns/default/sa/{name}"
        self.proc = self.logfile = None
        self.mode, self.space = "ztunnel", "default"    # its objects' namespace
        sh("ip", "netns", "add", self.ns)
        self.fd = os.open(f"/run/netns/{self.ns}", os.O_RDONLY | os.O_CLOEXEC)
        v = f"v{index}"
        sh("ip", "-n", lab.hub, "-b", "-", input=f"""link add {v} type veth peer name eth0 address 02:4d:00:00:00:{index:02x} netns {self.ns}
link set {v} master mesh0
link set {v} up
""")
        sh("ip", "-n", self.ns, "-b", "-", input=f"""link set lo up
addr add {self.v4}/24 dev eth0
addr add {self.v6}/64 dev eth0 nodad
link set eth0 up
route add default via 10.77.0.1
route add ::/0 via fd77::1
""")

    # A socket made inside `with host:` stays in the host's network.
    def __enter__(self):
        self.lab.enter(self.fd)
        return self

    def __exit__(self, *_):
        self.lab.leave()

    def addr(self, family):
        return self.v6 if family == 6 else self.v4

    def popen(self, *cmd, **kw):
        return subprocess.Popen(["nsenter", f"--net=/run/netns/{self.ns}", *cmd], **kw)

    def run(self, *cmd, **kw):
        return sh("nsenter", f"--net=/run/netns/{self.ns}", *cmd, **kw)

    def serve(self, port, fn=echo):
        s = Server(self, port, fn)
        self.lab.closing.append(s)
        return s

    def serve_http(self, port, fn=None):
        """An HTTP/1.1 application that tells what it got, as JSON: host, method, path, headers ([[name, value]]), body_bytes. fn(handler,
        got) may answer itself, and then returns True. `.requests` has all of them."""
        s = httpapp.HttpApp(self, port, fn)
        self.lab.closing.append(s)
        return s

    def connect(self, ip, port, timeout=5, source=None):
        with self:
            s = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
        s.settimeout(timeout)
        if source:
            s.bind((source, 0))
        s.connect((ip, port))
        return s

    def talk(self, ip, port, data=b"hello", timeout=5):
        """Sends, half-closes, and returns everything until EOF. Resets raise."""
        with self.connect(ip, port, timeout) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            return read_all(s)

    def refused(self, ip, port, timeout=5):
        """The connection carries no byte and ends, by a reset or by EOF."""
        try:
            got = self.talk(ip, port, b"x", timeout)
        except TimeoutError:
            raise
        except OSError:
            return True
        assert got == b"", f"{ip}:{port} answered {got!r}"
        return True

    def http(self, path, port=15000, method="GET", ip="127.0.0.1", headers={}, body=None, timeout=5):
        """(status, text, headers)"""
        c = http.client.HTTPConnection(ip, port, timeout=timeout)
        c.sock = self.connect(ip, port, timeout)
        try:
            c.request(method, path, body=body, headers=headers)
            r = c.getresponse()
            return r.status, r.read().decode(), r.headers
        finally:
            c.close()

    # --- meshd on this host
    def start(self, *args, workload=None, env=None, config=None, certs=None, capture=True, ready=True, ulimit=None):
        """certs: (cert, key, root) paths instead of the lab's CA. workload False: the environment says whom it serves;
        config False: and where the mesh comes from."""
        self.logfile = f"{self.lab.dir}/{self.name}.log"
        cmd = [self.lab.meshd, f"--mode={self.mode}", *([] if config is False else [f"--config-dir={config or self.lab.config}"]),
               *([] if workload is False else [f"--workload={workload or self.space + '/' + self.name}"])]
        cmd += [f"--{k}={p}" for k, p in zip(("cert", "key", "root"), certs)] if certs else [f"--ca-dir={self.lab.ca()}"]
        fixed = {"--log-format": "json", "--drain-time": "1s", "--user": "root", "--concurrency": "2"}
        cmd += [f"{k}={v}" for k, v in fixed.items() if not any(a.startswith(k + "=") for a in args)]
        cmd += args
        if ulimit:
            cmd = ["sh", "-c", f'ulimit -n {ulimit}; exec "$@"', "sh"] + cmd
        with open(self.logfile, "a") as log:
            self.proc = self.popen(*cmd, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env={**self.lab.env, **({"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true"} if self.mode == "sidecar" else {}), **(env or {})},
                                   start_new_session=True)
        self.capture = capture and self.mode != "waypoint"
        if ready:
            self.ready()
        return self

    def ready(self):
        def up():
            if self.proc.poll() is not None:
                raise SystemExit(f"meshd on {self.name} ended with {self.proc.returncode}:\n{self.tail()}")
            return self.http("/healthz/ready", port=15021)[0] == 200
        eventually(up, 15, what=f"meshd on {self.name} ready")
        if self.capture:
            self.run(self.lab.meshd, "redirect", "up", f"--mode={self.mode}", env=self.lab.env)

    def stop(self, sig=signal.SIGTERM, timeout=15):
        """Ends meshd; fails on a bad exit status or a sanitizer's report."""
        p, self.proc = self.proc, None
        if not p:
            return
        if p.poll() is None:
            os.kill(p.pid, sig)
            try:
                p.wait(timeout)
            except subprocess.TimeoutExpired:
                os.kill(p.pid, signal.SIGABRT)
                p.wait(5)
                raise AssertionError(f"meshd on {self.name} did not end within {timeout} s\n{self.tail()}")
        assert p.returncode == 0, f"meshd on {self.name} ended with {p.returncode}\n{self.tail()}"
        self.check_log()

    def check_log(self):
        assert not (found := complaint(self.log())), f"{self.name}: {found}"

    def log(self):
        return open(self.logfile, errors="replace").read() if self.logfile and os.path.exists(self.logfile) else ""

    def tail(self, n=3000):
        return f"--- log of {self.name}\n" + self.log()[-n:]

    def cli(self, *args, check=True, **kw):
        """A meshd subcommand on this host."""
        return self.run(self.lab.meshd, *args, check=check, env=self.lab.env, **kw)

    def records(self):
        out = []
        for line in self.log().splitlines():
            try:
                out.append(json.loads(line))
            except ValueError:
                pass
        return [r for r in out if isinstance(r, dict)]

    def access(self, seconds=5, **want):
        """Waits for an access-log record whose fields contain these values; dots as underscores: src_addr."""
        def hit(r, k, v):
            got = r.get(k.replace("_", ".", 1) if k.startswith(("src_", "dst_")) else k)
            return got == v if not isinstance(v, str) else got is not None and v in str(got)
        def find():
            return [r for r in self.records() if r.get("scope") == "access" and all(hit(r, k, v) for k, v in want.items())]
        try:
            return eventually(find, seconds)[-1]
        except AssertionError:
            raise AssertionError(f"no access record with {want} in\n{self.tail()}")

    def metrics(self):
        """[(name, {label: value}, value)] in the order of the text."""
        out = []
        for line in self.http("/metrics", port=15020)[1].splitlines():
            if m := re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line):
                out.append((m[1], dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', m[2] or "")), float(m[3])))
        return out

    def metric(self, name, **labels):
        return sum(v for n, l, v in self.metrics() if n == name and all(l.get(k) == x for k, x in labels.items()))

    def memory_kib(self):
        """Resident memory; 0 under a sanitizer, whose own use says nothing."""
        if re.search(r"lib[at]san", open(f"/proc/{self.proc.pid}/maps").read()):
            return 0
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{self.proc.pid}/status").read())[1])


class Lab:
    def __init__(self):
        self.tag = f"ms{os.getpid()}"
        self.hub = f"{self.tag}-hub"
        self.meshd = meshd_path()
        self.hosts, self.closing = [], []
        self.env = {**os.environ, "ASAN_OPTIONS": "exitcode=99:" + os.environ.get("ASAN_OPTIONS", ""),
                    "UBSAN_OPTIONS": "print_stacktrace=1", "TSAN_OPTIONS": "exitcode=99:" + os.environ.get("TSAN_OPTIONS", "")}

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="meshd-test.")
        os.chmod(self.dir, 0o755)
        self.config = f"{self.dir}/mesh"
        os.mkdir(self.config)
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        sh("ip", "netns", "add", self.hub)
        sh("ip", "-n", self.hub, "-b", "-", input="""link set lo up
link add mesh0 address 02:4d:00:00:ff:00 type bridge
addr add 10.77.0.1/24 dev mesh0
addr add fd77::1/64 dev mesh0 nodad
link set mesh0 up
""")
        return self

    def __exit__(self, kind, value, trace):
        problem = None
        for h in self.hosts:
            try:
                h.stop()
            except AssertionError as e:
                problem = problem or e
        for c in self.closing:
            c.close()
        if kind and not issubclass(kind, Skip):
            for h in self.hosts:
                if h.logfile:
                    print(h.tail())
        for h in self.hosts:
            os.close(h.fd)
            sh("ip", "netns", "del", h.ns, check=False)
        sh("ip", "netns", "del", self.hub, check=False)
        if not os.environ.get("SCENARIO_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
        if problem and not kind:
            raise problem

    def enter(self, fd):
        if libc.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    def leave(self):
        self.enter(self.home)

    def ca(self):
        d = f"{self.dir}/ca"
        if not os.path.isdir(d):
            sh(self.meshd, "ca", "init", d, env=self.env)
        return d

    def issue(self, sa, ns="default"):
        """(cert, key, root) of an identity under the lab's CA, as `meshd ca issue` writes them."""
        d = f"{self.dir}/issued-{ns}-{sa}"
        if not os.path.isdir(d):
            sh(self.meshd, "ca", "issue", self.ca(), ns, sa, f"--out={d}", env=self.env)
        return tuple(f"{d}/{f}" for f in ("cert-chain.pem", "key.pem", "root-cert.pem"))

    def plain(self, *names):
        hosts = []
        for n in names:
            hosts.append(Host(self, n, len(self.hosts)))
            self.hosts.append(hosts[-1])
        return hosts if len(hosts) > 1 else hosts[0]

    def workload(self, h, tunnel=True, **spec):
        """The WorkloadEntry of a host; it has two, one for each family (WorkloadEntry has one address)."""
        tunnel = {"networking.istio.io/tunnel": "http"} if tunnel and h.mode != "sidecar" else {}
        labels = {"app": h.name, **tunnel, **({"security.istio.io/tlsMode": "istio"} if h.mode == "sidecar" else {}), **spec.pop("labels", {})}
        def one(name, address, family):
            return {"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": {"name": name, "namespace": h.space},
                    "spec": {"address": address, "serviceAccount": h.name, "labels": {**labels, "family": family}, **spec}}
        self.write(f"workload-{h.name}.json", json.dumps({"apiVersion": "v1", "kind": "List",
                   "items": [one(h.name, h.v4, "v4"), one(f"{h.name}-v6", h.v6, "v6")]}))

    def sidecars(self, *names, args=(), labels={}, **kw):
        """The same in sidecar mode: what speaks to them uses Istio's mutual TLS. labels: {name: {label: value}}."""
        return self.meshed(*names, args=args, mode="sidecar", labels=labels, **kw)

    def waypoint(self, name, gateway=None, ns="default", waypoint_for="all", vips=("10.96.99.1", "fd96::99:1"), labels={}, spec="", start=True, args=(), **kw):
        """A host in waypoint mode: the Gateway `gateway` (its own name) with its Service, and the host's WorkloadEntries. More hosts of one
        gateway are its replicas, of one service account. Who uses it says `istio.io/use-waypoint: NAME`: see using()."""
        h, gateway = self.plain(name), gateway or name
        if ns != "default":
            spec = spec or ", allowedRoutes: {namespaces: {from: All}}"
        h.mode, h.space, h.identity = "waypoint", ns, f"spiffe://{TD}/ns/{ns}/sa/{gateway}"
        own = {"gateway.networking.k8s.io/gateway-name": gateway}
        self.workload(h, serviceAccount=gateway, labels={**own, **labels})
        self.write(f"waypoint-{gateway}.yaml", f"""apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {gateway}, namespace: {ns}, labels: {{istio.io/waypoint-for: {waypoint_for}}}}}
spec: {{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE{spec}}}]}}
---
""" + service(gateway, {15008: 15008}, vips, ns=ns, selector=own))
        if start:
            h.start(f"--workload={ns}/{name}-v6", *args, **kw)
        return h

    def meshed(self, *names, args=(), mode="ztunnel", labels={}, **kw):
        """Hosts with WorkloadEntries, meshd and capture."""
        hosts = [self.plain(n) for n in names]
        for h in hosts:
            h.mode = mode
            self.workload(h, labels=labels.get(h.name, {}))
        for h in hosts:
            h.start(f"--workload=default/{h.name}-v6", *args, ready=False, **kw)
        for h in hosts:
            h.ready()
        return hosts if len(hosts) > 1 else hosts[0]

    def write(self, name, text, dir=None):
        """Renames a file into place in the configuration directory."""
        path = f"{dir or self.config}/{name}"
        tmp = f"{self.dir}/.{name}.tmp"
        with open(tmp, "w") as f:
            f.write(text)
        os.rename(tmp, path)
        return path

    def remove(self, name):
        os.unlink(f"{self.config}/{name}")


def policy(name, body, app=None, ns="default", action="ALLOW", rules=None):
    """An AuthorizationPolicy; body is the YAML (flow style) of `rules`."""
    sel = f"selector: {{matchLabels: {{app: {app}}}}}, " if app else ""
    return f"""apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: {ns}}}
spec: {{{sel}action: {action}, rules: {body}}}
---
"""


def principal(*hosts):
    return "{from: [{source: {principals: [%s]}}]}" % ", ".join(f"{TD}/ns/default/sa/{h}" for h in hosts)


def using(waypoint, text, ns=None):
    """The objects of a YAML text, with the label that names their waypoint (of the namespace ns)."""
    where = f", istio.io/use-waypoint-namespace: {ns}" if ns else ""
    return text.replace("metadata: {name: ", f"metadata: {{labels: {{istio.io/use-waypoint: {waypoint}{where}}}, name: ")


def service(name, ports, vips=(), app=None, ns="default", family=None, protocol="TCP", selector=None):
    """A MESH_INTERNAL ServiceEntry over WorkloadEntries with the label app, of "v4" or "v6" alone if asked; ports: {port: target}."""
    p = ", ".join(f"{{number: {a}, targetPort: {b}, name: {protocol.lower()}-{a}, protocol: {protocol}}}" for a, b in ports.items())
    v = f"\n  addresses: [{', '.join(repr(x) for x in vips)}]" if vips else ""
    chosen = {**(selector or {"app": app or name}), **({"family": family} if family else {})}
    chosen = ", ".join(f"{a}: {b}" for a, b in chosen.items())
    return f"""apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {ns}}}
spec:
  hosts: [{name}.{ns}.svc.cluster.local]{v}
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{p}]
  workloadSelector: {{labels: {{{chosen}}}}}
---
"""
