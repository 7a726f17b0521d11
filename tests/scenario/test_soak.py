# SPDX-License-Identifier: Apache-2.0
"""Mixed load with aborts leaks neither memory nor descriptors. $SOAK_SECONDS (default 15; 600 before a release)."""
import os, random, threading, time
from harness import Lab, echo, eventually, policy, principal, read_exact, reset

SECONDS = float(os.environ.get("SOAK_SECONDS", 15))


def one(host, ip, dice):
    """A connection that ends in one of several ways."""
    port = 8080 if dice.random() < 0.8 else dice.choice((8081, 9))
    s = host.connect(ip, port)
    data = os.urandom(dice.choice((1, 1000, 100000, 1000000)))
    s.settimeout(5)
    threading.Thread(target=lambda: quietly(s.sendall, data), daemon=True).start()
    read_exact(s, dice.randrange(len(data)) + 1)
    if dice.random() < 0.5:
        reset(s)
    s.close()


def quietly(fn, *args):
    try:
        return fn(*args)
    except (OSError, AssertionError):
        pass


def test_soak():
    with Lab() as lab:
        web, shop = lab.meshed("web", "shop", args=["--log-level=error,access=off"])
        shop.serve(8080, echo)
        shop.serve(8081, lambda c, p: (c.recv(100), reset(c)))
        dice = random.Random(1)
        def load(seconds):
            end = time.time() + seconds
            def work():
                while time.time() < end:
                    quietly(one, web, dice.choice((shop.v4, shop.v6)), dice)
            ts = [threading.Thread(target=work) for _ in range(8)]
            [t.start() for t in ts]
            for i in range(int(seconds)):
                lab.write("p.yaml", policy("callers", f"[{principal('web', f'x{i % 7}')}]", app="shop"))
                time.sleep(1)
            [t.join() for t in ts]
            time.sleep(2)
        def state():
            return [(h.memory_kib(), len(os.listdir(f"/proc/{h.proc.pid}/fd"))) for h in (web, shop)]
        load(min(10, SECONDS / 2))
        before = state()
        load(SECONDS - min(10, SECONDS / 2))
        eventually(lambda: all(b[1] <= a[1] + 8 for a, b in zip(before, state())), 10, what=f"descriptors: {before} {state()}")
        after = state()
        assert all(b[0] <= a[0] * 1.3 + 4096 for a, b in zip(before, after)), (before, after)
        assert web.talk(shop.v4, 8080, b"x") == b"x"
