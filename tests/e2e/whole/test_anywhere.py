# SPDX-License-Identifier: MIT
"""Where nclust is started from and by whom: users without a session, read-only roots, images
without /tmp; hooks and workers that ask it."""
import json
import re
import shutil

from harness import *

UID = 1234
SHARED = f"/tmp/nclust-{UID}"


@pytest.fixture
def user():
    """Runs nclust as a user that nobody is, without a session, with a /tmp of its own."""
    need_root()
    shutil.copy(inside(PROGRAM), "nclust")
    os.mkdir("/run/kept")
    for words in (("--bind", path(), "/run/kept"), ("-t", "tmpfs", "-o", "mode=1777", "x", "/tmp")):
        run("mount", *words).ok()
    os.mkdir(path())
    run("mount", "--bind", "/run/kept", path()).ok()
    del os.environ["NCLUST_RUNTIME_DIR"]
    os.umask(0o077)

    def words(*args, **variables):
        return ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "env",
                "-u", "XDG_RUNTIME_DIR", *(f"{k}={v}" for k, v in variables.items()),
                path("nclust"), *args)
    return words


def begun(words):
    """Its instance has been started, and is ready."""
    begin_program(*words("--name", "mine", "-n", 1, "--ready", "alive:0", "--", *NAP))
    wait(lambda: run(*words("status", "mine")).status == 0)


def test_a_user_without_a_session_has_a_place_in_tmp_and_the_verbs_find_it(user):
    begun(user)
    made = os.stat(SHARED)
    assert (made.st_mode & 0o777, made.st_uid) == (0o700, UID)
    assert os.path.exists(f"{SHARED}/mine/control")
    assert "mine" in run(*user("status")).ok()
    run(*user("--name", "mine", "--", *NAP)).fails(75, "already running (pid ")
    # what is left of a session that ended is another user's, or nothing
    os.mkdir("session", 0o755)
    assert "mine" in run(*user("status", XDG_RUNTIME_DIR=path("session"))).ok()
    # one that began without a session is found within one; another one has its place there
    os.chown("session", UID, UID)
    session = {"XDG_RUNTIME_DIR": path("session")}
    run(*user("status", "mine", **session)).ok()
    run(*user("--name", "mine", "--", *NAP, **session)).fails(75, "already running")
    begin_program(*user("--name", "other", "-n", 1, "--ready", "alive:0", "--", *NAP, **session))
    wait(lambda: os.path.exists("session/nclust/other/control"))
    wait(lambda: re.search("mine.*other", run(*user("status", **session)).out, re.S))
    for name in ("other", "mine"):
        run(*user("stop", name, **session)).ok()
    assert not os.path.exists(f"{SHARED}/mine")


def test_after_a_logout_workers_are_replaced_verbs_find_it_and_its_name_is_taken(user):
    def log_in():
        make("session", UID, 0o700)
        return {"XDG_RUNTIME_DIR": path("session")}

    def answers(session):
        said = run(*user("status", "mine", "--json", **session))
        return said.status == 0 and json.loads(said.out)["clusters"][0]["workers"][0]

    words = ("--name", "mine", "-n", 1, "--ready", "notify", "--", NOTIFY, "READY=1")
    session = log_in()
    begin_program(*user(*words, **session))
    wait(lambda: answers(session) and answers(session)["state"] == "ready")
    old = answers(session)["pid"]
    shutil.rmtree("session")
    kill(old)
    for begins in (dict, log_in):
        session = begins()
        wait(lambda: (w := answers(session)) and w["state"] == "ready" and w["pid"] != old)
        run(*user(*words, **session)).fails(75, "'mine' is already running (pid ")
        run(*user("restart", "mine", **session)).ok()
    assert not os.listdir("session")
    run(*user("stop", "mine", **session)).ok()
    assert os.listdir(SHARED) == []


