# SPDX-License-Identifier: MIT
"""The files of etc/examples that are whole stacks, as they are, with the real programs: they serve,
and a rolling restart under a few clients loses nothing.  Only numbers of CPUs, and times that a
reader would wait for, are smaller.  What is not installed is skipped by name: scripts/setup
nightly and wild have all but Next.js, Rails and sidekiq, which are played."""
import glob
import shutil

from harness import *

MODULES = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")),
                       "nclust/node/node_modules")
BUILT = f"{SRC}/build/wild"

def need_or_skip(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"no {program} here")


def need_modules(*names):
    """Of the python3 of the distribution."""
    for name in names:
        if run("/usr/bin/python3", "-c", f"import {name}").status != 0:
            pytest.skip(f"no {name} for python3 here")


def lays_out(example, *, env="", edits=(), srv="/srv/shop", **files):
    """That file is in /etc/nclust, and what a release has is in the directory `srv`; both are this
    test's alone.  Returns the path of the file."""
    need_root()
    for place in ("upper", "work"):
        os.mkdir(f"/run/{place}")
    run("mount", "-t", "overlay", "-o", "lowerdir=/etc,upperdir=/run/upper,workdir=/run/work", "x",
        "/etc").ok()
    for place in ("/srv", "/var/log"):
        run("mount", "-t", "tmpfs", "-o", "mode=755", "x", place).ok()
    os.makedirs("/etc/nclust", exist_ok=True)
    to = f"/etc/nclust/{os.path.basename(example)}"
    write(to, read(f"{SRC}/etc/examples/{example}"))
    for old, new in edits:
        edit(to, old, new)
    write(to.replace(".ini", ".env"), f"SECRET=s3\n{env}", 0o600)
    os.makedirs(srv)
    for name, text in files.items():
        write(f"{srv}/{name}", text, 0o755)
    nclust("config --check -c", to).ok()
    return to


def stub(name, to):
    """A program of the distribution in the place where a release has it."""
    os.makedirs(os.path.dirname(to), exist_ok=True)
    os.symlink(shutil.which(name), to)


def rolls(it, port, want="pid=", path="/", restart=None):
    """All clusters are replaced under three clients, who lose nothing."""
    before = {c.name: c.generation for c in it.status().clusters}
    old = {p for name in before for p in it.pids(name)}
    visits = Visits(port, "--path", path, "--want", want)
    visits.more()
    if restart:
        restart(visits)
    else:
        it.call("restart")
    visits.more()
    got = visits.end()
    it.wait_ready()
    assert got.answered > 0 and (got.refused, got.lost, got.late) == (0, 0, 0)
    for c in it.status().clusters:
        assert (c.generation, c.ready) == (before[c.name] + 1, c.wanted), c.name
    wait_gone(*old)


# ---- programs that each check has ----

EXPRESS = """
const app = require("express")();
app.get("/", (_, response) => response.send(`pid=${process.pid} ${process.env.SECRET}\\n`));
app.get("/health", (_, response) => response.send("well\\n"));
app.listen(process.env.PORT);
"""


def test_express():
    need_or_skip("node")
    if not os.path.isdir(f"{MODULES}/express"):
        pytest.skip("no express here")
    ini = lays_out("express.ini", edits=[("workers = auto", "workers = 2")], srv="/srv/shop/1",
                   **{"server.js": EXPRESS})
    os.rename("/etc/nclust/express.env", "/etc/nclust/shop.env")
    shutil.copytree(MODULES, "/srv/shop/1/node_modules",
                    ignore=shutil.ignore_patterns("@*", "node[0-9]*"))
    shutil.copytree("/srv/shop/1", "/srv/shop/2")
    edit("/srv/shop/2/server.js", "pid=", "release 2, pid=")
    os.symlink("1", "/srv/shop/current")
    it = cluster(f"-c {ini}")
    assert get(port=3000).body.endswith(" s3\n") and len(it.pids()) == 2

    def deploys(visits):
        os.unlink("/srv/shop/current")
        os.symlink("2", "/srv/shop/current")
        it.call("restart")

    rolls(it, 3000, restart=deploys)
    assert get(port=3000).body.startswith("release 2, ")


# What "next build" writes begins the server of Next.js in this way; Next.js itself is not here.
NEXT = """
const http = require("http");
const server = http.createServer((request, response) => response.end(`pid=${process.pid}\\n`));
server.keepAliveTimeout = Number(process.env.KEEP_ALIVE_TIMEOUT);
server.listen(Number(process.env.PORT), process.env.HOSTNAME);
process.on("SIGTERM", () => server.close(() => process.exit(0)));
"""


