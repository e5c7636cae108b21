# SPDX-License-Identifier: MIT
"""A server that catches SIGTERM can say goodbye to those of its clients that stay."""
import select
import socket

from drains import *


@pytest.mark.parametrize("workers", (1, 4))
def test_each_websocket_is_told_goodbye_and_only_once(workers):
    # with one worker silence never comes, as others ask over HTTP/1 as well
    it = cluster(f"-n {workers} --ready listen --bake 0 --drain-timeout 10m", "python3", server("goodbye.py"), PORT)
    begin_program("python3", f"{SRC}/tests/e2e/drain/talkers.py", PORT, 20, 1, stdout="cut")
    wait(lambda: "ready" in read("cut"))
    loads = without_a_pause() if workers == 1 else None
    it.call("restart")
    all_of_them = {f"{who}" for who in range(20)}
    wait(lambda: all_of_them <= set(lines("cut")))
    told = lines("cut")[1:]
    assert set(told) == all_of_them
    # with several, old workers may help the first new one, and say it again
    assert len(told) == 20 or workers > 1
    all_quiet(it, workers)
    if loads:
        loads.end()


def test_old_workers_help_a_new_one_that_cannot_take_all():
    # clients of HTTP/1 stay, too, and short connections may be too many for the first new worker
    it = cluster("-n 3 --ready listen --bake 0 --drain-timeout 10m", "sh", "-c",
                 f"until [ $NCLUST_GENERATION = 1 -o $NCLUST_SLOT = 0 -o -e go ]; do sleep 0.1; done; "
                 f"exec python3 {server('goodbye.py')} {PORT}")
    os.mkfifo("hang")
    clients = [idle() for _ in range(8)]
    wait(lambda: all(silence(client.socket) > 200 for client in clients))
    restart = it.begin("restart")
    it.event("exited", slot=0)
    hung = Request("/hang")  # of the new one
    wait(lambda: os.path.exists(path("hangs")))
    others = [Request() for _ in range(4)]
    wait(lambda: others.append(Request()) or any(select.select([o.socket for o in others], [], [], 0.1)))
    write("go", "")
    write("hang", "")
    restart()
    for request in (hung, *others):
        request.answer()


class Talk:
    """A client of a WebSocket, whose messages are echoed."""

    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", PORT))
        self.socket.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                            b"Upgrade: websocket\r\n\r\n")
        assert self.socket.recv(100).startswith(b"HTTP/1.1 101 ")

    def ask(self, text):
        self.socket.sendall(b"\x81\x85\0\0\0\0" + text)

    def say(self, text=b"hello"):
        self.ask(text)
        self.hear(text)

    def hear(self, text):
        assert self.socket.recv(7, socket.MSG_WAITALL) == b"\x81\x05" + text


def test_a_websocket_is_not_cut_while_an_answer_is_waited_for():
    os.mkfifo("pieces")
    it = cluster("-n 1 --ready listen --bake 0 --drain-timeout 10m", "python3", server("goodbye.py"), PORT)
    talk, client = Talk(), Request("/pieces")
    wait(lambda: silence(client.socket) > 200)
    restart = it.begin("restart")
    it.event("draining", slot=0)
    talk.say()
    wait(lambda: comes(talk) or silence(talk.socket) > 1000)
    with open("pieces", "wb") as pieces:
        pieces.write(b"!")
    assert client.answer().status == 200
    assert talk.socket.recv(100) == b"\x88\x02\x03\xf4"
    restart()


def test_nor_while_a_message_is_not_answered_and_others_never_pause():
    os.mkfifo("pieces")
    it = cluster("-n 1 --ready listen --bake 0 --drain-timeout 10m", "python3", server("goodbye.py"), PORT)
    begin_program("python3", f"{SRC}/tests/e2e/drain/talkers.py", PORT, 10, 0.2, stdout="cut")
    asks = Talk()
    wait(lambda: "ready" in read("cut"))
    restart = it.begin("restart")
    it.event("draining", slot=0)
    asks.ask(b"later")
    wait(lambda: comes(asks) or silence(asks.socket) > 4000)
    with open("pieces", "wb") as pieces:
        pieces.write(b"!")
    asks.hear(b"later")
    assert asks.socket.recv(100) == b"\x88\x02\x03\xf4"
    restart()


def comes(client):
    return select.select([client.socket], [], [], 0)[0] != []


def asked_node(options):
    """A restart of a Node worker whose program handles no signal, with a message under way."""
    it = cluster(f"-n 1 --ready listen --bake 0 {options}", "node", server("talk.js"), PORT)
    talk = Talk()
    talk.say()
    wait(lambda: silence(talk.socket) > 200)
    talk.ask(b"later")
    restart = it.begin("restart")
    it.event("draining", slot=0)
    return it, talk, restart


# as Ubuntu's node is built: the kernel's threads of the ring are no work of the program's
@pytest.mark.parametrize("ring", (0, 1))
def test_node_gets_its_stop_signal_when_its_messages_are_answered(ring):
    it, talk, restart = asked_node(f"--drain-timeout 10m --env UV_USE_IO_URING={ring}")
    wait(lambda: comes(talk) or silence(talk.socket) > 3000)
    write("open", "")
    talk.hear(b"later")
    restart()
    all_quiet(it, 1)


def test_node_what_is_not_answered_by_then_is_reported():
    it, talk, restart = asked_node("--drain-timeout 2s")
    restart()
    assert it.event("rollout-done").busy == 1
    assert it.says("drained by force: 1 connection still busy: ")


PATIENT = ("-n 1 --ready listen --bake 0 --drain-timeout 10m --stop-timeout 10m", "python3",
           server("goodbye.py"), PORT, "patient")


def test_a_server_that_waits_for_its_clients_loses_those_of_http_alone():
    it = cluster(*PATIENT)
    talk, client = Talk(), idle()
    restart = it.begin("restart")
    it.event("stopping", slot=0)
    for _ in range(100):
        wait(lambda: comes(client) or silence(client.socket) > 200)
        try:
            assert client.ask().answer().status == 200
        except ConnectionError:  # it was ended between two requests
            break
        if client.socket.fileno() == -1:  # another worker has answered, and said so
            break
        talk.say()
    else:
        pytest.fail("it was not ended")
    talk.say()
    talk.socket.close()
    restart()


def test_after_the_stop_signal_no_answer_in_pieces_is_cut():
    os.mkfifo("pieces")
    pieces = os.open("pieces", os.O_RDWR)
    it = cluster(*PATIENT)
    client = idle()
    restart = it.begin("restart")
    it.event("stopping", slot=0)
    for _ in range(100):
        try:
            client.ask("/pieces")
            wait(lambda: comes(client))
            wait(lambda: silence(client.socket) > 300)
            os.write(pieces, b"!")
            assert client.answer().status == 200
        except ConnectionError:
            break
        if client.socket.fileno() == -1:
            break
        wait(lambda: silence(client.socket) > 30)
    else:
        pytest.fail("it was not ended")
    restart()