def test_somebody_elses_place_in_tmp_is_refused_and_named(user):
    make("out", mode=0o777)

    def refused(*says):
        result = run(*user("--name", "mine", "-n", 1, "--", "touch", path("out/ran")))
        result.fails(1, *says)
        assert not os.path.exists("out/ran")
        return result

    make(SHARED)
    for owner in (0, 65534):
        os.chown(SHARED, owner, -1)
        refused(f"'{SHARED}' belongs to user {owner}", "NCLUST_RUNTIME_DIR")
        run(*user("status")).fails(77, f"user {owner}")
    os.chown(SHARED, UID, -1)
    refused(f"'{SHARED}' is not safe: its mode is 0755, not 0700")
    os.rmdir(SHARED)
    make("elsewhere", UID, 0o700)
    os.symlink(path("elsewhere"), SHARED)
    for owner in (0, UID):
        os.lchown(SHARED, owner, -1)
        refused(f"'{SHARED}' is not safe: it is a symbolic link")
    os.unlink(SHARED)
    write(SHARED, "")
    refused(f"'{SHARED}': Not a directory")
    assert not os.listdir("elsewhere")
    # it is nobody's business where another place is used
    os.environ["NCLUST_RUNTIME_DIR"] = path("elsewhere")
    begun(user)
    run(*user("stop", "mine")).ok()


# ---- volumes of Kubernetes, which all may write to (mode 0777) ----

def test_root_is_told_what_to_do_with_a_config_map_and_another_user_reads_it(user):
    make("volume", mode=0o777)
    write("volume/..2026/it.ini", "[cluster]\ncommand = true\n")
    os.symlink("..2026", "volume/..data")
    os.symlink("..data/it.ini", "volume/it.ini")
    run("chmod", "-R", "go+rX", "volume/..2026").ok()
    make("map")
    write("alone.ini", "")
    for words in (("--bind", "volume", "map"), ("-o", "remount,bind,ro", "map"),
                  ("--bind", "map/it.ini", "alone.ini")):
        run("mount", *words).ok()
    check = ("config", "--check", "-c")
    nclust(*check, path("map/it.ini")).fails(78, "refused for root; try to mount the file alone, "
                                             "or as another user\n")
    nclust(*check, path("alone.ini")).ok()
    run(*user(*check, path("map/it.ini"))).ok()


def test_a_tmp_that_is_not_sticky_is_refused_and_the_advice_is_to_make_it_so(user):
    os.chmod("/tmp", 0o777)
    words = user("--name", "mine", "-n", 1, "--orphans", "keep", "--", *NAP)
    run(*words).fails(78, "'/tmp' is writable by others than its owner, refused; try chmod go-w, or +t")
    os.chmod("/tmp", 0o1777)
    begun(user)
    run(*user("stop", "mine")).ok()


# ---- an image ----

@pytest.fixture
def image():
    """A root with nothing but nclust and a server, which nobody can write to: no /tmp, no
    /run.  Starts nclust in it."""
    need_root()
    for place in ("proc", "dev", "tmp", "run/nclust"):
        os.makedirs(f"image/{place}")
    write("image/dev/null", "")
    for program, to in ((inside(PROGRAM), "nclust"), (SERVE, "serve")):
        shutil.copy(program, f"image/{to}")
        for library in re.findall(r"/\S+", run("ldd", program).ok()):
            os.makedirs(os.path.dirname(f"image{library}"), exist_ok=True)
            shutil.copy(library, f"image{library}")
    del os.environ["NCLUST_RUNTIME_DIR"]

    def begin(options, *command, tmp=False, **more):
        if not tmp:
            shutil.rmtree("image/tmp")
            shutil.rmtree("image/run")
        for words in (("--bind", "image", "image"), ("--bind", "/proc", "image/proc"),
                      ("--bind", "/dev/null", "image/dev/null"),
                      ("-o", "remount,bind,ro", "image"),
                      *([("-t", "tmpfs", "x", "image/tmp")] if tmp else [])):
            run("mount", *words).ok()
        return launch(options, *command, program="/nclust", under=("chroot", "image"), **more)
    return begin


