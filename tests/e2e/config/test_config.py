# SPDX-License-Identifier: MIT
"""INI files: how mistakes are told, that a bad file never starts anything, and what workers get
of a good one.  (What a reload makes of them: instance/test_reload.py; what each value means:
tests/unit/config.)"""
import json
import re
import textwrap

from harness import *

RUNS = "command = touch ran"


def refused(text, *mistakes):
    """By a run and by the check alike, with exactly these mistakes, each with its line."""
    write("it.ini", text)
    told = nclust("config --check -c it.ini").fails(78).err
    assert nclust("-c it.ini").fails(78).err == told
    found = told.splitlines()
    assert len(found) == len(mistakes), told
    for line, (number, says) in zip(found, mistakes):
        assert line.startswith(f"it.ini:{number}: ") and says in line, line
    assert not os.path.exists("ran") and os.listdir("run") == []


# ---- mistakes ----

def test_all_mistakes_of_a_file_are_told_at_once_each_with_its_line():
    refused(textwrap.dedent(f"""\
        key = before
        [cluster:web]
        {RUNS}
        wrokers = 3
        listen = 99999
        no equals sign
        stop-timeout = 5 parsecs
        [clutser:api]
        command = x
        [cluster:open
        [cluster:web]
        [cluster:idle]
        workers = 1
        """), (1, "section"), (4, "cluster:web.wrokers: unknown key; did you mean 'workers'?"),
            (5, "cluster:web.listen: wanted a port from 0 to 65535, found '99999'"),
            (6, "wanted 'key = value', found 'no equals sign'"),
            (7, "cluster:web.stop-timeout: wanted a time"),
            (8, "unknown section [clutser:api]; did you mean [cluster:api]?"),
            (10, "wanted a ']'"), (11, "section [cluster:web] is given twice, first in line 2"),
            (12, "cluster:idle.command: wanted a command, found none"))


def test_a_command_of_a_shell_is_refused_with_the_way_to_write_it():
    refused(textwrap.dedent(f"""\
        [cluster:a]
        {RUNS} >> web.log 2>&1
        [cluster:b]
        {RUNS} $(hostname)
        [cluster:c]
        {RUNS} # the server
        env = A=1, B=2
        [cluster:d]
        command = ~/run
        check = exec:curl x | grep ok
        [cluster:e]
        command = "python3 web.py"
        [cluster:f]
        command = PORT=1 ./run
        [cluster:g]
        command = ./run -p $PORT
        env = A=1 B=2
        [web]
        """), (2, "no shell runs this, and '>>' would be an argument: write sh -c '...'"),
            (4, "'$(hostname)' would be an argument"),
            (6, "put it in quotes, or write it without the blank"),
            (7, "one variable a line"), (9, "write ${HOME}/"), (10, "and '|' would be"),
            (14, "'PORT=1' would be the program: write 'env' in front of it"),
            (16, "'$PORT' would be an argument: write ${NAME}"), (17, "one variable a line"),
            (18, "unknown section [web]; did you mean [cluster:web]?"),
            (12, "'python3 web.py' is one word; write it without the quotes: python3 web.py"))
    nclust('-- "touch ran"').fails(64, "'touch ran' is one word; write it without the quotes")
    nclust('-- "./touch ran"').fails(127, "that is one word")


