# SPDX-License-Identifier: Apache-2.0
"""What must run on a request, where, and how often: the rules, the objects that make it visible, and the questions asked.

The rules. A request meets at most three proxies: its client's, the waypoint of its destination, its server's.

| what | runs at | and so |
|---|---|---|
| the service's routes (VirtualService: retries, faults, headers) | the waypoint, if the client's proxy goes there; else the client's sidecar; else nobody | a sidecar that honours waypoints leaves routes to them; ztunnel mode has none of its own |
| policies with targetRefs (AuthorizationPolicy, RequestAuthentication, RateLimit) | the waypoint, if the client's proxy goes there; else nobody | a client without proxy, or one that knows of no waypoints, passes by |
| policies with a selector | the server's sidecar; of the server's ztunnel what is of layer 4 | they do not care who called; a sidecar behind a waypoint judges the caller, not the waypoint |

Clients that go to the waypoint: ztunnel mode, and sidecars with MESHD_SIDECAR_USE_WAYPOINT. What comes past a waypoint is let in, counted and
listed under `istio`, and refused under `closed`. So every policy runs once or is refused, and zero times only where Istio says so."""
import base64, hashlib, hmac, http.client, json

HOST = {"none": "bare", "sidecar": "car", "ambient": "amb", "ambient+wp": "wamb", "sidecar+wp": "wcar", "hbone+wp": "whcar"}
SERVERS = tuple(HOST)                   # hbone: a sidecar that also speaks HBONE
NAMESPACE = {s: "way" if s.endswith("+wp") else "default" for s in SERVERS}
CLIENT = {"none": "out", "gateway": "edge", "sidecar": "sc", "foreign": "fo", "ambient": "zt"}
CLIENTS = tuple(CLIENT)                 # gateway: plaintext, and speaks for others; foreign: a sidecar that knows of no waypoints
WAYPOINT = "wp"
LIMIT = 2                               # requests that a limit lets pass
RETRIES = 2


def use_family(n):
    """All addresses are of IPv4, or of IPv6."""
    global FAMILY, VIP, WAYPOINT_VIP, GATEWAY_SAW, SIDECARS_SOURCE
    FAMILY = n
    VIP = {s: f"10.88.0.{i + 1}" if n == 4 else f"fd88::{i + 1}" for i, s in enumerate(SERVERS)}
    WAYPOINT_VIP, GATEWAY_SAW, SIDECARS_SOURCE = ("10.88.1.1", "203.0.113.9", "127.0.0.6") if n == 4 else ("fd88::1:1", "2001:db8::9", "::6")


use_family(4)                           # GATEWAY_SAW: whom the gateway speaks for


def ip_of(host):
    return host.addr(FAMILY)


def fqdn(server):
    return f"{HOST[server]}.{NAMESPACE[server]}.svc.cluster.local"


def identity(ns, sa):
    return f"cluster.local/ns/{ns}/sa/{sa}"


# ---- the rules ----

