# SPDX-License-Identifier: Apache-2.0
"""Egress through a waypoint: ServiceEntries that name it, wildcards whose servers requests name, and the ways around that are refused."""
import json, os, socket, struct
from dns import A, dnsmasq, question, resolver, udp
from harness import Lab, eventually, using

ENTRY = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %s, namespace: default}
spec:
  hosts: ["%s"]
  location: MESH_EXTERNAL
  resolution: %s
  ports: [%s]
  %s
---
"""
HTTP = "{number: 80, targetPort: 8080, name: http, protocol: HTTP}"


def wild(ports=HTTP, name="wild", host="*.example.test", more=""):
    return using("wp", ENTRY % (name, host, "DYNAMIC_DNS", ports, more))


def own_resolver(lab, h, server):
    """meshd on this host asks that name server."""
    conf = resolver(h, lab, f"nameserver {server.v4}\n")
    real, lab.meshd = lab.meshd, f"{lab.dir}/meshd-{h.name}"
    with open(lab.meshd, "w") as f:
        f.write(f'#!/bin/sh\nexec unshare -m sh -c \'mount --bind "$0" /etc/resolv.conf && exec "$@"\' {conf} {real} "$@"\n')
    os.chmod(lab.meshd, 0o755)
    return real


def outside(lab, entries, *records, clients=("web",), env=None, args=()):
    """Clients, a waypoint that asks a name server of the lab, and a host outside the mesh."""
    lab.write("entries.yaml", entries)
    lab.write("mesh.yaml", "accessLogFile: /dev/stdout\n")
    up, ext = lab.plain("up", "ext")
    dnsmasq(lab, up, *(f"--host-record={r}".format(ext=ext.v4) for r in records))
    wp = lab.waypoint("wp", start=False)
    real = own_resolver(lab, wp, up)
    wp.start("--workload=default/wp-v6", *args, env=env)
    lab.meshd = real
    web = lab.meshed(*clients, env={"ISTIO_META_DNS_CAPTURE": "true", **(env or {})})
    return (*(web if isinstance(web, list) else [web]), wp, ext)


def vip(h, name):
    """What the mesh answers for a name."""
    def ask():
        a = udp(h, "127.0.0.1", question(name, A), port=15053)
        assert a[3] & 15 == 0 and struct.unpack("!H", a[6:8])[0] == 1, a
        return socket.inet_ntoa(a[-4:])
    return eventually(ask, 10, what=f"{name} has an address")


def ask(h, name, ip=None, status=200, path="/", **kw):
    def once():
        r = h.http(path, port=80, ip=ip or vip(h, name), headers={"Host": name}, **kw)
        assert r[0] == status, r
        return r
    return eventually(once, 10)


def test_names_of_a_wildcard():
    with Lab() as lab:
        web, wp, ext = outside(lab, wild(), "a.example.test,{ext}", "b.c.example.test,{ext}", "loop.example.test,127.0.0.1",
                               "meta.example.test,169.254.169.254", "inside.example.test,240.240.0.9")
        app = ext.serve_http(8080)
        for name in ("a.example.test", "b.c.example.test"):
            got = json.loads(ask(web, name)[1])
            assert got["host"] == "ext" and dict(got["headers"])["Host"] == name, got
        ip = vip(web, "a.example.test")
        assert ip.startswith("240.240."), ip
        n = len(app.requests)
        for name, status, why in (("evil.test", 404, "route_not_found{host_outside}"), ("example.test", 404, "route_not_found{host_outside}"),
                                  ("aexample.test", 404, "route_not_found{host_outside}"), (ext.v4, 404, "route_not_found{host_address}"),
                                  ("loop.example.test", 403, "dns_resolution_failure{forbidden_address}"), ("meta.example.test", 403, "dns_resolution_failure{forbidden_address}"),
                                  ("inside.example.test", 403, "dns_resolution_failure{forbidden_address}"), ("gone.example.test", 503, "dns_resolution_failure DF")):
            ask(web, name, ip=ip, status=status)
            eventually(lambda: f'" {status} ' in wp.log() and why.split()[0] in wp.log(), what=f"{name} is refused with {why}")
        assert len(app.requests) == n
