# SPDX-License-Identifier: MIT
"""Deploys by a symbolic link: `current` leads to the directory of a release."""
import re
import shutil

from harness import *

FILE = "[cluster:web]\ncommand = ./server --notify\nworkers = 2\nready = notify\n"


def release(number, more=""):
    """Make that release, which is current from now on: where it is."""
    write(f"releases/{number}/server", f'#!/bin/sh\nexec {HEAR} "$@"\n', 0o755)
    write(f"releases/{number}/nclust.ini", FILE + more)
    write(f"releases/{number}/vars", f"RELEASE={number}\n")
    os.symlink(f"releases/{number}", "new")
    os.replace("new", "current")
    return path(f"releases/{number}")


def begin(options, *words):
    """In the directory of the first release, by the name that a shell has for it."""
    release(1)
    return cluster(f"{options} --drain off", *words, cwd=path("current"),
                   env={"PWD": path("current")})


def are_in(it, directory):
    return {os.readlink(f"/proc/{pid}/cwd") for pid in it.pids()} == {directory}


@pytest.mark.parametrize("options, words", (
    ("-n 2 --ready notify --env-file vars", ("./server", "--notify")),
    ("-c nclust.ini --env-file vars", ()),
), ids=("command line", "file"))
def test_a_restart_follows_the_link_and_says_where_the_workers_are_now(options, words):
    it = begin(options, *words)
    for number in 2, 3:
        new = release(number)
        assert f", in '{new}'" in it.verb("restart").ok()
        assert are_in(it, new)
        assert {environment(pid)["RELEASE"] for pid in it.pids()} == {str(number)}
        it.call("upgrade")

    release(4)
    os.unlink("releases/4/server")
    it.verb("restart").fails(1, "the old workers keep serving")
    it.reborn(0)
    assert are_in(it, path("releases/3"))

    new = release(5)  # nobody asks for a restart, and the release before is deleted
    shutil.rmtree("releases/3")
    it.reborn(0)
    it.reborn(1)
    assert are_in(it, new)
    assert len(it.happened("directory-moved")) == 3
    it.logged(f"workers start in '{new}' now, no longer in '{path('releases/3')}'")

    os.unlink("current")
    it.verb("restart").fails(1, path("current"), "No such file or directory",
                             "the old workers keep serving")


def test_the_way_back_leads_to_the_old_release():
    it = begin("-c nclust.ini --env-file vars")
    release(2)
    write("releases/2/server", f'#!/bin/sh\n[ $NCLUST_SLOT = 0 ] && exec {HEAR} "$@"\n', 0o755)
    it.verb("restart").fails(1, "replaced again by the previous settings: 1")
    it.event("rollout-done")
    assert are_in(it, path("releases/1"))
    assert {environment(pid)["RELEASE"] for pid in it.pids()} == {"1"}


@pytest.mark.parametrize("options", ("-c nclust.ini", f"-c {{}}/current/nclust.ini"))
def test_a_reload_reads_the_file_of_the_new_release_and_restarts_where_that_has_moved(options):
    it = begin(options.format(path()))
    assert it.call("reload").text == "web: no change; to start the same command anew: nclust restart it"
    new = release(2)
    assert re.match(rf"web: directory \(now {new}\): rolling restart; web: rollout 1 done: \d workers? replaced",
                    it.verb("reload").ok())
    assert are_in(it, new)
    assert it.call("reload").text == "web: no change; to start the same command anew: nclust restart it"

    new = release(3, "env = A=b\n")
    shutil.rmtree("releases/2")
    assert "env, directory (now" in it.verb("reload").ok()
    assert are_in(it, new) and it.call("reload").text == "web: no change; to start the same command anew: nclust restart it"
    os.unlink("current")
    it.verb("reload").fails(78, "current")
    assert it.cluster().ready == 2
