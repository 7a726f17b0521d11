# SPDX-License-Identifier: Apache-2.0
"""Destinations that DNS knows: ServiceEntry with the resolution DNS, whose addresses change."""
import json, os
from dns import dnsmasq, resolver
from harness import Lab, eventually

VIP = "10.96.0.9"


def entry(resolution, more=""):
    return f"""apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: ext, namespace: default}}
spec:
  hosts: [ext.example]
  addresses: [{VIP}]
  location: MESH_EXTERNAL
  resolution: {resolution}
  ports: [{{number: 80, targetPort: 8080, name: http, protocol: HTTP}}]
  {more}
"""


def answer(h):
    status, text, _ = h.http("/", port=80, ip=VIP, headers={"Host": "ext.example"})
    return status, json.loads(text)["host"] if status == 200 else text


def start(lab, h, conf):
    """With a resolv.conf of its own."""
    real, lab.meshd = lab.meshd, f"{lab.dir}/meshd-wrapped"
    with open(lab.meshd, "w") as f:
        f.write(f'#!/bin/sh\nexec unshare -m sh -c \'mount --bind "$0" /etc/resolv.conf && exec "$@"\' {conf} {real} "$@"\n')
    os.chmod(lab.meshd, 0o755)
    h.mode = "sidecar"
    lab.workload(h)
    h.start(ready=False)
    lab.meshd = real
    h.ready()


def test_addresses_of_a_name():
    with Lab() as lab:
        lab.write("ext.yaml", entry("DNS"))
        front, up, one, two = lab.plain("front", "up", "one", "two")
        for h in (one, two):
            h.serve_http(8080)
        # The IPv6 address has no route: it must not get its share.
        server = dnsmasq(lab, up, f"--host-record=ext.example,{one.v4},2001:db8::1")
        start(lab, front, resolver(front, lab, f"nameserver {up.v4}\n"))
        front.run("ip", "-6", "route", "del", "default")
        assert eventually(lambda: answer(front)[0] == 200, 10, what="the name is known")
        assert {answer(front)[1] for _ in range(6)} == {"one"}
        server.close()
        server = dnsmasq(lab, up, f"--host-record=ext.example,{one.v4}", f"--host-record=ext.example,{two.v4}")
        eventually(lambda: {answer(front)[1] for _ in range(6)} == {"one", "two"}, 20, what="both addresses are used")
        # Nobody answers: the last addresses stay.
        server.close()
        for _ in range(4):
            assert answer(front)[0] == 200
        dnsmasq(lab, up, f"--host-record=ext.example,{two.v4}")
        eventually(lambda: {answer(front)[1] for _ in range(6)} == {"two"}, 20, what="who is gone gets nothing")


def test_endpoints_with_names():
    with Lab() as lab:
        front, up, one, two = lab.plain("front", "up", "one", "two")
        lab.write("ext.yaml", entry("DNS", "endpoints: [{address: a.example, ports: {http: 8081}, weight: 3}, {address: 10.77.0.%d}]" % (10 + two.index)))
        one.serve_http(8081)
        two.serve_http(8080)
        dnsmasq(lab, up, f"--host-record=a.example,{one.v4}")
        start(lab, front, resolver(front, lab, f"nameserver {up.v4}\n"))
        eventually(lambda: answer(front) == (200, "one"), 10, what="the name is known")
        seen = [answer(front)[1] for _ in range(60)]
        assert 25 < seen.count("one") < 60, seen


def test_no_such_name():
    with Lab() as lab:
        lab.write("ext.yaml", entry("DNS"))
        front, up = lab.plain("front", "up")
        server = dnsmasq(lab, up)
        start(lab, front, resolver(front, lab, f"nameserver {up.v4}\n"))
        assert answer(front)[0] == 503
        eventually(lambda: "ext.example" in front.log())
        server.close()
        up.serve_http(8080)
        dnsmasq(lab, up, f"--host-record=ext.example,{up.v4}")
        eventually(lambda: answer(front) == (200, "up"), 10, what="it has an address now")
