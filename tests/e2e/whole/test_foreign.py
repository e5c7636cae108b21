# SPDX-License-Identifier: MIT
"""nclust is root, its workers are not: descriptors that they pass and whose close(2) waits (for
an hour: SO_LINGER) do not make nclust wait."""
import socket

from harness import *

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

UNCLOSABLE = server("unclosable.py")


def hostile(how, options="", *more):
    """One that has passed some of them."""
    it = start(f"-n 1 --ready notify --user nobody --log prefix --intercept off {options}",
               "python3", UNCLOSABLE, how, path("run/it/control"), *more)
    if how != "listener":
        it.logged("passed")
    return it


def as_node():
    """nclust takes sockets from programs of that name."""
    return write("node", '#!/bin/sh\nexec python3 "$@"\n', 0o755)


def goes_on(it):
    """It answers now, what waits for its end becomes less again, and a stop is obeyed."""
    for _ in range(20):
        it.connect().call("status")
    wait(lambda: len(descriptors(it.pid)) < 64)
    it.call("stop", now=True)
    assert it.exit() == 0


@pytest.mark.parametrize("how, options", (
    ("notify", ""),
    ("flood", ""),  # as many as can be sent
    ("channel", "--ipc on"),
    ("control", "--control-group nogroup"),  # who may look at the control socket
))
def test_descriptors_in_messages_do_not_keep_nclust(how, options):
    goes_on(hostile(how, options))


def test_nor_do_those_that_are_unread_when_their_worker_ends():
    it = hostile("unread")
    for n in (2, 3, 4):
        pid = it.worker().pid
        kill(it.pid, SIGSTOP)
        # the queue of its socket fills, until who sends has to wait
        wait(lambda: any(read(f"/proc/{p}/wchan").startswith(("unix_wait", "sock_alloc"))
                         for p in living()))
        kill(pid)
        kill(it.pid, SIGCONT)
        it.event("ready", n=n)
    goes_on(it)


def test_nor_does_a_named_listener_that_its_worker_has_made_one_of_those():
    begin_program("python3", UNCLOSABLE, "peer", 8001)
    wait_listened(8001)
    it = hostile("listener", "-l 127.0.0.1:8000", 8001).wait_ready()
    pid = it.worker().pid
    kill(it.pid, SIGSTOP)  # it would make it listen again
    kill(pid, SIGUSR1)
    wait(lambda: is_stopped(pid))
    kill(pid)
    kill(it.pid, SIGCONT)
    goes_on(it)


def of_nodes_cluster():
    return start("-n 1 --ready alive:0 --user nobody --log prefix --intercept off --balance rr",
                 as_node(), UNCLOSABLE, "rr", PORT)


def test_nor_does_a_connection_that_a_worker_of_nodes_cluster_says_it_has():
    it = of_nodes_cluster()
    wait_listened()
    client = dial()
    it.logged("passed")
    goes_on(it)
    client.close()


def deaf():
    """A client that reads nothing, and has no room for it."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", PORT))
    return s


@pytest.mark.nightly  # a busy machine closes as many as it passes
def test_a_worker_that_has_more_than_can_be_closed_is_killed():
    it = of_nodes_cluster()
    wait_listened()
    pid = it.worker().pid
    kill(pid, SIGSTOP)
    clients = [deaf() for _ in range(500)]
    kill(pid, SIGCONT)
    clients += [deaf() for _ in range(400)]
    it.logged(f"killing worker {pid}: it has given nclust more descriptors")
    it.event("started", n=2)
    goes_on(it)


def test_nor_does_what_a_client_sends_along_with_a_connection_that_is_refused():
    serve = write("serve", "#!/bin/sh\n", 0o755)
    it = start(f"-l unix:{path('socket')} --accept --log prefix --intercept off", serve)
    it.logged("accepting")
    os.chmod(serve, 0o644)
    begin_program("python3", UNCLOSABLE, "client", path("socket"), stdout="client")
    wait(lambda: "passed" in read("client"))
    goes_on(it)


@pytest.mark.parametrize("kernel", ("this one", "one that does not refuse it"))
def test_nor_does_what_a_worker_sends_along_with_its_answer_to_a_check(kernel):
    under = () if kernel == "this one" else (fixture("confine"), "linux-6.15", "--")
    it = start(f"-n 1 -l unix:{path('socket')} --user nobody --log prefix --intercept off "
               "--ready alive:0 --check http:/ --check-interval 100ms", "python3", UNCLOSABLE,
               "answer", under=under)
    it.logged("passed")
    goes_on(it)
