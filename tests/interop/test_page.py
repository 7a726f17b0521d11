# SPDX-License-Identifier: Apache-2.0
"""The admin's page in a real browser: what it draws of a live process, and that nothing which others wrote becomes a part of it."""
import json, re

from browser import Browser
from harness import Lab, eventually, policy, principal, service, using

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
PAGE = "http://127.0.0.1:15000/"


def shows(page, selector, *wanted):
    def there():
        text = page.text(selector) or ""
        for w in wanted:
            assert w in text, (selector, w, text, page.text("#trouble"))
        return text
    return eventually(there, 30)


def no_complaint(page):
    """No error of the script, of a policy of the page's own, or of a dialog; a page without an icon is none."""
    bad = [c for c in page.complaints if "favicon" not in json.dumps(c)]
    assert not bad, bad


def test_ztunnel():
    with Lab() as lab:
        lab.write("s.yaml", service("shop", {80: 8080}, ["10.96.0.7"], family="v4") + policy("callers", f"[{principal('web')}]", app="shop"))
        web, cron, shop = lab.meshed("web", "cron", "shop")
        shop.serve(8080)
        assert web.talk("10.96.0.7", 80, b"12345") == b"12345"
        assert cron.refused("10.96.0.7", 80)
        with Browser(shop, PAGE) as page:
            shows(page, "#state", "ready")
            shows(page, "#graph", "default/web", "default/cron", "default/shop", "1 refused")
            shows(page, "#edges", "default/web", "shop.default.svc.cluster.local")
            shows(page, "#refusals", "denied by policy", "What would have allowed it", "default/callers", "wants principal cluster.local/ns/default/sa/web")
            shows(page, "#causes", "1 × ")
            shows(page, "#workloads", "default/shop", "Up")
            assert re.search(r"\d+h \d+m", shows(page, "#certificates", shop.identity, "Available"))
            # It lives: what comes by is seen without another load, and so is a connection that stays.
            s = web.connect("10.96.0.7", 80)
            s.sendall(b"x")
            assert s.recv(1) == b"x"
            shows(page, "#connections", "inbound", "HBONE", web.identity)
            assert page.run("document.querySelectorAll('#graph path.refused').length") == 1
            s.close()
            no_complaint(page)
        with Browser(web, PAGE) as page:
            shows(page, "#graph", "default/web", "default/shop")
            shows(page, "#refusals", "Nothing was refused")
            assert "cron" not in page.text("#graph")


def test_sidecar_with_rates():
    with Lab() as lab:
        lab.write("s.yaml", service("shop", {80: 8080}, ["10.96.0.7"], family="v4", protocol="HTTP"))
        web, shop = lab.sidecars("web", "shop")
        shop.serve_http(8080)
        with Browser(web, PAGE) as page:
            shows(page, "#state", "ready")
            def rate():
                for _ in range(10):
                    assert web.http("/", ip="10.96.0.7", port=80)[0] == 200
                return re.search(r"requests/s[1-9]", page.text("#figures"))
            eventually(rate, 20)
            shows(page, "#graph", "default/web", "default/shop", "/s")
            eventually(lambda: re.search(r"requests/s0", page.text("#figures")), 15)
            page.run("document.getElementById('pause').click()")
            assert page.text("#pause") == "Go on"
            no_complaint(page)
            shop.stop()
            web.stop()
            page.run("document.getElementById('pause').click()")
            shows(page, "#trouble", "does not answer")
            assert not page.run("document.getElementById('trouble').hidden")


def test_hostile_names():
    with Lab() as lab:
        lab.write("s.yaml", service("shop", {80: 8080}, ["10.96.0.7"], family="v4", protocol="HTTP") +
                  policy("no-secrets", "[{to: [{operation: {paths: ['/secret*']}}]}]", app="shop", action="DENY"))
        web, shop = lab.sidecars("web", "shop")
        shop.serve_http(8080)
        assert web.http("/", ip="10.96.0.7", port=80)[0] == 200
        with web.connect("10.96.0.7", 80) as s:
            s.sendall(b"GET /secret?" + HOSTILE.replace(" ", "/").encode() + b" HTTP/1.1\r\nHost: 10.96.0.7\r\nConnection: close\r\n\r\n")
            assert b" 403 " in s.recv(1000)
        lab.write("bad.yaml", policy("odd", "[]", action=json.dumps(HOSTILE)))
        eventually(lambda: "onerror" in shop.http("/status")[1])
        row = next(e for e in json.loads(shop.http("/traffic")[1])["edges"] if e["reporter"] == "destination")
        assert row["requests"] == 2 and row["refused"] == 1 and row["failed"] == 0 and row["source"] == web.identity, row
        with Browser(shop, PAGE) as page:
            shows(page, "#refusals", "denied by policy", "default/no-secrets", HOSTILE.replace(" ", "/"))
            shows(page, "#findings", HOSTILE)
            assert page.run("document.querySelectorAll('img').length") == 0
            assert page.run("[...document.scripts].map((s) => s.src)") == [PAGE + "page.js"]
            no_complaint(page)
            # Were it a part of the page, it would not run.
            page.run(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(HOSTILE)})")
            page.run("document.body.append(Object.assign(document.createElement('script'), { textContent: 'document.title = \"taken\"' }))")
            assert "taken" not in page.run("document.title")
            eventually(lambda: page.run("1") and "Content Security Policy" in json.dumps(page.complaints))
            assert "javascriptDialogOpening" not in json.dumps(page.complaints)
        # A browser without scripts has the status as text.
        with Browser(shop, PAGE, scripts=False) as page:
            text = eventually(lambda: page.text("noscript pre"))
            assert shop.identity in text and "ready" in text and HOSTILE in text, text
            assert page.run("document.querySelectorAll('img').length") == 0 and page.run("document.getElementById('live').hidden")


def test_waypoint():
    with Lab() as lab:
        web, cron, shop = lab.meshed("web", "cron", "shop")
        wp = lab.waypoint("wp")
        lab.write("shop.yaml", using("wp", service("shop", {80: 8080}, ["10.96.0.7"], protocol="HTTP", family="v4")) + """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: callers, namespace: default}
spec: {targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: shop}], rules: [%s]}
""" % principal("web"))
        shop.serve_http(8080)
        eventually(lambda: web.http("/", ip="10.96.0.7", port=80, timeout=1)[0] == 200 and cron.http("/", ip="10.96.0.7", port=80, timeout=1)[0] == 403, 15)
        with Browser(wp, PAGE) as page:
            shows(page, "#mode", "waypoint")
            shows(page, "#graph", "default/web", "default/shop", "default/cron", "refused")
            shows(page, "#edges", "shop.default.svc.cluster.local")
            shows(page, "#refusals", "default/callers", cron.identity)
            shows(page, "#certificates", wp.identity, "Available")
            shows(page, "#served", "As a waypoint: default/shop.default.svc.cluster.local:80")
            no_complaint(page)
