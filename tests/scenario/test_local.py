# SPDX-License-Identifier: Apache-2.0
"""ztunnel's local configuration (LOCAL_XDS_PATH, LOCAL_XDS) in place of a control plane."""
import os, signal
from harness import Lab, TD, eventually

POLICY = """
- name: only-web
  namespace: default
  scope: WorkloadSelector
  action: {action}
  dryRun: false
  rules: [[[{{principals: [!Exact {td}/ns/default/sa/web]}}]]]
"""


def workload(h, more=""):
    return f"""
- uid: c//Pod/default/{h.name}
  name: {h.name}
  namespace: default
  trustDomain: {TD}
  serviceAccount: {h.name}
  workloadIps: ["{h.v4}", "{h.v6}"]
  protocol: HBONE
  node: n
  {more}"""


def local(web, shop, policies="[]", port=8080):
    return f"""
workloads:{workload(web, "services: {}")}{workload(shop, "authorizationPolicies: [default/only-web]" + chr(10) + f"  services: {{default/shop.example: {{80: {port}}}}}")}
services:
- name: shop
  namespace: default
  hostname: shop.example
  vips: ["/240.9.9.9"]
  ports: {{80: {port}}}
policies: {policies}
"""


def write(path, text):
    with open(path + ".new", "w") as f:
        f.write(text)
    os.rename(path + ".new", path)


def env(h, **more):
    return {"XDS_ADDRESS": "", "CA_ADDRESS": "", "PROXY_MODE": "dedicated", "PROXY_WORKLOAD_INFO": f"default/{h.name}/{h.name}", **more}


def test_local_file_and_its_changes():
    with Lab() as lab:
        web, shop = lab.plain("web", "shop")
        path = f"{lab.dir}/local.yaml"
        write(path, local(web, shop))
        for h in (web, shop):
            h.start(workload=False, config=False, env=env(h, LOCAL_XDS_PATH=path))
        shop.serve(8080)
        assert web.talk("240.9.9.9", 80, b"x") == b"x" and web.talk(shop.v6, 8080, b"x") == b"x"
        shop.access(src_identity=web.identity, dst_identity=shop.identity, direction="inbound", dst_service="shop.example")

        # a policy comes, changes, and is taken back; a live connection is judged anew
        held = web.connect("240.9.9.9", 80)
        held.sendall(b"a")
        assert held.recv(1) == b"a"
        write(path, local(web, shop, POLICY.format(action="Allow", td=TD)))
        eventually(lambda: "only-web" in shop.http("/config_dump")[1], 5)
        assert web.talk("240.9.9.9", 80, b"x") == b"x"
        write(path, local(web, shop, POLICY.format(action="Deny", td=TD)))
        eventually(lambda: web.refused("240.9.9.9", 80), 5)
        try:
            held.sendall(b"b")
            assert held.recv(1) == b""
        except ConnectionError:
            pass

        # a file that is wrong changes nothing, and is named with line and field
        write(path, local(web, shop).replace("protocol: HBONE", "protocol: HTTP", 1))
        eventually(lambda: f"{path}:9: local xDS: workloads[0].protocol: want one of TCP, HBONE" in shop.tail(), 5, what="the error")
        assert web.refused("240.9.9.9", 80)
        write(path, local(web, shop))
        eventually(lambda: web.talk("240.9.9.9", 80, b"x") == b"x", 5)

        # SIGHUP reads it again, too
        os.kill(shop.proc.pid, signal.SIGHUP)
        assert web.talk("240.9.9.9", 80, b"x") == b"x"


def test_a_live_connection_past_a_new_waypoint():
    """With MESHD_ENFORCEMENT=closed; else it stays, as with Istio."""
    for stance in ("closed", "istio"):
        with Lab() as lab:
            web, shop = lab.plain("web", "shop")
            path = f"{lab.dir}/local.yaml"
            write(path, local(web, shop))
            for h in (web, shop):
                h.start(workload=False, config=False, env=env(h, LOCAL_XDS_PATH=path, MESHD_ENFORCEMENT=stance))
            shop.serve(8080)
            held = web.connect("240.9.9.9", 80)
            held.sendall(b"a")
            assert held.recv(1) == b"a"
            text = local(web, shop).replace("  hostname: shop.example", "  hostname: shop.example\n  waypoint: {destination: default/gone.example, hbonePort: 15008}")
            write(path, text)
            eventually(lambda: "gone.example" in shop.http("/config_dump")[1], 5)
            assert web.refused("240.9.9.9", 80)
            try:
                held.sendall(b"b")
                got = held.recv(1)
            except ConnectionError:
                got = b""
            assert got == (b"b" if stance == "istio" else b""), (stance, got)


def test_local_text():
    with Lab() as lab:
        web, shop = lab.plain("web", "shop")
        text = local(web, shop)
        for h in (web, shop):
            h.start(workload=False, config=False, env=env(h, LOCAL_XDS=text))
        shop.serve(8080)
        assert web.talk("240.9.9.9", 80, b"x") == b"x"


def test_a_wrong_file_at_the_start():
    with Lab() as lab:
        web = lab.plain("web")
        path = f"{lab.dir}/local.yaml"
        write(path, "workloads:\n- uid: x\n")
        web.start(workload=False, config=False, capture=False, ready=False, env=env(web, LOCAL_XDS_PATH=path))
        assert web.proc.wait(10) == 1
        web.proc = None
        assert f"{path}:2: local xDS: workloads[0].namespace: is missing" in web.tail(), web.tail()
