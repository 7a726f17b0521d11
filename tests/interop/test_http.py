# SPDX-License-Identifier: Apache-2.0
"""The HTTP core alone (relay.c) against suites and servers of others: h2spec, grpc-go's interop tests, and the table of
smuggled requests in front of three servers. `build` makes the peers of http/."""
import codecs, os, re, shutil, socket, subprocess, time
from cluster import PEERS
from harness import ROOT, Lab, Skip, eventually, service
from relay import Http, Relay, loopback, read_end


def peer(name):
    path = f"{PEERS}/http/{name}"
    if not os.access(path, os.X_OK):
        assert not os.environ.get("CI"), f"no {path}: tests/interop/build makes it"
        raise Skip(f"no {name}: run tests/interop/build")
    return path


def free_port():
    loopback()
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Program:
    """A server that listens on a port of its own; its lines, if asked for."""
    def __init__(self, port, *cmd):
        self.port, self.seen = port, []
        self.proc = subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace")
        os.set_blocking(self.proc.stdout.fileno(), False)
        eventually(lambda: socket.create_connection(("127.0.0.1", port), 1).close() or True, 20)

    def lines(self):
        self.seen += [line.rstrip("\n") for line in self.proc.stdout]
        return self.seen

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.kill()
        self.proc.wait()
        self.proc.stdout.close()


def echo():
    port = free_port()
    return Program(port, peer("echo"), str(port))


# ---- suites ----

def known():
    """h2spec.txt: what fails, and why that stays so."""
    rows = [line.rstrip("\n") for line in open(f"{ROOT}/tests/interop/h2spec.txt") if not line.startswith("#")]
    return {r for r in rows if r and not r.startswith("\t")}


def h2spec(relay):
    out = subprocess.run([peer("h2spec"), "-h", "127.0.0.1", "-p", str(relay.port), "--strict", "-o", "3"], capture_output=True, text=True, timeout=110).stdout
    failed = {re.sub(r"^\d+: ", "", m) for m in re.findall(r"^\s+× (.*)$", out, re.M)}
    total = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", out)
    assert total and int(total[1]) == 146, out
    assert failed <= known() and int(total[4]) <= len(known()), out
    assert int(total[3]) == 0, out


def test_h2spec_strict():
    with echo() as server, Relay(server.port, "h1") as r:
        h2spec(r)


def test_h2spec_strict_with_http2_behind():
    with echo() as server, Relay(server.port, "h2") as r:
        h2spec(r)


GRPC = """empty_unary large_unary client_streaming server_streaming ping_pong empty_stream timeout_on_sleeping_server cancel_after_begin
cancel_after_first_response status_code_and_message special_status_message custom_metadata unimplemented_method unimplemented_service
rpc_soak channel_soak orca_per_rpc orca_oob""".split()
ORCA = '--service_config_json={"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}'


def test_grpc_interop():
    port = free_port()
    with Program(port, peer("server"), "--port", str(port)) as server, Relay(server.port, "h2") as r:
        grpc_cases(lambda program, *args: subprocess.run([program, "--server_host", "127.0.0.1", "--server_port", str(r.port), *args],
                                                         capture_output=True, text=True, timeout=60))


def grpc_cases(run):
    for case in GRPC:
        got = run(peer("client"), *[ORCA] * case.startswith("orca"), "--test_case", case)
        assert got.returncode == 0, f"{case}: {got.stderr[-2000:]}"
    assert len(GRPC) == 18


def test_grpc_interop_through_sidecars():
    """A pair of them with mutual TLS between; in the clear at both ends."""
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {8080: 8080}, ["10.88.0.1"], app="shop", family="v4", protocol="GRPC"))
        web, shop = lab.sidecars("web", "shop")
        server = shop.popen(peer("server"), "--port", "8080", stderr=subprocess.DEVNULL)
        try:
            eventually(lambda: shop.connect(shop.v4, 8080).close() or True, 20)
            grpc_cases(lambda program, *args: web.run(program, "--server_host", "10.88.0.1", "--server_port", "8080", *args, check=False, timeout=60))
        finally:
            server.kill()
            server.wait()
        assert web.metric("istio_requests_total", reporter="source", request_protocol="grpc", connection_security_policy="unknown") > 30


URL = "http://shop.default.svc.cluster.local"
FETCH = f"""
const n = +process.argv[1]
Promise.all([...Array(n).keys()].map(i => fetch('{URL}/' + i, {{method: 'POST', body: 'x'.repeat(i * 1000)}}).then(r => r.text().then(t => r.status))))
  .then(all => console.log(all.filter(s => s == 200).length))
"""
URLLIB = f"""
import http.client, sys
c, ok = http.client.HTTPConnection('shop.default.svc.cluster.local', 80), 0
for i in range(int(sys.argv[1])):
    c.request('POST', f'/{{i}}', body=b'x' * (i * 1000))
    r = c.getresponse()
    ok += r.status == 200 and len(r.read()) == max(i * 1000, 6)
print(ok)
"""


