# SPDX-License-Identifier: MIT
"""etc/prometheus-rules.yml and etc/grafana-dashboard.json, and a real Prometheus that reads a real
nclust."""
import json
import re
import shutil
import socket
import urllib.parse

from harness import *

WEB, PROMETHEUS = 9000, 9090
RULES = f"{SRC}/etc/prometheus-rules.yml"
with open(f"{CHECKOUT}/etc/grafana-dashboard.json") as file:
    BOARD = json.load(file)
QUERIES = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]


def served():
    return cluster(f"--http {WEB} -n 2 --ready notify --backoff-min 50ms --backoff-max 50ms "
                   "--drain off -l 127.0.0.1:8000,backlog=10", SERVE, "--notify")


def test_each_metric_in_the_rules_and_in_the_dashboard_exists():
    served()
    # those of a rollout under way, too
    known = {"nclust_rollout_workers", "nclust_rollout_workers_done"}
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)", get("/metrics", WEB).body, re.M):
        known |= {name} if kind != "summary" else {name, f"{name}_sum", f"{name}_count"}
    rules = re.sub("^ *(description|summary).*", "", read(RULES), flags=re.M)
    variables = [v.get("query", {}) for v in BOARD["templating"]["list"]]
    used = set(re.findall("nclust_[a-z_]+", rules + " ".join(QUERIES) + json.dumps(variables)))
    assert len(used) > 15 and used <= known
    # each alert says something
    alerts = read(RULES).count("- alert:")
    for text in (r"^ +summary: .{20}", "severity: (critical|warning)"):
        assert len(re.findall(text, read(RULES), re.M)) == alerts


OWN = section("it", f"python3 {server('metrics.py')}", "listen = 8000", "metrics = http:/metrics",
              workers=3, ready=None)


def tells_its_own(it, at):
    """Each worker tells at(slot) how many clients it has served, and so does the next one."""
    for _ in range(2):
        served = [get().slot for _ in range(6)]
        for slot in range(3):
            assert f"app_requests_total {served.count(slot)}\n" in get(**at(slot)).body
        it.verb("restart --bake 0").ok()


def test_each_worker_tells_its_own_metrics_at_the_address_that_is_advised():
    """Whoever has the key of old gets a line in its place, which works also beside the ports that
    nclust-guide(7) gives nclust itself."""
    ini = "[nclust]\nhttp = 9100\nagent = 9101\n" + OWN
    write("old.ini", ini)
    said = nclust("config --check -c old.ini").fails(78, "cluster:it.metrics: unknown key; ").err
    advice, port = re.search(r"use '(listen = .*\{slot\+(\d+)\})'", said).groups()
    address = f"-l {advice.removeprefix('listen = ')}"
    nclust("ask it.1 GET /metrics").fails(64, address)
    nclust("-n 1 --metrics http:/metrics -- true").fails(64, address)
    it = cluster(ini=ini.replace("metrics = http:/metrics", advice))
    is_refused("a 'listen' of its own", it.call, "ask", target="it.1", first="G")
    tells_its_own(it, lambda slot: {"port": int(port) + slot})


def test_each_worker_tells_its_own_metrics_at_a_path_of_its_own():
    it = cluster(ini=OWN.replace("metrics = http:/metrics", f"listen = unix:{path('m{slot}')}"))
    tells_its_own(it, lambda slot: {"unix": path(f"m{slot}")})


def test_the_dashboard_is_one_that_grafana_takes():
    panels = BOARD["panels"]
    assert BOARD["uid"] and BOARD["title"] and BOARD["schemaVersion"] >= 30
    assert len({p["id"] for p in panels}) == len(panels)
    places = [(p["gridPos"]["x"] + x, p["gridPos"]["y"] + y) for p in panels
              for x in range(p["gridPos"]["w"]) for y in range(p["gridPos"]["h"])]
    assert len(set(places)) == len(places) and max(x for x, _ in places) < 24
    assert all(p["targets"] and p["datasource"]["uid"] == "${datasource}" for p in panels)


@pytest.mark.nightly
def test_the_rules_are_right_and_each_alert_fires_when_it_should_and_not_before():
    need("promtool")
    run("promtool", "check", "rules", RULES).ok()
    # what they say is not compared
    write("rules.yml", re.sub(" +annotations:\n +summary:.*\n +description:.*\n", "", read(RULES)))
    shutil.copy(f"{SRC}/tests/e2e/web/alerts.yml", "alerts.yml")
    run("promtool", "test", "rules", "alerts.yml").ok()


def query(expression):
    """What Prometheus finds."""
    got = get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}), PROMETHEUS)
    answer = json.loads(got.body)
    assert answer["status"] == "success", (expression, answer)
    return answer["data"]["result"]


def firing():
    return {alert["metric"]["alertname"] for alert in query('ALERTS{alertstate="firing"}')}


def value(expression):
    return [float(found["value"][1]) for found in query(expression)]


@pytest.mark.nightly
def test_a_real_prometheus_reads_it_and_alerts():
    it = served()
    write("rules.yml", re.sub(r"for: \d+[a-z]", "for: 0s", read(RULES)))  # it does not wait
    write("prometheus.yml", f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: nclust
    static_configs: [{{targets: ['127.0.0.1:{WEB}']}}]
""")
    begin_program(need("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb",
                  f"--web.listen-address=127.0.0.1:{PROMETHEUS}", stderr="prometheus.log")
    wait(lambda: listens(PROMETHEUS) and get("/-/ready", PROMETHEUS).status == 200)
    wait(lambda: query("nclust_uptime_seconds > 3"))
    assert firing() == set()
    for expression in QUERIES:
        query(re.sub(r"\$[a-z]+", ".*", expression.replace("$__rate_interval", "5s")))
    assert value('sum(nclust_workers{state="ready"})') == [2]
    assert value("count(nclust_worker_memory_bytes)") == [2]
    assert len(value("nclust_listener_queue_limit > 0")) == 1

    for n in range(8):
        it.reborn(0)
    wait(lambda: "NclustWorkersCrash" in firing())
    assert not firing() & {"NclustAway", "NclustQueueNearLimit"}

    # the workers take nothing, and the queue fills
    pids = it.pids()
    freeze(*pids)
    held = [socket.socket() for _ in range(10)]
    for s in held:
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", PORT))
    wait(lambda: "NclustQueueNearLimit" in firing())
    assert "NclustAway" not in firing()
    for s in held:
        s.close()
    thaw(*pids)
    it.stop()
    wait(lambda: "NclustAway" in firing())
