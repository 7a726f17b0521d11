# SPDX-License-Identifier: Apache-2.0
"""Sessions are placed as Envoy places them: one key leads to one endpoint from each proxy of a mesh, whoever made it. With that, who is
ejected when is compared request by request."""
import http.client, json, random, time
from harness import Lab
from test_envoy import ANY, at, start

VIP, HOST, KEYS = "10.96.0.9", "shop.example", 150


def app(handler, got):
    """Answers with the status that the request names for this host: x-status: b0=500 b3=503."""
    want = dict(x.split("=") for k, v in got["headers"] if k.lower() == "x-status" for x in v.split())
    if got["host"] in want:
        handler.answer(int(want[got["host"]]), got["host"].encode())
        return True


def backends(lab, n=5):
    out = lab.plain(*[f"b{i}" for i in range(n)])
    for h in out:
        h.serve_http(8080, app)
    return out


def ask(host, ip, port, path="/", headers={}):
    c = http.client.HTTPConnection(ip, port, timeout=5)
    c.sock = host.connect(ip, port)
    try:
        c.request("GET", path, headers={"Host": HOST, **headers})
        r = c.getresponse()
        text = r.read().decode()
        return (r.status, json.loads(text)["host"]) if r.status == 200 else (r.status, text)
    finally:
        c.close()


def envoy(lab, host, backs, weights, hash_policy, cluster, priorities=None):
    manager = ANY("filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix="x", route_config={"virtual_hosts": [
        {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "shop", "hash_policy": [hash_policy]}}]}]},
        http_filters=[{"name": "router", "typed_config": ANY("filters.http.router.v3.Router")}])
    start(lab, host, [{"name": "l", "address": at("0.0.0.0", 9000), "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}],
          [{"name": "shop", "type": "STATIC", "connect_timeout": "5s", **cluster, "load_assignment": {"cluster_name": "shop", "endpoints": [
              {"priority": p, "lb_endpoints": [{"endpoint": {"address": at(b.v4, 8080)}, "load_balancing_weight": w}
                                               for b, w, q in zip(backs, weights, priorities or weights) if q == p or not priorities]}
              for p in sorted(set(priorities or [0]))]}}])


def meshd(lab, backs, weights, consistent_hash, more="", places=None):
    """places: localities of the endpoints; the client is in the first one's."""
    ends = ", ".join(f"{{address: {b.v4}, weight: {w}{f', locality: {p}' if p else ''}}}" for b, w, p in zip(backs, weights, places or [""] * len(backs)))
    lab.write("shop.yaml", f"""apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: shop, namespace: default}}
spec: {{hosts: [{HOST}], addresses: [{VIP}], resolution: STATIC, ports: [{{number: 80, targetPort: 8080, name: http, protocol: HTTP}}], endpoints: [{ends}]}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: shop, namespace: default}}
spec: {{host: {HOST}, trafficPolicy: {{loadBalancer: {{consistentHash: {consistent_hash}}}{more}}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop, namespace: default}}
spec: {{hosts: [{HOST}], http: [{{retries: {{attempts: 0}}, route: [{{destination: {{host: {HOST}}}}}]}}]}}
""")
    front = lab.plain("front")
    front.mode = "sidecar"
    lab.workload(front, **({"locality": places[0]} if places else {}))
    return front.start()


def same(weights, hash_policy, cluster, consistent_hash, how):
    """how: key > path and headers."""
    with Lab() as lab:
        backs, peer = backends(lab, len(weights)), lab.plain("peer")
        envoy(lab, peer, backs, weights, hash_policy, cluster)
        front = meshd(lab, backs, weights, consistent_hash)
        theirs = [ask(peer, "127.0.0.1", 9000, *how(k)) for k in range(KEYS)]
        ours = [ask(front, VIP, 80, *how(k)) for k in range(KEYS)]
        assert len(set(theirs)) == len(weights) and {status for status, _ in theirs} == {200}
        assert ours == theirs, [(k, a, b) for k, (a, b) in enumerate(zip(ours, theirs)) if a != b]


def test_ring_by_header():
    same([1] * 5, {"header": {"header_name": "x-user"}}, {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 1024}},
         "{httpHeaderName: x-user}", lambda k: ("/", {"x-user": f"user-{k}"}))


def test_ring_with_weights_by_query():
    same([1, 2, 5], {"query_parameter": {"name": "user"}}, {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 64}},
         "{httpQueryParameterName: user, ringHash: {minimumRingSize: 64}}", lambda k: (f"/?a=b&user=u{k}", {}))


def test_maglev_with_weights_by_cookie():
    same([3, 1, 2, 4], {"cookie": {"name": "home"}}, {"lb_policy": "MAGLEV"}, "{httpCookie: {name: home}, maglev: {}}",
         lambda k: ("/", {"Cookie": f"x=y; home=h{k}"}))


def walk(client, ip, port, seed):
    """A random walk: three hosts have streaks of errors. (status, host) of each request."""
    r, out = random.Random(seed), []
    for _ in range(250):
        bad = " ".join(f"b{i}={r.choice((500, 502, 503))}" for i in range(3) if r.random() < 0.6)
        out.append(ask(client, ip, port, headers={"x-user": f"user-{r.randrange(40)}", "x-status": bad}))
        if out[-1][0] != 200:
            time.sleep(0.03)         # Envoy ejects on its main thread
    return out


def same_walk(priorities, places, limits, envoy_limits, late):
    """limits: as outlierDetection says them; late: how many of the bad hosts still fail at the end."""
    with Lab() as lab:
        backs, peer = backends(lab), lab.plain("peer")
        envoy(lab, peer, backs, [1] * 5, {"header": {"header_name": "x-user"}}, {
            "lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 1024},
            # Its default is to wait up to a second before workers hear of the next ejection.
            "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
            "outlier_detection": {"interval": "60s", "base_ejection_time": "600s", "enforcing_success_rate": 0, **envoy_limits}}, priorities)
        front = meshd(lab, backs, [1] * 5, "{httpHeaderName: x-user}", f", outlierDetection: {{interval: 60s, baseEjectionTime: 600s, {limits}}}", places)
        theirs, ours = walk(peer, "127.0.0.1", 9000, 7), walk(front, VIP, 80, 7)
        assert ours == theirs, [(k, a, b) for k, (a, b) in enumerate(zip(ours, theirs)) if a != b][:10]
        bad = {host for status, host in ours[-100:] if status != 200}
        assert len(bad) == late and bad <= {"b0", "b1", "b2"}, bad


def test_ejections():
    """Two of the three may be ejected, the third goes on failing."""
    same_walk(None, None, "consecutive5xxErrors: 5, consecutiveGatewayErrors: 3, maxEjectionPercent: 40",
              {"consecutive_5xx": 5, "consecutive_gateway_failure": 3, "enforcing_consecutive_gateway_failure": 100, "max_ejection_percent": 40}, 1)


def test_ejections_across_localities():
    """What the near ones are not fit for any more goes to the next priority, key by key."""
    same_walk([0, 0, 1, 1, 2], ["r1/z1", "r1/z1", "r1/z2", "r1/z2", "r2/z1"], "consecutive5xxErrors: 4, maxEjectionPercent: 100",
              {"consecutive_5xx": 4, "max_ejection_percent": 100}, 0)
