# SPDX-License-Identifier: MIT
"""The load programs count each thing that can become of a request under its own name: what
all tests under load say rests on it."""
import json

from harness import *


def moody(at=PORT):
    begin_program(fixture("moody"), at, stdout="moody")
    wait(lambda: "listening" in read("moody"))


def asked(at, target, *options):
    """What became of ten requests: all that is not 0."""
    said = run(fixture("openload"), at, "--rate", 200, "--for", 50, "--path", target,
               *(options or ("--patience", 60000)))
    got = json.loads(said.ok().splitlines()[-1], object_hook=Object)
    fates = ("answered", "late", "refused", "reset", "unanswered", "wrong", "races", "own", "away")
    assert sum(got[f] for f in fates) == 10
    assert got.lost == got.refused + got.reset + got.unanswered + got.wrong
    return {f for f in fates if got[f] and f != "away"}, got  # away: it could not ask in time


KEPT = "--mode", "keep", "--connections", 1
FATES = (
    ("/ok", (), {"answered"}),
    ("/wrong", (), {"wrong"}),
    ("/garbage", (), {"wrong"}),
    ("/close", (), {"unanswered"}),
    ("/cut", (), {"unanswered"}),
    ("/hang", ("--patience", 50), {"unanswered"}),  # it is not waited for
    ("/late", ("--patience", 250, "--await", 60000), {"late"}),
    ("/late", ("--patience", 60000), {"answered"}),
    # one that nobody has read is told from one that was read and forgotten
    ("/race", KEPT, {"answered", "races"}),
    ("/forget", KEPT, {"answered", "unanswered"}),
)


@pytest.mark.parametrize("at", (PORT, "socket"))
def test_what_becomes_of_a_request_has_a_name(at):
    at = at if at == PORT else path(at)
    moody(at)
    for target, options, fates in FATES:
        assert asked(at, target, *options)[0] == fates, (target, options)
    if at == PORT:
        fates, got = asked(at, "/reset")
        assert fates == {"reset"} and got.errors.ECONNRESET == got.reset + got.away
        assert asked(at, "/stale", *KEPT)[1].closed_idle > 0


def test_refused_where_nobody_listens():
    assert asked(PORT, "/")[0] == {"refused"}
    assert asked(path("nobody"), "/")[0] == {"refused"}


@pytest.mark.parametrize("target, says", (("/close", "lost=6 "), ("/reset", "lost=6 "),
                                          (None, "refused=6 ")))
def test_the_closed_loop_tells_what_was_lost(target, says):
    if target:
        moody()
    said = run(fixture("visit"), PORT, "--path", target or "/", "--clients", 2, "--count", 3).ok()
    assert says in said.splitlines()[-1], said
