# SPDX-License-Identifier: MIT
"""Forty UDP clients that keep their ports ask who serves them, then the command is
run, and they ask again: how many servers there were, how many of the clients have
another slot now, and how many got no answer.

    flows.py PORT COMMAND...
"""
import re
import socket
import subprocess
import sys
import time


def ask(client, port):
    for _ in range(20):
        client.sendto(b"x", ("127.0.0.1", port))
        try:
            return re.search(rb"slot=(\d+)", client.recv(4096)).group(1)
        except TimeoutError:
            time.sleep(0.1)
    return None


port = int(sys.argv[1])
clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(40)]
for client in clients:
    client.settimeout(2)
before = [ask(client, port) for client in clients]
subprocess.run(sys.argv[2:], check=True, stdout=sys.stderr)
after = [ask(client, port) for client in clients]
print(
    len(set(before)),
    sum(a != b for a, b in zip(before, after)),
    (before + after).count(None),
)