def test_a_value_that_a_shell_would_have_changed_is_refused_with_the_way_to_write_it():
    refused(textwrap.dedent(f"""\
        [nclust]
        pidfile = ~/shop.pid
        [cluster:a]
        {RUNS}
        directory = ~/app
        log = file:$HOME/web.log
        env = PATH=$HOME/bin:$PATH
        env = DATA=~/data
        env-file = conf/*.env
        watch = ~/src/**
        listen = unix:~/web.sock
        export MODE=production
        [cluster:b]
        command = source ./env
        env = PASSWORD='a$HOME'
        watch = src/**/*.js
        [cluster:c]
        command = export MODE=production
        [cluster:d]
        {RUNS}
        directory = ~root/app
        log = file:~root/web.log
        env = DATA=~root/data
        listen = unix:%t/web.sock
        watch = %h/src/**
        [cluster:e]
        {RUNS}
        log = file:web-%Y-%m.log
        [cluster:f]
        {RUNS}
        log = file:web%2fx%20.log
        directory = ~nobody-of-this-name
        listen = [fe80::1%lo]:8000
        env = FORMAT=%h
        """), (2, "no shell reads this, so '~' would stay as it is: write the path itself"),
            (5, "cluster:a.directory: no shell reads this, so '~' would"),
            (6, "so '$HOME' would stay as it is: write the path itself"),
            (7, "so '$HOME' would stay as it is: write ${HOME} and the like, or put the value in "
             "single quotes"), (8, "so '~' would"), (9, "so '*.env' would"), (10, "so '~' would"),
            (11, "so '~' would stay as it is: write the value itself, or ${NAME} in a file"),
            (12, "unknown key; use 'env = MODE=...'"),
            (14, "'source' would be the program: write sh -c '...'"), (18, "'export' would be"),
            (21, "no shell reads this, so '~root' would stay as it is: write the path itself"),
            (22, "so '~root' would"), (23, "so '~root' would"),
            (24, "no placeholder, so '%t' would stay as it is: write the value itself, or ${NAME}"),
            (25, "so '%h' would"), (28, "so '%Y' would stay as it is: write the path itself"))
    for words in ("--directory=~/app", "--log=file:~/web.log", "--pidfile=~/shop.pid"):
        nclust(words, "-- touch ran").fails(64, "no shell reads this, so '~' would stay as it is")


def test_a_variable_in_an_env_file_is_warned_of_as_it_is_not_replaced():
    write("shop.env", "export NAME=shop\nBIN=$HOME/bin\nPASSWORD='$HOME'\n")
    write("it.ini", "[cluster:web]\ncommand = sh -c 'echo is $BIN'\nrestart = never\n"
          "env-file = shop.env\n")
    line = "no shell reads this, so the '$' in BIN stays as it is; single quotes say that it is meant"
    said = nclust("config --check -c it.ini")
    assert said.err == f"it.ini:4: cluster:web.env-file: '{path('shop.env')}', line 2: {line}\n"
    said = run(inside(PROGRAM), "-c", "it.ini")
    assert said.err.count(f"{path('shop.env')}:2: {line}") == 1 and "$' in PASS" not in said.err
    assert "is $HOME/bin" in said.out
    write("shop.env", "source base.env\n")
    assert "line 1: wanted KEY=VALUE, because no shell reads this file; no start with it" in nclust(
        "config --check -c it.ini").err


@pytest.mark.parametrize("words, told", (
    (("sh", "server.sh", "&&", "x"), "&&"), (("echo", "a b", ">>", "log"), ">>"),
    (("echo", "--home=$HOME", "2>&1"), "--home=$HOME"), (("expr", "${HOME}", ":", "x"), "${HOME}"),
    # as meant: a script, a field of awk's, a variable that is none, a colour
    (("sh", "-c", "exit${IFS}0&&$HOME"), None),
    (("awk", "$1", "$NF", "#fff", "/dev/null"), None)))
def test_words_for_a_shell_that_none_has_read_as_in_a_container_are_told_at_the_start(words, told):
    said = run(inside(PROGRAM), "-n", "1", "--restart", "never", "--", *words).err
    assert ("no shell runs the command" in said) is (told is not None), said
    if told is not None:
        assert f"so that '{told}' is an argument; one for a shell is written: -- sh -c" in said


def test_workers_share_fewer_devices_than_they_are():
    it = cluster(f"-n 3 --env CARD={{slot%2}} -- {fixture('leak')} --notify --to out.{{slot}}")
    assert [json.loads(read(f"out.{slot}"))["env"]["CARD"] for slot in range(3)] == ["0", "1", "0"]
    assert it.stop() == 0


def test_a_mistake_behind_a_long_line_is_told_with_its_line():
    refused(f"[cluster]\n{RUNS}\nenv = A={'x' * 100000}\nnice = x\n",
            (4, "cluster.nice: wanted a whole number from -20 to 19, found 'x'"))


@pytest.mark.parametrize("file", ("absent", ".", "fifo", "/dev/zero", "/dev/null", "big", "binary",
                                  "empty"))
def test_what_is_no_such_file_is_refused_at_once(file):
    os.mkfifo("fifo")
    write("empty", "")
    write("big", "\n" * 1100000)
    run("sh", "-c", 'head -c 3000 "$0" >binary', inside(PROGRAM)).ok()
    said = nclust("-c", file).fails(78).err
    assert said.startswith(f"{file}:") and (file == "binary" or said.count("\n") == 1)


