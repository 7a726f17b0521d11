# SPDX-License-Identifier: Apache-2.0
"""Routing is judged by istiod's own translation and a real Envoy: hundreds of random requests in random worlds of VirtualServices,
DestinationRules and Sidecars."""
import json, os, subprocess, tempfile
import routes
from cluster import PEERS
from harness import Skip, meshd_path
from test_envoy import envoy_path

DECIDE = os.environ.get("DECIDE") or os.path.join(os.path.dirname(meshd_path()), "../tests/interop/decide")
SEED = int(os.environ.get("ROUTES_SEED", 1))
WORLDS = int(os.environ.get("ROUTES_WORLDS", 16))
REQUESTS = int(os.environ.get("ROUTES_REQUESTS", 50))


def ask_istiod(yamls, *proxy, env={}):
    """What istiod tells this proxy in each of these worlds."""
    rds = f"{PEERS}/rds"
    if not os.access(rds, os.X_OK) and not os.environ.get("CI"):
        raise Skip("no rds: run tests/interop/build")
    with tempfile.TemporaryDirectory() as d:
        files = [f"{d}/{i}.yaml" for i in range(len(yamls))]
        for f, y in zip(files, yamls):
            with open(f, "w") as out:
                out.write(y)
        p = subprocess.run([rds, *proxy, *files], capture_output=True, text=True, timeout=100, env={**os.environ, **env})
    assert p.returncode == 0, p.stderr[:2000]
    return [json.loads(line) for line in p.stdout.splitlines()]


def ask_meshd(yaml, asks, *proxy):
    if not os.access(DECIDE, os.X_OK) and not os.environ.get("CI"):
        raise Skip(f"no {DECIDE}: make tests/interop/decide")
    with tempfile.TemporaryDirectory() as d:
        with open(f"{d}/mesh.d.yaml", "w") as f:
            f.write(yaml)
        p = subprocess.run([DECIDE, d, *proxy], input="".join(json.dumps(q) + "\n" for q in asks), capture_output=True, text=True, timeout=60)
    errors = [l for l in (p.stderr + p.stdout).splitlines() if "\terror\t" in l]
    assert p.returncode == 0 and not errors, "\n".join(errors) + p.stderr[-2000:] + yaml
    return [json.loads(l) for l in p.stdout.splitlines() if l.startswith("{")], p.stderr


def istiod(yamls):
    return ask_istiod(yamls, routes.NAMESPACE, routes.NAME, routes.ADDRESS, routes.LABELS)


def meshd(yaml, asks):
    return ask_meshd(yaml, asks, routes.NAMESPACE, routes.NAME)


def judge(yamls, asks):
    told = istiod(yamls)
    with tempfile.TemporaryDirectory() as d:
        envoy = routes.Envoy(envoy_path(), d, told)
        try:
            differ = []
            for i, y in enumerate(yamls):
                got, _ = meshd(y, asks[i])
                assert len(got) == len(asks[i])
                for q, g in zip(asks[i], got):
                    if why := routes.compare(told[i], envoy, i, q, g):
                        differ.append(f"world {i}: {json.dumps(q)}\n  Envoy: {why}\n  meshd: {json.dumps(g)}")
        finally:
            envoy.close()
    total = sum(map(len, asks))
    print(f"{total} requests, {len(differ)} differ")
    assert not differ, f"{len(differ)} of {total} differ\n" + "\n".join(differ[:8]) + "\n" + yamls[int(differ[0].split()[1][:-1])]


def test_random_worlds():
    seeds = [SEED * 1000 + i for i in range(WORLDS)]
    judge([routes.yaml_of(routes.world(s)) for s in seeds], [routes.requests(s, REQUESTS) for s in seeds])


def test_configuration():
    """Names, domains, time-outs, retries, mirrors, hashes, rows of bytes, and what each cluster is."""
    seeds = [SEED * 1000 + 500 + i for i in range(WORLDS * 3)]
    yamls = [routes.yaml_of(routes.world(s)) for s in seeds]
    differ = []
    for seed, yaml, told in zip(seeds, yamls, istiod(yamls)):
        got, _ = meshd(yaml, [{"dump": True}])
        differ += [f"seed {seed}: {d}" for d in routes.differences(told, got[0])]
    assert not differ, f"{len(differ)} differ\n" + "\n".join(differ[:8])


def test_gateway_api():
    seeds = [SEED * 1000 + 700 + i for i in range(WORLDS // 2)]
    judge([routes.yaml_of(routes.kube_world(s)) for s in seeds], [routes.requests(s, REQUESTS, routes.KUBE_NAMES, routes.KUBE_DESTS) for s in seeds])
