# SPDX-License-Identifier: MIT
"""log = journal and syslog: the real daemons have each line, with what belongs to it."""
import json

from harness import *


def test_the_journal_has_each_line_with_its_fields_and_what_is_no_utf8_as_bytes():
    need_root()
    for name in ("systemd/journal", "log/journal"):
        os.makedirs(f"/run/{name}")
    begin_program("/lib/systemd/systemd-journald")
    wait(lambda: listens("/run/systemd/journal/socket"))
    it = cluster("-n 2 --log journal --ready alive:0s", "sh", "-c", "echo hello\n"
                 "printf 'no UTF-8 \\377, a NUL \\0.\\n' >&2; exec sleep 1000")

    def entries():
        said = run("journalctl", "-D", "/run/log/journal", "-o", "json", "NCLUST_CLUSTER=it").out
        found = [json.loads(line) for line in said.splitlines()]
        return len(found) == 4 and found

    for slot in (0, 1):
        out, err = sorted((e for e in wait(entries) if e["NCLUST_SLOT"] == str(slot)),
                          key=lambda e: e["PRIORITY"], reverse=True)
        assert {"MESSAGE": "hello", "PRIORITY": "6", "SYSLOG_IDENTIFIER": "it",
                "NCLUST_GENERATION": "1", "NCLUST_STREAM": "stdout", "NCLUST_CLUSTER": "it",
                "NCLUST_PID": str(it.worker(slot).pid),
                "NCLUST_WORKER": str(it.worker(slot).id)}.items() <= out.items()
        assert (err["PRIORITY"], err["NCLUST_STREAM"]) == ("4", "stderr")
        assert bytes(err["MESSAGE"]) == b"no UTF-8 \xff, a NUL \0."


def rsyslog(*options):
    """The real one; what it gets is in "sys"."""
    write("rsyslog.conf", f"""module(load="imuxsock" SysSock.Use="off")
        input(type="imuxsock" Socket="{path('dev-log')}" {' '.join(options)})
        template(name="t" type="string"
            string="%app-name%|%procid%|%syslogfacility-text%|%syslogseverity-text%|%msg%\\n")
        *.* action(type="omfile" file="{path('sys')}" template="t")
        """)
    process = begin_program(need("rsyslogd"), "-n", "-f", path("rsyslog.conf"), "-i",
                            path("rsyslog.pid"))
    wait(lambda: listens(path("dev-log")))
    return process


@pytest.mark.parametrize("kind, options, facility", (
    ("rfc5424:local3:", ['UseSpecialParser="off"'], "local3"), ("", [], "daemon")))
def test_rsyslogd_has_each_line_also_what_was_said_while_it_was_gone(kind, options, facility):
    daemon = rsyslog(*options)
    os.mkfifo("say")
    it = cluster(f"-n 1 --log 'syslog:{kind}{path('dev-log')} file:{path('seen')}' "
                 "--ready alive:0s", "sh", "-c", 'echo bad >&2; exec cat <>"$0"', path("say"),
                 clock=True)

    def has(level, text):
        wanted = f"it.0|{it.worker().pid}|{facility}|{level}|{text}"
        wait(lambda: wanted in (line.replace("| ", "|") for line in lines("sys")), wanted)

    has("warning", "bad")
    write("say", "line 0\n")
    has("info", "line 0")
    write("say", "a\tb\0c\33[1md\177\xe9\r\n")  # rsyslogd itself would show "#000"
    has("info", "a#011b\\x00c\\x1b[1md\\x7f\xe9\\x0d")
    daemon.kill()
    daemon.wait()
    os.unlink("dev-log")
    for n in range(1, 5):
        write("say", f"line {n}\n")
    wait(lambda: "line 4" in read("seen"))
    rsyslog(*options)
    it.advance(60)
    has("info", "line 4")
    assert [line[-1] for line in lines("sys") if "line" in line] == list("01234")