def test_clients_of_others():
    """curl, wrk, h2load, Python's, Node's and Go's clients through a pair of sidecars to a server of Go's; those that are here."""
    clients = {
        "curl": ["curl", "-sSf", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}\\n", f"{URL}/[1-20]"],
        "curl h2": ["curl", "-sSf", "-m", "20", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_code}\\n", f"{URL}/1"],
        "curl upload": ["curl", "-sSf", "-m", "20", "-T", "/proc/self/exe", "-H", "Expect: 100-continue", "-o", "/dev/null", "-w", "%{http_code}\\n", f"{URL}/up"],
        "python": ["python3", "-c", URLLIB, "50"],
        "node": ["node", "-e", FETCH, "50"],
        "h2load": ["h2load", "-n", "2000", "-c", "4", "-m", "20", URL],
        "h2load h1": ["h2load", "--h1", "-n", "2000", "-c", "4", URL],
        "wrk": ["wrk", "-d", "1s", "-c", "8", "-t", "1", URL],
        "go": [peer("get"), URL, "200"],
    }
    good = {"curl": "200\n" * 20, "curl h2": "200\n", "curl upload": "200\n", "python": "50\n", "node": "50\n", "go": "200\n"}
    with Lab() as lab:
        lab.write("svc.yaml", service("shop", {80: 8080}, ["10.88.0.1"], app="shop", family="v4", protocol="HTTP"))
        web, shop = lab.sidecars("web", "shop")
        with open(f"{lab.dir}/hosts", "w") as f:
            f.write("127.0.0.1 localhost\n10.88.0.1 shop.default.svc.cluster.local\n")
        server = shop.popen(peer("echo"), "8080", f"{shop.v4}", stdout=subprocess.DEVNULL)
        try:
            eventually(lambda: shop.connect(shop.v4, 8080).close() or True, 20)
            for name, cmd in clients.items():
                if not shutil.which(cmd[0]):
                    continue
                got = web.run("unshare", "-m", "sh", "-c", f'mount --bind {lab.dir}/hosts /etc/hosts && exec "$@"', "sh", *cmd, timeout=60)
                if name in good:
                    assert got.stdout == good[name], f"{name}: {got.stdout} {got.stderr}"
                elif "h2load" in name:
                    assert "2000 succeeded, 0 failed" in got.stdout, got.stdout
                else:
                    assert "Requests/sec" in got.stdout and "Socket errors" not in got.stdout and "Non-2xx" not in got.stdout, got.stdout
        finally:
            server.kill()
            server.wait()


# ---- smuggling ----

def table():
    for line in open(f"{ROOT}/tests/unit/smuggling.txt", newline="\n"):
        if "\t" in line and not line.startswith("#"):
            want, text = line.rstrip("\n").split("\t", 1)
            yield want, codecs.escape_decode(text.encode("latin-1").replace(b"\\0", b"\\x00"))[0]


def smuggle(relay, seen, known_lines=()):
    """Every row through the relay: the server behind sees the requests that the table says, or some of them; never another."""
    rows = 0
    for want, data in table():
        before = len(seen())
        allowed = want[1:].split(";") if want.startswith("=") else []
        with relay.connect() as s:
            s.sendall(data)
            if allowed:
                end = time.time() + 0.5
                while len(seen()) < before + len(allowed) and time.time() < end:
                    time.sleep(0.002)
            s.shutdown(socket.SHUT_WR)
            got = read_end(s)
        new = seen()[before:]
        if allowed:
            got_allowed = iter(allowed)
            assert all(any(n == a for a in got_allowed) for n in new), f"{data}: the server saw {new}"
            assert got.startswith(b"HTTP/1."), f"{data}: {got}"
        else:
            assert not new, f"{data}: the server saw {new}"
            status = int(got[9:12])
            assert status // 100 in (4, 5) if want == "4-5" else status == int(want), f"{data}: {got}"
        rows += 1
    assert rows >= 250, rows
    relay.well()


def test_smuggling_before_go():
    with echo() as server, Relay(server.port, "h1") as r:
        smuggle(r, server.lines)


def test_smuggling_before_go_with_http2():
    with echo() as server, Relay(server.port, "h2") as r:
        smuggle(r, server.lines)


def test_smuggling_before_python():
    with Http() as server, Relay(server.port, "h1") as r:
        smuggle(r, lambda: server.seen)


NODE = """
const http = require('http'), s = http.createServer((q, a) => {
  let b = ''; q.on('data', d => b += d); q.on('end', () => {
    console.log(`${q.method} ${q.headers.host || ''} ${q.url} [${b}]`); a.end(b || 'hello\\n') }) })
s.listen(+process.argv[1], '127.0.0.1')
"""


def test_smuggling_before_node():
    if subprocess.run(["sh", "-c", "command -v node"], capture_output=True).returncode:
        raise Skip("no node")
    port = free_port()
    with Program(port, "node", "-e", NODE, str(port)) as server, Relay(server.port, "h1") as r:
        smuggle(r, server.lines)


ENVOY = """
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: h
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: "/"}, route: {cluster: c}}]}]}
          http_filters:
          - {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: c
    load_assignment:
      cluster_name: c
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]
"""


def test_smuggling_before_envoy():
    envoy = os.environ.get("ENVOY")
    if not envoy:
        raise Skip("no Envoy: name it in $ENVOY")
    port = free_port()
    with Http() as behind, Program(port, envoy, "--config-yaml", ENVOY % (port, behind.port), "--use-dynamic-base-id", "-l", "off", "--concurrency", "1"), \
         Relay(port, "h1") as r:
        smuggle(r, lambda: behind.seen)
