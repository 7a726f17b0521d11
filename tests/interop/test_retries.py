# SPDX-License-Identifier: Apache-2.0
"""Random retry policies and servers: the same answer, response flags and number of tries from Envoy, whose routes are as istiod makes
them, and from a sidecar's VirtualService."""
import collections, http.client, json, os, random, socket, threading, time
from harness import Lab, eventually
from test_envoy import ANY, at, start

VIP, HOST, POLICIES, REQUESTS = "10.96.0.9", "shop.example", 24, 12
FORMAT = "%REQ(X-ID)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"
WORDS = ["5xx", "gateway-error", "reset", "connect-failure", "refused-stream", "retriable-4xx", "cancelled", "deadline-exceeded", "internal",
         "resource-exhausted", "unavailable"]
STEPS = ["200", "404", "409", "500", "502", "503", "504", "close", "close", "slow", "grpc1", "grpc4", "grpc8", "grpc13", "grpc14", "grpc5"]


class App:
    """x-script says what each try of a request with this x-id gets; the last step goes on."""
    def __init__(self, host):
        self.tries, self.lock = collections.Counter(), threading.Lock()
        host.serve(8080, self.one)

    def one(self, c, peer):
        data = b""
        while b"\r\n\r\n" not in data or (b"POST" in data and not data.endswith(b"body")):
            got = c.recv(1 << 16)
            if not got:
                return
            data += got
        head = dict(line.lower().split(": ", 1) for line in data.decode().split("\r\n\r\n")[0].split("\r\n")[1:])
        with self.lock:
            n = self.tries[head["x-id"]]
            self.tries[head["x-id"]] += 1
        script = head["x-script"].split()
        step = script[min(n, len(script) - 1)]
        if step == "close":
            return
        if step == "slow":
            time.sleep(1.2)
            step = "200"
        # Each connection serves once: no close is taken for an accident.
        if step.startswith("grpc"):
            c.sendall(f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/grpc\r\ngrpc-status: {step[4:]}\r\ncontent-length: 0\r\n\r\n".encode())
        else:
            c.sendall(f"HTTP/1.1 {step} X\r\nconnection: close\r\ncontent-length: {len(step)}\r\n\r\n{step}".encode())


def policy(r):
    """retries of a VirtualService, and the route's timeout."""
    words = r.sample(WORDS, r.choice((1, 1, 2, 3))) + r.sample(["404", "503", "500"], r.choice((0, 0, 1)))
    p = {"attempts": r.randrange(1, 4), "retryOn": ",".join(words), "backoff": "1ms"}
    if r.random() < 0.3:
        p["perTryTimeout"] = "0.4s"
    return p, r.choice((None, None, "0.7s")), r.random() < 0.15       # nobody listens where the last kind goes


def envoy_route(i, p, timeout, dead):
    words = p["retryOn"].split(",")
    codes = [int(w) for w in words if w.isdigit()]
    on = [w for w in words if not w.isdigit()] + (["retriable-status-codes"] if codes else [])
    retry = {"retry_on": ",".join(on), "num_retries": p["attempts"], "retriable_status_codes": codes, "host_selection_retry_max_attempts": 5,
             "retry_back_off": {"base_interval": "0.001s"}}
    if "perTryTimeout" in p:
        retry["per_try_timeout"] = p["perTryTimeout"]
    return {"match": {"prefix": f"/p{i}/"}, "route": {"cluster": "dead" if dead else "shop", "timeout": timeout or "0s", "max_grpc_timeout": timeout or "0s", "retry_policy": retry}}


def envoy(lab, host, server, policies, log):
    manager = ANY("filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix="x", route_config={"virtual_hosts": [
        {"name": "all", "domains": ["*"], "include_request_attempt_count": True, "routes": [envoy_route(i, *p) for i, p in enumerate(policies)]}]},
        http_filters=[{"name": "router", "typed_config": ANY("filters.http.router.v3.Router")}], server_name="istio-envoy",
        access_log=[{"name": "file", "typed_config": ANY("access_loggers.file.v3.FileAccessLog", path=log, log_format={"text_format_source": {"inline_string": FORMAT}})}])
    start(lab, host, [{"name": "l", "address": at("0.0.0.0", 9000), "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}],
          [{"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": {"cluster_name": name, "endpoints": [
              {"lb_endpoints": [{"endpoint": {"address": at(server.v4, port)}}]}]}} for name, port in (("shop", 8080), ("dead", 8081))])


def meshd(lab, server, policies):
    lab.write("mesh.yaml", f"accessLogFile: /dev/stdout\naccessLogFormat: {json.dumps(FORMAT)}\n")
    rules = [{"match": [{"uri": {"prefix": f"/p{i}/"}}], "route": [{"destination": {"host": "dead.example" if dead else HOST}}], "retries": p, **({"timeout": t} if t else {})}
             for i, (p, t, dead) in enumerate(policies)]
    lab.write("shop.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": [
        *({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": name, "namespace": "default"},
           "spec": {"hosts": [name], "addresses": [vip], "resolution": "STATIC", "endpoints": [{"address": server.v4}],
                    "ports": [{"number": 80, "targetPort": port, "name": "http", "protocol": "HTTP"}]}}
          for name, vip, port in ((HOST, VIP, 8080), ("dead.example", "10.96.0.10", 8081))),
        {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "shop", "namespace": "default"},
         "spec": {"hosts": [HOST], "http": rules}}]}))
    front = lab.plain("front")
    front.mode = "sidecar"
    lab.workload(front)
    return front.start()


