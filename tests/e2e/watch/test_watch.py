# SPDX-License-Identifier: MIT
"""watch = PATTERN: a rolling restart when files change."""
import itertools
import shutil

from harness import *
from harness import lab

CODE = "app[1]/src/code.sh"
# Where nothing matches it says so, once it has set up all its watches.
NOTHING = "src/nothing.x"


def code(version):
    return f"exec env VERSION={version} {SERVE} --notify\n"


def save(version, text=None):
    """As most editors do, by rename."""
    os.replace(write("app[1]/src/.code.sh.swp", text or code(version)), path(CODE))


def ini(*more, name="web", watch="src/**/*.sh", drain="off"):
    return section(name, f"sh {path('server')}", "listen = 8000", f"drain = {drain}",
                   f"directory = {path()}", f"watch = {watch}", f"watch = {NOTHING}", *more,
                   workers=1)


def watching(*more, drain="off", **options):
    """A cluster that runs what was saved, and is watched."""
    if not os.path.exists(CODE):
        save(1)
    os.makedirs("app[1]/src/lib", exist_ok=True)
    write("server", f". {path(CODE)}\n")
    write("app[1]/it.ini", ini(*more, drain=drain))
    it = cluster(f"-c {path('app[1]/it.ini')}", **options)
    if "watch = off" not in more:
        it.logged(f"'{NOTHING}' matches no file yet")
    return it


def watchers(it, count=1):
    """The processes that watch, once there are so many.  (What nclust has just forked to execute
    something else looks like one for a moment.)"""
    def found():
        pids_of_it = [pid for pid in living() if stat(pid)[1:2] == [str(it.pid)]
                      and "anon_inode:inotify" in descriptors(pid).values()]
        return len(pids_of_it) == count and (pids_of_it,)
    return wait(found)[0]


def version(it):
    return environment(it.worker().pid).get("VERSION")


def changes(it):
    """The paths that it restarted for."""
    return [event.text.split("'")[1] for event in it.happened("file-changed")]


def runs(it, wanted, *paths):
    """The new code serves and no rollout goes on; it was restarted for these."""
    it.wait(lambda: it.cluster().rollout is None and version(it) == str(wanted))
    if paths:
        assert changes(it) == list(paths)


def notices(it, do, *args):
    """It restarts because of that, and the rollout ends."""
    before = len(changes(it))
    do(*args)
    it.event("file-changed", before + 1)
    it.wait(lambda: it.cluster().rollout is None)


def new_file(name, text="x\n"):
    """At once with all that is in it: what is told of the file is one change."""
    os.makedirs(os.path.dirname(name), exist_ok=True)
    os.replace(write("fresh", text), name)


def settle(it):
    """All that has changed so far has been told."""
    for n in itertools.count():
        name = f"src/settled{n}.sh"
        notices(it, new_file, f"app[1]/{name}")
        if changes(it)[-1] == name:
            return


SAVED = "src/code.sh"


def test_a_file_that_changes_restarts_its_cluster_and_no_other():
    it = watching("[cluster:job]", f"command = {HEAR} --notify", "ready = notify")
    job = it.pids("job")
    save(2)
    runs(it, 2, SAVED)
    assert it.says("web: 'src/code.sh' has changed: restarting")
    for name in "app[1]/src/notes.txt", "app[1]/src/.hidden.sh", "app[1]/it.sh":  # none of these does
        new_file(name)
    read(CODE)
    os.chmod(CODE, 0o600)
    save(3)
    runs(it, 3, SAVED, SAVED)
    assert it.pids("job") == job


def test_nobody_watches_unless_asked_a_reload_begins_and_ends_it_so_does_an_option():
    it = watching("watch = off")
    watchers(it, 0)
    save(2)
    assert it.call("reload").text.startswith("web: no change; to start") and version(it) == "1"
    write("app[1]/it.ini", ini())
    it.call("reload")
    it.logged(f"'{NOTHING}' matches no file yet")
    save(3)
    runs(it, 3, SAVED)
    write("app[1]/it.ini", ini("watch = off"))
    it.call("reload")
    watchers(it, 0)
    it.stop()
    it = cluster(f"-n 1 --ready notify -l 8000 --watch src/*.sh --watch {NOTHING}",
                 "sh", path(CODE), name="other", cwd=path("app[1]"))
    it.logged(f"'{NOTHING}' matches no file yet")
    save(4)
    runs(it, 4, SAVED)


def twice(text):
    write(CODE, text)
    write(CODE, text)


def beside_a_backup(text):
    os.rename(CODE, f"{CODE}~")
    write(CODE, text)


def in_place(text):
    write(CODE, text)
    for n in range(8):
        with open(CODE, "a") as f:
            f.write(f"# {n}\n")


def many(text):
    """More than it reads at a time."""
    for n in range(300):
        for name in "app[1]/src/a.sh", "app[1]/src/b.sh":
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT))
    write(CODE, text)


