# SPDX-License-Identifier: MIT
"""`nclust upgrade`: nclust replaces itself by the binary on disk.  It works, or nothing
changes.  nclust-upgrade(7)."""
from harness import *
from replaced import *


def test_the_same_process_goes_on_with_the_same_workers_and_sockets():
    it = two("--log prefix")  # by a link, which becomes a file of its own
    before, logger = Before(it), it.role("logger")
    ages = [w.uptime for w in it.workers()]
    inode = it.cluster().listeners[0].inode
    load = Steady(PORT, "--rate", 200)
    put(copy=True)
    said = it.verb("upgrade").ok()
    assert re.search(r"it: upgraded from (\S+) to \1 in \S+, with 2 workers", said)
    before.lasts()
    load.loses_nothing()
    assert all(w.uptime >= age for w, age in zip(it.workers(), ages))
    assert it.cluster().listeners[0].inode == inode
    assert it.event("upgraded").text in said
    assert it.event("started", slot=0)  # what was before is known
    assert os.path.samefile(f"/proc/{it.pid}/exe", "nclust")
    assert read(f"/proc/{it.pid}/comm") == "nclust\n"
    assert command(it.pid) == " ".join((path("nclust"), "--name it", TWO, "--log prefix --",
                                        *SERVING))
    assert it.role("logger") == logger
    all_cloexec(it)
    works(it)


def test_as_json_at_once_and_by_a_signal():
    it = two("--signal-USR2 upgrade")
    before = Before(it)
    assert '"ok":true' in it.verb("upgrade", "--json").ok().replace(" ", "")
    assert it.verb("upgrade", "--no-wait").ok() is not None
    it.event("upgraded", n=2)
    kill(it.pid, SIGUSR2)
    it.event("upgraded", n=3)
    before.lasts(3)


def test_many_in_a_row_under_load_nothing_is_lost_and_nothing_grows():
    it = two()
    it.call("upgrade")
    before, had = Before(it), kinds(it)
    load = Steady(PORT, "--rate", 200)
    for _ in range(8):
        it.call("upgrade")
    load.loses_nothing()
    before.lasts(8)
    wait(lambda: not kinds(it) - had)
    all_cloexec(it)


def test_a_link_is_followed_anew_and_a_relative_path_means_what_it_meant():
    for place in ("one", "two", "bin"):
        os.mkdir(place)
        shutil.copy(OURS, f"{place}/nclust")
    os.unlink("bin/nclust")
    os.symlink("../one/nclust", "bin/nclust")
    it = cluster(TWO, *SERVING, program="bin/nclust")
    os.symlink("../two/nclust", "bin/new")
    os.rename("bin/new", "bin/nclust")
    os.chdir("one")
    it.call("upgrade")
    assert os.readlink(f"/proc/{it.pid}/exe") == path("two/nclust")


# ---- binaries that cannot take over ----

def edited(old, new):
    """A binary in which these bytes are others."""
    with open(put(copy=True), "r+b") as f:
        data = f.read()
        assert old in data
        f.seek(data.index(old))
        f.write(new)


def cut(size):
    os.truncate(put(copy=True), size)


def mode(bits):
    os.chmod(put(copy=True), bits)


def own(uid):
    os.chown(put(copy=True), uid, -1)


def capable():
    run(need("setcap"), "cap_net_bind_service+ep", put(copy=True)).ok()


def garbage():
    os.unlink("nclust")  # not what the link leads to
    write("nclust", "echo hello", 0o755)


def directory():
    os.unlink("nclust")
    os.mkdir("nclust")


# its kind and machine in ELF's head
MACHINE = b"\x03\0" + {"x86_64": b">\0", "aarch64": b"\xb7\0"}[os.uname().machine]
UNFIT = {
    "absent": (lambda: os.unlink(put()), "No such file or directory"),
    "a directory": (directory, "is not a plain file"),
    "not executable": (lambda: mode(0o644), "Permission denied"),
    "garbage": (garbage, "Exec format error"),
    "empty": (lambda: cut(0), "Exec format error"),
    "another machine's": (lambda: edited(MACHINE, b"\x03\0\xf3\0"), ""),
    "cut": (lambda: cut(200000), "the new nclust was killed by SIG"),
    "without a library": (lambda: edited(b"libev.so.4", b"libxx.so.4"),
                          "the new nclust says: ", "libxx.so.4: cannot open"),
    "another program": (lambda: put("/bin/true"), "is not an nclust that can take over (exit 0)"),
    "one that complains": (lambda: put("/bin/ls"), "the new nclust says: "),
    "one that fails": (lambda: put("/bin/false"), "(exit 1)"),
    "writable by all": (lambda: mode(0o757), "can be written to by others (mode 757)"),
    "writable by root's group": (lambda: mode(0o775), "can be written to by others"),
    "another user's": (lambda: own(65534), "belongs to another user (uid 65534)"),
    "one that crashes over our state": (
        lambda: put(variant("crash")), "killed by SIGABRT while it looked at our state"),
    "one that cannot read our state": (
        lambda: put(variant("alien")), "the state has version 1.1, this nclust knows version 2"),
}