def test_one_that_may_not_be_read_is_named():
    need_root()
    write("it.ini", f"[cluster]\n{RUNS}\n", 0o600)
    run(*AS_NOBODY, inside(PROGRAM), "-c", "it.ini").fails(78, "it.ini", "Permission denied")


def test_a_limit_that_cannot_be_set_is_named():
    nclust("-n 1 --limit-nofile 4000000000 -- true").fails(126, "'limit-nofile'")


# ---- what is accepted ----

@pytest.mark.parametrize("text, args, says, lacks", (
    ("command = true\nenv = A=1\nenv = B=2\nlisten = 127.0.0.1:0, name=a\n"
     "listen = 127.0.0.1:0, name=b\nworkers = 3 ; three of them", "--check",
     ["no mistakes found"], []),
    ("command = true\nenv-file = absent", "--check", [
        "it.ini:3: cluster:it.env-file: cannot read '", "' (yet): No such file or directory; no start without it"],
     []),
    ("command = true\n[nclust]\nhttp = 127.0.0.1:0\nhttp-token = absent", "--check", [
        "http-token '", "/absent': cannot open: No such file or directory; no start without it"],
     []),
    ("command = ./absent -x", "--check", [
        "it.ini:2: cluster:it.command: cannot execute './absent' (yet): No such file or directory; no start without it",
        "no mistakes found"], []),
    ("command = ./it.ini", "--check", ["'./it.ini' (yet): Permission denied"], []),
    ("command = true\nenv = PATH=/nowhere", "--check", ["'true' (yet): it is not in PATH"], []),
    ("command = ./is\ndirectory = /", "--check", ["'./is' (yet): No such"], []),
    ("command = ./is", "--check", ["no mistakes found"], ["yet"]),
    ("command = true\ndirectory = gone\nlog = file:logs/{cluster}/x\nlisten = unix:far/s\n"
     "listen = unix:@a/b\nbefore = absent x\non-exit = absent\nlog-compress = absent", "--check", [
         "it.ini:3: cluster:it.directory: cannot find the directory '", "gone' (yet); no start without it",
         "it.ini:4: cluster:it.log: cannot find the directory '", "logs/it/' (yet); no start without it",
         "it.ini:5: cluster:it.listen: cannot find the directory '", "far/' (yet); no start without it",
         "it.ini:7: cluster:it.before: cannot execute 'absent' (yet): it is not in PATH; no start",
         "it.ini:8: cluster:it.on-exit: cannot execute 'absent' (yet): it is not in PATH\n",
         "it.ini:9: cluster:it.log-compress: cannot execute 'absent' (yet): it is not in PATH\n",
         "no mistakes found"], ["@a"]),
    ("command = true\ndirectory = .\nlog = file:x\nlisten = unix:s\nbefore = true", "--check",
     ["no mistakes found"], ["yet"]),
    ("command = true\nworkers = 2..4\ncanary = 5", "--check", [
        "it.ini:4: cluster:it.canary: 5, but there are at most 4 workers: all", "no mistakes found"], []),
    ("command = true\nworkers = 2..5\ncanary = 5", "--check", ["no mistakes found"], ["canary"]),
    ("command = ./{slot}", "--check", ["no mistakes found"], ["yet"]),
    ("command = true\nhang-signal = SIGQUIT\nrequest-timeout = 5s", "", ["hang-signal = QUIT"], []),
    ("command = true\nenv-file = none\non-ready = none\n[defaults]\nenv-file = absent\n"
     "on-ready = touch ran", "", ["command = true"], ["absent", "ran", "none"])))
def test_what_the_check_and_config_say_of_a_file(text, args, says, lacks):
    write("it.ini", f"[cluster]\n{text}\n")
    write("is", "#!/bin/sh\n", 0o755)
    said = nclust("config -c it.ini", args)
    said = said.ok() + said.err
    assert all(t in said for t in says) and not any(t in said for t in lacks)


