# SPDX-License-Identifier: Apache-2.0
"""The program as Istio's ztunnel chart runs the image: its words, its environment, its user, capabilities and files, and nothing else."""
import os, re, shutil
from ambient import Node
from cluster import Cluster
from harness import eventually

# What the container runtime makes of the chart's pod: a read-only root, /tmp, and what it mounts under /var/run.
CONTAINER = r"""
set -e
mount --make-rprivate /
mount --bind /tmp /tmp
mount -t tmpfs tmpfs /run
mkdir -p /run/secrets/istio /run/secrets/tokens /run/ztunnel
mount -t tmpfs tmpfs /run/ztunnel
cp "$ROOT" /run/secrets/istio/root-cert.pem
cp "$TOKEN" /run/secrets/tokens/istio-token
ln -s "$SOCKET" /run/ztunnel/ztunnel.sock
unset ROOT TOKEN SOCKET
mount -o remount,ro /run
mount -o remount,bind,ro /
cd /
exec setpriv --reuid 0 --regid 1337 --clear-groups --bounding-set=-all,+net_admin,+sys_admin,+net_raw --inh-caps=-all --no-new-privs "$@"
"""


class Pod(Node):
    def __init__(self, c):
        super().__init__(c, "node1")
        self.entrypoint = f"{c.dir}/ztunnel"
        shutil.copy(c.meshd, self.entrypoint)            # the image has a link of this name

    def command(self):
        return ["unshare", "-m", "sh", "-c", CONTAINER, "sh", self.entrypoint, "proxy", "ztunnel"]

    def environment(self):
        return {"ROOT": self.c.root, "TOKEN": self.token, "SOCKET": self.zds.socket,
                # daemonset.yaml with its default values
                "CA_ADDRESS": self.c.istiod, "XDS_ADDRESS": self.c.istiod, "RUST_LOG": "info", "RUST_BACKTRACE": "1",
                "ISTIO_META_CLUSTER_ID": "Kubernetes", "INPOD_ENABLED": "true", "TERMINATION_GRACE_PERIOD_SECONDS": "30",
                "POD_NAME": "ztunnel-node1", "POD_NAMESPACE": "istio-system", "NODE_NAME": "node1", "INSTANCE_IP": self.host.v4,
                "SERVICE_ACCOUNT": "ztunnel", "ZTUNNEL_CPU_LIMIT": "2", "ZTUNNEL_RESOURCE_CPU_REQUEST": "1",
                "KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def test_chart():
    with Cluster() as c:
        node = Pod(c)
        node.start()
        web, shop = node.pod("default", "web"), node.pod("default", "shop")
        v4, v6 = c.service("default", "shop", {80: 8080}, selector={"app": "shop"})
        shop.serve(8080)

        def works():
            try:
                return web.talk(v4, 80, b"hello") == b"hello"
            except OSError:
                return False
        eventually(works, 20, what="a connection through the mesh")
        node.daemon.alive()
        pid = int(c.plane.run("pgrep", "-f", f"^{node.entrypoint} proxy ztunnel").stdout.split()[0])
        status = open(f"/proc/{pid}/status").read()
        caps = int(re.search(r"CapEff:\s+(\w+)", status)[1], 16)
        assert caps & ~(1 << 12 | 1 << 13 | 1 << 21) == 0, hex(caps)       # NET_ADMIN, NET_RAW, SYS_ADMIN
        assert re.search(r"Uid:\s+0\s", status) and re.search(r"Gid:\s+1337\s", status), status
        log = node.log()
        assert not re.search(r"(?i)read-only|permission denied|not permitted", log), log
        assert node.stop() == 0, node.log()
