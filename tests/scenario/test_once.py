# SPDX-License-Identifier: Apache-2.0
"""Every policy once: {clients} x {servers} x {questions}, by the rules of once.py, in each stance; the table is printed."""
import once
from harness import *


class Mesh:
    """All clients and servers. peers: {name of a host: fn(mesh, host) that starts another proxy than meshd there}; certs: fn(host), instead of the
    lab's CA. A peer may say in .at[client's name] where its applications dial, as once.address."""
    def __init__(self, lab, stance, peers={}, certs=None):
        self.lab, self.stance = lab, stance
        kinds = {**{h: c for c, h in once.CLIENT.items()}, **{h: s for s, h in once.HOST.items()}, once.WAYPOINT: "waypoint"}
        self.hosts = {n: lab.plain(n) for n in kinds}
        self.apps, self.at, self.compared = {}, {}, 0
        lab.write("mesh.yaml", "accessLogFile: /dev/stdout\n")
        lab.write("objects.json", once.objects(self.hosts, stance))
        meshed = []
        for h in self.hosts.values():
            kind, h.namespace = kinds[h.name].split("+")[0], "way" if "wp" in kinds[h.name] or h.name == once.WAYPOINT else "default"
            h.identity = f"spiffe://{once.identity(h.namespace, h.name)}"
            h.mode = {"ambient": "ztunnel", "waypoint": "waypoint"}.get(kind, "sidecar")
            if h.name in once.HOST.values():
                self.apps[h.name] = h.serve_http(8080, once.application)
                for p in once.TCP_PORTS:
                    h.serve(p)
            if h.name in peers:
                peers[h.name](self, h)
            elif kind not in ("none", "gateway"):
                env = {"MESHD_ENFORCEMENT": stance, "MESHD_SIDECAR_USE_WAYPOINT": str(kind != "foreign").lower()}
                meshed.append(h.start("--concurrency=1", workload=f"{h.namespace}/{h.name}", env=env, certs=certs and certs(h), ready=False,
                                      capture=kind != "waypoint"))
        for h in meshed:
            h.ready()

    def cell(self, path, questions=once.QUESTIONS):
        """({question: what came of it}, [what is not as the rules say])."""
        client, server = self.hosts[once.CLIENT[path.client]], self.hosts[once.HOST[path.server]]
        at = self.at.get(client.name, lambda s: once.address(path, server))(path.server)
        results, wrong = {}, []
        for q in questions:
            want = path.expect(q)
            if not want:
                continue
            got, request = once.ask(client, path.client, path.server, self.apps[server.name], q, at)
            results[q.name] = got
            if got != want:
                wrong.append(f"{path.client} > {path.server}: {q.name} want {want} got {got}")
            if request and q.name == "route/step" and once.seen(request) != path.seen(self.hosts):
                wrong.append(f"{path.client} > {path.server}: the application wants {path.seen(self.hosts)} sees {once.seen(request)}")
        return results, wrong

    def predicted(self, path, q):
        """What `meshd explain` says of a question: its outcome, and at which hop it saw routes."""
        at, host = once.address(path, self.hosts[once.HOST[path.server]])(q.tcp or 80), once.fqdn(path.server)
        meshed = at[0] == once.VIP[path.server]
        headers = {**once.headers(path.client, q), **({} if meshed or q.tcp else {"host": host})}
        r = sh(self.lab.meshd, "explain", f"--config-dir={self.lab.config}", f"--from=default/{once.CLIENT[path.client]}", "--format=json",
               f"--to={host if meshed else f'[{at[0]}]' if ':' in at[0] else at[0]}:{at[1]}", f"--path={q.path()}", *(f"--header={k}: {v}" for k, v in headers.items()),
               env={**self.lab.env, "MESHD_ENFORCEMENT": self.stance, "MESHD_SIDECAR_USE_WAYPOINT": str(path.client != "foreign").lower()})
        said = json.loads(r.stdout)
        verdicts = {json.dumps(o["verdict"]) for o in said["outcomes"]}
        assert len(verdicts) == 1, r.stdout
        verdict, hop, routes = said["outcomes"][0]["verdict"], said["path"], None
        while hop:
            routes = routes or (any(f["kind"] == "route" for f in hop["facts"]) and hop["role"]) or None
            hop = hop["legs"][0].get("next") if hop.get("legs") else None
        status = verdict.get("status")
        return "passes" if verdict["kind"] == "ALLOW" else status if status in (401, 403, 418) else "refused", routes

    def compare(self, path, questions, results):
        """What `meshd explain` says otherwise than traffic. Under a sanitizer it is slow: each cell asks a fourth of the questions, another one than
        the cell before."""
        wrong, every = [], 1 if self.hosts[once.WAYPOINT].memory_kib() else 4
        self.compared += 1
        for i, q in enumerate(questions):
            if q.name not in results or "limit#" in q.name and not q.name.endswith("#0") or (i + self.compared) % every:
                continue                                # what was counted before, it cannot know
            outcome, n, _ = results[q.name]
            got, routes = self.predicted(path, q)
            if got != ("passes" if n else outcome) or (n and not q.tcp and not path.by_address and routes != path.routes):
                wrong.append(f"{path.client} > {path.server}: {q.name} explain says {got}, routes at {routes}; traffic {outcome}, routes at {path.routes}")
        return wrong

    def matrix(self, paths, questions=once.QUESTIONS, explain=False):
        rows, wrong = [], []
        for p in paths:
            results, bad = self.cell(p, questions)
            rows.append(once.row(p, results))
            wrong += bad + (self.compare(p, questions, results) if explain else [])
        print(*("# " + l for l in [once.table.__doc__, *once.table(rows).splitlines()]), sep="\n")
        assert not wrong, "\n" + "\n".join(wrong)


