# SPDX-License-Identifier: MIT
"""Servers that nobody here wrote, or that are written as any, which open their port
themselves or take it from outside: two copies answer on the one port, what waits outlives
them both, one is killed under requests, both are replaced, there are three and one, and all
are gone.  As root and as an ordinary user, in containers of several kinds, and inside another
nclust.  Where the port cannot be taken over that is said once, and one worker serves."""
import re

from harness import *

NOBODY = "--user '#65534' --group '#65534'"
DOCKER = (fixture("confine"), "docker", "--")
CLIENTS = 3  # of those that ask while workers die


def session_of(stat):
    """Of /proc/self/stat, as a server of files gives it."""
    return int(stat.rpartition(") ")[2].split()[3])


def process_of(info):
    return int(re.search(r"process_id:(\d+)", info).group(1))


OF_PROC = {"say": "GET /self/stat HTTP/1.0\r\n\r\n", "who": session_of, "at_once": CLIENTS}
INDEX = "GET /index.html HTTP/1.0\r\n\r\n"

NGINX = """
daemon off;
worker_processes 2;
error_log stderr;
user root;
events {}
http {
    access_log off;
    client_body_temp_path %(dir)s/body;
    proxy_temp_path %(dir)s/proxy;
    fastcgi_temp_path %(dir)s/fastcgi;
    uwsgi_temp_path %(dir)s/uwsgi;
    scgi_temp_path %(dir)s/scgi;
    server {
        listen 8000 %(how)s;
        listen [::]:8000 %(how)s;
        return 200 "pid=$pid\\n";
    }
}
"""


def nginx(how=""):
    return ("nginx", "-c", write("nginx.conf", NGINX % {"dir": path(), "how": how}),
            "-g", f"pid {path()}/nginx.{{slot}}.pid;")


def gunicorn(*options):
    return ("gunicorn", "--chdir", f"{SRC}/tests/e2e/servers", "--worker-tmp-dir", path(),
            "--graceful-timeout", 600, *options, "app:app")


def lighttpd(conf):
    write("index.html", "hello\n")
    return ("lighttpd", "-D", "-f", server(conf))


def http_server():
    return ("python3", "-m", "http.server", "--directory", "/proc", PORT)


# Of each: options of nclust, the command, and what Life has to know of it.
BINDS = {
    "a C program": ("", lambda: (PLAIN, PORT), {}),
    "a C program that shuts the socket of all down": (
        "", lambda: (PLAIN, PORT, "--shut"), {"shuts": True}),
    "asyncio, on IPv4 and IPv6": (
        "", lambda: ("python3", server("plain-asyncio.py"), PORT),
        {"at_once": CLIENTS, "addresses": 2}),
    "a worker of Node's cluster": (
        "", lambda: ("node", server("plain.js"), PORT),
        {"at_once": CLIENTS}),
    "a C program whose child listens on no socket that listens": (
        "", lambda: (PLAIN, PORT, "--ask", "--fork"), {}),
    "a child binds and serves": ("--stop-timeout 2s", lambda: (UNWELL, "--fork", "--port", PORT), {}),
}

NIGHTLY = {
    "gunicorn": ("", lambda: gunicorn("-w", 1, "-b", f"127.0.0.1:{PORT}"), {"drains": True}),
    "a C program without shared libraries": ("", lambda: (fixture("plain-static"), PORT), {}),
    "a C program that listens on no socket that listens": (
        "", lambda: (PLAIN, PORT, "--ask"), {}),
    "Node without its cluster": (
        "--ipc off", lambda: ("node", server("plain.js"), PORT), {"at_once": CLIENTS}),
    "python3 -m http.server": ("", http_server, {**OF_PROC, "want": "python3"}),
    "gunicorn --reuse-port": (
        "", lambda: gunicorn("-w", 2, "--reuse-port", "-b", f"127.0.0.1:{PORT}"),
        {"drains": True, "at_once": 2}),
    "nginx": ("--stop-signal QUIT", nginx, {"drains": True, "at_once": CLIENTS, "addresses": 2}),
    "lighttpd": (
        "--stop-signal INT --env DIR={dir} --env PORT=8000",
        lambda: lighttpd("plain-lighttpd.conf"),
        {"drains": True, "at_once": CLIENTS, "say": INDEX}),
    "redis": (
        "", lambda: ("redis-server", "--port", PORT, "--save", ""),
        {"say": "INFO server\r\nQUIT\r\n", "want": "process_id:", "who": process_of,
         "at_once": CLIENTS, "addresses": 2}),
    "php -S": ("", lambda: ("php", "-S", f"127.0.0.1:{PORT}", server("app.php")),
               {"at_once": CLIENTS}),
    "Perl with HTTP::Daemon": ("", lambda: ("perl", server("daemon.pl"), PORT), {}),
    "busybox httpd": ("", lambda: ("busybox", "httpd", "-f", "-p", PORT, "-h", "/proc"),
                      {**OF_PROC, "want": "busybox"}),
}

