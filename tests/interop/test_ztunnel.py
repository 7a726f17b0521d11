# SPDX-License-Identifier: Apache-2.0
"""The real ztunnel opposite meshd. It must be built with `--features testing` (FAKE_CA); $ZT_CA is the folder of its test CA."""
import os, shutil
from harness import Lab, Skip, TD, eventually, policy, principal, read_exact, reset, sh
from test_envoy import streams


def ztunnel_path():
    p = os.environ.get("ZTUNNEL") or shutil.which("ztunnel")
    ca = os.environ.get("ZT_CA", "")
    if not p or not os.path.exists(f"{ca}/ca-key.pem"):
        raise Skip("no ztunnel on PATH, or no test CA in $ZT_CA")
    return p


def certs(lab, name, ns="default"):
    """Files for meshd under ztunnel's test root."""
    ca, f = os.environ["ZT_CA"], f"{lab.dir}/zt-{name}"
    with open(f"{f}.ext", "w") as e:
        e.write(f"subjectAltName=critical,URI:spiffe://{TD}/ns/{ns}/sa/{name}\nkeyUsage=critical,digitalSignature,keyEncipherment\n"
                "extendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=critical,CA:FALSE\n")
    sh("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{f}.key", "-out", f"{f}.csr", "-subj", "/")
    sh("openssl", "x509", "-req", "-in", f"{f}.csr", "-CA", f"{ca}/root-cert.pem", "-CAkey", f"{ca}/ca-key.pem", "-set_serial", str(os.getpid()),
       "-days", "2", "-extfile", f"{f}.ext", "-out", f"{f}.pem")
    return f"{f}.pem", f"{f}.key", f"{ca}/root-cert.pem"


def ztunnel(lab, host, *others, policies="[]", network="", workloads="", services="[]"):
    """ztunnel as the proxy of a host, with a static view of the hosts (and of what is written out)."""
    rows = "".join(f'- {{uid: "Kubernetes//Pod/default/{h.name}", name: {h.name}, namespace: default, serviceAccount: {h.name}, trustDomain: {TD}, '
                   f'clusterId: Kubernetes, workloadIps: ["{h.v4}", "{h.v6}"], protocol: HBONE, node: n, network: "{network}", services: {{}}}}\n'
                   for h in (host, *others))
    run(lab, host, f"workloads:\n{rows}{workloads}policies: {policies}\nservices: {services}\n", network=network)


def run(lab, host, config, ns="default", network="", **env):
    path = f"{lab.dir}/zt-{host.name}.yaml"
    with open(path, "w") as f:
        f.write(config)
    log = open(f"{lab.dir}/zt-{host.name}.log", "w")
    p = host.popen(ztunnel_path(), stdout=log, stderr=log, env={**os.environ, "FAKE_CA": "true", "XDS_ADDRESS": "", "LOCAL_XDS_PATH": path,
                   "PROXY_MODE": "dedicated", "NETWORK": network, "PROXY_WORKLOAD_INFO": f"{ns}/{host.name}/{host.name}", "PACKET_MARK": "1337",
                   "ENABLE_ORIG_SRC": "false", "ZTUNNEL_WORKER_THREADS": "1", **env})

    class Stop:
        def close(self):
            p.kill()
            p.wait()
    lab.closing.append(Stop())
    eventually(lambda: host.http("/healthz/ready", port=15021)[0] == 200, 20, what=open(log.name).read() or "ztunnel ready")
    host.cli("redirect", "up", "--mode=ztunnel")


def both(lab, mesh_name, zt_name):
    mesh, zt = lab.plain(mesh_name, zt_name)
    for h in (mesh, zt):
        lab.workload(h)
    mesh.start(f"--workload=default/{mesh_name}-v6", certs=certs(lab, mesh_name))
    return mesh, zt


def test_meshd_to_ztunnel():
    ztunnel_path()
    with Lab() as lab:
        web, shop = both(lab, "web", "shop")
        ztunnel(lab, shop, web)
        shop.serve(8080)
        for family in (4, 6):
            streams(lambda: web.connect(shop.addr(family), 8080))
        r = web.access(direction="outbound", message="connection complete", dst_identity=shop.identity)
        assert r["dst.hbone_addr"].endswith(":8080"), r
        assert web.refused(shop.v4, 9)
        assert "503" in web.access(direction="outbound", dst_hbone_addr=f"{shop.v4}:9")["error"]


def test_ztunnel_to_meshd():
    ztunnel_path()
    with Lab() as lab:
        lab.write("p.yaml", policy("callers", f"[{principal('web')}]", app="shop"))
        shop, web = both(lab, "shop", "web")
        ztunnel(lab, web, shop)
        shop.serve(8080)
        for family in (4, 6):
            streams(lambda: web.connect(shop.addr(family), 8080))
        assert shop.access(direction="inbound", message="connection complete", src_identity=web.identity)
        lab.write("p.yaml", policy("callers", f"[{principal('nobody')}]", app="shop"))
        eventually(lambda: web.refused(shop.v4, 8080))


def test_ztunnel_denies_meshd():
    ztunnel_path()
    with Lab() as lab:
        web, shop = both(lab, "web", "shop")
        ztunnel(lab, shop, web, policies="[{name: no, namespace: default, scope: Namespace, action: Deny, dryRun: false, rules: [[[{principals: [!Suffix /sa/web]}]]]}]")
        shop.serve(8080)
        assert web.refused(shop.v4, 8080)
        assert "401" in web.access(direction="outbound", dst_addr=shop.v4)["error"]


def test_policy_change_reaches_a_live_ztunnel_stream():
    ztunnel_path()
    with Lab() as lab:
        lab.write("p.yaml", policy("callers", f"[{principal('web')}]", app="shop"))
        shop, web = both(lab, "shop", "web")
        ztunnel(lab, web, shop)
        shop.serve(8080)
        s = web.connect(shop.v4, 8080)
        s.sendall(b"x")
        assert read_exact(s, 1) == b"x"
        lab.write("p.yaml", policy("callers", f"[{principal('nobody')}]", app="shop"))
        try:
            assert s.recv(1) == b""
        except ConnectionResetError:
            pass
        assert shop.access(direction="inbound", src_identity=web.identity, error="policy")
