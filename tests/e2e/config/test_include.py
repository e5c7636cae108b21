# SPDX-License-Identifier: MIT
"""A configuration of several files, with defaults and variables: what workers get of it, and what a
reload makes of a change in any of the files."""
import json

from harness import *

LEAK = f"{fixture('leak')} --notify --to"
HEARS = f"command = {HEAR} --notify\n"


def told(name):
    return json.loads(read(name), object_hook=Object)


def test_included_files_defaults_and_variables_come_to_the_workers():
    write("it.ini", "[nclust]\ninclude = conf.d/*.ini\n[defaults]\nready = notify\nworkers = 2\n"
          'env = WORDS="${SHOP_WORDS}!"\nenv = MODE=test\n'
          "listen = unix:${SHOP_DIR}/{cluster}.sock\n")
    write("conf.d/web.ini", f"[cluster:web]\ncommand = {LEAK} out.{{slot+10}} {{cluster}}\n"
          "env = MODE=own\nenv = DEBUG_PORT={slot+9229}\n")
    write("conf.d/jobs.ini", f"[cluster:jobs]\ncommand = {LEAK} jobs '${{HOME}}'\nworkers = 1\n"
          "env-file = jobs.env\n")
    write("conf.d/jobs.env", "FROM=file {slot}\n")
    # relative to the file that says so, not to where nclust was started
    it = cluster(f"-c {path('it.ini')}", cwd="/",
                 env={"SHOP_WORDS": "two words", "SHOP_DIR": path()})
    web, jobs = told("conf.d/out.10"), told("conf.d/jobs")
    assert (web.argv[-1], web.env.MODE, web.env.WORDS, web.env.DEBUG_PORT) == (
        "web", "own", "two words!", "9229")
    assert told("conf.d/out.11").env.DEBUG_PORT == "9230"
    assert (jobs.argv[-1], jobs.env.MODE, jobs.env.FROM) == ("${HOME}", "test", "file {slot}")
    assert listens(path("web.sock")) and listens(path("jobs.sock"))
    said = it.verb("config").ok()
    assert f"; {path('conf.d/web.ini')}:2\ncommand = " in said
    assert f"; {path('it.ini')}:5\nworkers = 2" in said


def test_a_reload_reads_the_included_files_again_and_an_upgrade_knows_them():
    write("conf.d/web.ini", f"[cluster:web]\n{HEARS}env = A=1\n")
    write("conf.d/jobs.ini", f"[cluster:jobs]\n{HEARS}")
    it = cluster(ini="[nclust]\ninclude = conf.d/*.ini\n[defaults]\nready = notify\nworkers = 1\n")
    web, jobs = it.pids("web"), it.pids("jobs")
    edit("conf.d/web.ini", "A=1", "A=2")
    it.verb("reload").ok()
    assert it.pids("web") != web and it.pids("jobs") == jobs
    web = it.pids("web")
    write("conf.d/more.ini", f"[cluster:more]\n{HEARS}")
    it.verb("reload").ok()
    assert len(it.pids("more")) == 1 and it.pids("jobs") == jobs
    # a mistake in one file, and nothing is changed
    good = read("conf.d/web.ini")
    write("conf.d/web.ini", "[cluster:web]\ncommand = true\nwrokers = 2\n")
    it.verb("reload").fails(78, f"{path('conf.d/web.ini')}:3: cluster:web.wrokers: unknown key")
    it.call("upgrade")
    assert f"; {path('conf.d/web.ini')}:3\nenv = A=2" in it.verb("config").ok()
    write("conf.d/web.ini", good)
    for name in os.listdir("conf.d"):
        os.unlink(f"conf.d/{name}")
    it.verb("reload").fails(78, "it.ini:2: nclust.include: 'conf.d/*.ini' matches no file")
    assert it.pids("web") == web


def test_a_worker_that_is_started_anew_has_its_slots_number_again():
    it = leak("-n 2 --threads 2 --env PORT={slot+8000} --env JAVA_TOOL_OPTIONS=-Dx={slot}")
    os.unlink("born/1")
    it.reborn(1)
    assert born(1).env.PORT == "8001"
    assert born(1).env.JAVA_TOOL_OPTIONS == "-Dx=1 -XX:ActiveProcessorCount=2"


def test_workers_of_another_user_start_beside_a_file_of_roots_alone():
    need_root()
    closed = path("closed")
    for name, mode in (("closed", 0o700), ("closed/sub", 0o700), ("out", 0o777)):
        make(name, mode=mode)
    write("closed/it.ini", f"[cluster]\nworkers = 1\nuser = nobody\nready = notify\n"
          f"command = {LEAK} {path('out/leak')}\non-ready = sh -c 'pwd -P >{path('out/hook')}'\n")
    it = cluster(f"-c {closed}/it.ini")
    assert told("out/leak").cwd == closed
    assert wait(lambda: read("out/hook")) == f"{closed}\n"
    # also of another nclust, and with another command
    it.call("upgrade")
    it.verb("restart", "--", *LEAK.split(), path("out/again")).ok()
    assert told("out/again").cwd == closed
    # one that was asked for is entered with the rights of the user
    write("closed/it.ini", read("closed/it.ini") + "directory = sub\n")
    refused = it.verb("reload")
    assert refused.status != 0 and f"cannot enter directory '{closed}/sub'" in refused.err


def test_what_config_shows_of_a_file_means_the_same_elsewhere():
    write("sub/a\nleader = yes.ini", "[cluster:web]\nworkers = 1\nready = notify\n"
          "command = ./server --notify --to out\nlog = file:log\nsurge = all\ncanary = 2\n"
          "check = exec:test -e 'a b' \\; x\nwatchdog = 0\non-exit = sh -c \"a;b\"\n"
          "signal-USR1 = upgrade\nlisten = 8000\n")
    write("sub/it.ini", "[nclust]\ninclude = a*.ini\n")
    run("cp", fixture("leak"), "sub/server").ok()
    shown = nclust("config -c sub/it.ini").ok()
    assert "leader = yes\n" not in shown.replace("; ", "")
    for line in ("surge = all", "watchdog = off", "signal-USR1 = upgrade"):
        assert f"\n{line}\n" in shown
    write("else/it.ini", shown)
    again = nclust("config -c else/it.ini").ok()
    assert [x for x in again.splitlines() if x[:1] != ";"] == [
        x for x in shown.splitlines() if x[:1] != ";"]
    cluster("-c else/it.ini")
    assert told("sub/out").cwd == path("sub")
    wait(lambda: os.path.exists("sub/log"))
