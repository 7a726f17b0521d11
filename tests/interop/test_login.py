# SPDX-License-Identifier: Apache-2.0
"""examples/login: an application behind oauth2-proxy, asked by CUSTOM, with a mock of an OpenID provider."""
import http.client, os, re, shutil, urllib.parse
from harness import ROOT, Lab, eventually
from test_extauthz import peer

SECRET = "0123456789abcdef0123456789abcdef"


class Browser:
    """Follows redirects and keeps cookies, on a host."""
    def __init__(self, host, places):
        self.host, self.places, self.cookies, self.visited = host, places, {}, []

    def get(self, url):
        for _ in range(10):
            u = urllib.parse.urlsplit(url)
            self.visited.append(f"{u.hostname}{u.path}")
            ip, port = self.places.get(u.hostname, u.hostname), u.port or 80
            jar = "; ".join(f"{k}={v}" for k, v in self.cookies.get(u.hostname, {}).items())
            status, text, headers = self.host.http(urllib.parse.urlunsplit(("", "", u.path or "/", u.query, "")), port=port, ip=ip,
                                                   headers={"Host": u.netloc, **({"Cookie": jar} if jar else {})})
            for c in headers.get_all("set-cookie") or []:
                name, _, value = c.split(";")[0].partition("=")
                self.cookies.setdefault(u.hostname, {})[name] = value
            if status not in (302, 303, 307):
                return status, text
            url = urllib.parse.urljoin(url, headers["location"])
        raise AssertionError(f"too many redirects: {self.visited}")


def test_login():
    oauth2, oidc = peer("oauth2-proxy"), peer("mockoidc")
    with Lab() as lab:
        proxy, person = lab.plain("oauth2-proxy", "person")
        app = lab.plain("app")
        app.mode = "sidecar"
        addresses = {"10.50.2.10": app.v4, "10.50.2.11": proxy.v4}
        for name in os.listdir(f"{ROOT}/examples/login"):
            if name.endswith(".yaml"):
                text = open(f"{ROOT}/examples/login/{name}").read()
                lab.write(name, re.sub("|".join(map(re.escape, addresses)), lambda m: addresses[m[0]], text))
        def run(*cmd):
            log = open(f"{lab.dir}/{os.path.basename(cmd[0])}.log", "w")
            p = proxy.popen(*cmd, stdout=log, stderr=log)
            lab.closing.append(type("Stop", (), {"close": lambda self: (p.kill(), p.wait())})())
        run(oidc, f"{proxy.v4}:9998", "shop", "secret")
        eventually(lambda: proxy.run("ss", "-ltnH", "sport = :9998").stdout.strip(), 10, what="the provider")
        run(oauth2, "--http-address=0.0.0.0:4180", "--upstream=static://200", "--reverse-proxy=true", "--provider=oidc", "--client-id=shop",
            f"--oidc-issuer-url=http://{proxy.v4}:9998/oidc", "--client-secret=secret", f"--cookie-secret={SECRET}", "--email-domain=*",
            "--cookie-secure=false", "--skip-provider-button=true", "--set-xauthrequest=true", "--redirect-url=http://app.test/oauth2/callback",
            "--insecure-oidc-allow-unverified-email=true")
        eventually(lambda: proxy.run("ss", "-ltnH", "sport = :4180").stdout.strip(), 20, what="oauth2-proxy listening")
        app.start("--workload=login/app", workload="login/app")
        served = app.serve_http(80)
        browser = Browser(person, {"app.test": app.v4})
        assert browser.get("http://app.test/healthz")[0] == 200
        assert len(served.requests) == 1
        status, text = browser.get("http://app.test/cart?item=7")
        assert status == 200, (status, text, browser.visited, open(f"{lab.dir}/oauth2-proxy.log").read()[-2000:])
        assert f"{proxy.v4}/oidc/authorize" in browser.visited, browser.visited
        got = served.requests[-1]
        assert got["path"] == "/cart?item=7", got
        users = {k.lower(): v for k, v in got["headers"]}
        assert "@" in users.get("x-auth-request-email", ""), users
        before = len(browser.visited)
        assert browser.get("http://app.test/cart")[0] == 200 and len(browser.visited) == before + 1, "the session holds"
        browser.cookies["app.test"] = {"_oauth2_proxy": "forged"}
        assert person.http("/cart", port=80, ip=app.v4, headers={"Host": "app.test", "Cookie": "_oauth2_proxy=forged"})[0] == 302
