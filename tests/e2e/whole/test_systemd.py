# SPDX-License-Identifier: MIT
"""The unit file that comes with nclust, as the real systemd runs it: hardened, with limits,
sockets of its own, and over the death of nclust."""
import glob
import json
import re
import shutil

from harness import *
from harness.systemd import Systemd

SERVE = "/opt/nclust/fixtures/serve"
PYTHON = "python3 -m http.server --bind 127.0.0.1"
READY = f"command = {SERVE} --notify\nready = notify\nlisten = 0\n"


def need_limits():
    """systemd gives the unit a group with the controllers of cgroup v2."""
    wanted = {"cpu", "memory", "pids"}
    if not wanted <= set(read("/sys/fs/cgroup/cgroup.controllers").split()):
        pytest.skip(f"needs cgroup v2 with {sorted(wanted)}")


class Unit:
    """nclust@NAME.service."""
    systemd = None

    def __init__(self, name, ini="", service="", socket=""):
        if Unit.systemd is None:
            Unit.systemd = Unit.boot()
        self.run, self.name, self.unit = self.systemd.run, name, f"nclust@{name}.service"
        self.ini(ini)
        if service:
            self.systemd.write(f"/etc/systemd/system/{self.unit}.d/test.conf",
                               f"[Service]\n{service}")
        if socket:
            self.systemd.write(f"/etc/systemd/system/nclust@{name}.socket", f"[Socket]\n{socket}")
        self.systemctl("daemon-reload")

    @staticmethod
    def boot():
        systemd = Systemd()
        systemd.run("ip", "link", "set", "lo", "up").ok()
        os.makedirs(systemd.path("/opt/nclust"))
        shutil.copy(inside(PROGRAM), systemd.path("/opt/nclust/nclust"))
        shutil.copytree(fixture(""), systemd.path("/opt/nclust/fixtures"))
        systemd.write("/etc/systemd/system/nclust@.service",
                      read(f"{SRC}/etc/nclust@.service").replace("@bindir@", "/opt/nclust"))
        return systemd

    def ini(self, text):
        self.systemd.write(f"/etc/nclust/{self.name}.ini", text)

    def systemctl(self, verb, *args):
        return self.run("systemctl", verb, *args)

    def start(self):
        started = self.systemctl("start", self.unit)
        assert started.status == 0, self.said()
        return self

    def show(self, what):
        return self.systemctl("show", self.unit, "-p", what, "--value").out.strip()

    def nclust(self, *words):
        return self.run("/opt/nclust/nclust", *words)

    def status(self):
        return json.loads(self.nclust("status", self.name, "--json").out or "{}",
                          object_hook=Object)

    def web(self):
        return next(c for c in self.status().clusters if c.name == "web")

    def pids(self):
        return [w.pid for w in self.web().workers]

    def get(self, port, target="/"):
        return self.run("curl", "-sfm", "50", f"http://127.0.0.1:{port}{target}").ok()

    def said(self):
        return self.run("journalctl", "-u", self.unit, "--no-pager", "-o", "cat").out


