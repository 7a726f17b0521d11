# SPDX-License-Identifier: Apache-2.0
"""A real Istio control plane without containers: etcd, kube-apiserver and istiod in a network namespace of their own,
nodes and pods as API objects whose addresses are network namespaces on its bridge.

    with Cluster() as c:                                   # or c = Cluster(); c.up(); ...; c.down()
        shop = c.pod("default", "shop")                    # a harness Host with an API object; labels {app: shop}, account shop
        c.service("default", "shop", {80: 8080})
        c.apply("kind: AuthorizationPolicy ...")
        node = c.node()                                    # the Host of node1, on which pods are unless told otherwise
        token = c.ztunnel_token()                          # what the kubelet gives the ztunnel of node1
        c.daemon(node, "proxy", c.meshd, "--mode=ztunnel", ...)    # istiod is at c.istiod, its root in the file c.root
        c.restart_istiod()

Nothing plays the kubelet or the controllers: a pod is what pod() says it is, and EndpointSlices are for the test to write.
"""
import contextlib, http.client, json, os, queue, shutil, signal, ssl, subprocess, sys, threading
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scenario"))
from harness import Host, Lab, ROOT, Skip, TD, complaint, eventually, sh
from pki import Pki

PEERS = os.environ.get("MESHD_PEERS") or f"{ROOT}/build/peers"
PROGRAMS = "pilot-discovery", "istioctl", "kube-apiserver", "kubectl", "zdsserver", "inpodrules"
MESH = {"trustDomain": TD, "rootNamespace": "istio-system", "enablePrometheusMerge": True, "accessLogFile": "/dev/stdout",
        "defaultProviders": {"metrics": ["prometheus"]}, "defaultConfig": {"discoveryAddress": "10.77.0.1:15012", "proxyMetadata": {}}}
ISTIOD = {"POD_NAME": "istiod-0", "POD_NAMESPACE": "istio-system", "CLUSTER_ID": "Kubernetes", "ISTIOD_CUSTOM_HOST": "10.77.0.1,localhost",
          "PILOT_ENABLE_AMBIENT": "true", "AMBIENT_ENABLE_MULTI_NETWORK": "true", "CA_TRUSTED_NODE_ACCOUNTS": "istio-system/ztunnel",
          "PILOT_DEBOUNCE_AFTER": "10ms", "ENABLE_LEADER_ELECTION": "false", "ENABLE_DEBUG_ENDPOINT_AUTH": "false", "INJECT_ENABLED": "false",
          "INJECTION_WEBHOOK_CONFIG_NAME": "", "VALIDATION_WEBHOOK_CONFIG_NAME": "", "PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER": "false"}


def need_peers():
    """CI builds them; elsewhere they are optional."""
    missing = [p for p in PROGRAMS if not os.access(f"{PEERS}/{p}", os.X_OK)] + ([] if shutil.which("etcd") else ["etcd"])
    if missing and os.environ.get("CI"):
        raise AssertionError(f"no {', '.join(missing)}: tests/interop/build makes them, Debian's etcd-server has etcd")
    if missing:
        raise Skip(f"no {', '.join(missing)}: run tests/interop/build, install etcd-server")


def ztunnel_path():
    p = os.environ.get("ZTUNNEL") or shutil.which("ztunnel")
    if not p:
        raise Skip("no ztunnel on PATH")
    return p


def read(path):
    with open(path) as f:
        return f.read()


def replace(path, text):
    with open(f"{path}.new", "w") as f:
        f.write(text)
    os.rename(f"{path}.new", path)


class Daemon:
    """A program in the network of a host; its output goes to the file `log`."""
    def __init__(self, cluster, host, name, *cmd, env={}, stdin=subprocess.DEVNULL, stdout=None):
        self.name, self.logfile, self.ours = name, f"{cluster.dir}/{name}.log", cmd[0] == cluster.meshd
        self.cluster = cluster
        with open(self.logfile, "a") as log:
            self.proc = host.popen(*cmd, stdin=stdin, stdout=stdout or log, stderr=log, env={**cluster.env, **env}, start_new_session=True)

    def alive(self):
        if self.proc.poll() is not None:
            raise SystemExit(f"{self.name} ended with {self.proc.returncode}\n{self.tail()}")
        return True

    def kill(self, sig=signal.SIGKILL):
        os.kill(self.proc.pid, sig)

    def stop(self, sig=signal.SIGTERM, timeout=5):
        """The exit status; what does not end in time is killed. How meshd ended is judged when the cluster is left."""
        running = self.proc.poll() is None
        if running:
            self.kill(signal.SIGCONT)
            self.kill(sig)
            try:
                self.proc.wait(timeout)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        found = self.ours and (complaint(self.log()) or running and sig == signal.SIGTERM and self.proc.returncode)
        if found:
            self.cluster.problems.append(f"{self.name} ended with {self.proc.returncode}: {found}")
        return self.proc.returncode

    close = stop

    def log(self):
        return open(self.logfile, errors="replace").read()

    def tail(self, n=3000):
        return f"--- log of {self.name}\n" + self.log()[-n:]


