# SPDX-License-Identifier: MIT
"""A single worker that has no port, or keeps its state in itself, ends before its successor
starts."""
from harness import *
from harness import lab

REDIS = ("redis-server", "--port", PORT, "--save", "3600 1")
STORE = ("sh", "-c", f"exec 3>store; exec {PLAIN} {PORT}")


def redis(words):
    with dial() as connection:
        connection.sendall(f"{words}\r\n".encode())
        return connection.recv(100).decode().strip()


def order(it, since=0):
    it.mark()
    return " ".join(e.event for e in it.events[since:] if e.event in ("started", "exited"))


def said(it):
    return [e.text for e in it.happened("alone")]


def test_a_store_loses_no_key_in_a_restart_and_it_is_said_once():
    it = cluster("-n 1", *REDIS)
    for key in range(50):
        assert redis(f"SET k{key} {key}") == "+OK"
    for _ in range(2):
        it.call("restart")
        assert redis("DBSIZE") == ":50"
    assert len(said(it)) == 1 and "redis-server keeps its state in itself" in said(it)[0]


def test_if_the_new_one_fails_the_old_command_runs_again_with_its_data():
    it = cluster("-n 1", *REDIS)
    assert redis("SET a b") == "+OK"
    it.verb("restart", "--", *REDIS, "--nosuch", "1").fails(
        1, "the previous command and settings are started again")
    it.wait_ready()
    assert redis("GET a") == "$1\r\nb"


def test_if_no_new_one_can_be_started_the_old_one_does_not_end():
    write("vars", "A=1\n")
    it = cluster("-n 1 --ready alive --env-file vars", *NAP)
    old = it.pids()
    os.unlink("vars")
    it.verb("restart").fails(1, f"cannot read env-file '{path('vars')}'",
                             "the old workers keep serving")
    assert it.pids() == old


def test_one_that_was_stopped_has_closed_its_port_and_is_not_told_of_as_without_one():
    it = cluster(ini=f"[cluster:a]\ncommand = {PLAIN} 8001\nworkers = 1\n"
                     f"[cluster:b]\ncommand = {PLAIN} 8002\nworkers = 1\n")
    it.verb("stop", target="it/a").ok()
    it.verb("start", target="it/a").ok()
    it.verb("restart", target="it/a").ok()
    assert said(it) == []


@pytest.mark.parametrize("options, command", (
    ("", STORE), ("--ready alive", NAP), ("--intercept off --ready alive", NAP),
    ("", ("flock", "lock", PLAIN, PORT)), ("--canary 1", STORE)))
def test_the_old_one_ends_first(options, command):
    it = cluster(f"-n 1 {options}", *command)
    since = it.mark()
    it.call("restart")
    assert order(it, since) == "exited started" and len(said(it)) == 1


@pytest.mark.parametrize("options, command", (
    ("--surge 1", STORE), ("--max-unavailable 0", STORE), ("-l 8001 --ready alive", NAP),
    ("", ("sh", "-c", f"exec 3>>store; exec {PLAIN} {PORT}")), ("-n 2 --ready alive", NAP)))
def test_the_new_one_starts_first_where_it_is_set_or_does_no_harm(options, command):
    it = cluster(f"-n 1 {options}" if "-n" not in options else options, *command)
    since = it.mark()
    it.call("restart")
    assert order(it, since).startswith("started exited") and not said(it)


@pytest.mark.parametrize("options, command, count", (
    ("", (PLAIN, PORT), 2), ("", REDIS, 1), ("", ("python3", "-m", "http.server", PORT), 2), ("", NAP, 1),
    ("", STORE, 1), ("", ("sh", "-c", f"exec 3>>log; exec {PLAIN} {PORT}"), 2),
    ("-n auto --ready alive", NAP, 2), ("-l 8001 --ready alive", NAP, 2),
    ("--intercept off --ready alive", NAP, 2),
    ("", ("sh", "-c", f"# celery -A t beat\nexec {PLAIN} {PORT}"), 1),
    # not ready by the end of its start-timeout
    ("--start-timeout 1h", ("node", "--inspect=9229", "-e", "setInterval(() => {}, 1000)"), 1)))
