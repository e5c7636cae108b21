# SPDX-License-Identifier: MIT
"""The page at /: what it may do, and in a real browser what it shows.  SHOTS is where screenshots
go, if it is set."""
import base64
import gzip
import hashlib
import json
import os
import re

from browser import Page
from harness import *

WEB = 9000
URL = f"http://127.0.0.1:{WEB}/"
TOKEN = "0123456789abcdef0123456789abcdef"


def served(count, options="--ready alive:0s", *command, **more):
    return cluster(f"--http {WEB} -n {count} --drain off {options}", *(command or NAP), **more)


def page(**more):
    return get("/", WEB, headers={"Accept-Encoding": "deflate, gzip, br"}, **more)


def test_it_is_one_file_which_may_load_and_ask_nothing_but_nclust():
    served(1)
    with open(f"{SRC}/src/web/page.html") as f:
        text = f.read()
    assert len(text.encode()) <= 46000
    assert not re.search("(src|href)=[\"']?(https?:)?//|@import|url\\(", text)
    got = page()
    assert (got.status, gzip.decompress(got.body.encode(errors="surrogateescape")).decode()) == (
        200, text)
    assert {"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store"}.items() <= dict(got.headers).items()
    policy = got.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; connect-src 'self'; script-src ")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        inside_it = re.search(f"<{tag}>(.*?)</{tag}>", text, re.S)[1].encode()
        sha = base64.b64encode(hashlib.sha256(inside_it).digest()).decode()
        assert f"{tag}-src 'sha256-{sha}'" in policy
    assert page(method="HEAD").status == 200
    assert page(method="POST").body.startswith("nothing can be changed")
    got = get("/", WEB)  # curl's terminal would show what is compressed
    assert (got.status, got.headers["Content-Type"]) == (406, "text/plain; charset=utf-8")
    assert "/status" in got.body


def test_the_page_alone_is_sent_without_the_token():
    served(1, f"--ready alive:0s --http-token {write('token', TOKEN)}")
    assert page().status == 200
    assert [get(at, WEB).status for at in (
        "/status", "/history", "/samples", "/events", "/metrics")] == [401, 401, 401, 401, 401]


# ---- in a browser ----

def unfold(page, name):
    page.wait("(b => b && (b.click(), true))("
              f"[...document.querySelectorAll('.fold')].find(b => b.innerText === '{name}'))")


def row(pid):
    """JavaScript: the row of that worker in the table."""
    return ("[...document.querySelectorAll('tbody tr')].find(r => "
            f"[...r.cells].some(c => c.innerText === '{pid}'))")


@pytest.mark.nightly
def test_it_shows_what_status_shows_live_light_and_dark_and_is_quiet():
    it = start(f"--http {WEB}", ini="".join(
        f"[cluster:{name}]\ncommand = {command}\nworkers = {n}\nready = {ready}\n{more}\n"
        for name, command, n, ready, more in (
            ("web", f"python3 {server('own.py')} tcp 8000", 3, "auto", "spare = 1"),
            ("ill", 'sh -c "echo no disk; exit 3"', 1, "alive:1s", ""))))
    page = Page(URL)
    page.shows("3 of 3 ready", "queue 0")
    unfold(page, "web")
    for pid in it.pids("web"):
        page.wait(row(pid) + " != null")

    def colour(state):
        return page.wait("getComputedStyle([...document.querySelectorAll('.state')].find(e => "
                         f"e.innerText === '{state}')).getPropertyValue('--c').trim()")

    blue = page.eval("getComputedStyle(document.documentElement).getPropertyValue('--blue').trim()")
    assert colour("spare") == blue != colour("ready")
    # what is wrong is said first, with the reason and what to do
    for text in ("ill: 0 of 1 workers ready", "no disk", "nclust events it/ill.0"):
        page.wait(f"document.querySelector('#wrong').innerText.includes({text!r})")
    page.wait("document.title.startsWith('(')")
    page.shows("live, ")
    # what had happened before somebody looked, and goes on to happen
    page.wait("document.querySelector('#events ol').innerText.includes('exit 3')")
    page.wait("view('web').samples.length > 2")
    assert page.eval("!!view('web').charts[0].paths.line.getAttribute('d')")
    for dark in (False, True):
        page.size(1280, 800, dark=dark)
        page.wait(f"getComputedStyle(document.body).backgroundColor {'=!'[not dark]}== "
                  "'rgb(16, 18, 20)'")
        assert page.eval(read(f"{SRC}/tests/e2e/web/contrast.js")) == []
        page.shot("dark" if dark else "light")
    page.quiet()
    asked = {r.split("?")[0] for r in page.requests if not r.startswith("data:")}
    assert asked == {URL + p for p in ("", "status", "events", "history", "samples")}
    # a death shows at once, and so does who takes the place
    page.wait("following")
    old, spare = (next(w.pid for w in it.workers("web") if w.state == state)
                  for state in ("ready", "spare"))
    kill(old)
    page.wait(f"document.querySelector('#events ol').innerText.includes('{old} killed by SIGKILL')")
    page.wait(row(old) + " == null")
    page.wait(row(spare) + ".innerText.includes('ready')")


