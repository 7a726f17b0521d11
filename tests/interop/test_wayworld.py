# SPDX-License-Identifier: Apache-2.0
"""A waypoint's routing and policy are judged by istiod's own translation and a real Envoy: hundreds of random requests, with callers,
tokens and bytes, in random worlds of services that are bound to it or not."""
import concurrent.futures, json, os, re, tempfile
import wayworld
from relay import loopback
from routes import interesting
from test_envoy import envoy_path
from test_routes import ask_istiod, ask_meshd

SEED = int(os.environ.get("WAYS_SEED", 1))
WORLDS = int(os.environ.get("WAYS_WORLDS", 30))
REQUESTS = int(os.environ.get("WAYS_REQUESTS", 50))


def same_answer(want, got):
    """An answer of the proxy itself. Who is refused is not told what a route would add: meshd looks for one afterwards."""
    fields = dict(map(tuple, want["fields"]))
    if want["status"] in (401, 403) and want["body"] == got["body"]:
        return got["status"] == want["status"] and fields.get("www-authenticate") == dict(map(tuple, got["responses"][0])).get("www-authenticate")
    return got["status"] == want["status"] and fields.get("told-route", "") in ("", "-", got["route"]) and \
        interesting(want["fields"]) in map(interesting, got["responses"]) and got["body"] == want["body"]


def same_way(envoy, world, want, got):
    fields = dict(map(tuple, want["fields"]))
    if not want["body"].startswith("{"):      # a cluster that is not there; istiod forgets those of others that a VirtualService with a wildcard leads to
        known = {c["name"] for c in world["clusters"]}
        return want["status"] == got["missing"] and any(not t["exists"] or t["cluster"] not in known for t in got["targets"])
    up = json.loads(want["body"])
    if got["route"] != fields.get("told-route", "-").replace("-", "", fields.get("told-route", "-") == "-"):
        return False
    return any(t["exists"] and t["cluster"] == envoy.at[up["at"]] and (t["path"], t["authority"]) == (up["path"], dict(up["headers"])["host"]) and
               interesting(t["request"]) == interesting(up["headers"]) and interesting(t["response"]) == interesting(want["fields"]) for t in got["targets"])


def same_bytes(envoy, world, want, got):
    plain = lambda name: re.sub(r"^(inbound-vip\|\d+\|)(tcp|http)", r"\1", name)       # both have the same endpoints; istiod's name says what the port is called
    known, got = {plain(c["name"]) for c in world["clusters"]}, list(map(plain, got))
    if "status" in want:                      # of the server: the waypoint did not look
        return want["body"].startswith("{") and "told-cluster" not in dict(map(tuple, want["fields"])) and plain(envoy.at[json.loads(want["body"])["at"]]) in got
    return plain(want["bytes"]) in got if "bytes" in want else "reset" in want and not known.issuperset(got)


def same(envoy, world, want, got):
    if "l4" in got:
        return same_bytes(envoy, world, want, got["l4"])
    if "status" not in want:
        return got == {k: True for k in want}
    return same_way(envoy, world, want, got) if "targets" in got else "status" in got and same_answer(want, got)


def kind(want):
    return str(want.get("status") or next(iter(want)))


def test_random_worlds():
    seeds = [SEED * 1000 + i for i in range(WORLDS)]
    yamls = [wayworld.yaml_of(wayworld.world(s)) for s in seeds]
    asks = [wayworld.requests(s, REQUESTS) for s in seeds]
    told = ask_istiod(yamls, wayworld.NAMESPACE, wayworld.NAME, wayworld.ADDRESS, wayworld.LABELS, env={"PILOT_ENABLE_AMBIENT": "true"})
    differ, counts = [], {}
    loopback()
    with tempfile.TemporaryDirectory() as d, concurrent.futures.ThreadPoolExecutor(8) as pool:
        envoy = wayworld.Envoy(envoy_path(), d, told)
        try:
            for i, yaml in enumerate(yamls):
                wants = pool.map(lambda q: envoy.ask(i, q), asks[i])
                gots = ask_meshd(yaml, asks[i], wayworld.NAMESPACE, wayworld.NAME, "waypoint")[0]
                assert len(gots) == len(asks[i])
                for q, want, got in zip(asks[i], wants, gots):
                    counts[kind(want)] = counts.get(kind(want), 0) + 1
                    if not same(envoy, told[i], want, got):
                        differ.append(f"seed {seeds[i]}: {json.dumps(q)}\n  Envoy: {json.dumps(want)}\n  meshd: {json.dumps(got)}")
        finally:
            envoy.close()
    total = sum(counts.values())
    print(f"{total} requests, {len(differ)} differ; {counts}")
    assert counts.get("200", 0) > total / 5 and counts.get("403", 0) > total / 100 and counts.get("bytes", 0) > total / 100, f"the requests are one-sided: {counts}"
    assert not differ, f"{len(differ)} of {total} differ\n" + "\n".join(differ[:8])


def test_configuration():
    """Time-outs, retries, mirrors, hashes, and what each cluster is."""
    seeds = [SEED * 1000 + 500 + i for i in range(WORLDS)]
    yamls = [wayworld.yaml_of(wayworld.world(s)) for s in seeds]
    told = ask_istiod(yamls, wayworld.NAMESPACE, wayworld.NAME, wayworld.ADDRESS, wayworld.LABELS, env={"PILOT_ENABLE_AMBIENT": "true"})
    differ = []
    for seed, yaml, world in zip(seeds, yamls, told):
        dump = ask_meshd(yaml, [{"dump": True}], wayworld.NAMESPACE, wayworld.NAME, "waypoint")[0][0]
        differ += [f"seed {seed}: {d}" for d in wayworld.differences(world, dump)]
    assert not differ, f"{len(differ)} differ\n" + "\n".join(differ[:8])