def test_a_command_whose_number_nobody_has_set_runs_once_until_it_opens_a_port(
        options, command, count):
    it = cluster(options, *command, under=("taskset", "-c", "0,1"))
    c = it.cluster()
    assert (c.wanted, c.ready) == (count, count)
    assert any("runs once ('-n auto'" in text for text in said(it)) == (count == 1)


def test_a_port_that_is_opened_late_and_one_that_is_gone():
    it = cluster("--ready alive", "sh", "-c", f"""while [ ! -e port ]; do sleep .02; done
        exec {PLAIN} {PORT}""", under=("taskset", "-c", "0,1"))
    assert it.cluster().wanted == 1
    write("port", "")
    it.event("scaled", count=2)
    it.wait_ready()
    it.call("scale", count=1)
    it.call("restart")
    assert it.cluster().wanted == 1


@pytest.mark.parametrize("option, command", (
    ("--max-age 2s", NAP), ("--watch watched", NAP),
    ("--max-memory 40M", ("python3", "-c", """
import os, time
while os.path.exists("grown") or not os.path.exists("watched"):
    time.sleep(.05)
open("grown", "w").close()
more = bytearray(os.urandom(1 << 20) * 60)
time.sleep(1000)"""))))
def test_so_it_is_wherever_a_worker_is_replaced(option, command):
    it = start(f"-n 1 --ready alive {option}", *command)
    it.event("ready")
    write("watched", "new")
    it.event("ready", 2)
    assert order(it).startswith("started exited started") and "opens no port" in said(it)[0]


@pytest.mark.parametrize("alive", (True, False))
def test_a_reload_gives_a_store_no_copy(alive):
    """Nor while its only worker is dead, so that nclust cannot see what it is."""
    it = cluster(ini=f"[cluster]\ncommand = redis-server --port {PORT}\nbackoff-min = 30s\n",
                 under=("taskset", "-c", "0,1"), clock=True)
    while not alive and it.worker().state != "backoff":
        dead = it.pids()[0]
        kill(dead)
        it.wait(lambda: it.worker().pid != dead and it.worker().state in ("ready", "backoff"))
    for _ in range(2):
        it.call("reload")
    assert it.cluster().wanted == 1 and not it.happened("scaled")


def test_who_scales_a_store_is_told_that_its_copies_are_not_one():
    it = cluster("-n 1", *REDIS)
    assert nclust("scale it 2").ok() == (
        "it: 2 workers; redis-server keeps its state in itself, which its copies do not share\n")
    assert nclust("scale it 1").ok() == "it: 1 worker\n"


@pytest.mark.parametrize("command, count", ((f"redis-server --port {PORT}", 1),
                                            (f"python3 -m http.server {PORT}", 2)))
def test_a_port_that_the_command_named_may_be_moved_by_a_reload(command, count):
    """Nothing is waited for on the former port, whether the old worker has ended or serves."""
    it = cluster(ini=f"[cluster]\ncommand = {command}\nworkers = {count}\n")
    edit("it.ini", str(PORT), "8765")
    it.call("reload")
    assert not it.happened("not-listening")
    it.wait(lambda: [x.address[-5:] for x in it.cluster().listeners] in ([":8765"] * 2, [":8765"]))
    edit("it.ini", "8765", str(PORT))
    it.verb("reload").ok()


def test_a_port_that_its_own_file_named_may_be_moved_by_a_word_of_the_command():
    write("redis.conf", f"port {PORT}\nsave 3600 1\n")
    it = cluster(ini=f"[cluster]\ncommand = redis-server {path('redis.conf')}\n")
    edit("it.ini", "redis.conf", "redis.conf --port 8765")
    it.verb("reload").ok()
    assert "serves there" in it.event("not-listening", 2).text
    it.wait(lambda: {x.address[-5:] for x in it.cluster().listeners} == {":8765"})


def test_a_port_that_its_own_file_names_may_be_moved_by_a_restart():
    """The former worker, started again, would listen where the new one does."""
    write("redis.conf", f"port {PORT}\nsave 3600 1\n")
    it = cluster("-n 1", "redis-server", path("redis.conf"))
    assert redis("SET a b") == "+OK"
    edit("redis.conf", str(PORT), "8765")
    it.verb("restart").ok()
    it.wait(lambda: any("serves there" in e.text for e in it.happened("not-listening")))
    it.wait(lambda: {x.address[-5:] for x in it.cluster().listeners} == {":8765"})