def test_nextjs_played_by_a_server_that_starts_and_ends_as_its_own():
    need_or_skip("node")
    ini = lays_out("nextjs.ini", edits=[("workers = auto", "workers = 2"), ("30s", "1s")],
                   srv="/srv/nextjs/1", **{"server.js": NEXT})
    os.symlink("1", "/srv/nextjs/current")
    it = cluster(f"-c {ini}")
    assert it.cluster().listeners[0].address == "tcp:127.0.0.1:3000"
    rolls(it, 3000)


def test_php_fpm_behind_nginx():
    need_or_skip("nginx")
    found = sorted(glob.glob("/usr/sbin/php-fpm[0-9]*"))
    need_or_skip(found[-1] if found else "php-fpm")
    ini = lays_out("php-fpm/php-fpm.ini", edits=[("/usr/sbin/php-fpm8.2", found[-1])],
                   srv="/srv/php", **{"index.php": '<?php echo "pid=", getmypid(), "\\n";'})
    for name in ("fpm.conf", "nginx.conf"):
        shutil.copy(f"{SRC}/etc/examples/php-fpm/{name}", "/etc/nclust")
    it = cluster(f"-c {ini}")
    assert get("/any/page", port=8080).pid
    rolls(it, 8080)
    rolls(it, 8080)


def test_a_c_server():
    ini = lays_out("c-server.ini", srv="/srv/quotes")
    shutil.copy(PLAIN, "/srv/quotes/quoted")
    it = cluster(f"-c {ini}")
    assert len(it.pids()) == 4
    assert "Max core file size        unlimited" in read(f"/proc/{it.pids()[0]}/limits")
    rolls(it, 7000)
    assert it.reborn(2) and len(it.pids()) == 4


# A server of a model: the port is open before the model is there.
MODEL = """
import os, threading, time
loaded = threading.Event()

def load():
    while not os.path.exists(os.environ["MODEL"]):
        time.sleep(0.01)
    loaded.set()

threading.Thread(target=load, daemon=True).start()

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    status = 200 if loaded.is_set() else 503
    if status == 503:
        open(os.environ["MODEL"] + ".asked", "w").close()
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"pid=%d\\n" % os.getpid() * loaded.is_set()})
"""


def test_a_model_gets_clients_after_it_has_loaded():
    need_or_skip("uvicorn")
    ini = lays_out("model.ini", srv="/srv/model", edits=[(";env = CUDA", "env = CUDA")],
                   **{"serve.py": MODEL})
    stub("uvicorn", "/srv/model/venv/bin/uvicorn")
    os.mkdir("/srv/model/gate")
    shutil.chown("/srv/model/gate", "www-data")
    it = start(f"-c {ini}", env={"MODEL": "/srv/model/gate/open"})
    asked = "/srv/model/gate/open.asked"
    wait(lambda: os.path.exists(asked))
    assert get(port=8500).status == 503
    write("/srv/model/gate/open", "")
    it.wait_ready()
    assert [environment(w.pid)["CUDA_VISIBLE_DEVICES"] for w in it.workers()] == ["0", "1"]

    def while_it_loads(visits):
        os.unlink("/srv/model/gate/open")
        os.unlink(asked)
        outcome = it.begin("restart")
        wait(lambda: os.path.exists(asked))  # by nclust alone
        visits.more()
        write("/srv/model/gate/open", "")
        outcome()

    rolls(it, 8500, restart=while_it_loads)


JOB = """#!/bin/sh
echo begun >>/srv/shop/var/jobs
until [ -e /srv/shop/var/gate ]; do sleep 0.02; done
echo done >>/srv/shop/var/jobs
"""