class Path:
    """Who does what between a client and a server, by the rules."""
    def __init__(self, client, server, stance="istio", by_address=False, mtls=False):
        self.client, self.server, self.stance, self.by_address = client, server, stance, by_address
        self.guarded = server.endswith("+wp")
        self.waypoint = self.guarded and client in ("sidecar", "ambient")
        self.bypass = self.guarded and not self.waypoint
        self.refused = self.bypass and stance != "istio"
        # By its own address a workload is no service: nobody has routes, no policy is bound to it, and a sidecar calls it as it is.
        self.meshed = client == "ambient" or client in ("sidecar", "foreign") and (self.waypoint or not by_address)
        self.routes = None if by_address else "waypoint" if self.waypoint else "client" if client in ("sidecar", "foreign") else None
        self.target = "waypoint" if self.waypoint and not by_address else None
        self.own = "server" if server.startswith(("sidecar", "hbone")) else None
        # The waypoint says to sidecars who asks, over Istio's mutual TLS in x-forwarded-client-cert, and over HBONE from where as well.
        self.told = not self.waypoint or server.startswith("hbone")
        self.captured = server != "none"                        # policies of layer 4 are judged
        self.knows = self.meshed and self.captured              # the server's proxy knows who the client is
        self.refused = self.refused or mtls and self.captured and not self.knows

    def __str__(self):
        hops = ["client"] if self.routes == "client" else ["waypoint"] if self.waypoint else []
        return "refused" if self.refused else "+".join(hops + (["server"] if self.own else [])) or "nobody"

    def expect(self, q):
        """(outcome, requests that the application got, routes' steps on each)"""
        status, seen = 200, 1
        who = {"own": self.own, "way": self.target, "route": self.routes, "l4": self.captured}[q.family]
        if q.client not in (None, self.client):
            return None
        if self.refused:
            return (418, 0, 0) if q.name == "route/fault" and self.routes else ("refused", 0, 0)
        if who:
            status, seen = q.judged(self)
        elif q.name == "route/retry":
            status = 503
        if q.name == "route/retry" and status == 503:
            return 503, 1 + RETRIES if self.routes else 1, 1 if self.routes else 0
        return status, seen, (1 if self.routes and seen and not q.tcp else 0)

    def seen(self, hosts):
        """What the application sees: (getpeername(), the URI of the first element of x-forwarded-client-cert, x-forwarded-for)."""
        client = hosts[CLIENT[self.client]]
        peer = SIDECARS_SOURCE if self.own else ip_of(client)
        known = self.waypoint or (self.own and self.meshed)
        l7 = self.waypoint or self.own or self.routes           # somebody who takes a client's word for nothing
        uri = "spiffe://" + identity("default", client.name) if known else None if l7 else FORGED_URI
        return peer, uri, GATEWAY_SAW if self.client == "gateway" and not (self.bypass and self.own) else None

    def manual(self):
        """A row of meshd-mesh(7)."""
        whom = "-" if not self.captured else "nobody" if not self.knows else "waypoint" if self.waypoint and not self.own else "client"
        address = "-" if not self.captured else "client" if not self.waypoint or self.own and self.told else "waypoint"
        if self.refused:
            return [self.client, self.server, "refused", "", "", "", "", ""]
        return [self.client, self.server, self.routes or "-", self.target or "-", ("server" if self.own else "layer 4" if self.captured else "-"),
                whom, address, "127.0.0.6" if self.own else "client's"]


class Question:
    """One request, and what whoever runs its rule makes of it: (outcome, whether the application gets it)."""
    def __init__(self, name, judged, headers={}, tcp=0, client=None):
        self.name, self.judged, self.headers, self.tcp, self.client = name, judged, headers, tcp, client
        self.family = name.split("/")[0]

    def path(self):
        return f"/{self.name.split('#')[0]}"


PASS, DENIED, BAD_TOKEN, OVER = (200, 1), (403, 0), (401, 0), (429, 0)


def token(family, secret=None):
    secret = secret or SECRET
    claims = {"iss": f"https://{family}.test", "sub": "joe", "exp": 4102444800}
    text = ".".join(b64(json.dumps(x).encode()) for x in ({"alg": "HS256"}, claims))
    return text + "." + b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())


SECRET = b"0123456789abcdef0123456789abcdef"
b64 = lambda b: base64.urlsafe_b64encode(b).rstrip(b"=").decode()
friend = lambda p: p.meshed and p.client in ("sidecar", "ambient")           # whom /*/allow is for


def judged_by(family):
    return [Question(f"{family}/allow", lambda p: PASS if friend(p) else DENIED),
            Question(f"{family}/deny", lambda p: DENIED),
            Question(f"{family}/jwt#none", lambda p: DENIED),
            Question(f"{family}/jwt#good", lambda p: PASS, {f"x-{family}-token": token(family)}),
            Question(f"{family}/jwt#bad", lambda p: BAD_TOKEN, {f"x-{family}-token": token(family, b"another" * 8)}),
            *(Question(f"{family}/limit#{i}", lambda p, i=i: PASS if i < LIMIT else OVER) for i in range(LIMIT + 1)),
            # the client's own address passes, and for a gateway that of whom it speaks for
            *(Question(f"{family}/ip/{c}", lambda p: PASS if family == "way" or p.told else DENIED, client=c) for c in CLIENTS),
            # past the waypoint nobody may speak for others
            *(Question(f"{family}/remote/{c}", lambda p: PASS if family == "way" or p.told and not (p.bypass and p.client == "gateway") else DENIED,
                       client=c) for c in CLIENTS)]