@pytest.mark.parametrize("editor", (twice, beside_a_backup, in_place, many))
def test_what_is_written_together_is_one_restart(editor):
    it = watching(clock=True)
    (watcher,) = watchers(it)
    kill(watcher, SIGSTOP)
    wait(lambda: is_stopped(watcher))
    editor(code(2))
    kill(watcher, SIGCONT)
    runs(it, 2)
    save(3)  # what came before has been told by then
    runs(it, 3)
    assert len(changes(it)) == 2


def test_a_file_that_is_opened_for_writing_and_not_written_is_no_change_a_removed_one_is():
    it = watching()
    os.close(os.open(CODE, os.O_WRONLY))
    settle(it)
    assert changes(it) == ["src/settled0.sh"]
    notices(it, os.unlink, "app[1]/src/settled0.sh")
    assert changes(it)[1:] == ["files"]


def test_a_file_that_is_being_written_is_a_change_when_it_is_closed():
    it = watching()
    new_file("app[1]/src/before.sh")
    with open("app[1]/src/lib/slow.sh", "w") as f:
        print("x", file=f, flush=True)
        it.event("file-changed")
        settle(it)
        assert changes(it) == ["src/before.sh", "src/settled0.sh"]
        print("y", file=f)
    it.event("file-changed", 3)
    assert changes(it)[2:] == ["src/lib/slow.sh"]


def test_directories_and_files_that_are_made_later_count():
    it = watching("watch = later/*.x")
    it.logged("web: watch: 'later/*.x' matches no file yet")
    assert not it.says("src/**/*.sh' matches")
    for name in "app[1]/src/a/b/c/new.sh", "app[1]/src/a/b/c/new.sh", "app[1]/later/a.x":
        notices(it, new_file, name)
    new_file("aside/x.sh")  # one that comes with all that is in it
    notices(it, os.rename, "aside", "app[1]/src/lib2")
    assert changes(it)[-1] == "src/lib2/x.sh"
    os.rename("app[1]/src", "app[1]/old")  # all of it is made anew
    save(7)
    runs(it, 7)
    notices(it, save, 8)
    runs(it, 8)


def test_a_directory_in_place_of_a_pattern_is_told():
    it = watching("watch = src/lib")
    it.logged("watch: 'src/lib' is a directory; write which of its files, such as "
              "'src/lib/**/*.py'")


def test_braces_in_a_pattern_are_told():
    it = watching("watch = src/*.{js,ts}")
    it.logged("'src/*.{js,ts}' matches no file yet; braces stand for themselves")


def test_a_file_system_that_does_not_report_changes_is_polled():
    need_root()
    write("real/a.sh", "1\n")
    os.makedirs("app[1]/shared")
    begin_program("python3", server("shared.py"), path("app[1]/shared"), path("real"))
    wait(lambda: os.listdir("app[1]/shared"))
    it = watching("watch = shared/*.sh")
    it.logged("watch: 'shared' is on a file system (FUSE) that does not report all changes")

    def look_on():
        looks = os.path.getsize(path("real/looks"))
        wait(lambda: os.path.getsize(path("real/looks")) > looks + 2)

    look_on()
    write("real/away", "")
    look_on()
    os.unlink(path("real/away"))
    look_on()
    assert changes(it) == []
    notices(it, new_file, "real/a.sh", "22\n")
    notices(it, new_file, "real/b.sh")
    notices(it, os.unlink, path("real/b.sh"))
    assert changes(it) == ["shared/a.sh", "shared/b.sh", "files"]


def test_directories_that_are_replaced_as_a_whole_from_the_projects_on_count():
    new_file("far/lib/x.sh")
    it = watching(f"watch = {path('far/lib/*.sh')}")
    shutil.copytree("app[1]", "next")
    os.rename("app[1]", "last")
    notices(it, os.rename, "next", "app[1]")
    notices(it, save, 2)
    runs(it, 2)
    shutil.copytree("app[1]", "next")
    notices(it, shutil.rmtree, "app[1]")  # while the worker may still be in it
    os.rename("next", "app[1]")
    save(3)
    runs(it, 3)
    settle(it)
    notices(it, os.rename, "far", "away")  # and one outside the project
    notices(it, new_file, "far/lib/x.sh")
    count = len(changes(it))
    new_file("away/lib/x.sh")  # nothing is told of what is elsewhere now
    new_file("last/src/code.sh")
    save(4)
    runs(it, 4)
    assert changes(it)[count:] == [SAVED]


# ---- restarts that fail, and others that go on ----

def test_after_a_broken_save_the_old_worker_serves_on_and_one_that_is_tried_is_taken_back():
    it = watching("log = prefix")
    old = it.pids()
    save(2, "echo 'SyntaxError: no more' >&2; exit 3\n")
    assert "SyntaxError: no more" in it.event("rollout-failed").text
    it.logged("SyntaxError: no more")
    assert it.pids() == old and get().pid == old[0]
    save(2, "touch tried; exec sleep 1000\n")
    wait(lambda: os.path.exists("tried"))
    save(3)
    runs(it, 3, SAVED, SAVED, SAVED)
    assert it.cluster().generation == 4


