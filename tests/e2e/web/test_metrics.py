# SPDX-License-Identifier: MIT
"""/metrics: what Prometheus reads is right, and stays right."""
import re

from harness import *

WEB = 9000
EXITS = 'nclust_exits_total{cluster="it",reason="%s"}'


def web(options, *command, **more):
    return cluster(f"--http {WEB} -n 2 --ready alive:0s {options}", *command, **more)


def text(**headers):
    return get("/metrics", WEB, headers=headers)


def metrics():
    """Each sample and its value; a family has one TYPE and HELP, and its samples stand together."""
    found, families = {}, []
    for line in text().body.splitlines():
        if said := re.fullmatch(r"# (HELP|TYPE) (\w+) (.+)", line):
            if said[1] == "HELP":
                families.append(said[2])
            assert said[2] == families[-1] and families.count(said[2]) == 1
        else:
            sample = re.fullmatch(
                r'((\w+?)(?:_sum|_count)?(?:\{(?:\w+="[^"\n]*",?)+\})?) (\S+)', line)
            assert sample and families[-1] in (sample[2], sample[1].partition("{")[0]), line
            found[sample[1]] = float(sample[3])
    return found


def test_each_worker_is_there_and_the_format_is_that_of_prometheus():
    it = web("--shared-memory 1M --check tcp --check-interval 100ms -l 127.0.0.1:8000", SERVE)
    passed = 'nclust_worker_checks_passed_total{cluster="it",slot="1"}'
    wait(lambda: metrics().get(passed))
    got = metrics()
    assert got['nclust_workers{cluster="it",state="ready"}'] == 2
    assert len([name for name in got if name.startswith("nclust_worker_memory_bytes{")]) == 2
    assert any(re.fullmatch(r'nclust_listener_queue_limit\{.*address="tcp:127.0.0.1:8000"\}', name)
               and value > 0 for name, value in got.items())
    assert not any(f'"{it.worker().pid}"' in name for name in got)
    assert text().headers["Content-Type"].startswith("text/plain; version=0.0.4")
    accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.3"
    other = text(Accept=accept)
    assert other.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert other.body.endswith("\n# EOF\n")
    assert "# TYPE nclust_exits counter\n" in other.body
    assert EXITS % "signal" + " 0\n" in other.body
    assert not re.search("^# TYPE .*_total", other.body, re.M)


@pytest.mark.nightly
def test_promtool_has_no_complaint():
    web("--shared-memory 1M --check tcp -l 127.0.0.1:8000", SERVE)
    write("metrics", text().body)
    with open("metrics") as f:
        said = run(need("promtool"), "check", "metrics", stdin=f)
    assert said.ok() == said.err == ""


def test_what_happens_is_counted_also_through_an_upgrade():
    it = web("--drain off", *NAP)
    assert metrics()['nclust_starts_total{cluster="it"}'] == 2
    assert metrics()['nclust_ready_seconds_count{cluster="it"}'] == 2
    it.reborn()
    it.call("restart")
    it.call("upgrade")
    it.call("scale", count=1)
    got = metrics()
    for name, value in ((EXITS % "signal", 1), (EXITS % "replaced", 2), (EXITS % "stopped", 1),
                        (EXITS % "failure", 0), ("nclust_upgrades_total", 1),
                        ('nclust_rollouts_total{cluster="it",outcome="done"}', 1),
                        ('nclust_starts_total{cluster="it"}', 5)):
        assert got[name] == value, name
    assert got['nclust_worker_restarts_total{cluster="it",slot="0"}'] > 0


KEEPER = """
import os, socket
keeper = socket.socket(fileno=3 if os.fork() else 4)
kept = []
while True:
    kept.append(keeper.accept()[0])
"""


def test_connections_are_counted_those_of_a_workers_children_and_by_path_too():
    it = web(f"-l 127.0.0.1:8000 -l unix:{path('app')}", "python3", "-c", KEEPER)

    def count():
        got = [value for name, value in metrics().items()
               if name.startswith("nclust_worker_connections{")]
        return len(got) == 2 and sum(got)

    wait(lambda: count() == 0)
    held = [dial() for _ in range(3)] + [dial(unix="app") for _ in range(2)]
    wait(lambda: count() == 5)
    it.call("upgrade")
    wait(lambda: count() == 5)
    for pid in it.pids():
        kill(pid)
    wait(lambda: count() == 0)
    assert "connections" not in it.worker()  # a status that nobody counts for has none
    assert held


def test_lines_of_output_are_counted_also_through_an_upgrade():
    it = web(f"--log file:{path('out')}", "sh", "-c", "seq 500; exec sleep 1000")

    def read_so_far():
        return metrics()['nclust_log_lines_total{cluster="it"}']

    wait(lambda: read_so_far() == 1000)
    it.call("upgrade")
    assert read_so_far() == 1000
    kill(it.worker().pid)
    wait(lambda: read_so_far() == 1500)
    assert metrics()['nclust_log_lines_dropped_total{cluster="it"}'] == 0


def test_the_exits_of_each_cluster_are_its_own():
    it = start(f"--http {WEB}", ini="".join(
        f"[cluster:{name}]\nworkers = 1\nready = notify\ncommand = {command}\n"
        for name, command in (("fails", "false"), ("hears", f"{HEAR} --notify"))))
    it.event("exited", cluster="fails")
    assert metrics()['nclust_exits_total{cluster="fails",reason="failure"}'] >= 1
    assert metrics()['nclust_exits_total{cluster="hears",reason="failure"}'] == 0
