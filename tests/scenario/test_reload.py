# SPDX-License-Identifier: Apache-2.0
"""The configuration directory changes under a running meshd."""
import os, shutil, signal, stat
from harness import Lab, REAL_ROOT, eventually, policy, principal, read_exact

DENY = policy("no", "[{}]", app="shop", action="DENY")


def lab_pair(lab, **kw):
    web, shop = lab.meshed("web", "shop", **kw)
    shop.serve(8080)
    assert web.talk(shop.v4, 8080, b"x") == b"x"
    return web, shop


def closed(web, shop):
    eventually(lambda: web.refused(shop.v4, 8080), 2.5)


def opened(web, shop):
    eventually(lambda: web.talk(shop.v4, 8080, b"x") == b"x", 2.5)


def test_rename_into_place_edit_and_remove():
    with Lab() as lab:
        web, shop = lab_pair(lab)
        lab.write("p.yaml", DENY)
        closed(web, shop)
        with open(f"{lab.config}/p.yaml", "w") as f:       # as a careless editor writes
            f.write("# empty\n")
        opened(web, shop)
        os.mkdir(f"{lab.config}/sub")
        os.mkdir(f"{lab.config}/sub/deeper")
        lab.write("sub/deeper/p.yml".replace("/", "_"), DENY)
        closed(web, shop)
        lab.remove("sub_deeper_p.yml")
        opened(web, shop)
        with open(f"{lab.config}/sub/deeper/p.yml", "w") as f:
            f.write(DENY)
        closed(web, shop)
        shutil.rmtree(f"{lab.config}/sub")
        opened(web, shop)


def test_symlink_swap():
    """As a ConfigMap is mounted: files are links through ..data, which is swapped."""
    with Lab() as lab:
        d = f"{lab.dir}/cm"
        os.mkdir(d)
        def version(n, text):
            os.mkdir(f"{d}/..v{n}")
            with open(f"{d}/..v{n}/p.yaml", "w") as f:
                f.write(text)
            os.symlink(f"..v{n}", f"{d}/..tmp")
            os.rename(f"{d}/..tmp", f"{d}/..data")
        web, shop = lab.plain("web", "shop")
        lab.workload(web)
        lab.workload(shop)
        both = "".join(open(f"{lab.config}/workload-{h.name}.json").read() + "\n---\n" for h in (web, shop))
        version(1, both)
        os.symlink("..data/p.yaml", f"{d}/p.yaml")
        for h in (web, shop):
            h.start(config=d)
        shop.serve(8080)
        opened(web, shop)
        version(2, both + DENY)
        closed(web, shop)
        version(3, both)
        opened(web, shop)


def test_unparsable_file_keeps_last_good():
    with Lab() as lab:
        lab.write("p.yaml", DENY)
        web, shop = lab.meshed("web", "shop")
        shop.serve(8080)
        closed(web, shop)
        lab.write("p.yaml", "spec: {rules: [\n")
        eventually(lambda: "p.yaml:" in shop.cli("status").stdout)
        assert web.refused(shop.v4, 8080)
        lab.remove("p.yaml")
        opened(web, shop)
        eventually(lambda: "The configuration has" not in shop.cli("status").stdout)


def test_messages_name_file_line_and_path():
    with Lab() as lab:
        web, shop = lab_pair(lab)
        rows = {
            "tab.yaml": ("a:\n\tb: 1\n", "tab.yaml:2"),
            "dup.yaml": (DENY.replace("action: DENY", "action: DENY, action: ALLOW"), "dup.yaml:4"),
            "unknown.yaml": (DENY.replace("action: DENY", "action: DENY, colour: red"), "colour"),
            "type.yaml": (DENY.replace("[{}]", "7"), "rules"),
            "bomb.yaml": ("a: &a [x, x, x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}, *{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(12)), "bomb.yaml"),
            "half.yaml": (DENY[:60], "half.yaml"),
        }
        for name, (text, say) in rows.items():
            lab.write(name, text)
            eventually(lambda: say in shop.log(), 3, what=f"{name}: {say} in the log")
            lab.remove(name)
        opened(web, shop)
        assert shop.memory_kib() < 200 * 1024


def test_huge_file_and_unreadable_file():
    with Lab() as lab:
        web, shop = lab_pair(lab)
        with open(f"{lab.config}/huge.yaml", "w") as f:
            f.truncate(100 << 20)
        eventually(lambda: "huge.yaml" in shop.log())
        lab.remove("huge.yaml")
        os.mkfifo(f"{lab.config}/fifo.yaml")
        lab.write("p.yaml", DENY)
        eventually(lambda: "fifo.yaml" in shop.log())          # it is not opened for ever; the last good state stays
        assert web.talk(shop.v4, 8080, b"x") == b"x"
        lab.remove("fifo.yaml")
        closed(web, shop)


def test_connections_survive_a_reload():
    with Lab() as lab:
        web, shop = lab_pair(lab)
        with web.connect(shop.v4, 8080) as s:
            for i in range(10):
                lab.write("p.yaml", policy("callers", f"[{principal('web', f'x{i}')}]", app="shop"))
                if i % 3 == 0:
                    os.kill(shop.proc.pid, signal.SIGHUP)
                s.sendall(b"%d" % i)
                assert read_exact(s, 1) == b"%d" % i
                eventually(lambda: f"sa/x{i}" in shop.http("/config_dump")[1], 3)


def test_generation_in_status():
    with Lab() as lab:
        web, shop = lab_pair(lab)
        def generation():
            return [w for line in shop.cli("status").stdout.splitlines() if "generation" in line.lower() for w in line.split() if w.isdigit()]
        g = generation()
        assert g, shop.cli("status").stdout
        lab.write("p.yaml", DENY)
        eventually(lambda: generation() != g)
