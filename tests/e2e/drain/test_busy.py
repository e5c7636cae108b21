# SPDX-License-Identifier: MIT
"""Kept connections that are busy all the time, of clients that repeat nothing and of proxies that do
not try again: a restart costs none of them anything, and each request is asked once.  scripts/bench
hand-on has the times."""
import itertools
import json

from drains import *

ROOT = "user root;" if os.geteuid() == 0 else ""
FRONT = 8001
CLIENTS = os.path.join(os.path.dirname(__file__), "clients")
SERVERS = {
    "python": ("python3", server("kinds.py"), "{at}"),
    "node": ("node", server("kinds.js"), "{at}"),
    "gthread": ("gunicorn", "--chdir", server(""), "-w", 1, "-k", "gthread", "--threads", 4,
                "--keep-alive", 600, "--worker-tmp-dir", "{dir}", "-b", "{bind}", "kinds:app"),
    "accept": (fixture("keeps"), "accept", "{at}"),
    "poll": (fixture("keeps"), "poll", "{at}"),
    "epoll": (fixture("keeps"), "epoll", "{at}"),
}


def configure(name, **facts):
    """The proxy's file, which scripts/bench has, too."""
    text = read(f"{CLIENTS}/{name}")
    for key, value in facts.items():
        text = text.replace(f"@{key}@", str(value))
    write(name, text)
    return path(name)


def begin_nginx(to):
    file = configure("nginx.conf", DIR=path(), USER=ROOT, AT=FRONT, TO=to)
    begin_program(need("nginx"), "-c", file, "-p", path())


def begin_haproxy(to):
    file = configure("haproxy.cfg", AT=FRONT, TO=to.replace("unix:", "unix@"), TIME="600s", CONNECT="600s")
    begin_program(need("haproxy"), "-db", "-f", file)


PROXIES = {"nginx": begin_nginx, "haproxy": begin_haproxy}


class Busy:
    """Clients of a cluster, which its servers know by name: `client` is wrk, fetch or http.client,
    with -post or without, `via` a proxy, +unix or unix."""

    def __init__(self, name, client, count=6, workers=2, paths=("/length",), via=""):
        at = path("socket") if "unix" in via else PORT
        bind = f"unix:{at}" if "unix" in via else f"127.0.0.1:{at}"
        self.asked = path("asked")
        self.it = cluster(
            f"-n {workers} --bake 0 --drain-timeout 10m" + f" -l {bind}" * ("unix" in via),
            *(str(word).format(at=at, bind=bind, dir=path()) for word in SERVERS[name]),
            env={"ASKED": self.asked})
        self.wrk = client.startswith("wrk")
        if (proxy := via.partition("+")[0]) in PROXIES:
            PROXIES[proxy](bind)
            wait_listened(FRONT)
            at = FRONT
        client, _, method = client.partition("-")
        self.client = begin_program(
            *self.command(client, method.upper() or "GET", count, at, paths), stdout="clients",
            env={**os.environ, "METHOD": method.upper() or "GET"})
        wait(lambda: "ready" in read("clients") or (self.wrk and read("asked")))

    def command(self, client, method, count, at, paths):
        if client == "wrk":
            return (need("wrk"), "-t", 1, "-c", count, "-d", 600, "--timeout", 600,
                    "-s", f"{CLIENTS}/asks.lua", f"http://127.0.0.1:{at}{paths[0]}")
        program = ("node", f"{CLIENTS}/asks.mjs") if client == "fetch" else (
            "python3", f"{CLIENTS}/asks.py")
        return *program, method, count, at, *paths

    def restart(self, times):
        for _ in range(times):
            self.it.call("restart", bound=10 * BOUND)

    def restart_until_handed_on(self, count):
        """A slow machine's clients may have nothing unread just then."""
        while handed_on(self.it) < count:
            self.restart(1)

    def lose_nothing(self):
        """They end: each request was asked once, and answered."""
        self.client.send_signal(SIGINT if self.wrk else SIGTERM)
        wait(lambda: self.client.poll() is not None, "the end of the clients", 10 * BOUND)
        print(lines("clients")[-1])
        got = json.loads(lines("clients")[-1])
        assert sum(got["errors"].values()) == got["strange"] == 0
        assert asked_again(self.it) == 0
        assert [e.forced for e in self.it.happened("drained", forced=1)] == []
        asked = lines("asked")
        assert len(set(asked)) == len(asked)
        # wrk drops what is under way when it ends
        assert 0 <= len(asked) - got["answered"] <= (1000 if self.wrk else 0)
        return got


LANDING = (
    ("gthread", "http.client"), ("accept", "http.client-post"), ("accept", "wrk"),
    ("poll", "http.client"), ("poll", "wrk-post"), ("epoll", "wrk"), ("epoll", "http.client-post"))


@pytest.mark.parametrize("name, client", LANDING)
def test_a_restart_costs_clients_that_repeat_nothing_no_request(name, client):
    busy = Busy(name, client)
    busy.restart_until_handed_on(5)
    got = busy.lose_nothing()
    assert got["ended"] > 0


@pytest.mark.parametrize("via, name", (
    ("nginx", "python"), ("haproxy", "node"), ("haproxy+unix", "epoll"), ("unix", "python")))
def test_nor_those_of_a_proxy_that_does_not_try_again(via, name):
    """Of a unix socket the kernel does not show that a short answer is whole."""
    busy = Busy(name, "http.client-post", via=via, paths=("/long" if "unix" in via else "/length",))
    busy.restart_until_handed_on(5)
    busy.lose_nothing()


@pytest.mark.parametrize("answer", ("/empty", "/long", "/chunked"))
@pytest.mark.parametrize("name", ("gthread", "node"))
def test_answers_of_each_length_come_whole(name, answer):
    busy = Busy(name, "http.client-post", paths=(answer,))
    busy.restart_until_handed_on(5)
    busy.lose_nothing()


# ---- at length ----

ALL = [(server, client, count, workers)
       for server, client in itertools.product(
           SERVERS, ("wrk", "fetch", "fetch-post", "http.client", "http.client-post"))
       for count, workers in ((30, 4), *((n, w) for n in (3, 300) for w in (2, 4)
                                         if client in ("wrk", "fetch-post", "http.client")))]


@pytest.mark.nightly
@pytest.mark.parametrize("name, client, count, workers", ALL)
def test_of_20_restarts_no_client_notices_one(name, client, count, workers):
    busy = Busy(name, client, count, workers)
    busy.restart(20)
    busy.lose_nothing()


@pytest.mark.nightly
@pytest.mark.parametrize("via", ("unix", "nginx", "nginx+unix", "haproxy", "haproxy+unix"))
@pytest.mark.parametrize("name", SERVERS)
def test_of_20_restarts_no_proxy_notices_one(name, via):
    busy = Busy(name, "http.client-post", 30, 4, via=via)
    busy.restart(20)
    busy.lose_nothing()


@pytest.mark.nightly
@pytest.mark.parametrize("answer", ("/empty", "/long", "/chunked"))
@pytest.mark.parametrize("name", SERVERS)
def test_of_20_restarts_no_answer_of_any_length_is_lost(name, answer):
    busy = Busy(name, "http.client-post", 30, 4, paths=(answer,))
    busy.restart(20)
    busy.lose_nothing()


@pytest.mark.nightly
@pytest.mark.parametrize("name", SERVERS)
def test_nor_one_that_takes_10_s(name):
    busy = Busy(name, "http.client-post", 12, 2, paths=("/length", "/length", "/wait/10000"))
    busy.restart(20)
    busy.lose_nothing()