def test_a_binary_that_cannot_take_over_changes_nothing():
    need_root()
    it = two().follow()
    before, had = Before(it), kinds(it)
    load = Clients()
    for n, (make, *says) in enumerate(UNFIT.values(), 1):
        if os.path.isdir("nclust"):
            os.rmdir("nclust")
        put()
        make()
        said = it.verb("upgrade")
        said.fails(1, "upgrade failed, nothing was changed: ", *says)
        assert it.event("upgrade-failed", n=n).text in said.err
        before.lasts(0)
    load.loses_nothing()
    wait(lambda: not kinds(it) - had)  # none is left
    put()
    it.call("upgrade")
    before.lasts()
    works(it)


@pytest.mark.parametrize("first, then, why", (
    (capable, lambda: put(copy=True), "it would lack capabilities that the running one has"),
    (lambda: put(copy=True), capable, "a binary with file capabilities cannot take over: stop and"),
), ids=("lacks some", "has some by its file"))
def test_a_binary_with_other_rights_is_refused(first, then, why):
    need_root()
    first()
    os.chown("run", 65534, 65534)
    # with capabilities of its file it does not believe the environment
    it = cluster(f"-n 1 --ready alive:1ms --runtime-directory {path('run')}", *NAP,
                 program=path("nclust"), under=AS_NOBODY)
    then()
    is_refused(why, it.call, "upgrade")


def test_a_binary_that_hangs_over_our_state_is_given_30_s_and_nobody_waits():
    it = two(clock=True)
    before = Before(it)
    put(variant("hang"))
    answer = it.begin("upgrade")

    def checking():
        return [p for p in living() if command(p).startswith("nclust --check-state")]

    wait(checking)
    assert get().pid in it.pids()
    it.verb("upgrade").fails(75, "an upgrade is under way")
    it.advance(29, step=1)
    assert checking()
    wait(lambda: it.advance(1) or not checking())
    is_refused("nothing was changed: the new nclust did not answer within 30 s", answer)
    before.lasts(0)
    assert not checking()


def test_a_binary_that_is_still_being_written_is_refused():
    it = two()
    before = Before(it)
    put(variant("clock"), copy=True)
    with open("nclust", "ab"):
        is_refused("Text file busy", it.begin("upgrade"))
        before.lasts(0)
    it.call("upgrade")
    before.lasts()


# ---- it has been executed ----

def test_what_fails_after_the_exec_goes_back_to_the_nclust_of_before():
    it = two("--log prefix")
    before = Before(it)
    load = Steady(PORT, "--rate", 200)
    put(variant("fail"))
    it.verb("upgrade").fails(
        1, "upgrade failed, the old nclust continues: this one is built to fail")
    before.lasts(0)
    had = kinds(it)
    for _ in range(2):
        is_refused("", it.call, "upgrade")
    before.lasts(0)
    all_cloexec(it)
    load.loses_nothing()
    wait(lambda: not kinds(it) - had)
    put()
    it.call("upgrade")
    before.lasts()
    works(it)


def test_one_that_crashes_as_it_takes_over_the_next_start_has_the_workers():
    it = two("--orphans keep")
    pids = it.pids()
    load = Steady(PORT, "--rate", 200)
    put(variant("die"))
    it.verb("upgrade").fails(75)
    wait_gone(it.pid)
    it = two("--orphans keep")
    assert it.pids() == pids
    load.loses_nothing()
    works(it)


def test_one_that_crashes_as_it_takes_over_without_keep_the_workers_end_with_it():
    it = two()
    put(variant("die"))
    it.verb("upgrade").fails(75)
    wait(lambda: living() == [])
    it.verb("status").fails(3)


# ---- between versions ----

