# SPDX-License-Identifier: MIT
"""A cluster that gets another name in the file is the same one after a reload: nobody is started
in vain, and nothing is lost."""
import re

from harness import *

SERVES = f"{SERVE} --notify"
GRACEFUL = f"{RUDE} 8000 --graceful"


def one(name, *more, command=SERVES, ready="notify"):
    return section(name, command, *more, ready=ready)


def rename(old, new):
    edit("it.ini", f"[cluster:{old}]", f"[cluster:{new}]")


def reload(it, *files):
    """With that file, if it is another one: what it says."""
    if files:
        write("it.ini", "".join(files))
    return it.call("reload").text


def to(it, old, new):
    """Another name and nothing else."""
    rename(old, new)
    assert f"{new}: name (was {old}): rolling restart" in reload(it)
    is_now(it, new, old)


def is_now(it, name, old):
    """It goes by that alone, with workers that know it."""
    (c,) = it.status().clusters
    assert (c.name, c.ready, len(c.workers)) == (name, 2, 2)
    assert knows(it, name)
    is_refused(f"no cluster '{old}'", it.call, "status", target=old)


def knows(it, name):
    return all(environment(pid)["NCLUST_CLUSTER"] == name for pid in it.pids(name))


def names(it):
    return [c.name for c in it.status().clusters]


def addresses(it, name=None):
    return [listener.address for listener in it.cluster(name).listeners]


class Load(Steady):
    """Requests at these addresses; `over` when none is lost."""

    def __init__(self, *at):
        for address in at:
            wait_listened(address)
        super().__init__(at[0], *at[1:], "--rate", 60)

    def over(self):
        self.loses_nothing()


@pytest.mark.parametrize("at, listen, command, ready", (
    (8000, "listen = 8000", SERVES, "notify"),
    (8000, "", GRACEFUL, "notify"),
    ("/run/socket", "listen = unix:/run/socket", SERVES, "notify"),
    ("/run/socket", "bake = 0", f"node {server('slow.js')} /run/socket", "listen"),
), ids=("port", "port-of-workers", "path", "path-of-workers"))
def test_it_keeps_its_address_whoever_names_that(at, listen, command, ready):
    it = cluster(ini=one("web", listen, command=command, ready=ready))
    it.call("scale", count=3)
    it.call("scale", count=2)
    before = addresses(it), at != 8000 and os.stat(at).st_ino
    load = Load(at)
    to(it, "web", "site")
    load.over()
    assert (addresses(it), at != 8000 and os.stat(at).st_ino) == before
    assert len(addresses(it)) == 1
    assert it.cluster().generation == 2
    assert not it.happened("exited", why="crash")
    assert it.says("site: renamed from 'web'")
    of_site = it.verb("events", "--json", target="it/site").out
    assert '"renamed"' in of_site and '"rollout-done"' in of_site
    assert reload(it).startswith("site: no change; to start")


def test_with_another_command_it_is_known_by_its_port():
    it = cluster(ini=one("web", "listen = 8000"))
    load = Load(8000)
    said = reload(it, one("site", "listen = 8000", "env = A=1", command=f"{RUDE} --graceful"))
    load.over()
    assert "command" in said and "name (was web): rolling restart" in said
    is_now(it, "site", "web")
    assert it.cluster().command[0] == RUDE


def test_a_command_that_fails_leaves_the_old_workers_under_the_new_name():
    good = one("web", "listen = 8000", "log = prefix", "on-exit = sh -c 'exit 4'",
               command=f"sh -c 'echo here I am; exec {SERVES}'")
    bad = good.replace("[cluster:web]", "[cluster:site]").replace("here I am", "no").replace(
        "exec", "exit 4; exec")
    it = cluster(ini=good)
    before = it.pids()
    write("it.ini", bad)
    it.verb("reload").fails(1, "exit 4")
    assert names(it) == ["site"] and it.pids() == before
    assert get().pid in before

    # its last words and its hooks are known by the new name, once
    it.logged("site: the hook on-exit")
    since = it.mark()
    kill(before[0])
    assert it.event("exited", cluster="site", pid=before[0]).last_output == "here I am"
    it.event("ready", since=since)
    assert it.says(f"site.0: worker {before[0]} killed by SIGKILL")
    assert it.log().count("the hook on-exit") == 1

    # the file is still ahead: in force is the last good one, with its name
    it.call("restart", target="site")
    it.verb("reload").fails(1, "exit 4")
    before = it.pids()
    assert reload(it, good).startswith("web: no change; to start")
    assert it.pids() == before
    is_now(it, "web", "site")
    write("it.ini", bad)  # again, and it is mended under the new name
    it.verb("reload").fails(1)
    assert "site: name (was web)" in reload(it, good.replace("[cluster:web]", "[cluster:site]"))
    is_now(it, "site", "web")


TWO = one("one", "listen = 8000") + one("two", "listen = 8001")


def test_one_that_could_be_either_of_two_is_neither_several_are_known_by_their_own():
    it = cluster(ini=one("web", "listen = 8000", "listen = 8001"))
    load = Load(8000, 8001)
    assert "one: new; two: new; web: removed" in reload(it, TWO)
    load.over()
    it.wait(lambda: names(it) == ["one", "two"])
    said = reload(it, TWO.replace(":one]", ":blue]").replace(":two]", ":green]"))
    assert "blue: name (was one)" in said and "green: name (was two)" in said
    assert addresses(it, "blue") + addresses(it, "green") == ["tcp:[::]:8000", "tcp:[::]:8001"]
    assert knows(it, "blue") and knows(it, "green")


