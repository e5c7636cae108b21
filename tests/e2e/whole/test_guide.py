# SPDX-License-Identifier: MIT
"""Each block of nclust-guide(7) and nclust-fleet(7) is run as it stands there, section by section:
only a canary's time is shorter.  docker and systemd are played (servers/guide.bash)."""
import glob
import re
import shutil

from harness import *

GUIDE = "".join(open(f"{CHECKOUT}/man/nclust-{page}.7").read() for page in ("guide", "fleet"))
GUIDE = GUIDE.replace("\\-", "-").replace("\\e", "\\")


def blocks(section):
    """(name of a file, or None for commands; its text)"""
    found, inside_it, name, text = [], False, None, None
    for line in GUIDE.splitlines():
        if line.startswith(".Sh "):
            inside_it, name = line == f".Sh {section}", None
        elif not inside_it:
            continue
        elif text is not None and line.startswith(".Ed"):
            found.append((name, text))
            name = text = None
        elif text is not None:
            text += line + "\n"
        elif line.startswith(".Bd -literal"):
            text = ""
        elif re.fullmatch(r"\.Pa \S+ :", line):
            name = line.split()[1]
    return found


SECTIONS = [s for s in re.findall(r"^\.Sh (.*)$", GUIDE, re.M) if blocks(s)]


def lays_out():
    """Where the commands run.  What they write to the machine is this test's alone."""
    for place in ("bin", "upper", "work"):
        os.mkdir(f"/run/{place}")
    os.symlink(inside(PROGRAM), "/run/bin/nclust")
    os.environ["PATH"] = "/run/bin:" + os.environ["PATH"]
    os.environ["SRC"] = SRC
    run("mount", "-t", "overlay", "-o", "lowerdir=/etc,upperdir=/run/upper,workdir=/run/work", "x",
        "/etc").ok()
    for place in ("/srv", "/var/log"):
        run("mount", "-t", "tmpfs", "x", place).ok()
    for to, name in (("server", "server"), ("releases/1/server", "one"),
                     ("releases/2/server", "two"), ("/srv/shop/server", "server")):
        write(to, f'#!/bin/sh\necho "{name} started" >&2\nexec {PLAIN} 8000\n', 0o755)
    write("tell-the-team", f'#!/bin/sh\necho "$NCLUST_EVENT" >>{path("told")}\n', 0o755)
    write("worker", f"#!/bin/sh\nexec {HEAR}\n", 0o755)
    write("src/app.js", "")
    shutil.copy(server("app.py"), "app.py")


def play(section, **before):
    """All its blocks in their order; `before` has what is done before a command that ends in
    such a word.  Returns what the commands have said."""
    said = ""
    for name, text in blocks(section):
        text = re.sub(r"\b(30s|2m)$", "1s", text, flags=re.M)
        if name is not None:
            write(name, text)
            continue
        for line in text.splitlines():
            assert line.startswith("$ "), f"{section}: no command: {line}"
            for word, deed in before.items():
                if line.endswith(word):
                    deed()
            with open("said", "w+") as out:  # what stays in the background keeps it open
                result = run("bash", "-c", f". {server('guide.bash')}\n{line[2:]}", stdout=out,
                             stderr=out)
            print(f"{line}\n{read('said')}")
            assert result.status == 0, line
            said += read("said")
    return said


def shop(name="shop"):
    """Its first cluster."""
    return Control(path(f"run/{name}/control")).call("status").clusters[0]


# ---- what is to be seen beside the exit statuses ----

def deploy():
    """Clients from the first start on, over two deploys, a reload and an upgrade."""
    load = []
    play("DEPLOY WITHOUT DOWNTIME", current=lambda: load or not listens() or load.append(
        Clients(PORT, "--clients", 2)))
    got = load[0].end()
    assert (got.refused, got.lost) == (0, 0)
    assert shop().ready == 3
    assert re.search("two started.*one started", nclust("logs web").ok(), re.S)
    # a release that cannot start changes nothing
    write("releases/2/server", "#!/bin/sh\nexit 1\n", 0o755)
    os.unlink("current")
    os.symlink("releases/2", "current")
    nclust("restart shop").fails(1)
    assert shop().ready == 3 and get().pid


def canary():
    play("CANARY")
    assert (shop().ready, shop().generation) == (3, 2)
    wait(lambda: read("told"))


def fleet():
    nclust("-d -n 2 --name shop -- ./server").ok()
    play("ON EACH HOST")
    assert (shop().ready, shop().generation) == (2, 2)


def development():
    def watches():
        """The process that looks at the files waits for changes."""
        main = Control(path("run/shop/control")).hello.pid
        return any("anon_inode:inotify" in descriptors(p).values() and state(p) == "S"
                   for p in living() if stat(p)[1:2] == [str(main)])

    play("DEVELOPMENT", js=lambda: wait(watches),
         shop=lambda: wait(lambda: len(shop().workers) > 1 or shop().generation == 2))


def logs():
    play("LOGS")
    nclust("restart shop").ok()
    wait(lambda: "server started" in read("/var/log/shop/web.1.log"))


