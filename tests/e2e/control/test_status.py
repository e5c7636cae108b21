# SPDX-License-Identifier: MIT
"""What `status` looks like, what it advises, which works, and what it explains: in `status`, in
`status --json` and in `events`."""
import json
import re
import socket

from harness import *
from harness.terminal import Terminal

FAILS = "--backoff-min 1h --backoff-max 1h"


def advised(it, text):
    """Wait for this advice: the command that it names."""
    def line():
        said = it.verb("status").out.partition("what to do next\n")[2]
        return next((at for at in said.splitlines() if text in at), None)

    return wait(line, text).partition(": nclust ")[2]


def do_advised(it, text):
    """As a user does who copies it."""
    return nclust(advised(it, text))


def no_advice(it):
    return "what to do next" not in it.verb("status").out


# ---- how it looks ----

def start_many(count):
    """Of these number 17 fails until there is a disk."""
    it = start(f"-n {count} --ready alive:1ms {FAILS}", "sh", "-c", """
        [ "$NCLUST_SLOT" != 17 ] || [ -e "$0/disk" ] || { echo "cannot open the disk" >&2; exit 3; }
        exec sleep 1000""", path())
    it.event("exited", slot=17)
    wait(lambda: it.cluster().ready == count - 1)
    return it


def test_many_workers_fit_a_screen_and_it_says_what_to_do_about_the_one_that_fails():
    it = start_many(30)
    screen = Terminal(inside(PROGRAM), "status", "it")
    screen.exit()
    assert screen.lines()[0].startswith(f"it  pid {it.pid}, version ")
    for pattern in ("29 of 30 ready", "^  it.0-16 .*17 pids  ready ",
                    "^  it.17 .*backoff .*exit 3", "cannot open the disk",
                    "^  it.18-29 .*12 pids  ready ", "nclust logs it.17", "nclust restart it.17"):
        assert screen.has(pattern), screen.text
    assert max(map(len, re.sub(r"\033\[[0-9;]*m", "", screen.said).splitlines())) <= 80
    assert "it.17 | cannot open the disk" in do_advised(it, "its output").ok()
    write("disk", "")
    do_advised(it, "to try now").ok()
    said = nclust("status it").ok()
    assert "30 of 30 ready" in said and "to try now" not in said and said.count("\n") < 10
    # each of them, if that is wanted, and one
    assert nclust("status it --all").ok().count(" ready ") == 30
    said = nclust("status it.3").ok()
    assert re.search(rf"  it.3  .*{it.worker(3).pid}  ready", said) and "it.4" not in said


def test_lines_end_at_80_columns_or_where_columns_says():
    words = "the first the second the third and the fourth word of it"
    it = start(f"-n 1 {FAILS}", "sh", "-c", 'echo "$0"; exit 3', words)
    it.event("exited")
    for columns, least, most in (("", 61, 80), ("40", 1, 40), ("1", 31, 40), ("wide", 61, 80)):
        said = nclust("status it", env={**os.environ, "COLUMNS": columns}).out
        assert least <= max(map(len, said.splitlines())) <= most and words in " ".join(said.split())


# ---- what is advised works ----

def test_advice_for_a_cluster_that_gave_up_and_a_worker_that_has_ended():
    it = start(ini="[defaults]\nready = alive:1ms\n"
               + section("well", "sleep 1000", workers=1, ready=None)
               + section("gone", f"sh -c '[ -e {path('go')} ] || exit 4; exec sleep 1000'",
                         "give-up = 3/1m", "backoff-min = 1ms", "backoff-max = 1ms", ready=None)
               + section("once", f"sh -c '[ $NCLUST_SLOT = 0 ] || [ -e {path('go')} ] || exit 3; "
                         "exec sleep 1000'", "restart = never", ready=None))
    it.event("gave-up", cluster="gone")
    wait(lambda: it.worker(1, "once").state == "failed")
    assert "what to do next" not in nclust("status it/well").out
    write("go", "")
    do_advised(it, "gone is not started again").ok()
    do_advised(it, "once.1 is not started again").ok()
    assert (it.cluster("gone").ready, it.cluster("once").ready) == (2, 2)


def test_advice_for_a_worker_that_is_stopped():
    it = cluster("-n 2 --ready alive:1ms", *NAP)
    assert no_advice(it)
    freeze(it.worker(1).pid)
    do_advised(it, "it.1 is stopped by a signal").ok()
    wait(lambda: it.worker(1).get("stopped") is None)
    assert no_advice(it)