def test_the_sample_file_is_accepted_also_with_each_of_its_examples():
    sample = read(f"{SRC}/etc/nclust.ini")
    every = re.sub(r"^;(?=[a-zA-Z0-9-]+ = )", "", sample, flags=re.M)
    assert every.count("\n;") == 0 and "\nsurge = " in every
    for text in (sample, f"{every}[cluster:db]\ncommand = x\n"):  # which is after it
        write("it.ini", text)
        nclust("config --check -c it.ini").ok()


def page_before_its_keys():
    text = read(f"{SRC}/man/nclust.ini.5")
    return text[:text.index("\n.Sh KEYS\n")]


def test_what_the_manual_says_to_set_is_a_key_with_that_value():
    rows = re.findall(r"^\.It .* Ta (.*)$", page_before_its_keys(), re.M)[1:]
    assert len(rows) > 20
    for entry in ", ".join(rows).split(", "):
        key, _, value = entry.partition(" = ")
        if not value:
            nclust("-n 1", f"--{key}").fails(64, f"--{key}: wanted a value")
            continue
        section = "[nclust]" if key == "http" else "[cluster:web]\ncommand = true"
        write("it.ini", f"[cluster:db]\ncommand = true\nlisten = 9000\n{section}\n{entry}\n"
              + "listen = 127.0.0.1:9001\n" * (key not in ("http", "listen")))
        nclust("config --check -c it.ini").ok()


def test_each_file_that_the_manual_shows_is_accepted():
    blocks = re.findall(r"^\.Bd -literal.*\n((?:.+\n|\n)*?)\.Ed", page_before_its_keys(), re.M)
    assert len(blocks) == 2 and all("[cluster:web]" in text for text in blocks)
    for text in blocks:
        write("it.ini", re.sub(r"\bwww\b", "daemon", text))
        nclust("config --check -c it.ini").ok()


def test_what_workers_get_of_a_file():
    long, to = "x" * 100000, f"{fixture('leak')} --notify --to {path()}"
    write("shop.ini", "\ufeff" + f"""[defaults]
        ready = notify
        workers = 1
        [cluster:web]
        command = {to}/web "two words" 'sin"gle' back\\ slash "" '$HOME' *
        env = LONG={long}y
        nice = 3
        [cluster:jobs]
        command = {to}/jobs
        nice = 4
        """.replace("\n        ", "\r\n"))
    it = cluster("-c shop.ini --nice 9")
    told = json.loads(read("web"))
    assert told["argv"][4:] == ["two words", 'sin"gle', "back slash", "", "$HOME", "*"]
    assert told["env"]["LONG"] == f"{long}y"
    # the command line overrules the file, in every cluster; so it does its name
    assert told["nice"] == json.loads(read("jobs"))["nice"] == 9
    assert it.status().name == "it"
    said = it.verb("config").ok()
    assert "; command line\nnice = 9" in said and "shop.ini:" in said


def test_an_instance_and_a_lone_cluster_have_the_files_name():
    write("shop.ini", f"[cluster]\ncommand = {HEAR} --notify\nworkers = 1\nready = notify\n")
    begin_program(inside(PROGRAM), "-c", "shop.ini")
    wait(lambda: nclust("status shop").status == 0)
    assert json.loads(nclust("status shop --json").ok())["clusters"][0]["name"] == "shop"
    write("shop.ini", "[nclust]\nname = other\n" + read("shop.ini"))
    begin_program(inside(PROGRAM), "-c", "shop.ini")
    wait(lambda: nclust("status other").status == 0)


def test_64_clusters_of_one_file():
    write("it.ini", "".join(
        f"[cluster:c{n}]\ncommand = {HEAR} --notify\nworkers = 1\nready = notify\n"
        f"listen = unix:{path()}/{n}.sock\n" for n in range(64)))
    it = cluster("-c it.ini")
    assert len(it.status().clusters) == 64
    assert all(listens(path(f"{n}.sock")) for n in range(64))
    assert it.stop() == 0


def test_a_user_that_is_not_there_is_tried_again_a_mistake_is_not():
    for text, status in (("user = nosuchuser", 75), ("group = nosuchgroup", 75),
                         ("user = nosuchuser\nworkers = many", 78),
                         ("workers = many\nuser = nosuchuser", 78), ("user = 0", 78)):
        write("it.ini", f"[cluster:web]\ncommand = sleep 1000\n{text}\n")
        nclust("-c it.ini").fails(status, "web.")