def test_between_two_versions_of_the_state_both_ways():
    it = begin("-n 2 -l 8000 --ready notify", NOTIFY, r"READY=1\nSTATUS=well").wait_ready()
    before = Before(it)
    assert it.worker().status == "well"
    put(variant("next"))
    text = it.call("upgrade").text
    assert re.search(r"from ([0-9.]+) to \1\+next ", text)
    assert it.worker().status == "well"
    # the later one writes what this one does not know, and leaves some out
    put()
    assert "+next to " in it.call("upgrade").text
    assert it.worker().get("status") is None
    assert re.search(r"such as 'of-a-later-version', (is|are) not known to this one", it.log())
    put(variant("next"))
    it.call("upgrade")
    before.lasts(3)
    assert it.stop() == 0


# ---- what is under way ----

def rolling(it, go):
    """A rollout that waits for a worker to be ready."""
    os.unlink(go.path)
    answer = it.begin("restart")
    it.event("started", n=3)
    return answer


def test_a_rollout_is_waited_for_and_a_second_upgrade_is_refused_meanwhile():
    go = Gate("go")
    go.open()
    it = two(command=(fixture("slow-ready"), go))
    restart = rolling(it, go)
    upgrade = it.begin("upgrade")
    assert "waits until a change of 'it' is over" in it.event("upgrade-waits").text
    it.verb("upgrade").fails(75, "an upgrade is under way\n")
    go.open()
    assert restart().ok and upgrade().ok
    assert (it.status().upgrades, it.cluster().generation) == (1, 2)
    it.event("upgraded")
    names = [e.event for e in it.events]
    assert names[:names.index("upgraded")].count("ready") == 4


def test_a_change_that_does_not_end_is_waited_for_for_five_minutes():
    go = Gate("go")
    go.open()
    it = begin(f"{TWO} --start-timeout 1h", fixture("slow-ready"), go, clock=True).wait_ready()
    before = Before(it)
    os.unlink(go.path)
    restart = it.begin("restart")
    it.event("started", n=3)
    upgrade = it.begin("upgrade")
    it.event("upgrade-waits")
    it.advance(299)
    it.verb("upgrade").fails(75, "an upgrade is under way\n")
    it.advance(2)
    is_refused("a change of 'it' is not over after 5 minutes: see 'nclust status'", upgrade)
    lab.clock.flow()
    go.open()
    assert restart().ok and before.it.status().upgrades == 0


def test_what_a_change_has_left_to_be_drained_is_waited_for_for_half_a_minute():
    """With a socket for each slot, of which one is emptied for as long as its client likes."""
    answer = Gate()
    it = begin("-n 2 -l 8000 --ready notify --balance rr --drain-timeout 1h", RUDE, "--until",
               answer, clock=True).wait_ready()
    requests = [Request("/slow") for _ in range(2)]  # one for each
    wait_asked(count=2)
    pid = it.worker(1).pid
    it.call("scale", count=1, no_wait=True)
    it.event("draining")
    upgrade = it.begin("upgrade")
    assert "the drain of old workers and sockets of 'it' is over" in it.event("upgrade-waits").text
    it.advance(29)
    it.verb("upgrade").fails(75, "an upgrade is under way\n")
    it.advance(2)
    assert upgrade().ok and it.worker(1).pid == pid
    lab.clock.flow()
    answer.open()
    assert pid in {r.answer().pid for r in requests}
    wait_gone(pid)


def test_the_last_words_of_a_worker_are_waited_for_but_not_for_ever():
    it = begin("-n 2 --ready notify --drain off --log prefix", HEAR, "--notify", clock=True)
    logger = it.wait_ready().role("logger")

    def dies(slot):
        kill(pid := it.worker(slot).pid, SIGKILL)
        wait(lambda: it.worker(slot).pid != pid)

    kill(logger, SIGSTOP)
    dies(0)
    upgrade = it.begin("upgrade")
    it.verb("upgrade").fails(75, "an upgrade is under way\n")
    kill(logger, SIGCONT)
    assert upgrade().ok and "last output: slot=0" in it.event("exited").text
    kill(logger, SIGSTOP)
    dies(0)
    upgrade = it.begin("upgrade")
    it.verb("upgrade").fails(75, "an upgrade is under way\n")
    it.advance(4)
    dies(1)  # and so on
    it.advance(1.1)
    assert upgrade().ok and it.event("exited", n=3)


def test_a_stop_comes_before_an_upgrade_that_waits():
    go = Gate("go")
    go.open()
    it = two(command=(fixture("slow-ready"), go))
    rolling(it, go)
    upgrade = it.begin("upgrade")
    it.event("upgrade-waits")
    assert it.stop() == 0
    is_refused("nclust is stopping", upgrade)
