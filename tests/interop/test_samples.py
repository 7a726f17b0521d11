# SPDX-License-Identifier: Apache-2.0
"""Istio's samples, which are in its Go module: what a sidecar reads loads without an error; what is refused is refused by name."""
import pathlib, re, shutil, subprocess, tempfile
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


def crd_fields():
    """Every field of the spec of Istio's CRDs, by kind: the file is made by a machine, so that indentation says all."""
    base = samples().parent / "manifests/charts/base/files/crd-all.gen.yaml"
    fields, kind, stack = {}, "", []
    for line in base.read_text().splitlines():
        m = re.match(r"^( *)(?:- )?([\w.@-]+):", line)
        if not m:
            continue
        indent = len(m[1])
        while stack and stack[-1][0] >= indent:
            stack.pop()
        path = [k for _, k in stack]
        stack.append((indent, m[2]))
        if path == ["spec", "names"] and m[2] == "kind":
            kind = line.split()[-1]
        if not path or path[-1] != "properties" or "description" in path or "openAPIV3Schema" not in path:
            continue
        names = [b for a, b in zip(path, path[1:]) if a == "properties"] + [m[2]]
        if names[0] == "spec" and len(names) > 1:
            fields.setdefault(kind, set()).add(".".join(names))
    return fields


def test_every_field_has_a_row():
    """The manual has each field of Istio's CRDs: none is dropped in silence."""
    roff = subprocess.run([meshd_path(), "explain", "--roff"], capture_output=True, text=True, timeout=20).stdout.replace("\\-", "-")
    rows, section, alone = {}, "", {}
    for line in roff.splitlines():
        m = re.match(r"\\fB(.*?)\\fR (.*)", line)
        if line.startswith(".SH "):
            section = line[4:]
        elif m:
            name = m[1].replace("[]", "")
            rows.setdefault(section, set()).add(name)
            if m[2] in ("refused", "ignored", "not honoured yet", "anything"):     # says so as a whole
                alone.setdefault(section, set()).add(name)
    fields, missing = crd_fields(), []
    assert len(fields) == 15 and sum(map(len, fields.values())) > 900, {k: len(v) for k, v in fields.items()}
    for kind, paths in fields.items():
        here = kind.upper()
        if kind in ("Gateway", "TrafficExtension"):     # kinds that are refused or passed over by name
            continue
        for p in sorted(paths):
            said_above = any(p.startswith(a + ".") for a in alone.get(here, ()))
            old_name = "_" in p                         # read as camelCase is
            if p not in rows[here] and not said_above and not old_name:
                missing.append(f"{kind}.{p}")
    assert not missing, missing
