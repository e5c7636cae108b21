# SPDX-License-Identifier: MIT
"""`nclust restart -- COMMAND`: another command without a file."""
from harness import *


def ini(delay=1, *more):
    """The last word tells one command from another."""
    return section("web", f"{SERVE} --notify --delay {delay}", "listen = 8000", *more)


def restart(it, delay, *options):
    return it.verb("restart", *options, "--", SERVE, "--notify", "--delay", delay, target="it/web")


def runs(it, cluster=None):
    """The last words of the commands of all workers."""
    return {command(pid).split()[-1] for pid in it.pids(cluster)}


def configured(it):
    value = it.call("config").settings["cluster:web"].command
    return f"{value.origin}: {value.value}"


OF_THE_RESTART = f"restart: {SERVE} --notify --delay 2"


def of_the_file(delay=1):
    return f"{path('it.ini')}:2: {SERVE} --notify --delay {delay}"


def test_under_load_it_is_kept_by_restarts_and_deaths_and_shown_with_its_origin():
    it = cluster(ini=ini())
    load = Clients()
    restart(it, 2).ok()
    assert runs(it) == {"2"}
    assert it.cluster().command[-1] == "2"
    assert configured(it) == OF_THE_RESTART
    assert f"; restart\ncommand = {SERVE} --notify --delay 2\n" in it.verb("config").ok()
    before = it.pids()
    it.call("restart")
    assert runs(it) == {"2"} and not set(before) & set(it.pids())
    restart(it, 1).ok()  # back by hand: the file's own again
    assert configured(it) == of_the_file()
    load.loses_nothing()

    restart(it, 2).ok()
    it.reborn()
    assert runs(it) == {"2"}


def test_one_that_fails_leaves_the_old_workers_and_the_command_of_before():
    it = cluster(ini=ini())
    before = it.pids()
    it.verb("restart", "--", DIE, "--exit", 7, target="it/web").fails(1, "exit 7")
    it.verb("restart", "--", path("nothing"), target="it/web").fails(1, path("nothing"))
    gate = Gate()
    it.call("restart", target="web", canary=1, bake=30, no_wait=True,
            command=[DIE, "--notify", "--after", str(gate)])
    it.event("baking")
    gate.open()
    it.event("rollout-failed", 3)
    wait(lambda: it.pids() == before)
    assert get().pid in before
    assert configured(it) == of_the_file()
    it.call("restart")
    assert runs(it) == {"1"}
    # an earlier one of this kind is what it goes back to
    restart(it, 2, "--canary", 1, "--bake", "50ms").ok()
    it.verb("restart", "--", path("nothing"), target="it/web").fails(1, path("nothing"))
    assert runs(it) == {"2"}
    assert configured(it) == OF_THE_RESTART


def test_reloads_an_upgrade_and_the_next_nclust_keep_it_until_the_file_has_another_one():
    it = cluster(ini=ini(1, "orphans = keep"))
    restart(it, 2, "--no-wait").ok()
    it.event("rollout-done")

    def is_kept():
        return it.pids() == before and configured(it) == OF_THE_RESTART

    before = it.pids()
    assert "no change" in it.call("reload").text and is_kept()
    it.call("upgrade")
    assert "no change" in it.call("reload").text and is_kept()
    it.kill()
    it = cluster(f"-c {path('it.ini')}")
    assert is_kept()
    write("it.ini", ini(1, "orphans = keep", "env = COLOUR=green"))
    assert "command" not in it.call("reload").text
    assert runs(it) == {"2"} and configured(it) == OF_THE_RESTART
    assert environment(it.worker().pid)["COLOUR"] == "green"
    it.kill()
    it = cluster(ini=ini(3, "orphans = keep", "env = COLOUR=green"))
    it.event("rollout-done", 3)
    assert runs(it) == {"3"} and configured(it) == of_the_file(3)
    restart(it, 2).ok()
    write("it.ini", ini(4, "orphans = keep", "env = COLOUR=green"))
    assert "command" in it.call("reload").text
    assert runs(it) == {"4"} and configured(it) == of_the_file(4)


def test_of_the_command_line_and_words_that_shells_take_apart():
    it = cluster("-n 1 --ready notify", HEAR, "--notify")
    odd = [HEAR, "--notify", "--to", path("x y;z ' \" \\ {name}")]
    it.call("restart", command=odd)
    it.call("restart")
    kill(it.pid, SIGHUP)
    it.event("rollout-done", 3)
    assert it.cluster().command == odd
    assert [line.split()[-1] for line in lines("x y;z ' \" \\ it")].count("start") == 3
    is_refused("'{fd:x}' names no listener", it.call, "restart", command=[HEAR, "a {fd:x} b"])


def test_what_it_cannot_be_given_to_is_refused_and_nothing_changes():
    it = cluster(ini=section("web", f"{HEAR} --notify") + section("job", f"{HEAR} --notify"))
    before = it.pids("web") + it.pids("job")
    for verb, target, words, says in (
            ("restart", "it", ("true",), "2 clusters"),
            ("restart", "it/web.0", ("true",), "slot"),
            ("restart", "it/web", (), "no command after '--'"),
            ("restart", "it/web", ("\udcff",), "UTF-8"),
            ("restart", "it/web", ("1" * 70000,), "64 KiB"),
            ("reload", "it", ("true",), "")):
        run(inside(PROGRAM), verb, target, "--", *words).fails(64, says)
    for wrong in ([], "true", [1], [""], ["a", None], ["a\0b"]):
        it.control.send("restart", target="web", command=wrong)
        assert "error" in it.control.read()
    assert it.pids("web") + it.pids("job") == before