def test_advice_for_a_queue_that_was_full():
    it = cluster("-n 1 --ready alive:1ms -l '8000, backlog=1' --intercept off", *NAP)
    clients = [socket.socket() for _ in range(4)]
    for client in clients:
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", PORT))
    do_advised(it, "because its queue was full").ok()
    assert it.cluster().ready == 2


# ---- what is explained ----

def named_everywhere(it, text):
    return (text in it.verb("status").out and text in json.dumps(it.status())
            and text in it.verb("events").out
            and any(text in json.loads(line).get("cause", "")
                    for line in it.verb("events", "--json").out.splitlines()))


def holder():
    """Somebody else has the port."""
    process = begin_program(PLAIN, PORT)
    wait_listened(PORT)
    return f"in use by plain (pid {process.pid})"


def test_a_port_that_is_taken_by_whom_and_how_often_it_was_tried():
    taken = holder()
    it = start("-n 2 --ready listen --backoff-min 1ms --backoff-max 20ms",
               fixture("bind-itself"), PORT)
    # a busy machine may not find it at the first try
    wait(lambda: named_everywhere(it, taken))
    it.logged("it: not once ready in 8 tries; exit 1 after ")
    it.event("not-ready", cluster="it")
    assert re.search("not once ready in [0-9]+ tries; exit 1 after ",
                     nclust("status it").fails(2).out)


def test_a_program_that_goes_to_the_background():
    it = start("-n 2 --backoff-min 1ms --backoff-max 20ms", fixture("fork-away"))
    wait(lambda: named_everywhere(it, "went to the background (daemonised)"))


def test_a_port_that_is_taken_seen_by_nobody():
    it = start("-n 1 --intercept off --backoff-min 1ms --backoff-max 20ms", "sh", "-c",
               f"echo 'listen tcp :{PORT}: bind: address already in use' >&2; exit 1")
    wait(lambda: named_everywhere(it, "its address is in use, maybe by another process"))


def test_another_process_is_blamed_only_for_a_bind_that_was_refused():
    it = start("-n 1 --backoff-min 1ms --backoff-max 20ms", "sh", "-c",
               "echo 'bind: address already in use' >&2; exit 1")
    wait(lambda: named_everywhere(it, "says that an address is in use, but nclust saw no bind "
                                      "refused (see: ss -lntup)"))
    assert "another process" not in it.log()
    it.stop()
    write("mc.js", """
        const s = require("dgram").createSocket({type: "udp4", reuseAddr: true});
        s.bind(8053, () => s.addMembership("224.0.0.251", "127.0.0.1"));""")
    it = start("-n 2 --backoff-min 1ms --backoff-max 20ms", "node", "mc.js", name="mc")
    it.logged("workers share its socket; 'ipc = off', or 'exclusive: true' in Node, gives each")
    assert "another process" not in it.log()


def test_a_port_that_another_copy_has_seen_by_nobody():
    it = start("-n 2 --intercept off --backoff-min 1ms --backoff-max 20ms", "sh", "-c",
               f"[ $NCLUST_SLOT = 0 ] && exec sleep 1000;"
               f"echo 'listen tcp :{PORT}: bind: address already in use' >&2; exit 1")
    wait(lambda: named_everywhere(it, "its address is in use, maybe by it.0, as it cannot be shared"
                                      " here: '-l PORT' if the program takes LISTEN_FDS"))


def test_a_port_of_nclusts_own_that_is_taken_by_whom():
    taken = holder()
    refused = nclust(f"--name it -n 1 -l {PORT} -- sleep 60").fails(1)
    assert f"Address already in use; {taken}" in refused.err


@pytest.mark.parametrize("kind", ("file", "pipe", "socket"))
def test_so_it_is_wherever_the_output_goes(kind):
    if kind == "file":
        theirs, ours = open("out", "wb"), open("out", "rb")
    elif kind == "pipe":
        ours, theirs = (os.fdopen(fd, mode) for fd, mode in zip(os.pipe(), ("rb", "wb")))
    else:
        ours, theirs = (s.makefile(mode) for s, mode in zip(socket.socketpair(), ("rb", "wb")))
    it = start("-n 1 --backoff-min 1h --backoff-max 1h", "sh", "-c",
               r'printf "starting\nError: no database" >&2; exit 4', stdout=theirs, stderr=theirs)
    theirs.close()
    assert it.event("exited").last_output == "Error: no database"
    assert it.worker().last_failure.last_output == "Error: no database"
    for verb in ("status", "events"):
        assert "; last output: Error: no database" in it.verb(verb).out
    it.stop()
    assert b"\nError: no database" in ours.read()  # and it has passed