def ask(host, ip, port, path, headers, method):
    c = http.client.HTTPConnection(ip, port, timeout=15)
    c.sock = host.connect(ip, port)
    try:
        c.request(method, path, body=b"body" if method == "POST" else None, headers={"Host": HOST, **headers})
        r = c.getresponse()
        return r.status, r.read().decode(), r.headers.get("grpc-status")
    finally:
        c.close()


def test_random_policies():
    r = random.Random(11)
    policies = [policy(r) for _ in range(POLICIES)]
    plan = [(f"{i}.{k}", f"/p{i}/x", " ".join(r.choice(STEPS) for _ in range(4)), r.choice(("GET", "POST"))) for i in range(POLICIES) for k in range(REQUESTS)]
    with Lab() as lab:
        server, peer = lab.plain("server"), lab.plain("peer")
        app, log = App(server), f"{lab.dir}/envoy-access.log"
        envoy(lab, peer, server, policies, log)
        front = meshd(lab, server, policies)
        got = {}

        def run(who, host, ip, port):
            for n, path, script, method in plan:
                got[who, n] = ask(host, ip, port, path, {"x-id": f"{who}.{n}", "x-script": script}, method)
        threads = [threading.Thread(target=run, args=a) for a in (("envoy", peer, "127.0.0.1", 9000), ("meshd", front, VIP, 80))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

        def logged(text):
            lines = [line.split(" ") for line in text.splitlines() if line.startswith(("envoy.", "meshd."))]
            return {who: (status, sorted(flags.split(",")), details) for who, status, flags, details in lines}
        read = lambda: {**logged(open(log).read()), **logged(front.log())}
        eventually(lambda: len(read()) == 2 * len(plan), 10)
        seen, bad = read(), []
        for n, path, script, method in plan:
            both = [(got[w, n], app.tries[f"{w}.{n}"], seen[f"{w}.{n}"]) for w in ("envoy", "meshd")]
            if both[0] != both[1]:
                bad.append((policies[int(n.split(".")[0])], method, script, *both))
        assert len({x[1] for x in app.tries.items()}) > 2
        assert not bad, f"{len(bad)} of {len(plan)}\n" + "\n".join(map(str, bad[:12]))