@pytest.mark.parametrize("killed", (False, True), ids=("", "watcher-killed"))
def test_a_save_during_a_restart_by_hand_is_not_lost(killed):
    it = watching()
    write("server.new", f"until [ -e {path('go')} ]; do sleep 0.01; done; . {path(CODE)}\n")
    os.replace("server.new", "server")
    it.call("restart", no_wait=True)
    it.event("rollout-started")
    save(5)
    it.logged("has changed: restarting after the rollout under way")
    assert changes(it) == []
    if killed:
        kill(watchers(it)[0])
        it.logged("the process that watches ended (signal 9), starting it again")
    Gate("go").open()
    it.event("rollout-done", 2)
    runs(it, 5, SAVED)
    assert it.cluster().generation == 3


def test_many_saves_under_load_lose_no_request_and_the_last_one_serves():
    it = watching(drain="auto")
    load = Clients()
    for n in range(2, 22):
        save(n)
        if n % 4 == 0:
            runs(it, n)
    runs(it, 21)
    load.loses_nothing()
    assert 5 <= len(changes(it)) <= 20
    assert it.worker().restarts == 0


# ---- the process that watches ----

def test_an_upgrade_or_its_death_loses_no_change():
    it = watching()
    save(2)
    runs(it, 2, SAVED)
    (old,) = watchers(it)
    kill(old, SIGSTOP)
    it.call("upgrade")
    it.logged(f"'{NOTHING}' matches no file yet", 2)
    wait_gone(old)
    assert version(it) == "2"
    save(3)
    runs(it, 3, SAVED, SAVED)
    kill(*watchers(it), SIGSTOP)  # while nobody looks
    save(4)
    it.call("upgrade")
    runs(it, 4, SAVED, SAVED, SAVED)
    (old,) = watchers(it)
    kill(old, SIGSTOP)
    save(5)
    kill(old)
    it.logged("the process that watches ended (signal 9), starting it again")
    runs(it, 5, SAVED, SAVED, SAVED, SAVED)
    (new,) = watchers(it)
    it.kill()
    wait_gone(new)


def test_while_no_process_can_be_made_that_is_told_and_then_it_is_watched_again():
    need_root()  # who has no such limit, but others have
    as_user = ("setpriv", "--reuid", 54321, "--clear-groups")
    os.chown("run", 54321, 54321)
    it = watching(clock=True, under=("prlimit", "--nproc=5000:5000", *as_user))
    lab.clock.flow()
    (old,) = watchers(it)
    run(*as_user, "prlimit", "--pid", it.pid, "--nproc=1:").ok()
    kill(old)
    it.logged("watch: nothing is watched")
    save(2)
    run(*as_user, "prlimit", "--pid", it.pid, "--nproc=5000:").ok()
    lab.clock.advance(60)
    runs(it, 2, SAVED)


def test_a_stopped_cluster_stays_so_and_a_stop_ends_all_who_watch():
    it = watching(ini(name="job").replace("8000", "8001"))
    it.logged(f"job: watch: '{NOTHING}' matches no file yet")
    it.call("stop", target="web")
    watchers(it, 2)
    save(2)
    it.event("rollout-done", cluster="job")
    save(3)  # who watches for the other one has told the first by then
    it.event("rollout-done", 2, cluster="job")
    assert it.cluster("web").state == "stopped"
    assert not it.says("web: 'src/code.sh' has changed")
    it.stop()
    wait(lambda: living() == [])


def test_who_watches_rests_and_holds_no_file_of_a_directory_full_of_traps():
    need_root()
    save(1)
    os.symlink("../src", "app[1]/src/loop")
    os.symlink("/etc", "app[1]/src/etc")
    os.makedirs("app[1]/src/" + "d/" * 120)
    os.mkfifo("app[1]/src/pipe.sh")
    run("chown", "-R", "65534", "app[1]/src").ok()
    it = watching()
    save(2)
    runs(it, 2, SAVED)
    (watcher,) = watchers(it)
    assert not [at for at in descriptors(watcher).values() if at.startswith(path("app[1]"))]
    wait(lambda: lab.rests(watcher))
    woke = [line for line in lines(f"/proc/{watcher}/status") if "ctxt" in line]
    new_file("elsewhere/x.sh")
    it.status()
    assert [line for line in lines(f"/proc/{watcher}/status") if "ctxt" in line] == woke


@pytest.mark.nightly
def test_of_more_directories_than_it_watches_the_rest_is_watched():
    for n in range(10100):
        os.makedirs(f"app[1]/node_modules/{n}")
    it = watching()
    assert not it.says("directories match")
    write("app[1]/it.ini", ini("watch = node_modules/**/*.sh"))
    it.call("reload")
    it.logged("more directories match than can be watched (10000, ")
    save(3)
    runs(it, 3)
    assert it.log().count("directories match") == 1
