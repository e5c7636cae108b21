# SPDX-License-Identifier: MIT
"""What is given away: the Debian package, the container image and the source archive, each made
from the sources and tried.  `make package-tests`: some five minutes, as root, with a network."""
import filecmp
import glob
import os
import pathlib
import re
import shutil
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
SERVER = "build/fixtures/plain-static"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

# What it writes outside of /dev/pts is gone afterwards.
ELSEWHERE = """
mount -t tmpfs none "$1"
cd "$1"
mkdir upper work root
mount -t overlay none root -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work"
for dir in proc sys dev; do
	mount --rbind "/$dir" "root/$dir"
done
mount -t tmpfs -o mode=1777 none root/dev/shm
cd root
mkdir -p old.root
pivot_root . old.root
umount -l /old.root
mount --make-rshared /
shift
exec sh -eu -c "$@"
"""


def run(*command, **options):
    """Its output; it has to end well."""
    done = subprocess.run([str(c) for c in command], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


def elsewhere(place, script, *args):
    mount = place / "mnt"
    mount.mkdir()
    return run("unshare", "--mount", "--propagation", "private", "sh", "-eu", "-c", ELSEWHERE, "-",
               mount, script, "-", *args)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The packages, of a clean clone."""
    place = tmp_path_factory.mktemp("deb")
    run("git", "clone", "-q", TOP, place / "clone")
    run("make", "-s", "deb", cwd=place / "clone")
    return place / "clone/build"


def only(pattern):
    found = glob.glob(str(pattern))
    assert len(found) == 1, found
    return found[0]


def test_lintian_has_nothing_to_say_of_the_package(made):
    said = run("lintian", "--fail-on", "error,warning", only(made / "nclust_*.changes"))
    assert not [line for line in said.splitlines() if line[:2] in ("E:", "W:")]


@pytest.mark.parametrize("library, field, page", (
    ("libmicrohttpd.so.12", "Recommends", "nclust-http.7"),
    ("libncursesw.so.6", "Recommends", "nclust.1"), ("libnats.so.*", "Suggests",
                                                     "nclust-messages.7")))
def test_it_names_the_packages_of_libraries_as_this_release_does(made, library, field, page):
    name = run("dpkg", "-S", f"*/{library}").partition(":")[0]
    run("apt-cache", "show", name)
    assert name in re.split(r"[, ]+", run("dpkg-deb", "-f", only(made / "nclust_*.deb"), field)
                            .strip())
    assert re.search(rf"\b{name}\b", (TOP / "man" / page).read_text())


def test_others_can_read_its_files_as_they_are_and_etc_nclust_is_there(made):
    said = run("dpkg-deb", "-c", only(made / "nclust_*.deb")).split()
    doc = "./usr/share/doc/nclust/"
    assert {"./etc/nclust/", *(doc + name for name in (
        "nclust.ini", "grafana-dashboard.json", "prometheus-rules.yml"))} <= set(said)


def test_installed_it_rolls_a_real_cluster_removed_it_leaves_nothing(made, tmp_path):
    shutil.copy(only(made / "nclust_*.deb"), tmp_path / "nclust.deb")
    shutil.copy(TOP / "etc/debian/tests/roll", tmp_path)
    elsewhere(tmp_path, """
        dpkg -i "$1/nclust.deb"
        dpkg -L nclust | while read -r file; do [ -d "$file" ] || echo "$file"; done >/files
        grep -qx /usr/bin/nclust /files
        grep -qx /usr/share/man/man1/nclust.1.gz /files
        AUTOPKGTEST_TMP= "$1/roll"
        dpkg --purge nclust
        while read -r file; do ! [ -e "$file" ] || { echo "left: $file"; exit 1; }; done </files
        """, tmp_path)


def test_install_makes_files_that_all_may_read_whatever_the_umask_of_root(tmp_path):
    run("make", "-s", "install", f"DESTDIR={tmp_path}", "PREFIX=/usr", cwd=TOP, umask=0o077)
    for at in sorted(tmp_path.rglob("*")):
        assert at.stat().st_mode & 0o777 in ((0o755,) if at.is_dir() else (0o644, 0o755)), at
    examples = tmp_path / "usr/share/doc/nclust/examples"
    assert sorted(p.relative_to(examples) for p in examples.rglob("*")) == sorted(
        p.relative_to(TOP / "etc/examples") for p in (TOP / "etc/examples").rglob("*"))


def test_autopkgtest_finds_the_test_in_the_source_package_and_it_passes(tmp_path):
    run("git", "clone", "-q", TOP, tmp_path / "clone")
    run("scripts/make-deb", "--source", cwd=tmp_path / "clone")
    said = elsewhere(tmp_path, """
        export DEBIAN_FRONTEND=noninteractive
        apt-get -qq update
        apt-get -qq install autopkgtest
        autopkgtest "$1"/nclust_*.dsc "$1"/nclust_*_*.deb -- null
        """, tmp_path / "clone/build")
    assert re.search(r"^roll +PASS", said, re.M), said


def test_the_source_archive_is_the_same_twice_and_so_is_what_it_builds(tmp_path):
    for place in (tmp_path / "one", tmp_path / "another/deeper"):
        run("git", "clone", "-q", TOP, place)
        run("make", "-s", "dist", cwd=place)
        (place / "from").mkdir()
        run("tar", "-xzf", only(place / "build/nclust-*.tar.gz"), "-C", place / "from",
            "--strip-components=1")
        run("make", "-s", "-j2", "nclust", cwd=place / "from")
    one, two = tmp_path / "one", tmp_path / "another/deeper"
    assert filecmp.cmp(only(one / "build/nclust-*.tar.gz"), only(two / "build/nclust-*.tar.gz"),
                       shallow=False)
    assert filecmp.cmp(one / "from/nclust", two / "from/nclust", shallow=False)


def test_the_static_program_finds_users_in_the_files_alone(tmp_path):
    """Modules of the machine would bring its own libc into it."""
    (tmp_path / "trap.c").write_text(
        "__attribute__((constructor)) static void trap(void) { __builtin_trap(); }\n")
    elsewhere(tmp_path, """
        cc -shared -nostdlib -o /usr/lib/libnss_trap.so.2 "$1/trap.c"
        printf '%s: files trap\\n' passwd group initgroups >/etc/nsswitch.conf
        export NCLUST_RUNTIME_DIR="$1/run"
        "$2" -n 1 --restart never --user daemon -- true
        for id in --user=nobody-at-all --group=nobody-at-all; do
            status=0
            "$2" -n 1 "$id" -- true || status=$?
            [ "$status" = 64 ]
        done
        """, tmp_path, TOP / "build/static/nclust")


def test_the_static_program_is_stripped_and_runs_with_busybox_alone(tmp_path):
    run("apt-get", "-qq", "download", "busybox-static", cwd=tmp_path)
    run("dpkg", "-x", only(tmp_path / "busybox-static_*.deb"), tmp_path / "root")
    if not (tmp_path / "root/bin").exists():  # it comes with Debian's base-files from 13 on
        (tmp_path / "root/bin").symlink_to("usr/bin")
    shutil.copy(TOP / "build/static/nclust", tmp_path / "root/bin")
    assert ".symtab" not in run("readelf", "-SW", tmp_path / "root/bin/nclust")
    for folder in ("proc", "dev", "tmp", "srv"):
        (tmp_path / "root" / folder).mkdir(exist_ok=True)
    (tmp_path / "root/srv/hello").write_text("hello\n")
    said = run("unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "sh", "-euc", """
        ip link set lo up
        cd "$1"
        mount -t proc proc proc
        mount --rbind /dev dev
        exec chroot . /bin/busybox sh -eu -c '
            nclust -d -n 2 --name it -- busybox httpd -f -p 8000 -h /srv
            nclust restart it
            busybox wget -q -O - http://127.0.0.1:8000/hello
            nclust stop it
            nclust -n 1 -l 8000 --name out --ready notify --fallback 503 --fallback-after 100ms -- busybox sleep 1000 &
            until busybox wget -O - http://127.0.0.1:8000/ 2>&1 | busybox grep 503; do kill -0 $!; busybox sleep 0.1; done
            nclust stop out'
        """, "-", tmp_path / "root")
    assert "hello" in said.splitlines(), said
    assert "HTTP/1.1 503" in said


def test_the_image_is_small_and_runs_as_root_as_another_user_and_read_only():
    run("tests/packages/image", SERVER, "", "--user 1234:1234", "--read-only",
        "--read-only --user 1234:1234", cwd=TOP,
        env={**os.environ, "PODMAN": "podman --runtime runc"})


def test_an_ordinary_user_can_make_the_image_and_run_it(tmp_path):
    place = tmp_path / "from"
    place.mkdir()
    run("cp", "--parents", "etc/Containerfile", "scripts/make-image", "tests/packages/image",
        "build/static/nclust", SERVER, place, cwd=TOP)
    run("chmod", "-R", "go=rX", tmp_path, *tmp_path.parents[:-2])
    elsewhere(tmp_path, """
        useradd -m -s /bin/sh shop
        mkdir -m 700 /tmp/of-shop
        chown shop /tmp/of-shop
        cd "$1"
        su shop -c "
            export XDG_RUNTIME_DIR=/tmp/of-shop
            PODMAN='podman --runtime runc --storage-driver vfs --cgroup-manager cgroupfs'
            export PODMAN
            tests/packages/image $2 '' --read-only"
        """, place, SERVER)