def test_memory_and_cpu_are_those_of_all_processes_of_a_worker_as_they_are_now():
    it = cluster("-n 1 --ready notify", "sh", "-c", f"""
        {fixture("eat-memory")} 64 --after {path("go")} &
        (until [ -e {path("go")} ]; do :; done; sleep 1000 & wait) &
        exec {HEAR} --notify""")
    wait(lambda: it.worker().processes == 3)
    assert it.worker().memory_bytes < 32 << 20
    wait(lambda: it.worker().cpu_seconds > 0.05 and it.worker().cpu_percent > 0)
    write("go", "")
    wait(lambda: it.worker().memory_bytes > 64 << 20)
    wait(lambda: it.worker().processes == 4)
    assert it.worker().rss_bytes < 32 << 20
    assert re.search(" [67][0-9]M ", nclust("status it").ok())


def test_one_that_cannot_be_executed():
    write("app", "#!/bin/sh\nexec sleep 1000\n", 0o755)
    it = cluster("-n 1 --ready alive:1ms", path("app"))
    os.chmod("app", 0o600)
    nclust("restart it").fails(1)
    assert named_everywhere(it, f"cannot execute '{path('app')}': Permission denied")
    assert it.worker().last_failure.cause.startswith("cannot execute")


def test_a_failed_restart_stands_in_status_until_one_succeeds():
    write("app", f"exec {NOTIFY} READY=1")
    it = cluster("-n 2 --ready notify", "sh", path("app"))
    write("app", 'echo "db1: Connection refused"; exit 3')
    nclust("restart it").fails(1)
    said = nclust("status it").ok()
    assert re.search("last restart failed .* ago: it.0: exit 3 after ", said)
    assert "db1: Connection refused; generation 1 keeps serving" in said
    assert it.cluster().failed_restart.cause.startswith("it.0: exit 3")
    assert it.event("rollout-failed").cause.startswith("it.0: exit 3")
    # nclust's own successor knows it too
    it.call("upgrade")
    assert it.cluster().failed_restart.text.startswith("last restart failed")
    assert it.worker().last_failure.text == "exit 3"
    write("app", f"exec {NOTIFY} READY=1")
    do_advised(it, "the last restart of it failed").ok()
    assert it.cluster().failed_restart is None


def test_last_exit_shows_only_what_nobody_asked_for():
    it = cluster("-n 2 --ready notify", HEAR, "--notify")
    it.call("restart")
    assert "exit 0" not in nclust("status it").ok()
    assert it.worker().last_exit.asked
    kill(it.worker(1).pid)
    it.event("exited", slot=1, why="crash")
    it.wait_ready()
    it.call("restart")
    assert it.worker(1).last_failure.text == "killed by SIGKILL"
    assert re.search("killed by SIGKILL after [^,]*, [^,]* ago", nclust("status it").ok())


def test_a_stop_that_takes_long_says_what_it_waits_for_and_how_to_end_it():
    it = cluster("-n 2 --stop-timeout 40s --ready notify --drain off", fixture("deaf"), "--notify",
                 clock=True)
    pid = it.worker().pid
    screen = Terminal(inside(PROGRAM), "stop", "it", columns=300)
    it.event("stopping", n=2)
    it.advance(0.9)
    assert not it.says("still stopping")
    it.advance(0.2)
    it.event("stop-waits", cluster="it")
    assert re.search(rf"it: still stopping after .*it.0 \(worker {pid}\) has got SIGTERM, SIGKILL "
                     "follows in .*to end it now: nclust stop --now it$", it.log(), re.M)
    screen.sees("still stopping after")  # who asked for it reads it too
    nclust("stop --now it").ok()
    it.exit()


def test_a_job_that_has_ended_with_success_is_done_and_no_trouble():
    it = start(ini=section("side", f"{HEAR} --notify", workers=1)
               + section("job", "true", "restart = never", workers=1, ready="alive:1h"))
    it.event("slot-ended", cluster="job")
    it.wait_ready("side")
    for _ in ("before", "after"):
        job = it.cluster("job")
        assert (job.done, job.wanted, job.trouble) == (True, 0, None)
        assert "done: its workers ended with success" in nclust("status it").ok()
        nclust("upgrade it").ok()
    nclust("restart it/side").ok()


def test_one_of_several_instances_that_does_not_answer_is_no_success():
    cluster("-n 1 --ready notify", HEAR, "--notify")
    os.mkdir("run/busy", 0o711)
    busy = socket.socket(socket.AF_UNIX)
    busy.bind("run/busy/control")
    busy.listen(0)
    waits = socket.socket(socket.AF_UNIX)
    waits.connect("run/busy/control")  # nobody takes that one, and no other one is let in
    nclust("status it").ok()
    assert "1 of 1 ready" in nclust("status").fails(1, "'busy'").out