def test_in_an_image_without_tmp_and_run_it_serves_and_says_what_is_missing(image):
    it = image("-n 2 -l 8000 --ready notify --intercept off --signal-USR2 upgrade", "/serve",
               "--notify")
    it.logged("it: 2 of 2 workers ready")
    assert it.log().count("control socket") == 1 and it.says("NCLUST_RUNTIME_DIR")
    for generation in ("2", "3"):
        kill(it.pid, SIGHUP)
        wait(lambda: get().part("gen") == generation)
        it.logged("rollout", 2 * int(generation) - 2)
        if generation == "2":
            kill(it.pid, SIGUSR2)
            it.logged("upgraded from")
    kill(it.pid, SIGTERM)
    assert it.exit() == 0


def test_a_worker_that_starts_during_an_upgrade_there_is_heard_and_nclust_lives_on(image):
    it = image("-n 1 -l 8000 --ready notify --intercept off --signal-USR2 upgrade", "/serve",
               "--delay", 2000, "--notify")
    wait(lambda: read(f"/proc/{it.pid}/task/{it.pid}/children"))
    kill(it.pid, SIGUSR2)
    it.logged("upgraded from")
    it.logged("it: 1 of 1 workers ready")
    kill(it.pid, SIGTERM)
    assert it.exit() == 0


def test_where_nothing_but_tmp_can_be_written_roots_instances_are_there(image):
    it = image("-n 1 -l 8000 --ready notify --intercept off --user '#1234' --group '#1234'",
               "/serve", "--notify", tmp=True)
    it.logged("it: 1 of 1 workers ready")
    made = os.stat("image/tmp/nclust-0")
    assert (made.st_mode & 0o777, made.st_uid) == (0o711, 0)
    assert not it.says("control socket")
    status = json.loads(run("chroot", "image", "/nclust", "status", "--json").ok())
    assert status["clusters"][0]["ready"] == 1


@pytest.mark.parametrize("options, env, says", (
    ("--orphans keep", {}, "'orphans = keep' needs a runtime directory"),
    ("", {"NCLUST_RUNTIME_DIR": "/place"}, "cannot make '/place': Read-only file system"),
))
def test_what_needs_a_directory_is_refused_where_there_is_none(image, options, env, says):
    it = image(f"-n 1 {options}", "/serve", env=env)
    assert it.exit() != 0
    assert it.says(says)
    # a verb says where it has looked
    result = run("chroot", "image", "/nclust", "stop")
    assert result.status == 69 and re.search("/run/nclust.*/tmp/nclust-0", result.err)


# ---- below nclust ----

def test_the_verbs_find_the_nclust_whose_hook_or_worker_calls_them():
    ask = write("ask", f"""#!/bin/sh
        {inside(PROGRAM)} status --json >{path()}/.$1 && mv {path()}/.$1 {path()}/$1
        """, 0o755)
    del os.environ["NCLUST_RUNTIME_DIR"]
    place = path("place")
    os.mkdir(place)
    launch(f"-n 1 --runtime-directory {place} --ready alive:0 --on-ready '{ask} hook'", "sh", "-c",
           '"$0" worker; exec sleep 1000', ask)
    for who in ("hook", "worker"):
        assert json.loads(wait(lambda: read(who)))["name"] == "it"
    # one that is named goes before it, and one that it is not names none
    os.environ["NCLUST_SOCKET"] = f"{place}/it/control"
    nclust("status it").ok()
    nclust("status it --runtime-directory", path("run")).fails(3)
    nclust("status it", env={**os.environ, "NCLUST_RUNTIME_DIR": path("run")}).fails(3)
    for word in ("control", "/control", "it/control", ""):
        nclust("status it", env={**os.environ, "NCLUST_SOCKET": word}).fails(3)
    nclust("stop it").ok()
