# SPDX-License-Identifier: Apache-2.0
"""Envoy as istiod lays a waypoint out, between meshd's tunnels."""
import json, os, sys
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../bench"))
from harness import Lab, eventually
from test_envoy import envoy_path
from ways import MeshdEnvoyWay, PORT, VIP


class Between(MeshdEnvoyWay):
    def ends(self):
        for h in (self.lab.server, self.lab.client):
            h.start(f"--workload=default/{h.name}-v6")


def get(h, path="/"):
    status, text, _ = h.http(path, port=PORT, ip=VIP, timeout=2)
    return status, json.loads(text) if text.startswith("{") else text


def test_envoy_between_tunnels():
    Between.envoy = envoy_path()
    with Lab() as lab:
        lab.client, lab.server = lab.plain("client", "server")
        app = lab.server.serve_http(PORT)
        peer = Between(lab)
        peer.start()
        try:
            eventually(lambda: get(lab.client)[0] == 200, 15)
            other = lab.meshed("other")
            assert get(other) == (403, "RBAC: access denied")
            peer.routes(3, change=418)
            eventually(lambda: get(lab.client, "/change")[0] == 418)
            before = len(app.requests)
            assert [get(lab.client, f"/r{i}/")[1]["path"] for i in range(20)] == [f"/r{i}/" for i in range(20)]
            assert len(app.requests) == before + 20
            peer.procs[0].kill()
            assert lab.server.access(direction="inbound", src_identity=peer.wp.identity)["dst.hbone_addr"] == f"{lab.server.v4}:{PORT}"
        finally:
            peer.stop()