def test_a_shop_with_its_queue_and_its_scheduled_job():
    ini = lays_out("shop/shop.ini", edits=[("every 3600", "every 1")], **{
        "web": f"#!/bin/sh\nexec {PLAIN} 8000\n",
        "queue": f"#!/bin/sh\nexec {HEAR}\n",
        "migrate": '#!/bin/sh\necho "$NCLUST_EVENT" >>/srv/shop/var/migrated\n',
        "every": read(f"{SRC}/etc/examples/shop/every"), "cleanup": JOB})
    os.mkdir("/srv/shop/var")
    shutil.chown("/srv/shop/var", "www-data")
    os.mkdir("/var/log/shop")
    jobs = "/srv/shop/var/jobs"
    it = cluster(f"-c {ini}")
    assert get("/readyz", port=9100).status == 200
    wait(lambda: read(jobs) == "begun\n")

    def in_the_middle_of_a_job(visits):
        outcome = it.begin("restart")
        it.event("stopping", cluster="hourly")
        write("/srv/shop/var/gate", "")
        outcome()

    rolls(it, 8000, restart=in_the_middle_of_a_job)
    assert read("/srv/shop/var/migrated") == "before\nbefore\n"
    wait(lambda: len(lines(jobs)) >= 4)  # the next one does its work
    nclust("stop it/hourly").ok()
    done = lines(jobs)
    assert done == ["begun", "done"] * (len(done) // 2)
    assert it.stop() == 0 and living() == []


# ---- programs that scripts/setup wild installs ----

FLASK = """
import os
from flask import Flask
app = Flask(__name__)
app.add_url_rule("/", "home", lambda: f"pid={os.getpid()}\\n")
app.add_url_rule("/health", "health", lambda: "well\\n")
"""


@pytest.mark.nightly
def test_flask():
    need_or_skip("gunicorn")
    need_modules("flask")
    ini = lays_out("flask.ini", srv="/srv/flask", edits=[("auto*2", "2")], **{"app.py": FLASK})
    stub("gunicorn", "/srv/flask/venv/bin/gunicorn")
    it = cluster(f"-c {ini}")
    assert len(it.pids()) == 2
    rolls(it, 8000)
    # code that cannot be imported replaces nobody
    write("/srv/flask/app.py", "import nothing_of_that_name\n")
    before = it.pids()
    with pytest.raises(Refused):
        it.call("restart")
    assert it.pids() == before and get().pid


DJANGO = {
    "shop/settings.py": """
import os
SECRET_KEY = os.environ["SECRET"]
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
ROOT_URLCONF = "shop.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "var/db"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
CELERY_BROKER_URL = os.environ["CELERY_BROKER_URL"]
CELERY_BEAT_SCHEDULE = {"tick": {"task": "shop.celery.tick", "schedule": 0.2}}
""",
    "shop/urls.py": """
import os
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.urls import path
urlpatterns = [
    path("", lambda _: HttpResponse(f"pid={os.getpid()} users={User.objects.count()}\\n")),
    path("health", lambda _: HttpResponse("well\\n")),
]
""",
    "shop/wsgi.py": """
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
""",
    "shop/__init__.py": "from .celery import app\n",
    "shop/celery.py": """
import os
from celery import Celery
app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")

@app.task
def tick():
    with open("var/ticks", "a") as f:
        f.write(f"{os.getpid()}\\n")
""",
    "manage.py": """
import sys
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""}


@pytest.mark.nightly
def test_django_with_celery_and_beat():
    need_or_skip("gunicorn", "redis-server", "celery")
    need_modules("django", "redis")
    ini = lays_out("django.ini", srv="/srv/django", edits=[("auto*2", "2")],
                   env="CELERY_BROKER_URL=redis://127.0.0.1:6379/0\n", **DJANGO)
    os.mkdir("/srv/django/var")
    shutil.chown("/srv/django/var", "www-data")
    for name in ("gunicorn", "celery"):
        stub(name, f"/srv/django/venv/bin/{name}")
    os.symlink("/usr/bin/python3", "/srv/django/venv/bin/python")
    begin_program("redis-server", "--port", 6379, "--save", "", stdout="redis.log")
    wait_listened(6379)
    it = cluster(f"-c {ini}")
    assert get().part("users") == "0"  # the tables are there
    ticks = "/srv/django/var/ticks"

    def all_work():
        return set(map(int, lines(ticks))) >= set(it.pids("tasks"))

    wait(all_work)
    rolls(it, 8000, "users=0")
    wait(all_work)


@pytest.mark.nightly
def test_rails_played_by_rack_with_puma():
    need_or_skip("puma", "bundle")
    ini = lays_out("rails.ini", srv="/srv/rails/1", edits=[("workers = auto", "workers = 2")], **{
        "Gemfile": 'source "https://rubygems.org"\ngem "puma"\ngem "rack"\n',
        "config.ru": read(f"{SRC}/tests/e2e/wild/config.ru"),
        "config/puma.rb": 'threads ENV["RAILS_MAX_THREADS"], ENV["RAILS_MAX_THREADS"]\n'
                          'port ENV["PORT"]\nenvironment ENV["RAILS_ENV"]\n',
        "bin/rails": '#!/bin/sh\necho "$*" >>/srv/rails/migrated\n',
        "bin/sidekiq": f"#!/bin/sh\nexec {HEAR}\n"})
    write("/srv/rails/migrated", "", 0o666)
    os.symlink("1", "/srv/rails/current")
    bundle = run("bundle", "install", "--local", cwd="/srv/rails/1")
    if bundle.status != 0:
        pytest.skip(f"no puma for bundle here: {bundle.err}")
    it = cluster(f"-c {ini}", env={"PATH": f"/srv/rails/1/bin:{os.environ['PATH']}"})
    rolls(it, 3000)
    assert read("/srv/rails/migrated") == "db:migrate\n" * 2


@pytest.mark.nightly
def test_go():
    if not os.path.exists(f"{BUILT}/server"):
        pytest.skip("no server of Go here: scripts/run wild builds it")
    ini = lays_out("go.ini", srv="/srv/go")
    shutil.copy(f"{BUILT}/server", "/srv/go/api")
    it = cluster(f"-c {ini}")
    assert "GOMAXPROCS" in environment(it.pids()[0])
    rolls(it, 8080)