def metrics():
    write("server", f"#!/bin/sh\nexec python3 {server('metrics.py')}\n", 0o755)
    need("promtool")
    said = play("METRICS")
    assert "\nnclust_workers_ready{" in said and "\napp_requests_total 0\n" in said
    write("prometheus.yml", "global: {scrape_interval: 100ms}\n" + read("prometheus.yml"))
    begin_program(need("prometheus"), "--config.file=prometheus.yml",
                  "--storage.tsdb.path=tsdb", "--web.listen-address=127.0.0.1:9090",
                  stderr="prometheus.log")
    wait(lambda: listens(9090) and get("/-/ready", 9090).status == 200)
    wait(lambda: get("/api/v1/query?query=sum(up)", 9090).body.endswith(',"3"]}]}}'))


def autoscale():
    ready = []
    play("AUTOSCALE", shop=lambda: listens() and ready.append(shop().ready))
    assert ready[-1] == 5  # before the stop
    assert get().pid


def spares():
    assert "pid=" in play("SPARES")
    wait(lambda: sorted(w.state for w in shop().workers) == ["ready", "spare"])


def order():
    said = play("START ORDER")
    assert "migrated for generation 1" in said and "migrated for generation 2" in said
    assert shop().ready == 2 and get().pid


def leader():
    play("LEADER")
    wait(lambda: shop().leader and shop().leader.pid in [w.pid for w in shop().workers])


def outages():
    said = play("OUTAGES")
    assert "HTTP/1.1 503 " in said and "<p>We are back in a moment." in said
    assert shop().ready == 2 and get().pid


def limits():
    assert "memory-max = 512M" in play("LIMITS")
    assert re.search("Max open files +4096 ", read(f"/proc/{shop().workers[0].pid}/limits"))


def from_gunicorn():
    need("gunicorn")
    play("COMING FROM GUNICORN")
    # a release that cannot be imported replaces nobody, and does not start
    start = re.search(r"^\$ nclust (-d .*?) #", blocks("COMING FROM GUNICORN")[0][1])[1]
    nclust(start).ok()
    assert get().pid
    before = [w.pid for w in shop().workers]
    write("app.py", "raise RuntimeError('a broken release')\n")
    nclust("restart shop").fails(1)
    assert [w.pid for w in shop().workers] == before and get().pid
    nclust("stop shop").ok()
    nclust(start).fails(1)


def from_multiwatch():
    need("php-cgi")
    play("COMING FROM MULTIWATCH")


CHECKS = {"DEPLOY WITHOUT DOWNTIME": deploy, "CANARY": canary, "ON EACH HOST": fleet,
          "DEVELOPMENT": development, "LOGS": logs, "METRICS": metrics,
          "SPARES": spares, "AUTOSCALE": autoscale, "START ORDER": order, "LEADER": leader,
          "OUTAGES": outages, "LIMITS": limits, "COMING FROM GUNICORN": from_gunicorn,
          "COMING FROM MULTIWATCH": from_multiwatch}
STAYS = set(CHECKS) - {"DEVELOPMENT", "COMING FROM GUNICORN",
                       "COMING FROM MULTIWATCH"}
SOON = ("DESCRIPTION", "FIRST SESSION", "DEPLOY WITHOUT DOWNTIME", "LIMITS", "COMING FROM PM2",
        "COMING FROM GUNICORN", "COMING FROM MULTIWATCH")


@pytest.mark.parametrize("section", [
    pytest.param(s, marks=() if s in SOON else pytest.mark.nightly) for s in SECTIONS])
def test_the_guide(section):
    need_root()
    lays_out()
    CHECKS.get(section, lambda: play(section))()
    assert listens() == (section in STAYS)


def test_keys_for_those_who_come_from_other_programs_are_keys():
    """The right columns of the tables: `key`s, and `key = value`s that nclust takes."""
    need_root()  # files in /run
    keys = set(re.findall("^;?([a-z][a-z-]*) = ", read(f"{SRC}/etc/nclust.ini"), re.M))
    text, known = "[cluster:db]\ncommand = true\n", 0
    for row in re.findall(r"^\.It .* Ta (.*)$", GUIDE.partition("Sh COMING FROM PM2")[2], re.M):
        words = re.split(", ", re.split("[;:] ", row)[0])
        lines = [w for w in words if " = " in w]
        known += len(lines) + len(keys.intersection(words))
        if lines:
            command = [] if lines[0].startswith("command") else ["command = true"]
            text += "\n".join((f"[cluster:c{known}]", *command, *lines, ""))
    assert known > 80
    write("it.ini", text.replace("PATH", path("x")).replace("COMMAND", "true").replace("CMD", "x"))
    nclust("config --check -c it.ini").ok()


def test_what_readme_points_to_is_there_and_the_guide_has_its_commands():
    readme = read(f"{SRC}/README.md")
    assert "README.md" in read(f"{SRC}/README")
    for page in (f"{SRC}/README.md", *glob.glob(f"{SRC}/man/md/*")):
        for link in re.findall(r"\]\(([^)#:]+)\)", read(page)):
            assert os.path.exists(f"{os.path.dirname(page)}/{link}") and not link[-1].isdigit(), link
    for words in re.findall(r"(?:`|^    \$ )(nclust [^`\n]*)", readme, re.M):
        assert re.search(rf"^\$ {re.escape(words)}(?: |$)", GUIDE, re.M), words
    file = re.search(r"^    \[cluster.*?(?=^    \$)", readme, re.M | re.S)[0]
    assert re.sub("^    ", "", file, flags=re.M) == blocks("FIRST SESSION")[1][1]
