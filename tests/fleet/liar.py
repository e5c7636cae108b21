# SPDX-License-Identifier: MIT
"""What a broker of NATS, or a client of one, may do wrong.

    liar.py publish PORT SUBJECT FILE   each line of FILE is published as it is
    liar.py PORT KIND                   a broker that, by KIND:
        mute      accepts and says nothing
        garbage   says what is no INFO
        huge      announces a message of 2 GB, and begins to send it
        lines     sends a message with a newline in it, and an empty one
        echo      sends back what it gets
"""

import os
import socket
import sys

INFO = b'INFO {"server_id":"X","version":"2.9.10","proto":1,"max_payload":1048576}\r\n'


def publish(port, subject, path):
    broker = socket.create_connection(("127.0.0.1", port))
    broker.recv(4096)
    broker.sendall(b'CONNECT {"verbose":false,"pedantic":false,'
                   b'"user":"u","pass":"right"}\r\n')
    for line in open(path, "rb").read().splitlines():
        broker.sendall(b"PUB %s %d\r\n%s\r\n" % (subject, len(line), line))
    broker.sendall(b"PING\r\n")
    said = b""
    while b"PONG" not in said:
        more = broker.recv(4096)
        if not more:
            sys.exit("the broker has closed: %r" % said)
        said += more


def message(subject, data):
    return b"MSG %s 1 %d\r\n%s\r\n" % (subject, len(data), data)


def on_line(client, line, kind, rest):
    words = line.split()
    if line.startswith(b"PING"):
        client.sendall(b"PONG\r\n")
    elif line.startswith(b"SUB"):
        if kind == "lines":
            client.sendall(message(words[1], b'{"a":1}\n{"b":2}')
                           + message(words[1], b""))
    elif line.startswith(b"PUB"):
        size = int(words[-1])
        data = rest.read(size + 2)[:size]
        if kind == "echo":
            client.sendall(message(words[1], data))
        elif kind == "huge":
            client.sendall(b"MSG %s 1 2000000000\r\n" % words[1])
            try:
                while True:
                    client.sendall(b"x" * (1 << 20))
            except OSError:
                pass


def serve(port, kind):
    listener = socket.create_server(("", port))
    clients = []
    while True:
        client, _ = listener.accept()
        clients.append(client)
        if kind == "mute":
            continue
        if kind == "garbage":
            client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            continue
        if os.fork() == 0:
            client.sendall(INFO)
            rest = client.makefile("rb")
            try:
                for line in rest:
                    on_line(client, line, kind, rest)
            except OSError:
                pass
            os._exit(0)


if sys.argv[1] == "publish":
    publish(int(sys.argv[2]), sys.argv[3].encode(), sys.argv[4])
else:
    serve(int(sys.argv[1]), sys.argv[2])
