#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# browser.py DIR: run the Python program on stdin with a headless Chromium, whose
# screenshots go to DIR.  It has `page` (below), `status`, `poll`, `env`, `run`.
# Chromium is driven through a pipe: JSON objects, each ended by a NUL.

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time

PATIENCE = int(os.environ.get("PATIENCE", "1"))
env = os.environ

# Others share the machine: without a display, a GPU, or a sandbox that root lacks.
ARGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-extensions",
        "--disable-dev-shm-usage", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run",
        "--no-default-browser-check", "--mute-audio", "--hide-scrollbars",
        "--remote-debugging-pipe"]
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38,
        "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35}


def poll(seconds, look, what="it"):
    """Until look() is true: its value."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def run(*command):
    return subprocess.run([os.environ["NCLUST"], *command], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def status():
    return json.loads(run("status", os.environ["INSTANCE"], "--json").stdout)


class Page:
    def __init__(self, directory):
        self.directory = directory
        profile = os.path.join(directory, "chromium")
        ours, theirs = os.pipe(), os.pipe()
        self.out, self.into = theirs[1], ours[0]
        self.process = subprocess.Popen(
            ["sh", "-c", 'exec "$@" 3<&"$IN" 4>&"$OUT"', "-", BROWSER, *ARGS,
             f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(theirs[0], ours[1]), stdin=subprocess.DEVNULL,
            stderr=open(os.path.join(directory, "chromium.log"), "w"),
            env={**os.environ, "IN": str(theirs[0]), "OUT": str(ours[1]),
                 "HOME": directory})
        os.close(theirs[0])
        os.close(ours[1])
        self.count = 0
        self.rest = b""
        self.console = []   # what a developer would see there
        self.requests = []  # addresses
        self.blocked = []
        self.session = None
        targets = self.call("Target.getTargets")["targetInfos"]
        target = [t for t in targets if t["type"] == "page"][0]
        self.session = self.call("Target.attachToTarget", flatten=True,
                                 targetId=target["targetId"])["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.size(1280, 800)

    def call(self, method, **params):
        self.count += 1
        wanted = self.count
        message = {"id": wanted, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 60 * PATIENCE
        while time.monotonic() < end:
            for got in self.read(1):
                if got.get("id") == wanted:
                    if "error" in got:
                        raise AssertionError(f"{method}: {got['error']}")
                    return got["result"]
        raise AssertionError(f"Chromium does not answer {method}")

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
            self.console.append(
                f"{entry['source']}: {entry['text']} {entry.get('url', '')}")
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

    def open(self, url):
        self.eval("window.old = true")
        self.call("Page.navigate", url=url)
        self.wait("!window.old && document.readyState === 'complete'", 30)

    def eval(self, expression, may_throw=False):
        """The value of an expression of JavaScript."""
        got = self.call("Runtime.evaluate", expression=expression,
                        returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in got and may_throw:
            return None
        if "exceptionDetails" in got:
            raise AssertionError(f"{expression}: {got['exceptionDetails']}")
        return got["result"].get("value")

    def wait(self, expression, seconds=10):
        try:
            return poll(seconds, lambda: self.eval(expression, True), expression)
        except AssertionError:
            print(self.text())
            raise

    def text(self, selector="body"):
        return self.eval(
            f"(document.querySelector({json.dumps(selector)}) || {{}}).innerText")

    def shows(self, text, seconds=10):
        self.wait(f"document.body.innerText.includes({json.dumps(text)})",
                  seconds)

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
        import base64
        data = self.call("Page.captureScreenshot", format="png")["data"]
        file = os.path.join(self.directory, name + ".png")
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

    def close(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


BROWSER = next((b for b in map(shutil.which, (
    "chromium", "chromium-browser", "google-chrome")) if b), None)
if __name__ == "__main__":
    program = compile(sys.stdin.read(), "test", "exec")
    page = Page(sys.argv[1])
    try:
        exec(program, globals())  # it is the test's own
    finally:
        page.close()
