#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a worker of Node's cluster may say to nclust, and should not.

Run by the name of `node`; the first argument says what to do.  What nclust
answers is printed, one line each."""
import json
import os
import socket
import sys

channel = socket.socket(fileno=int(os.environ["NODE_CHANNEL_FD"]))
inbox = b""


def say(**message):
    message = {"cmd": "NODE_CLUSTER", **message}
    channel.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")


def hear():
    """The next message, and the number of descriptors that came."""
    global inbox
    got = 0
    while b"\n" not in inbox:
        data, fds, _, _ = socket.recv_fds(channel, 65536, 8)
        if not data:
            sys.exit(0)
        inbox += data
        got += len(fds)
        for fd in fds:
            os.close(fd)
    line, inbox = inbox.split(b"\n", 1)
    return json.loads(line), got


def ask(seq, **place):
    say(act="queryServer", index=place.pop("index", 0), data=None, seq=seq, **place)


def answer():
    message, fds = hear()
    if message["cmd"] == "NODE_HANDLE":
        channel.sendall(b'{"cmd":"NODE_HANDLE_ACK"}\n')
        message = message["msg"]
    return message, fds


def errno_of(**place):
    ask(1, **place)
    message, _ = answer()
    return message["errno"]


def tell(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")  # at once: others write there, too
    sys.stdout.flush()


what = sys.argv[1]
port = int(sys.argv[2])
tcp = {"address": None, "port": port, "addressType": 4}

say(act="online", seq=0)
if what == "ports":
    tell("low", errno_of(address="127.0.0.1", port=80, addressType=4))
    tell("path", errno_of(address="/run/nclust-test-no", port=-1, addressType=-1))
    for fd in (0, 3, 7, 1000000):
        tell("fd", fd, errno_of(address=None, port=None, addressType=None, fd=fd))
elif what == "many":
    refused = 0
    for i in range(2000):
        ask(i + 1, address="127.0.0.1", port=0, addressType=4, index=i)
        refused += answer()[0]["errno"] != 0
    tell("refused", refused)
elif what == "acks":
    for seq in range(100):
        say(ack=seq, accepted=True, seq=seq)
        channel.sendall(b'{"cmd":"NODE_HANDLE_ACK"}\n{"cmd":"NODE_HANDLE_NACK"}\n')
    say(act="close", key="1", seq=1)
    say(act="close", key="no such", seq=1)
    channel.sendall(b'{"cmd":"NODE_CLUSTER","act":"queryServer","seq":\n')
    tell("after", errno_of(**tcp))
elif what == "nonsense":
    handle = b'{"cmd":"NODE_HANDLE"'
    query = b'{"cmd":"NODE_CLUSTER","act":"queryServer"'
    for line in (b"\n{\n}", b"[]", b"null", b"\0\0", query, query + b"}", handle + b"}",
                 query + b',"seq":' + b"[" * 5000, handle + b',"type":"net.Native","msg":{}}'):
        channel.sendall(line + b"\n")
    say(act="none", seq=1)
    say(act="listening", port="x", addressType={}, seq=3)
    for place in ([{"port": port} for port in (-1, 65536, 1e99, "80", None, {})]
                  + [{"addressType": kind} for kind in (5, None, "udp7", -1, [])]
                  + [{"fd": fd} for fd in (-1, "x", 1.5)]
                  + [{"address": "x" * 4000, "port": -1, "addressType": -1}]):
        ask(4, **{**tcp, **place})
    say(act="queryServer", index=0, seq=5, **tcp)
    while hear()[0].get("ack") != 5:
        channel.sendall(b'{"cmd":"NODE_HANDLE_ACK"}\n')
    tell("after 0")
elif what == "deaf":
    tell("after 0")
    os.read(os.pipe()[0], 1)  # it never reads what it is told
elif what == "endless":
    tell("begins")
    try:
        for _ in range(64):
            channel.sendall(b"x" * 1024 * 1024)
        channel.sendall(b"\n")
    except OSError as error:
        tell(error)
    tell("after", errno_of(**tcp))
elif what == "handles":
    line = b'{"cmd":"NODE_HANDLE","type":"net.Socket","msg":{}}\n'
    pipe = os.pipe()
    for _ in range(1000):
        socket.send_fds(channel, [line], [pipe[0]])
        if hear()[0]["cmd"] != "NODE_HANDLE_ACK":
            tell("no ack")
    tell("after", errno_of(**tcp))
elif what == "nack":
    ask(1, **tcp)
    hear()
    channel.sendall(b'{"cmd":"NODE_HANDLE_NACK"}\n')
    tell("errno", hear()[0]["errno"])
while True:
    hear()
