# SPDX-License-Identifier: Apache-2.0
"""A service with several endpoints behind sidecars, for the tests of load balancing."""
import collections, http.client, json
from harness import service

VIP = "10.96.0.7"
HOST = "cart.default.svc.cluster.local"


def rule(body):
    """A DestinationRule for the service; body: YAML (flow style) of its spec."""
    return f"""apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: cart, namespace: default}}
spec: {{host: {HOST}, {body}}}
---
"""


def cart(lab, spec):
    lab.write("cart.yaml", service("cart", {80: 8080}, [VIP], family="v4", protocol="HTTP") + rule(spec))


def hosts(lab, places=None, labels={}, client="front", names=("one", "two", "three")):
    """The client and the endpoints of the service, which answer with their names. places: {name: locality}."""
    out = []
    for name in (client, *names):
        h = lab.plain(name)
        h.mode = "sidecar"
        lab.workload(h, labels={**({"app": "cart"} if name in names else {}), **labels.get(name, {})}, **({"locality": places[name]} if places else {}))
        out.append(h)
    for h in out:
        h.start(f"--workload=default/{h.name}-v6", ready=False)
    for h in out:
        h.ready()
    return out


def get(h, path="/", headers={}, ip=VIP, source=None):
    """(status, name of the host that answered or the text, headers)"""
    c = http.client.HTTPConnection(ip, 80, timeout=5)
    c.sock = h.connect(ip, 80, source=source)
    try:
        c.request("GET", path, headers={"Host": HOST, **headers})
        r = c.getresponse()
        status, text, head = r.status, r.read().decode(), r.headers
    finally:
        c.close()
    try:
        return status, json.loads(text)["host"], head
    except (ValueError, KeyError, TypeError):
        return status, text, head


def who(h, n, **kw):
    """How often each host answered."""
    out = collections.Counter()
    for _ in range(n):
        status, name, _ = get(h, **kw)
        assert status == 200, f"{status} {name}\n{h.tail()}"
        out[name] += 1
    return out