QUESTIONS = [Question("route/step", lambda p: PASS), Question("route/retry", lambda p: (503, 1)), Question("route/fault", lambda p: (418, 0)),
             *judged_by("own"), *judged_by("way"),
             Question("l4/open", lambda p: PASS, tcp=9000),
             Question("l4/known", lambda p: PASS if p.knows else ("refused", 0), tcp=9001),
             Question("l4/deny", lambda p: ("refused", 0), tcp=9002),
             # ztunnel mode judges who connects to it: behind a waypoint, the waypoint
             Question("l4/ip", lambda p: ("refused", 0) if p.waypoint and not (p.own and p.told) else PASS, tcp=9003)]
TCP_PORTS = (9000, 9001, 9002, 9003)


# ---- objects ----

def obj(kind, ns, name, spec, labels={}, group="security.istio.io/v1"):
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name, "namespace": ns, **({"labels": labels} if labels else {})}, **({"spec": spec} if spec else {})}


def workload(h, ns, kind, app=None, labels={}):
    """kind: none, sidecar, hbone, ambient or waypoint."""
    mtls, hbone = {"security.istio.io/tlsMode": "istio"}, {"networking.istio.io/tunnel": "http"}
    marks = {"sidecar": mtls, "hbone": {**mtls, **hbone}, "ambient": hbone}.get(kind, {})
    account = {} if kind == "none" else {"serviceAccount": h.name}      # with one Istio takes it for meshed
    return obj("WorkloadEntry", ns, h.name, {"address": ip_of(h), **account, "labels": {"app": app or h.name, **marks, **labels}},
               group="networking.istio.io/v1")


def entry(name, ns, vip, ports):
    return obj("ServiceEntry", ns, name, {
        "hosts": [f"{name}.{ns}.svc.cluster.local"], "addresses": [vip], "location": "MESH_INTERNAL", "resolution": "STATIC",
        "workloadSelector": {"labels": {"app": name}},
        "ports": [{"number": n, "targetPort": t, "name": f"{p.lower()}-{n}", "protocol": p} for n, t, p in ports]}, group="networking.istio.io/v1")


def judges(family, server, bound, hosts):
    """The policies of a family: by `bound`, a selector or targetRefs."""
    name, ns = HOST[server], NAMESPACE[server]
    # Without ports a DENY of paths denies all bytes where requests are seen; with them it denies all requests where they are not.
    ports = {} if family == "own" and server.startswith("ambient") else {"ports": ["80", "8080"]}
    at = lambda p: {"operation": {"paths": [p], **ports}}
    keys = json.dumps({"keys": [{"kty": "oct", "k": b64(SECRET)}]})
    friends = [identity("default", CLIENT[c]) for c in ("sidecar", "ambient")]
    who = f"{name}-{family}"
    return [
        obj("AuthorizationPolicy", ns, f"{who}-deny", {**bound, "action": "DENY", "rules": [{"to": [at(f"/{family}/deny")]}]}),
        obj("AuthorizationPolicy", ns, f"{who}-allow", {**bound, "action": "DENY", "rules": [
            {"from": [{"source": {"notPrincipals": friends}}], "to": [at(f"/{family}/allow")]}]}),
        obj("RequestAuthentication", ns, f"{who}-jwt", {**bound, "jwtRules": [
            {"issuer": f"https://{family}.test", "jwks": keys, "fromHeaders": [{"name": f"x-{family}-token"}], "forwardOriginalToken": True}]}),
        obj("AuthorizationPolicy", ns, f"{who}-token", {**bound, "action": "DENY", "rules": [
            {"from": [{"source": {"notRequestPrincipals": ["*"]}}], "to": [at(f"/{family}/jwt")]}]}),
        obj("RateLimit", ns, f"{who}-limit", {**bound, "rules": [
            {"name": "limit", "match": [{"to": [at(f"/{family}/limit")]}], "by": [{"header": "x-client"}], "amount": LIMIT, "per": "3600s"}]},
            group="meshd.io/v1alpha1"),
        obj("AuthorizationPolicy", ns, f"{who}-address", {**bound, "action": "DENY", "rules": [
            {"from": [{"source": {block: [ip]}}], "to": [at(f"/{family}/{kind}/{c}")]} for c, h in CLIENT.items()
            for kind, block, ip in (("ip", "notIpBlocks", ip_of(hosts[h])), ("remote", "notRemoteIpBlocks", GATEWAY_SAW if c == "gateway" else ip_of(hosts[h])))]})]