@pytest.mark.nightly
@pytest.mark.unsanitized
@pytest.mark.shared
class TestUnit:
    def test_it_is_hardened_systemd_analyze_finds_no_more_than_4_0(self):
        unit = Unit("analyzed")
        said = unit.run("systemd-analyze", "security", "--no-pager", unit.unit).out
        assert float(re.findall(r"\d+\.\d", said.splitlines()[-1])[-1]) <= 4.0

    def test_a_server_that_binds_by_itself_as_another_user(self):
        unit = Unit("binds", f"[cluster:web]\ncommand = {PYTHON} 8101\nworkers = 2\n"
                    "listen = 127.0.0.1:8101\nuser = nobody\n").start()
        assert unit.show("ActiveState") == "active" and unit.web().ready == 2
        unit.get(8101)
        unit.run("kill", "-KILL", unit.pids()[0]).ok()
        wait(lambda: (unit.web().ready, unit.web().workers[0].restarts) == (2, 1))
        unit.nclust("restart", unit.name).ok()
        unit.get(8101)
        assert "cannot" not in unit.said()

    def test_all_that_nclust_does_for_a_cluster_is_allowed(self):
        need_limits()
        unit = Unit("allowed", f"""[nclust]
            http = 127.0.0.1:8103
            [cluster:web]
            command = {SERVE} --notify
            listen = 127.0.0.1:8104
            workers = 2..3
            user = nobody
            ready = notify
            log = journal
            cpu = spread
            nice = 5
            limit-nofile = 4096
            capabilities = none
            cpu-weight = 50
            pids-max = 20
            memory-max = 200M
            check = tcp
            check-interval = 1s
            shared-memory = 1M
            balance = rr
            on-ready = echo hook
            """.replace("            ", "")).start()
        wait(lambda: unit.web().ready == 2)
        unit.get(8103, "/readyz")
        assert "\nnclust_worker_connections" in unit.get(8103, "/metrics")
        unit.nclust("restart", unit.name).ok()
        unit.get(8104)
        assert unit.web().balance == "rr"
        assert not re.search("cannot|permitted|denied|fail|without|kernel chooses", unit.said())

    def test_user_in_the_unit_it_serves_without_any_right_and_takes_that_users_orders(self):
        at = "NCLUST_RUNTIME_DIR=/run/nclust-nobody"
        unit = Unit("user", f"[cluster:web]\ncommand = {PYTHON} 8105\nworkers = 2\n"
                    "listen = 127.0.0.1:8105\n", service="User=nobody\nAmbientCapabilities=\n"
                    "CapabilityBoundingSet=\nRuntimeDirectory=\nRuntimeDirectory=nclust-nobody\n"
                    f"Environment={at}\n").start()
        assert unit.run("ps", "-o", "user=", "-p", unit.show("MainPID")).out.strip() == "nobody"
        unit.run("setpriv", "--reuid", "nobody", "--clear-groups", "env", at,
                 "/opt/nclust/nclust", "restart", unit.name).ok()
        unit.get(8105)
        unit.systemctl("reload", unit.unit).ok()
        assert "belongs to user" in unit.run("env", at, "/opt/nclust/nclust", "status").err

    def test_reload_takes_the_new_settings_and_a_bad_file_changes_nothing(self):
        unit = Unit("reload", f"[cluster:web]\n{READY}workers = 1\n").start()
        main = unit.show("MainPID")
        unit.ini(f"[cluster:web]\n{READY}workers = 3\n")
        unit.systemctl("reload", unit.unit).ok()
        wait(lambda: unit.web().ready == 3)
        unit.ini("[cluster:web]\nworkers = many\n")
        assert unit.systemctl("reload", unit.unit).status != 0
        assert unit.web().ready == 3 and unit.show("MainPID") == main

    def test_a_worker_that_takes_more_than_memory_max_is_named_others_go_on(self):
        need_limits()
        unit = Unit("memory", f"[cluster:web]\n{READY}workers = 1\n[cluster:big]\nworkers = 1\n"
                    "command = python3 -c 'b = b\"x\" * (400 << 20)'\nmemory-max = 50M\n")
        unit.systemctl("start", "--no-block", unit.unit)
        wait(lambda: "out of memory" in unit.said())
        wait(lambda: unit.web().ready == 1)
        assert unit.web().workers[0].restarts == 0

    def test_nclust_upgrades_itself_and_stays_the_main_process(self):
        unit = Unit("upgrade", f"[cluster:web]\n{READY}workers = 2\n").start()
        pids = unit.pids()
        unit.nclust("upgrade", unit.name).ok()
        assert unit.status().upgrades == 1 and unit.pids() == pids
        assert unit.show("MainPID") == str(unit.status().pid)
        assert unit.show("ActiveState") == "active"
        unit.systemctl("restart", unit.unit).ok()
        assert unit.web().ready == 2

    def test_orphans_keep_nclust_is_killed_systemd_starts_it_the_workers_serve_on(self):
        unit = Unit("keep", f"[cluster:web]\n{READY}workers = 2\norphans = keep\n",
                    service="KillMode=process\n").start()
        pids, main = unit.pids(), unit.show("MainPID")
        unit.run("kill", "-KILL", main).ok()
        wait(lambda: unit.show("MainPID") not in ("0", main)
             and unit.show("ActiveState") == "active")
        assert unit.pids() == pids and unit.web().ready == 2
        unit.systemctl("stop", unit.unit).ok()
        assert not set(map(str, pids)) & set(unit.run("pgrep", "-x", "serve").out.split())

    def test_a_socket_unit_is_served_before_nclust_runs_and_while_it_restarts(self):
        unit = Unit("sockets", f"[cluster:web]\ncommand = {PYTHON} 8102\nworkers = 1\n"
                    "listen = inherit:http\n",
                    socket="ListenStream=127.0.0.1:8102\nFileDescriptorName=http\n")
        unit.systemctl("start", "nclust@sockets.socket").ok()
        unit.get(8102)
        assert unit.show("ActiveState") == "active"
        unit.systemctl("stop", unit.unit)
        unit.get(8102)
        assert unit.web().ready == 1

    def test_a_unit_of_ones_own_that_kills_for_a_call_and_signals_all_is_told_so(self):
        unit = Unit("own", f"[cluster:web]\n{READY}workers = 2\n[cluster:plain]\nworkers = 1\n"
                    f"command = {SERVE.replace('serve', 'plain')} 8106 --work 9999\n",
                    service="KillMode=control-group\nSystemCallErrorNumber=\nSystemCallFilter=\n"
                    "SystemCallFilter=@system-service\n").start()
        unit.nclust("restart", "own/web").ok()
        assert "'SystemCallFilter=bpf pidfd_getfd seccomp' allows them" in unit.said()
        unit.run("systemd-run", "curl", "-sm", "50", "http://127.0.0.1:8106/").ok()
        wait(lambda: unit.run("ss", "-tnH", "sport", "=", ":8106").out)
        unit.systemctl("stop", unit.unit).ok()
        assert (unit.show("Result"), unit.show("NRestarts")) == ("success", "0")
        assert "'KillMode=mixed' avoids that" in unit.said()

    def test_when_nclust_fails_to_start_the_unit_fails_with_the_sentence_that_says_why(self):
        unit = Unit("fails", "[cluster:web]\nworkers = many\n")
        assert unit.systemctl("start", unit.unit).status != 0
        assert unit.show("NRestarts") == "0"
        assert "/etc/nclust/fails.ini:2: cluster:web.workers:" in unit.said()

    @pytest.mark.parametrize("line, does", (
        ("NoNewPrivileges=no", "/srv/suid -c 'import os; os.setresuid(0, 0, 0)'"),
        ("ProtectSystem=no", "touch /usr/written"),
        ("PrivateTmp=no", "test -e /tmp/met"),
        ("PrivateDevices=no", "test -e /dev/met"),
        ("CapabilityBoundingSet=CAP_NET_RAW",
         "python3 -c 'import socket as s; s.socket(s.AF_PACKET, s.SOCK_RAW)'"),
        ("CapabilityBoundingSet=CAP_SYS_CHROOT", "chroot / true"),
        ("SystemCallFilter=@debug", "strace -o /dev/null true"),
        ("RestrictSUIDSGID=no", "chmod 2755 /srv"),
        ("LockPersonality=no", "setarch -R true"),
        ("ProtectKernelTunables=no", "test -w /proc/sys/kernel/core_pattern")))
    def test_what_the_guide_takes_out_of_the_unit_a_program_can_do(self, line, does):
        (lines,) = re.findall(rf'^.It .* Ta Li ({line})\n(?:.It "" Ta Li (\S+))?',
                              read(f"{SRC}/man/nclust-guide.7"), re.M)
        for i, more in enumerate(("", "\n".join(lines))):
            unit = Unit(f"{line.partition('=')[0]}-{i}", f"""[cluster:web]
                command = sh -c "{does} && echo DONE; exec sleep 1000"
                ready = alive
                {"user = nobody" * ("suid" in does)}
                """.replace("                ", ""), service=more)
            unit.run("sh", "-c", "cp /usr/bin/python3 /srv/suid; chmod 4755 /srv/suid; "
                     "touch /tmp/met /dev/met")
            assert ("DONE" in unit.start().said()) == bool(more)

    def test_the_example_with_php_fpm_and_nginx_which_become_another_user_themselves(self):
        need("nginx")
        php = need(next(iter(glob.glob("/usr/sbin/php-fpm[0-9]*")), "php-fpm"))
        example = f"{SRC}/etc/examples/php-fpm"
        unit = Unit("php", read(f"{example}/php-fpm.ini").replace("/usr/sbin/php-fpm8.2", php))
        for name in ("fpm.conf", "nginx.conf"):
            unit.systemd.write(f"/etc/nclust/{name}", read(f"{example}/{name}"))
        unit.systemd.write("/srv/php/index.php", "<?php echo posix_geteuid();")
        unit.start().nclust("restart", unit.name).ok()
        assert unit.get(8080) == unit.run("id", "-u", "www-data").ok().strip()
        unit.systemctl("stop", unit.unit).ok()