# These take the socket that nclust has opened.
TAKES = {
    "a Python script with socket.fromfd(3)": (
        "--ready alive:1ms", lambda: ("python3", server("fromfd.py")), {}),
}

TAKES_NIGHTLY = {
    "gunicorn, by LISTEN_FDS, ready when it says so": (
        "--ready notify", lambda: gunicorn("--workers", 1), {}),
    "lighttpd, by LISTEN_FDS, emptied by SIGINT": (
        "--stop-signal INT --env DIR={dir} --ready alive:1ms", lambda: lighttpd("lighttpd.conf"),
        {"say": INDEX, "at_once": CLIENTS}),
    "Node with listen({fd: 3})": (
        "--ready alive:1ms", lambda: ("node", server("listen-fd.js")), {"at_once": CLIENTS}),
    "Starlet, by Server::Starter's variable": (
        "--pass server-starter --ready alive:1ms",
        lambda: ("plackup", "-s", "Starlet", "--max-workers", 1, "-E", "production",
                 server("app.psgi")), {}),
    "a script with Server::Starter's module": (
        "--ready alive:1ms", lambda: ("perl", server("starter.pl")), {}),
}


def begin(options, command, about, **more):
    it = cluster(f"-n 2 --bake 0s {options.format(dir=path())}", *command(), **more)
    return Life(it, **about)


@pytest.mark.parametrize("server", [
    *BINDS, *(pytest.param(name, marks=pytest.mark.nightly) for name in NIGHTLY)])
def test_two_copies_of_a_server_that_binds_its_port_share_it_for_life(server):
    options, command, about = {**BINDS, **NIGHTLY}[server]
    begin(f"--ready listen {options}", command, about).lead()


@pytest.mark.parametrize("server", [
    *TAKES, *(pytest.param(name, marks=pytest.mark.nightly) for name in TAKES_NIGHTLY)])
def test_two_copies_of_a_server_that_takes_its_socket_share_it_for_life(server):
    options, command, about = {**TAKES, **TAKES_NIGHTLY}[server]
    begin(f"-l 127.0.0.1:{PORT} {options}", command,
          {"addresses": 0, "drains": True, **about}).lead()


def test_32_bit_programs_however_they_bind():
    if os.uname().machine != "x86_64" or run("sh", "-c", '"$0"', fixture("plain-32")).status == 126:
        pytest.skip("no 32-bit programs here")
    for how in ((), ("--by", "socketcall"), ("--by", "direct")):
        write("it.log", "")
        life = begin("--ready listen", lambda: (fixture("plain-32"), PORT, *how), {})
        life.both_answer()
        life.port_is_learned()
        life.nothing_stays()


@pytest.mark.nightly
def test_a_c_program_over_multipath_tcp():
    need_multipath_tcp()
    life = begin("--ready listen", lambda: (PLAIN, PORT, "--mptcp"), {})
    life.both_answer()
    life.death_under_load()
    life.restart_under_load()
    life.nothing_stays()


@pytest.mark.nightly
def test_nginx_with_two_sockets_of_its_own_at_each_address():
    life = begin("--ready listen", lambda: nginx("reuseport"),
                 {"at_once": CLIENTS, "addresses": 2, "copies": 2})
    life.both_answer()
    life.port_is_learned()
    life.death_under_load()
    life.restart_under_load()
    life.nothing_stays()


class FastCgi(Life):
    def ask(self):
        return run("cgi-fcgi", "-bind", "-connect", f"127.0.0.1:{PORT}", env={
            "PATH": os.environ["PATH"], "SCRIPT_FILENAME": server("app.php"),
            "REQUEST_METHOD": "GET", "REDIRECT_STATUS": "200"}).ok()


@pytest.mark.nightly
def test_php_cgi_as_a_fastcgi_server_on_descriptor_0():
    it = cluster(f"-n 2 -l 127.0.0.1:{PORT} --pass stdin --ready alive:1ms", "php-cgi")
    life = FastCgi(it, addresses=0)
    life.both_answer()
    it.reborn(0)
    it.call("restart")
    life.both_answer()
    life.more_and_fewer()
    life.nothing_stays()