def layer4(server, hosts):
    name, ns = HOST[server], NAMESPACE[server]
    bound, to = {"selector": {"matchLabels": {"app": name}}}, lambda *ports: [{"operation": {"ports": [str(p) for p in ports]}}]
    return [obj("AuthorizationPolicy", ns, f"{name}-l4-known", {**bound, "action": "DENY", "rules": [
                {"from": [{"source": {"notPrincipals": ["*"]}}], "to": to(9001)}]}),
            obj("AuthorizationPolicy", ns, f"{name}-l4-deny", {**bound, "action": "DENY", "rules": [{"to": to(9002)}]}),
            obj("AuthorizationPolicy", ns, f"{name}-l4-ip", {**bound, "action": "DENY", "rules": [
                {"from": [{"source": {"notIpBlocks": [ip_of(hosts[h]) for h in CLIENT.values()]}}], "to": to(9003)}]})]


def routes(server):
    name, ns, host = HOST[server], NAMESPACE[server], fqdn(server)
    step = {"headers": {"request": {"add": {"x-step": "1"}}, "response": {"add": {"x-back": "1"}}}}
    to = {"route": [{"destination": {"host": host, "port": {"number": 80}}}], **step}
    at = lambda p: {"match": [{"uri": {"exact": p}}]}
    return obj("VirtualService", ns, name, {"hosts": [host], "http": [
        {**at("/route/fault"), "fault": {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}, **to},
        {**at("/route/retry"), "retries": {"attempts": RETRIES, "retryOn": "503"}, **to}, to]}, group="networking.istio.io/v1")


def waypoint(ns, name, *hosts, more={}):
    """The Gateway, its service, and the workloads behind that."""
    return [obj("Gateway", ns, name, {"gatewayClassName": "istio-waypoint", "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE", **more}]},
                {"istio.io/waypoint-for": "all"}, group="gateway.networking.k8s.io/v1"),
            entry(name, ns, WAYPOINT_VIP, [(15008, 15008, "TCP")]), *(workload(h, ns, "waypoint", app=name) for h in hosts)]


def objects(hosts, stance):
    """Everything, for the hosts by name. A DENY of requests that only ztunnel mode would judge means nothing to Istio; closed refuses all by it."""
    out = [workload(hosts[h], "default", {"gateway": "none", "foreign": "sidecar"}.get(c, c)) for c, h in CLIENT.items()]
    for s in SERVERS:
        name, ns = HOST[s], NAMESPACE[s]
        target = {"targetRefs": [{"group": "networking.istio.io", "kind": "ServiceEntry", "name": name}]}
        out += [workload(hosts[name], ns, s.split("+")[0]), entry(name, ns, VIP[s], [(80, 8080, "HTTP"), *((p, p, "TCP") for p in TCP_PORTS)]), routes(s),
                *(judges("own", s, {"selector": {"matchLabels": {"app": name}}}, hosts) if stance == "istio" or not s.startswith("ambient") else []),
                *judges("way", s, target, hosts), *layer4(s, hosts)]
    out += waypoint("way", WAYPOINT, hosts[WAYPOINT])
    out += [obj("Namespace", "", "way", None, {"istio.io/use-waypoint": WAYPOINT}, group="v1")]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": out})


# ---- the questions, and what came of them ----

def application(handler, got):
    got["peer"] = handler.client_address[0].removeprefix("::ffff:")
    if got["path"] == "/route/retry":
        handler.answer(503, b"no", headers={"x-app": "1"})
    else:
        handler.answer(200, json.dumps(got).encode(), headers={"x-app": "1"})
    return True


def all_of(got, name):
    return [v for k, v in got["headers"] if k.lower() == name]