class Plane(Host):
    """The host of the control plane: the hub of the lab."""
    def __init__(self, lab):
        self.lab, self.name, self.ns, self.v4, self.v6 = lab, "plane", lab.hub, "10.77.0.1", "fd77::1"
        self.proc = self.logfile = None
        self.fd = os.open(f"/run/netns/{self.ns}", os.O_RDONLY | os.O_CLOEXEC)


class Pod(Host):
    """A host that is a pod: uid, namespace, sa, node."""
    def __init__(self, cluster, namespace, name, sa, node, ip):
        index = int(ip.rsplit(".", 1)[1]) - 10 if ip else cluster.free_index()
        assert not ip or ip.startswith("10.77.0.") and 0 <= index < 240, f"{ip}: pods are in 10.77.0.10 to 10.77.0.249"
        super().__init__(cluster, name if namespace == "default" else f"{name}.{namespace}", index)
        self.namespace, self.pod, self.sa, self.node, self.uid = namespace, name, sa, node, None
        self.netns = f"/run/netns/{self.ns}"
        self.identity = f"spiffe://{TD}/ns/{namespace}/sa/{sa}"


class Cluster(Lab):
    def __init__(self, env={}, mesh={}, ca=True, max_connection_age="30m", labels={}):
        """env: more of istiod's environment, mesh: of its mesh configuration, labels: of the namespace istio-system.
        ca: True for a plugged-in CA (c.pki, whose leaf() the test may use), False for istiod's self-signed one.
        max_connection_age: then GOAWAY; istiod ends the stream 10 s later.
        Short certificates: istiod dates them back by 2 min, and gives what is asked for: DEFAULT_WORKLOAD_CERT_TTL to those who ask for nothing,
        an error to those who ask for more than MAX_WORKLOAD_CERT_TTL."""
        need_peers()
        super().__init__()
        self.more_env, self.mesh, self.plugged, self.max_age, self.system_labels = env, {**MESH, **mesh}, ca, max_connection_age, labels
        self.env["PATH"] = f"{PEERS}:{self.env['PATH']}"
        self.daemons, self.nodes, self.namespaces, self.problems = [], {}, set(), []
        self.istiod = "10.77.0.1:15012"
        self.pki, self.roots, self.intermediates = None, {}, 0

    # --- life
    def up(self):
        return self.__enter__()

    def down(self):
        self.__exit__(None, None, None)

    def __enter__(self):
        super().__enter__()
        try:
            self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, value, trace):
        if kind and not issubclass(kind, Skip):
            for d in self.daemons:
                print(d.tail(2000))
        for d in reversed(self.daemons):
            d.stop(signal.SIGKILL if d.name in ("etcd", "kube-apiserver", "istiod") else signal.SIGTERM, 15 if d.ours else 5)
        self.daemons = []
        super().__exit__(kind, value, trace)
        if self.plane:
            os.close(self.plane.fd)
            self.plane = None
        assert kind or not self.problems, "\n".join(self.problems)

    def start(self):
        self.plane = Plane(self)
        self.daemon(self.plane, "etcd", "etcd", "--data-dir", f"{self.dir}/etcd", "--listen-client-urls", "http://127.0.0.1:2379",
                    "--advertise-client-urls", "http://127.0.0.1:2379", "--listen-peer-urls", "http://127.0.0.1:2380", "--log-level", "warn")
        self.write_config()
        self.start_apiserver()
        for ns, labels in (("istio-system", self.system_labels), ("default", {})):
            self.namespace(ns, labels, ambient=ns == "default")
        self.kubectl("apply", "--server-side", "-f", f"{PEERS}/crds")
        self.node()
        self.start_istiod()
        self.write_root()

    def start_apiserver(self):
        key = f"{self.dir}/sa.key"
        self.apiserver = self.daemon(self.plane, "kube-apiserver", "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379",
            f"--cert-dir={self.dir}/certs", "--secure-port=6443", "--bind-address=127.0.0.1", "--advertise-address=10.77.0.1",
            "--service-cluster-ip-range=10.96.0.0/16,fd96::/112", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            "--api-audiences=https://kubernetes.default.svc,istio-ca", f"--token-auth-file={self.dir}/tokens.csv",
            "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount")
        eventually(lambda: self.apiserver.alive() and self.api("GET", "/readyz"), 60, what="kube-apiserver ready")

    def write_config(self):
        sh("openssl", "genrsa", "-out", f"{self.dir}/sa.key", "2048")
        replace(f"{self.dir}/tokens.csv", 'admin,admin,admin,"system:masters"\n')
        replace(f"{self.dir}/mesh.yaml", json.dumps(self.mesh))
        replace(f"{self.dir}/kubeconfig", json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "c",
             "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443", "certificate-authority": f"{self.dir}/certs/apiserver.crt"}}],
             "users": [{"name": "c", "user": {"token": "admin"}}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]}))
        self.env.update(KUBECONFIG=f"{self.dir}/kubeconfig", KUBECACHEDIR=f"{self.dir}/kubecache", HOME=self.dir)
        if self.plugged:
            self.plug_ca()

    def plug_ca(self, root="root", alone=False, trust=()):
        """Gives istiod a new intermediate CA under the root of this name, made if new. The earlier roots stay trusted unless `alone`;
        those named in `trust` are trusted already.
        A running istiod takes a new intermediate up at once, a change of roots only with env={"ISTIO_MULTIROOT_MESH": "true"} and when the
        bundle holds the one before or is a part of it; write_root() then brings it to c.root."""
        d = f"{self.dir}/cacerts"
        os.makedirs(d, exist_ok=True)
        self.pki = self.roots.pop(root, None) or Pki(self.dir, root)
        self.roots = {**({} if alone else self.roots), root: self.pki}
        for name in trust:
            self.roots[name] = self.roots.get(name) or Pki(self.dir, name)
        self.intermediates += 1
        cert, key = self.pki.intermediate(f"istiod{self.intermediates}")
        text = {"ca-key.pem": read(key), "ca-cert.pem": read(cert), "cert-chain.pem": read(cert) + read(self.pki.root),
                "root-cert.pem": "".join(read(p.root) for p in self.roots.values())}
        for name in text:
            replace(f"{d}/.{name}", text[name])
        for name in text:
            os.rename(f"{d}/.{name}", f"{d}/{name}")

    def write_root(self, certificates=None, seconds=20):
        """Writes the roots that istiod publishes to the file c.root, as the kubelet does; waits until they are so many, if given."""
        def roots():
            text = self.api("GET", "/api/v1/namespaces/istio-system/configmaps/istio-ca-root-cert")["data"]["root-cert.pem"]
            return text.count("BEGIN") == (certificates or text.count("BEGIN")) and text
        self.root = f"{self.dir}/root.pem"
        replace(self.root, eventually(roots, seconds, what="the root istiod publishes"))

    def restart_apiserver(self, sig=signal.SIGKILL):
        self.forget(self.apiserver, sig)
        self.start_apiserver()

    # --- istiod
    def start_istiod(self, env={}):
        env = {**ISTIOD, **self.more_env, **env, "ROOT_CA_DIR": f"{self.dir}/cacerts"}
        self.pilot = self.daemon(self.plane, "istiod", "pilot-discovery", "discovery", "--registries=Kubernetes",
            f"--kubeconfig={self.dir}/kubeconfig", f"--meshConfig={self.dir}/mesh.yaml", "--domain=cluster.local", "--httpsAddr=", "--ctrlz_port=0",
            "--shutdownDuration=1s", f"--keepaliveMaxServerConnectionAge={self.max_age}", env=env)
        eventually(lambda: self.pilot.alive() and self.plane.http("/ready", port=8080)[0] == 200, 60, what="istiod ready")

    def stop_istiod(self, sig=signal.SIGKILL):
        self.forget(self.pilot, sig)

    def restart_istiod(self, sig=signal.SIGKILL, env={}):
        """Ends istiod and starts it again, with more environment if given."""
        self.stop_istiod(sig)
        self.start_istiod(env)

    def istiod_debug(self, path):
        """What istiod's /debug/PATH says: syncz, adsz, config_dump?proxyID=..."""
        status, text, _ = self.plane.http(f"/debug/{path}", port=8080)
        assert status == 200, f"/debug/{path}: {status} {text}"
        return text

    # --- the API
    def api(self, method, path, body=None, kind="application/json"):
        """The JSON (or text) that the API server answers; an HTTP error raises AssertionError."""
        tls = ssl.create_default_context(cafile=f"{self.dir}/certs/apiserver.crt")
        c = http.client.HTTPSConnection("127.0.0.1", 6443, timeout=10, context=tls)
        c.sock = tls.wrap_socket(self.plane.connect("127.0.0.1", 6443, 10), server_hostname="127.0.0.1")
        with contextlib.closing(c):
            c.request(method, path, body=json.dumps(body) if body is not None else None,
                      headers={"Authorization": "Bearer admin", "Content-Type": kind})
            r = c.getresponse()
            text = r.read().decode()
        assert r.status < 300, f"{method} {path}: {r.status} {text}"
        return json.loads(text) if text.startswith("{") else text

    def put(self, path, body, kind="merge-patch+json"):
        """Creates the object, or merges it into the one that is there."""
        body = {"apiVersion": "v1", **body}
        try:
            return self.api("POST", path, body)
        except AssertionError as e:
            if ": 409 " not in str(e):
                raise
            return self.api("PATCH", f"{path}/{body['metadata']['name']}", body, f"application/{kind}")

    def kubectl(self, *args, check=True, input=None):
        return self.plane.run("kubectl", *args, check=check, input=input, env=self.env, timeout=60).stdout

    def istioctl(self, *args, check=True):
        return self.plane.run("istioctl", *args, check=check, env=self.env, timeout=60).stdout

    def apply(self, text):
        """Applies YAML; its namespaces must exist."""
        return self.kubectl("apply", "-f", "-", input=text)

    def delete(self, kind, ns, name):
        self.kubectl("delete", kind, "-n", ns, name, "--wait=false")

    def namespace(self, ns, labels={}, ambient=True):
        if ns not in self.namespaces or labels:
            labels = {**({"istio.io/dataplane-mode": "ambient"} if ambient else {}), **labels}
            self.put("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": ns, "labels": labels}})
            self.namespaces.add(ns)

    def service(self, ns, name, ports, selector=None, labels={}, annotations={}, **spec):
        """A Service; ports: {port: target}. Returns its addresses."""
        self.namespace(ns)
        ports = [{"name": f"tcp-{a}", "port": a, "targetPort": b, "protocol": "TCP"} for a, b in ports.items()]
        s = self.put(f"/api/v1/namespaces/{ns}/services", {"kind": "Service", "metadata": {"name": name, "labels": labels, "annotations": annotations},
                     "spec": {"ports": ports, "selector": selector or {"app": name}, "ipFamilyPolicy": "PreferDualStack", **spec}})
        return s["spec"].get("clusterIPs", [])

    # --- nodes and pods
    def free_index(self):
        return max([int(h.v4.rsplit(".", 1)[1]) - 9 for h in self.hosts], default=0)

    def plain(self, *names):
        hosts = []
        for n in names:
            hosts.append(Host(self, n, self.free_index()))
            self.hosts.append(hosts[-1])
        return hosts if len(hosts) > 1 else hosts[0]

    def node(self, name="node1", labels={}):
        """The host of a node, with a ztunnel Pod (istio-system/ztunnel-NODE) for tokens."""
        if name not in self.nodes:
            host = self.nodes[name] = self.plain(name)
            self.put("/api/v1/nodes", {"kind": "Node", "metadata": {"name": name, "labels": labels}})
            self.pod_object("istio-system", f"ztunnel-{name}", [host.v4, host.v6], {"app": "ztunnel"}, "ztunnel", name, hbone=False)
        return self.nodes[name]

    def pod(self, ns, name, ip=None, labels=None, sa=None, node="node1", **more):
        """A host that is a pod; more: as of pod_object()."""
        self.node(node)
        p = Pod(self, ns, name, sa or name, node, ip)
        self.hosts.append(p)
        p.uid = self.pod_object(ns, name, [p.v4, p.v6], labels, sa, node, **more)
        return p

    def pod_object(self, ns, name, ips, labels=None, sa=None, node="node1", hbone=True, annotations={}, ready=True, **spec):
        """The API object alone. hbone: the workload is one that a ztunnel serves. Returns the uid."""
        self.namespace(ns)
        sa = sa or name
        self.put(f"/api/v1/namespaces/{ns}/serviceaccounts", {"kind": "ServiceAccount", "metadata": {"name": sa}})
        annotations = {**({"ambient.istio.io/redirection": "enabled"} if hbone else {}), **annotations}
        path = f"/api/v1/namespaces/{ns}/pods"
        pod = self.put(path, {"kind": "Pod", "metadata": {"name": name, "labels": labels or {"app": name}, "annotations": annotations},
                       "spec": {"serviceAccountName": sa, "nodeName": node, "containers": [{"name": "c", "image": "x"}], **spec}})
        self.pod_status(ns, name, ips, ready)
        return pod["metadata"]["uid"]

    def pod_status(self, ns, name, ips, ready=True, phase="Running"):
        self.api("PATCH", f"/api/v1/namespaces/{ns}/pods/{name}/status", {"status": {"phase": phase, "podIP": ips[0], "podIPs": [{"ip": i} for i in ips],
                 "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}}, "application/merge-patch+json")

    def pod_delete(self, ns, name):
        """Deletes the API object at once; the network namespace of a pod() stays."""
        self.api("DELETE", f"/api/v1/namespaces/{ns}/pods/{name}", {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})

    def token(self, ns, sa, pod=None, audience="istio-ca", seconds=43200):
        """A token of a ServiceAccount, bound to the Pod of that name if given."""
        self.put(f"/api/v1/namespaces/{ns}/serviceaccounts", {"kind": "ServiceAccount", "metadata": {"name": sa}})
        spec = {"audiences": [audience], "expirationSeconds": seconds}
        if pod:
            uid = self.api("GET", f"/api/v1/namespaces/{ns}/pods/{pod}")["metadata"]["uid"]
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}
        return self.api("POST", f"/api/v1/namespaces/{ns}/serviceaccounts/{sa}/token",
                        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})["status"]["token"]

    def ztunnel_token(self, node="node1", **kw):
        return self.token("istio-system", "ztunnel", pod=f"ztunnel-{node}", **kw)

    # --- programs
    def daemon(self, host, name, *cmd, **kw):
        d = Daemon(self, host, name, *cmd, **kw)
        self.daemons.append(d)
        return d

    def forget(self, daemon, sig=signal.SIGTERM):
        """Ends it; its log is kept."""
        daemon.stop(sig, 15)
        self.daemons.remove(daemon)

    def zds(self, node="node1", socket=None):
        d = Zds(self, self.node(node), socket or f"{self.dir}/zds-{node}.sock")
        self.daemons.append(d)
        return d


class Zds(Daemon):
    """istio-cni's ZDS server of a node, at the unix socket `socket`. Pods added before a proxy connects are its snapshot."""
    def __init__(self, cluster, node, socket):
        super().__init__(cluster, node, f"zds-{node.name}", "zdsserver", socket, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.socket, self.said, self.answers = socket, [], queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        eventually(lambda: self.alive() and os.path.exists(socket), 10, what="zdsserver listens")

    def read(self):
        for line in self.proc.stdout:
            said = json.loads(line)
            if "re" in said:
                self.answers.put(said)
            else:
                self.said.append(said)
                with open(self.logfile, "ab") as f:
                    f.write(line)

    def tell(self, *words, timeout=15):
        """One command; returns the error of the proxy or the server, or None."""
        self.proc.stdin.write((" ".join(words) + "\n").encode())
        self.proc.stdin.flush()
        return self.answers.get(timeout=timeout).get("error")

    def add(self, pod):
        return self.tell("add", pod.uid, pod.netns, pod.namespace, pod.pod, pod.sa)

    def keep(self, uid):
        return self.tell("keep", uid)

    def delete(self, pod):
        return self.tell("del", pod.uid)

    def wait(self, text, count=1, seconds=10):
        """Waits until the server's log says this so many times: "received hello", "snapshot sent to ztunnel", "ztunnel disconnected, "."""
        return eventually(lambda: len(hits := [m for m in self.said if text in m["msg"]]) >= count and hits, seconds, what=f"{text!r} from zdsserver")