FLEET = "".join(f"[cluster:{name}]\ncommand = {command}\nworkers = {count}\nready = alive:0s\n"
                for name, command, count in (
                    *((name, " ".join(NAP), 4) for name in ("web", "api", "queue", "cron", "feed")),
                    ("store", "sh -c 'exec sleep 1000' --save ''", 1),
                    ("mail", 'sh -c "echo no disk; exit 3"', 2)))


def test_what_was_before_somebody_looked_is_kept_for_15_minutes():
    it = start(f"--http {WEB}", ini=FLEET, clock=True)
    it.event("all-ready", n=5)
    get("/status", WEB)  # such as a worker is in its first moment, it is in no sample
    assert json.loads(get("/samples", WEB).body) == {}
    for count in range(1, 65):
        it.advance(15)
        kept = wait(lambda: (s := json.loads(get("/samples", WEB).body)) and
                    len(s["web"]) >= min(60, count) and s)
    assert set(kept) == {"web", "api", "queue", "cron", "feed", "store", "mail"}
    ago, cpu, memory, queue, served = kept["web"][0]
    assert 840 <= ago <= 1000 and cpu >= 0 and memory > 0 and queue == 0 and served is None
    assert [s[0] for s in kept["web"]] == sorted((s[0] for s in kept["web"]), reverse=True)


@pytest.mark.nightly
def test_a_cluster_that_is_well_is_one_line_and_what_is_wrong_comes_first():
    it = start(f"--http {WEB}", ini=FLEET)
    page = Page(URL)
    page.shows("live, ")
    page.wait("document.querySelector('#wrong').innerText.includes('no disk')")
    # one cause is one row
    page.wait("[...document.querySelectorAll('#wrong li')].filter(l => "
              "l.innerText.includes('mail')).length === 1")
    page.wait("document.querySelector('#clusters h2').innerText === 'mail'")
    height = ("[...document.querySelectorAll('#clusters > *')].find(c => "
              "c.innerText.startsWith('web')).offsetHeight")
    assert page.eval(height) <= 60
    assert page.eval("innerHeight") >= page.eval(
        "document.querySelector('#clusters > :last-child').getBoundingClientRect().bottom")
    page.shot("fleet")
    unfold(page, "web")
    page.wait(height + " > 200")
    page.wait(row(it.pids("web")[0]) + ".offsetHeight > 0")
    unfold(page, "store")
    page.shows("--save ''")
    page.shot("fleet-open")
    page.size(390, 844)
    page.open()
    page.shows("4 of 4 ready")
    page.fits()
    page.wait("document.querySelector('#clusters > :last-child').getBoundingClientRect().bottom < 1100")
    page.shot("fleet-390")
    page.size(390, 844, dark=True)
    page.shot("fleet-390-dark")
    page.quiet()


