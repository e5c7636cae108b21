# SPDX-License-Identifier: MIT
"""A headless Chromium, driven through a pipe: JSON objects, each ended by a NUL."""
import base64
import json
import os
import re
import select
import shutil

from harness import lab

# Others share the machine: without a display, a GPU, or a sandbox that root lacks.
ARGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-extensions",
        "--disable-dev-shm-usage", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run",
        "--no-default-browser-check", "--mute-audio", "--hide-scrollbars",
        "--remote-debugging-pipe"]
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38,
        "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35}


class Page:
    """One that shows the page at that address.  Screenshots go to the test's directory, and to
    SHOTS if that is set."""

    def __init__(self, url):
        browser = next((b for b in map(shutil.which, (
            "chromium", "chromium-browser", "google-chrome")) if b), None)
        assert browser, "no Chromium here: scripts/setup installs it"
        ours, theirs = os.pipe(), os.pipe()
        self.out, self.into = theirs[1], ours[0]
        with open("chromium.log", "w") as log:
            lab.begin_program(
                "bash", "-c", 'exec "$@" 3<&"$IN" 4>&"$OUT"', "-", browser, *ARGS,
                f"--user-data-dir={lab.path('chromium')}", "about:blank",
                pass_fds=(theirs[0], ours[1]), stderr=log, env={
                    **os.environ, "IN": str(theirs[0]), "OUT": str(ours[1]), "HOME": lab.path()})
        os.close(theirs[0])
        os.close(ours[1])
        self.count = 0
        self.rest = b""
        self.console = []   # what a developer would see there
        self.requests = []  # addresses
        self.blocked = []
        self.session = None
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(t for t in targets if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", flatten=True,
                                 targetId=target["targetId"])["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.size(1280, 800)
        self.url = url
        self.open()

    def call(self, method, **params):
        self.count += 1
        wanted = self.count
        message = {"id": wanted, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")

        def answer():
            return next((m for m in self.read(0.5) if m.get("id") == wanted), None)

        got = lab.wait(answer, f"Chromium's answer to {method}")
        assert "error" not in got, f"{method}: {got['error']}"
        return got["result"]

    def read(self, seconds):
        """Take in what has come, and return it."""
        if not select.select([self.into], [], [], seconds)[0]:
            return []
        data = os.read(self.into, 1 << 20)
        if not data:
            raise AssertionError("Chromium has ended")
        *parts, self.rest = (self.rest + data).split(b"\0")
        messages = [json.loads(p) for p in parts]
        for m in messages:
            self.note(m.get("method"), m.get("params", {}))
        return messages

    def note(self, method, params):
        if method == "Runtime.consoleAPICalled":
            self.console.append("console: " + json.dumps(params["args"]))
        elif method == "Runtime.exceptionThrown":
            self.console.append(json.dumps(params["exceptionDetails"]))
        elif method == "Log.entryAdded":
            entry = params["entry"]
            self.console.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    # ---- what tests use

    def size(self, width, height, dark=False, still=False):
        self.width = width
        self.call("Emulation.setDeviceMetricsOverride", width=width,
                  height=height, deviceScaleFactor=1, mobile=width < 500)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme",
             "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion",
             "value": "reduce" if still else "no-preference"}])

    def open(self):
        self.eval("window.old = true")
        self.call("Page.navigate", url=self.url)
        self.wait("!window.old && document.readyState === 'complete'")

    def eval(self, expression, may_throw=False):
        """The value of an expression of JavaScript."""
        got = self.call("Runtime.evaluate", expression=expression,
                        returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in got and may_throw:
            return None
        if "exceptionDetails" in got:
            raise AssertionError(f"{expression}: {got['exceptionDetails']}")
        return got["result"].get("value")

    def wait(self, expression):
        """Until it is true; it may throw meanwhile."""
        return lab.wait(lambda: self.eval(expression, True), expression)

    def text(self, selector="body"):
        return self.eval(f"(document.querySelector({json.dumps(selector)}) || {{}}).innerText")

    def shows(self, *texts):
        for text in texts:
            self.wait(f"document.body.innerText.includes({json.dumps(text)})")

    def key(self, name):
        for kind in ("rawKeyDown", "char", "keyUp"):
            if kind == "char" and name != "Enter":
                continue
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name,
                      text="\r" if kind == "char" else "",
                      windowsVirtualKeyCode=KEYS[name])

    def type(self, text):
        self.call("Input.insertText", text=text)

    def shot(self, name):
        """A screenshot, which is not of one colour alone."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        file = lab.path(name + ".png")
        with open(file, "wb") as f:
            f.write(base64.b64decode(data))
        assert os.path.getsize(file) > 4000, f"{file} shows nothing"
        if os.environ.get("SHOTS"):
            shutil.copy(file, os.environ["SHOTS"])

    def fits(self):
        """Nobody has to scroll sideways, and nothing that can is cut off."""
        wide = self.eval("document.documentElement.scrollWidth")
        assert wide <= self.width, (wide, self.eval(f"""
            [...document.querySelectorAll('*')].filter(
                e => e.getBoundingClientRect().right > {self.width} + 1)
                .map(e => e.tagName + '.' + e.className).slice(0, 9)"""))

    def quiet(self, allowed="$^"):
        self.read(0)
        loud = [c for c in self.console if not re.search(allowed, c)]
        assert not loud, loud
