# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium on a host of the lab, spoken to by its debugging pipe.

    with Browser(host, "http://127.0.0.1:15000/") as page:
        eventually(lambda: "ready" in page.text("#state"))
"""
import base64, json, os, signal, subprocess, time

from harness import need_program


class Browser:
    def __init__(self, host, url, width=1000, height=1000, scripts=True):
        need_program("chromium")
        self.host, self.url, self.size, self.scripts = host, url, (width, height), scripts
        self.ids, self.session, self.rest, self.complaints = 0, None, b"", []

    def __enter__(self):
        ours, theirs = os.pipe(), os.pipe()          # it reads commands from 3, and writes to 4
        def place():
            a, b = os.dup(ours[0]), os.dup(theirs[1])
            os.dup2(a, 3)
            os.dup2(b, 4)
        flags = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-extensions --disable-background-networking " \
                "--hide-scrollbars --remote-debugging-pipe"
        self.log = open(f"{self.host.lab.dir}/chromium.log", "w")
        self.proc = self.host.popen("chromium", *flags.split(), f"--user-data-dir={self.host.lab.dir}/chromium-{self.host.name}-{id(self)}", "about:blank", preexec_fn=place,
                                    close_fds=False, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env={**os.environ, "HOME": self.host.lab.dir},
                                    start_new_session=True)
        os.close(ours[0])
        os.close(theirs[1])
        self.to, self.frm = ours[1], theirs[0]
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in "Page", "Runtime", "Log":
            self.ask(domain + ".enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=self.size[0], height=self.size[1], deviceScaleFactor=1, mobile=False)
        if not self.scripts:
            self.ask("Emulation.setScriptExecutionDisabled", value=True)
        self.ask("Page.navigate", url=self.url)
        return self

    def __exit__(self, *_):
        os.close(self.to)
        os.close(self.frm)
        os.killpg(self.proc.pid, signal.SIGKILL)
        self.proc.wait()
        self.log.close()

    def read(self):
        """The next message."""
        while b"\0" not in self.rest:
            data = os.read(self.frm, 1 << 20)
            assert data, "the browser has ended: " + open(self.log.name).read()[-2000:]
            self.rest += data
        one, self.rest = self.rest.split(b"\0", 1)
        return json.loads(one)

    def ask(self, method, **params):
        self.ids += 1
        os.write(self.to, json.dumps({"id": self.ids, "method": method, "params": params, **({"sessionId": self.session} if self.session else {})}).encode() + b"\0")
        while (m := self.read()).get("id") != self.ids:
            if m.get("method") in ("Runtime.exceptionThrown", "Page.javascriptDialogOpening") or \
                    m.get("method") == "Log.entryAdded" and m["params"]["entry"]["level"] == "error":
                self.complaints.append(m["params"])
        assert "result" in m, m
        return m["result"]

    def run(self, script):
        """The value of an expression in the page."""
        r = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in r, r
        return r["result"].get("value")

    def text(self, selector):
        return self.run(f"document.querySelector({json.dumps(selector)})?.textContent")

    def screenshot(self, path):
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))
