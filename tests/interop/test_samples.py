# SPDX-License-Identifier: Apache-2.0
"""Istio's samples, which are in its Go module: what a sidecar reads loads without an error; what is refused is refused by name."""
import os, pathlib, shutil, subprocess, tempfile
from harness import meshd_path, need_program

HERE = pathlib.Path(__file__).resolve().parent
REFUSED = {   # what stays an error, and why
    "bookinfo/policy/productpage_envoy_ratelimit.yaml": "EnvoyFilter",
    "ratelimit/local-rate-limit-service.yaml": "EnvoyFilter",
}
NO_OBJECTS = (   # templates of Helm and files of other tools
    "ambient-argo/tag-chart/", "bookinfo/swagger.yaml", "security/spire-trust-domain-federation/spire-",
)


def samples():
    need_program("go")
    go = subprocess.run(["go", "list", "-m", "-f", "{{.Dir}}", "istio.io/istio"], cwd=HERE, capture_output=True, text=True, timeout=120)
    assert go.returncode == 0, go.stderr
    return pathlib.Path(go.stdout.strip()) / "samples"


def analyze(files):
    with tempfile.TemporaryDirectory() as d:
        for i, f in enumerate(files):
            shutil.copyfile(f, f"{d}/{i:03}.yaml")
        r = subprocess.run([meshd_path(), "analyze", "--mode=sidecar", d], capture_output=True, text=True, timeout=60)
        return r.returncode, r.stdout


def errors(text):
    return [l for l in text.splitlines() if ": error: " in l]


def test_samples_load():
    root, seen, applied = samples(), 0, 0
    for f in sorted(root.rglob("*.yaml")):
        name = str(f.relative_to(root))
        if name.startswith(NO_OBJECTS):
            continue
        code, said = analyze([f])
        seen += 1
        applied += int(said.split("\n")[-2].split()[0])
        if name in REFUSED:
            assert code == 79 and all(REFUSED[name] + " " in l for l in errors(said)), (name, said)
        else:
            assert code == 0, (name, said)
    assert seen > 100 and applied > 150, (seen, applied)


def test_bookinfo_whole():
    """Bookinfo with its destination rules and one of its routes, as its page tells people to apply them."""
    base = samples() / "bookinfo"
    code, said = analyze([base / "platform/kube/bookinfo.yaml", base / "networking/destination-rule-all.yaml", base / "networking/virtual-service-reviews-test-v2.yaml"])
    assert code == 0 and not errors(said), said