def matrix(stance):
    """What comes past a waypoint is counted and listed, or refused and listed."""
    with Lab() as lab:
        mesh = Mesh(lab, stance)
        mesh.matrix([once.Path(c, s, stance) for c in once.CLIENTS for s in once.SERVERS], explain=True)
        for s in once.SERVERS:
            server = mesh.hosts[once.HOST[s]]
            if s.endswith("+wp") and stance == "istio":
                assert server.metric("meshd_waypoint_bypasses_total") >= 3 * 10, server.metrics()
                status = server.cli("status").stdout
                assert "past way/wp.way.svc.cluster.local, by plaintext" in status, status
            elif s.endswith("+wp"):
                assert server.metric("meshd_waypoint_bypasses_total") == 0
                status = server.cli("status").stdout
                assert "NOT_WAYPOINT" in status, status
        if stance != "istio":
            server, client = mesh.hosts[once.HOST["ambient"]], mesh.hosts[once.CLIENT["ambient"]]
            at = once.VIP["ambient"], once.TCP_PORTS[0]
            assert client.talk(*at) == b"hello"
            lab.write("deny.json", json.dumps(once.judges("own", "ambient", {"selector": {"matchLabels": {"app": server.name}}}, mesh.hosts)[0]))
            eventually(lambda: client.refused(*at), what="a DENY that cannot be judged refuses")


def test_istio():
    matrix("istio")


def test_istio_ipv6():
    once.use_family(6)
    matrix("istio")


def test_closed():
    matrix("closed")


def test_strict_mtls():
    """The same where nobody without a certificate is let in."""
    with Lab() as lab:
        lab.write("strict.json", json.dumps(once.obj("PeerAuthentication", "istio-system", "default", {"mtls": {"mode": "STRICT"}})))
        Mesh(lab, "istio").matrix([once.Path(c, s, mtls=True) for c in once.CLIENTS for s in once.SERVERS], explain=True)


def by_address(stance):
    """As what asks for a service, but that a workload's own address is no service: its waypoint carries it on, by policies that are not a service's."""
    with Lab() as lab:
        Mesh(lab, stance).matrix([once.Path(c, s, stance, True) for c in once.CLIENTS[2:] for s in once.SERVERS], explain=True)


def test_by_address():
    by_address("istio")


def test_by_address_closed():
    by_address("closed")


def test_manual():
    """meshd-mesh(7) has the table of the rules; `python3 tests/scenario/once.py` prints it."""
    text = open(f"{ROOT}/man/meshd-mesh.7").read()
    for stance in ("istio", "closed"):
        assert once.manual(stance) in text, once.manual(stance)