@pytest.mark.parametrize("after", (
    # no name is gone, so none is renamed: each gets the other's settings
    {"two": 8000, "one": 8001},
    # the name in the middle stays, with other settings: one leaves, and one is new
    {"two": 8000, "three": 8001}), ids=("swap", "chain"))
def test_names_that_change_hands_lose_nothing(after):
    it = cluster(ini=TWO)
    for _ in range(2):
        it.call("restart")
    load = Load(8000, 8001)
    said = reload(it, *(one(name, f"listen = {port}") for name, port in after.items()))
    load.over()
    assert "two: listen: rolling" in said
    it.wait(lambda: sorted(names(it)) == sorted(after))
    assert {name: int(addresses(it, name)[0][-4:]) for name in after} == after


def test_two_that_swap_ports_that_they_bind_are_told_whose_these_are_and_stay():
    both = one("one", command=GRACEFUL) + one("two", command=f"{RUDE} 8001 --graceful")
    it = cluster(ini=both)
    before = it.pids("one"), it.pids("two")
    write("it.ini", both.replace(":one", ":").replace(":two", ":one").replace(":]", ":two]"))
    refused = it.verb("reload")
    assert refused.status == 1
    assert re.search("in use by cluster '(one|two)' of this nclust", refused.err)
    it.wait(lambda: (it.pids("one"), it.pids("two")) == before)
    assert get().pid in before[0] and get(port=8001).pid in before[1]


def test_a_name_that_another_is_leaving_under_is_refused():
    web = one("web", "listen = 8000")
    it = cluster(ini=web + one("old", "stop-timeout = 1h", command=f"{fixture('deaf')} --notify"))
    write("it.ini", web)
    it.call("reload", no_wait=True)
    rename("web", "old")
    it.verb("reload").fails(1, "cluster 'old' is still stopping")
    assert len(it.pids("web")) == 2 and knows(it, "web")


def test_who_follows_its_events_and_who_waits_for_its_restart_go_on_with_it():
    gate = Gate("go")
    gate.open()
    it = cluster(ini=one("web", "listen = 8000", command=f"sh -c 'until [ -e {gate} ]; do "
                         f"sleep 0.01; done; exec {SERVES}'"))
    follower = it.connect()
    follower.send("events", follow=True, target="web")
    os.unlink(gate.path)
    answer = it.begin("restart", target="web")
    it.event("rollout-started")
    rename("web", "site")
    it.call("reload", no_wait=True)
    it.event("rollout-superseded")
    gate.open()
    assert "site: rollout 2 done" in answer().text
    is_now(it, "site", "web")
    while (event := follower.read().params).event != "rollout-done":
        follower.events.append(event)
    assert "renamed" in [e.event for e in follower.events]
    assert {e.cluster for e in follower.events[-5:]} == {"site"}


def test_it_goes_on_over_upgrades_and_when_nclust_is_killed():
    it = cluster(ini=one("web", "orphans = keep", command=GRACEFUL))
    load = Load(8000)
    for old, new in (("web", "site"), ("site", "web"), ("web", "site")):
        to(it, old, new)
        it.call("upgrade")
        is_now(it, new, old)
    before = it.pids()
    it.kill()
    it = cluster(f"-c {path('it.ini')}")
    assert it.pids() == before and it.says("took over 2 workers")
    is_now(it, "site", "web")
    to(it, "site", "web")
    load.over()


def test_nclust_is_killed_after_its_rollout_failed_the_next_one_replaces_who_knows_the_old_name():
    it = cluster(ini=one(
        "web", "orphans = keep", "listen = 8000", command=f"sh -c 'test $NCLUST_CLUSTER != site || "
        f"test -e {path('go')} || exit 4; exec {SERVES}'"))
    load = Load(8000)
    rename("web", "site")
    it.verb("reload").fails(1, "exit 4", "the old workers keep serving")
    it.kill()
    Gate("go").open()
    it = start(f"-c {path('it.ini')}")
    it.event("rollout-done")
    is_now(it, "site", "web")
    load.over()


def test_one_that_has_a_process_for_each_connection():
    tell = write("tell", '#!/bin/sh\nwhile read -r line && [ "${#line}" -gt 1 ]; do :; done\n'
                 'printf "HTTP/1.0 200 OK\\r\\n\\r\\n%s" "$NCLUST_CLUSTER"', 0o755)
    it = start(ini=f"[cluster:web]\naccept = yes\nworkers = 6\nlisten = 8000\ncommand = {tell}\n")
    assert get().body == "web"
    rename("web", "site")
    assert "site: name (was web): rolling restart" in reload(it)
    assert get().body == "site" and names(it) == ["site"]


def test_one_that_cannot_start_starts_under_its_new_name_one_that_was_stopped_is_so_called():
    it = start(ini=one("web", "listen = 8000", "backoff-min = 1m", "backoff-max = 1m",
                       command=f"{DIE} --exit 3"))
    it.event("exited", 2)
    reload(it, one("site", "listen = 8000"))
    is_now(it, "site", "web")
    reload(it, one("site", "listen = 8000"), one("other", command=f"{HEAR} --notify"))
    it.call("stop", target="site")
    rename("site", "web")
    assert "web: name (was site): applied, stays stopped" in reload(it)
    it.call("restart", target="web")
    assert knows(it, "web") and get().pid
