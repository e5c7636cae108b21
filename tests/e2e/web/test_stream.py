# SPDX-License-Identifier: MIT
"""/events: what happens, as it happens, for as many as may watch; /history: what has happened."""
import contextlib
import json

from harness import *

WEB = {"unix": "http"}


def web(options="", *command, **more):
    return cluster(f"--http unix:{path('http')} -n 2 --drain off --ready alive:0s {options}",
                   *(command or NAP), **more)


class Follower:
    """It follows the events, or has been refused."""

    def __init__(self):
        self.request = Request("/events", **WEB)
        self.response = self.request.http.getresponse()
        self.follows = self.response.status == 200
        if self.follows:
            assert self.response.readline().startswith(b"retry: ")

    def events(self):
        """All that come, until the end."""
        while line := self.response.readline():
            if line.startswith(b"data: ") and line.endswith(b"\n"):
                yield Object(json.loads(line[6:]))

    def rest(self):
        with contextlib.suppress(ConnectionResetError):
            return list(self.events())
        return []

    def sees(self, **members):
        return next(e for e in self.events() if members.items() <= e.items())


def test_who_follows_sees_all_of_it_through_an_upgrade_and_to_the_end():
    it = web()
    follower = Follower()
    assert follower.response.headers["Content-Type"].startswith("text/event-stream")
    pid = it.worker(1).pid
    kill(pid)
    assert "SIGKILL" in follower.sees(event="exited", slot=1, pid=pid).text
    it.call("upgrade")
    follower.sees(event="upgraded")
    it.stop()
    # the last words come, and the answer is whole
    last = follower.rest()
    assert any(e.get("state") == "stopped" for e in last)
    assert not any("request" in e for e in last)


def test_who_does_not_read_loses_the_stream_and_nobody_else_notices():
    os.mkfifo("say")
    it = web("--ipc on", "sh", "-c", '[ "$NCLUST_SLOT" -eq 0 ] || exec sleep 1000\n'
             'exec cat <>"$0" >&$NCLUST_CHANNEL_FD', path("say"))
    deaf, reads = Follower(), Follower()
    for _ in range(60):
        write("say", '"' + "0" * 60000 + '"\r\n')
        reads.sees(event="message")
    assert get("/healthz", **WEB).body == "ok\n"
    it.call("scale", count=3)
    reads.sees(event="scaled")
    assert len(deaf.rest()) < 60


def test_32_may_follow_who_leaves_makes_room_or_has_followed_for_longest():
    it = web(clock=True)
    followers = [Follower() for _ in range(32)]
    assert all(f.follows for f in followers)
    late = Follower()
    assert (late.response.status, late.response.headers["Retry-After"]) == (503, "10")
    followers.pop().response.close()
    it.advance(2)  # then it is seen
    wait(lambda: followers.append(Follower()) or followers[-1].follows)
    it.call("scale", count=1)
    for f in (followers[0], followers[30], followers[-1]):
        assert f.sees(event="scaled")
    # all places are taken again; the one that came first gives way in the end
    assert not Follower().follows
    it.advance(31)
    assert Follower().follows
    followers[0].rest()  # it has an end
    it.call("scale", count=2)
    assert followers[1].sees(event="scaled")


def test_history_is_what_nclust_remembers_as_one_array():
    it = web()
    pid = it.worker(1).pid
    kill(pid)
    it.event("ready", slot=1, n=2)
    got = json.loads(get("/history", **WEB).body)
    assert any(e["event"] == "exited" and e["pid"] == pid for e in got)
    assert got == [json.loads(line) for line in nclust("events it --json").ok().splitlines()]
    # beside others that want something else
    requests = [(p, Request(p, **WEB)) for p in ("/status", "/healthz", "/history", "/readyz") * 2]
    for p, request in requests:
        body = request.answer().body
        assert body == "ok\n" if p.endswith("z") else len(json.loads(body)) > 3
