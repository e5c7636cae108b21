# SPDX-License-Identifier: MIT
"""Filters of containers and units that refuse system calls: those of hosts that are older than
the calls, with EPERM or ENOSYS, or systemd's, which kills.  nclust works by another way, or says
what it cannot do."""
import re

from harness import *

# What nclust and its libraries ask for that Linux 5.0 had not, and two older ones.
CALLS = {"seccomp": "317", "bpf": "321", "pidfd_send_signal": "424", "pidfd_open": "434",
         "clone3": "435", "close_range": "436", "openat2": "437", "pidfd_getfd": "438",
         "faccessat2": "439", "all": "317 321 424+", "killed": "317 321 424 434 436+",
         "docker": "321 424 434+"}
SAYS = {"seccomp": "cannot be taken over: (seccomp is refused here|the kernel, or a sandbox)",
        "pidfd_getfd": "pidfd_open or pidfd_getfd is refused here"}
SAYS = {**SAYS, "all": SAYS["seccomp"], "pidfd_open": SAYS["pidfd_getfd"],
        "docker": SAYS["pidfd_getfd"],
        "killed": "bpf close_range openat2 pidfd_getfd pidfd_open pidfd_send_signal seccomp: nclust"}
SHARED = " it cannot be shared here: '-l PORT' if the program takes LISTEN_FDS, else '-n 1'"


def refused(call, error):
    need_root()
    more = (fixture("confine"), "docker", "--") if call == "docker" else ()
    return (fixture("confine"), error, *CALLS[call].split(), "--", *more)


@pytest.mark.leaks
@pytest.mark.parametrize("call, error", [
    ("all", "EPERM"), ("all", "ENOSYS"), ("killed", "KILL"), ("docker", "EPERM"),
    *(pytest.param(call, error, marks=pytest.mark.nightly) for call in CALLS
      for error in ("EPERM", "ENOSYS") if call not in ("all", "killed", "docker"))])
def test_without_a_system_call_it_serves_restarts_and_stops(call, error):
    server = fixture("bind-itself") if call == "killed" else PLAIN
    server = f"exec setpriv --pdeathsig clear {server} {PORT}"  # it outlives nclust's SIGKILL
    ini = section("web", f"{SERVE} --notify", "listen = 8001", f"log = file:{path('web.out')}",
                  "orphans = keep") + section(
        "own", f"sh -c 'setsid sleep 1000 & {server}'", "stop-timeout = 1s", ready=None)
    it = start(ini=ini, under=refused(call, error)).wait_ready("web")
    wait_listened()
    dial().close()
    it.reborn(cluster="web")
    assert "2 workers replaced" in it.call("restart", target="web").text
    assert get(port=8001).part("gen") == "2"
    if call in ("seccomp", "all", "killed"):
        it.logged(SHARED)
        assert it.says("in use, maybe by own.")
        is_refused("cannot be shared here", it.call, "restart", target="own")
    else:
        it.wait_ready().call("restart", target="own")
    said = re.findall(r"refused here|maybe by|a sandbox|[^\n]*cannot(?! bind)[^\n]*", it.log())
    assert bool(said) == (call in SAYS) and re.search(SAYS.get(call, ""), it.log()), said
    pids = it.pids("web")
    it.kill()
    it = start(ini=ini, under=refused(call, error)).wait_ready("web")
    assert it.pids("web") == pids
    assert it.stop() == 0
    wait(lambda: living() == [])


@pytest.mark.nightly
@pytest.mark.unsanitized
def test_the_relay_says_that_it_cannot_have_threads():
    it = start("-n 1 --relay nats://127.0.0.1:4222", *NAP, under=refused("clone3", "EPERM"))
    it.logged("cannot start a thread: too many processes, or a filter of system calls refuses clone3")


def test_without_faccessat2_an_interpreter_that_is_missing_is_named():
    write("script", "#!/no/such/interpreter\n", 0o755)
    it = launch("-n 1", path("script"), under=refused("faccessat2", "EPERM"))
    it.logged("its interpreter '/no/such/interpreter': No such file or directory")
    assert it.exit() == 126