# ---- where ----

# Options, and what nclust runs under.
PLACES = {
    "an ordinary user": ("", AS_NOBODY),
    "root, with workers under another user": (NOBODY, ()),
    "as in Docker": ("", DOCKER),
}
PLACES_NIGHTLY = {
    "as in Docker, an ordinary user": ("", (*DOCKER, *AS_NOBODY)),
    "as in Docker, with workers under another user": (NOBODY, DOCKER),
}
EACH_PLACE = [
    pytest.param(where, kind, marks=() if where in PLACES and kind == "a C program"
                 else pytest.mark.nightly)
    for where in {**PLACES, **PLACES_NIGHTLY}
    for kind in ("a C program", "asyncio, on IPv4 and IPv6", "Node without its cluster")]


@pytest.mark.parametrize("where, kind", EACH_PLACE)
def test_it_is_so_everywhere(where, kind):
    need_root()
    user, under = {**PLACES, **PLACES_NIGHTLY}[where]
    if "ordinary" in where:
        os.chown("run", 65534, 65534)
    options, command, about = {**BINDS, **NIGHTLY}[kind]
    life = begin(f"--ready listen {options} {user}", command, about, under=under)
    it = life.it
    uid = os.stat(f"/proc/{it.worker(0).pid}").st_uid
    assert uid == (65534 if "user" in where else 0)
    life.both_answer()
    life.port_is_learned()
    life.queue_survives_all()
    life.death_under_load()
    life.restart_under_load()
    assert "no_new_privs" not in it.log()  # doctor tells of it
    life.nothing_stays()


def test_as_in_docker_ipv6_alone_and_ipv4_are_two_sockets():
    need_root()
    it = cluster("-n 2", fixture("binder"), *f"tcp6 v6only bind=:::{PORT} listen=5 tcp4 "
                 f"bind=0.0.0.0:{PORT} listen=5 serve".split(), under=DOCKER)
    wait(lambda: len(sockets("listen", PORT)) == 2)
    Life(it, addresses=2).both_answer()


@pytest.mark.parametrize("how", ("unnotified", "stacked"))
def test_where_nothing_can_be_taken_over_that_is_said_once_and_one_worker_serves(how):
    it = start("-n 2 --backoff-min 1ms --backoff-max 1ms", PLAIN, PORT,
               under=(fixture("confine"), how, "--"))
    wait_listened()
    it.event("exited", n=5)
    assert get().pid in it.pids()
    assert it.log().count("cannot be taken over") == 1
    assert not it.says("opened by")
    assert it.stop() == 0
    wait(lambda: living() == [])  # `confine` ends after it


def test_one_worker_needs_nothing_of_it_and_keeps_serving_when_a_restart_fails():
    it = start("-n 1 --surge 1 --ready alive:1s", PLAIN, PORT, clock=True,
               under=(fixture("confine"), "unnotified", "--"))
    wait_listened()
    it.advance(1.1)
    it.wait_ready()
    pid = it.worker().pid
    is_refused("in use", it.call, "restart")
    assert get().pid == it.worker().pid == pid


# ---- nclust inside nclust ----

def servers():
    return [p for p in living() if command(p).startswith(PLAIN)]


def test_nclust_inside_nclust_the_outer_one_takes_over_for_all():
    # two of one name cannot be: each has its own, in each generation
    it = cluster("-n 2 --bake 0s", "sh", "-c", 'exec "$0" --name "in-$$" "$@"', inside(PROGRAM),
                 "-n", 1, "--", PLAIN, PORT)
    inner = wait(lambda: len(servers()) == 2 and servers())
    wait_listened()  # the inner ones are ready before that
    assert {int(stat(p)[1]) for p in inner} == set(it.pids())
    for pid, other in (inner, inner[::-1]):
        freeze(other)
        assert get().pid == pid
        thaw(other)
    life = Life(it)
    life.port_is_learned()
    visits = life.visits()
    visits.more()
    kill(inner[0])
    wait(lambda: is_gone(inner[0]) and len(servers()) == 2)  # its own nclust replaces it
    visits.more()
    got = visits.end()
    assert (got.refused, got.late) == (0, 0)
    assert got.lost <= 1
    life.restart_under_load()
    wait(lambda: len(servers()) == 2 and not set(servers()) & set(inner))
    life.nothing_stays()