def seen(got):
    """As Path.seen, of a request that the application got."""
    first = ",".join(all_of(got, "x-forwarded-client-cert")).split(",")[0]
    uri = [f.removeprefix("URI=") for f in first.split(";") if f.startswith("URI=")]
    return got["peer"], uri[0] if uri else None, ",".join(all_of(got, "x-forwarded-for")) or None


def address(path, host):
    """Where an application of that client dials a port of the service: without a proxy nobody knows what its VIP is."""
    return lambda port: (VIP[path.server], port) if path.client in ("sidecar", "foreign", "ambient") and not path.by_address else (ip_of(host), 8080 if port == 80 else port)


def headers(client, q):
    return {"x-client": client, "x-forwarded-client-cert": FORGED, **({"x-forwarded-for": GATEWAY_SAW} if client == "gateway" else {}), **q.headers}


def ask(client, c, s, app, q, at):
    """(outcome, requests that the application got, steps on each or -1 if they differ), and the last request. client: the host; c, s: the kinds of
    client and server; at: as address()."""
    ip, port = at(q.tcp or 80)
    if q.tcp:
        try:
            with client.connect(ip, port) as s:
                s.sendall(BYTES)
                got = s.recv(len(BYTES))
        except ConnectionError:
            got = b""
        return ((200, 1, 0) if got == BYTES else ("refused", 0, 0)), None
    first = len(app.requests)
    back = 0
    try:
        status, text, answer = client.http(q.path(), ip=ip, port=port, headers={"Host": fqdn(s), **headers(c, q)}, timeout=10)
        back = len(answer.get_all("x-back") or [])
        if status == 503 and not answer.get("x-app"):
            status = "refused"
    except (ConnectionError, http.client.HTTPException):
        status = "refused"
    got = app.requests[first:]
    steps = {len(all_of(r, "x-step")) for r in got} or {0}
    if status == 200 and back not in steps:
        steps = {f"back {back}"}
    return (status, len(got), steps.pop() if len(steps) == 1 else -1), got[-1] if got else None


BYTES = b"\1hello"                       # no beginning of a request
FORGED_URI = "spiffe://cluster.local/ns/forged/sa/root"
FORGED = "By=spiffe://cluster.local/ns/x/sa/x;URI=" + FORGED_URI


# ---- the table ----

COLUMNS = [("step", "route/step"), ("retry", "route/retry"), ("fault", "route/fault"),
           *((f"{f}:{n}", f"{f}/{q}") for f in ("own", "way") for n, q in (("allow", "allow"), ("deny", "deny"), ("jwt", "jwt"), ("limit", "limit"), ("ip", "ip/"), ("remote", "remote/"))),
           *((f"l4:{n}", f"l4/{n}") for n in ("open", "known", "deny", "ip"))]


def cell(outcomes):
    """[(outcome, requests, steps)] of the questions of a column: 200+1 is a request with one step, 503x3 one that came three times."""
    words = [("-" if o == "refused" else str(o)) + (f"x{n}" if n > 1 else "") for o, n, _ in outcomes]
    steps = {s for _, n, s in outcomes if n}
    return "/".join(words) + "".join(f"+{s}" for s in sorted(steps) if s)


def row(path, results):
    """results: {question's name: (outcome, requests, steps)}."""
    return [path.client, path.server, str(path)] + [
        cell([r for q, r in results.items() if q == prefix or q.startswith(prefix + "#") or prefix.endswith("/") and q.startswith(prefix)])
        for _, prefix in COLUMNS]


def manual(stance):
    rows = [["client", "server", "routes", "targetRefs", "selectors", "identity", "address", "peer"]]
    return lines(rows + [Path(c, s, stance).manual() for c in CLIENTS for s in SERVERS if stance == "istio" or Path(c, s, stance).refused])


def table(rows):
    """200+1: with one step of routes; 503x3: asked three times; 200/429: one after the other; -: refused without an answer."""
    return lines([["client", "server", "runs at", *(name for name, _ in COLUMNS)], *rows])


def lines(rows):
    width = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(f"{x:{w}}" for x, w in zip(r, width)).rstrip() for r in rows)


if __name__ == "__main__":
    print("\n\n".join(manual(s) for s in ("istio", "closed")))