@pytest.mark.nightly
def test_200_workers_are_small_cells_by_keyboard_alone_on_a_phone():
    it = served(200)
    page = Page(URL)
    page.shows("200 of 200 ready")
    page.wait("document.querySelectorAll('.cell').length === 200")
    focus = "document.activeElement.ariaLabel || document.activeElement.id || ''"
    for _ in range(20):
        page.key("Tab")
        if page.eval(focus).startswith("it.0"):
            break
    assert page.eval(focus) == "it.0 ready"
    assert page.eval("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.key("ArrowRight")
    page.key("ArrowRight")
    assert page.eval(focus) == "it.2 ready"
    page.key("ArrowDown")
    assert page.eval("document.activeElement.offsetTop > document.querySelector('.cell').offsetTop")
    page.key("End")
    page.key("Enter")
    page.wait("document.querySelector('#worker').innerText.includes("
              f"'{it.worker(199).pid}') && document.querySelector('#worker').open")
    page.key("Escape")
    page.wait("!document.querySelector('#worker').open")
    assert page.eval(focus) == "it.199 ready"
    page.key("Tab")  # leaves them
    assert page.eval(focus) == "Filter events"
    for width in (390, 320):
        page.size(width, 844, still=True)
        page.wait("innerWidth < 500")
        page.fits()
        page.shot(f"many-{width}")
    assert page.eval("[...document.querySelectorAll('.cell')].every("
                     "c => c.offsetWidth >= 24 && c.offsetHeight >= 24)")
    assert page.eval("getComputedStyle(document.querySelector('.cell')).animationName") == "none"
    page.eval("document.querySelector('.view').click()")  # each is a row, too
    page.wait("document.querySelectorAll('tbody tr').length === 200")
    page.fits()
    page.quiet()


@pytest.mark.nightly
def test_a_rollout_shows_both_generations_beside_each_other_with_progress():
    gate = Gate("go.{slot}")
    for slot in range(4):
        gate.open(slot)
    it = served(4, "--ready notify --start-at-once 1", fixture("slow-ready"), gate)
    page = Page(URL)
    page.shows("4 of 4 ready")
    for slot in range(1, 4):
        os.unlink(f"go.{slot}")
    it.call("restart", no_wait=True)
    page.shows("Rolling to generation 2")
    page.wait("""(() => { const r = document.querySelector('.roll');
        const [a, b] = r.querySelectorAll('.dots');
        return r.querySelector('progress').value >= 1 && a.children.length && b.children.length
        })()""")
    page.shot("rollout")
    page.size(390, 844)
    page.fits()
    for slot in range(1, 4):
        gate.open(slot)
    page.shows("rollout 1 done", "generation 2")
    page.wait("[...document.querySelectorAll('.dots')][0].children.length === 0")
    page.quiet()


@pytest.mark.nightly
def test_with_a_token_the_page_asks_for_it_and_keeps_it_for_the_tab():
    served(2, f"--ready alive:0s --http-token {write('token', TOKEN)}")
    page = Page(URL)
    page.wait("document.activeElement.id === 'token'")
    assert "sleep" not in page.text()
    page.type("a wrong one, which is long")
    page.key("Enter")
    page.shows("That is not its token")
    page.eval("document.activeElement.value = ''")
    page.type(TOKEN)
    page.key("Enter")
    page.shows("2 of 2 ready")
    page.wait("following && events.length > 0")
    page.open()
    page.wait("typeof S !== 'undefined' && S && following")
    assert page.eval("document.querySelector('#door').hidden")
    page.quiet("network: .* 401")
    assert not any(TOKEN[:10] in r for r in page.requests)


@pytest.mark.nightly
def test_it_follows_an_upgrade_the_death_of_the_web_process_a_stop_and_the_next_nclust():
    it = served(2)
    page = Page(URL)
    page.shows("2 of 2 ready")
    page.wait("following")
    it.call("upgrade")
    page.shows("1 upgrade")
    page.wait("following")
    kill(it.role("web"))
    it.call("scale", count=3)
    page.shows("3 of 3 ready")
    page.wait("following")
    page.quiet("net::ERR_")
    it.stop()
    page.shows("nclust does not answer", "connecting again")
    page.shot("away")
    served(5)
    page.shows("5 of 5 ready")
    page.wait("following")
    assert "does not answer" not in page.text()
    # a browser itself says what it cannot reach
    page.quiet("net::ERR_|network: .* 503")


@pytest.mark.nightly
def test_what_nclust_and_its_workers_say_is_text_not_html():
    served(1, "--ready notify", NOTIFY, "READY=1\\nSTATUS=<img src=x onerror=alert(1)><b>bold</b>",
           "<script>alert(2)</script>")
    page = Page(URL)
    page.shows("1 of 1 ready", "<script>alert(2)</script>", "<img src=x onerror=alert(1)>")
    page.eval("document.querySelector('tbody button').click()")
    page.wait("document.querySelector('#worker').innerText.includes('<b>bold</b>')")
    assert page.eval("document.querySelectorAll('img').length") == 0
    assert page.eval("document.querySelectorAll('script').length") == 1
    page.quiet()
