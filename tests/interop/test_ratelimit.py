# SPDX-License-Identifier: Apache-2.0
"""RateLimit objects whose counts Envoy's rate-limit service keeps in Redis: two proxies, one count; the service away."""
import os, shutil
from harness import Lab, Skip, eventually, service
from cluster import PEERS

CONFIG = """domain: shop
descriptors:
- key: rule
  value: writes
  rate_limit: {unit: hour, requests_per_unit: 3}
- key: rule
  value: users
  descriptors:
  - key: header:x-user
    rate_limit: {unit: hour, requests_per_unit: 2}
"""
LIMIT = """apiVersion: meshd.io/v1alpha1
kind: RateLimit
metadata: {name: shared, namespace: default}
spec:
  headers: true
  shared: {service: default/limits.default.svc.cluster.local, port: 8081, domain: shop, timeout: 2s, failOpen: %s}
  rules:
  - {name: writes, match: [{to: [{operation: {methods: [POST]}}]}], amount: 3, per: 3600s}
  - {name: users, by: [{header: x-user}], amount: 2, per: 3600s}
"""


def peer(name):
    path = f"{PEERS}/{name}"
    if not os.access(path, os.X_OK):
        assert not os.environ.get("CI"), f"no {path}: tests/interop/build makes it"
        raise Skip(f"no {name}: run tests/interop/build")
    return path


class Stop:
    def __init__(self, p):
        self.p = p

    def close(self):
        self.p.kill()
        self.p.wait()


def limits(lab, host):
    """Redis and the service, on one host."""
    redis = shutil.which("redis-server")
    if not redis:
        assert not os.environ.get("CI"), "no redis-server"
        raise Skip("no redis-server")
    conf = f"{lab.dir}/ratelimit/config"
    os.makedirs(conf)
    with open(f"{conf}/shop.yaml", "w") as f:
        f.write(CONFIG)
    log = open(f"{lab.dir}/ratelimit.log", "w")
    r = host.popen(redis, "--port", "6379", "--save", "", "--bind", "127.0.0.1", stdout=log, stderr=log)
    lab.closing.append(Stop(r))
    eventually(lambda: host.run("ss", "-ltnH", "sport = :6379").stdout.strip(), 10, what="redis listening")
    env = {**os.environ, "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": "127.0.0.1:6379", "USE_STATSD": "false", "RUNTIME_ROOT": lab.dir,
           "RUNTIME_SUBDIRECTORY": "ratelimit", "RUNTIME_WATCH_ROOT": "false", "HOST": "0.0.0.0", "GRPC_HOST": "0.0.0.0", "LOG_LEVEL": "warn"}
    p = host.popen(peer("ratelimit"), stdout=log, stderr=log, env=env)
    stop = Stop(p)
    lab.closing.append(stop)
    eventually(lambda: host.run("ss", "-ltnH", "sport = :8081").stdout.strip(), 15, what=lambda: open(log.name).read()[-2000:])
    return stop


VIPS = {"one": "10.96.0.11", "two": "10.96.0.12"}


def ask(host, name, method="GET", **headers):
    return host.http("/", port=8080, ip=VIPS[name], method=method, headers={"Host": name, **{k.replace("_", "-"): v for k, v in headers.items()}})


def test_shared_counts():
    with Lab() as lab:
        keeper = lab.plain("limits")
        lab.workload(keeper, tunnel=False, serviceAccount="")
        stop = limits(lab, keeper)
        lab.write("limits.yaml", service("limits", {8081: 8081}, ["10.96.0.30"], protocol="GRPC", app="limits", family="v4"))
        for n, vip in VIPS.items():
            lab.write(f"{n}.yaml", service(n, {8080: 8080}, [vip], protocol="HTTP", app=n, family="v4"))
        lab.write("limit.yaml", LIMIT % "false")
        web, one, two = lab.sidecars("web", "one", "two")
        one.serve_http(8080)
        two.serve_http(8080)
        a, b = VIPS
        assert ask(web, a)[0] == 200                 # no rule is met: nobody is asked
        got = [ask(web, to, "POST")[0] for to in (a, b, a, b, a)]
        assert got == [200, 200, 200, 429, 429], got
        status, _, headers = ask(web, a, "POST")
        assert status == 429 and headers["ratelimit"].startswith('"writes";r=0;t='), headers
        got = [ask(web, to, x_user=u)[0] for to, u in ((a, "joe"), (b, "joe"), (a, "joe"), (a, "ann"), (b, "ann"), (b, "ann"))]
        assert got == [200, 200, 429, 200, 200, 429], got
        # The service is away: refused, or let through, as the object says.
        stop.close()
        assert ask(web, a)[0] == 200
        eventually(lambda: ask(web, a, "POST")[0] == 500, 10)
        lab.write("limit.yaml", LIMIT % "true")
        eventually(lambda: ask(web, a, "POST")[0] == 200, 10)
