#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# burst.py PORT PATH COUNT PID...: so many clients at once.  Prints after how many
# microseconds, since the first was there, one got an answer that names another
# process than these.
import selectors
import socket
import sys
import time

port, path, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
known = set(sys.argv[4:])
request = f"GET {path} HTTP/1.0\r\n\r\n".encode()
clients = selectors.DefaultSelector()
begun = time.monotonic()
for _ in range(count):
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(request)
    clients.register(client, selectors.EVENT_READ, b"")
while clients.get_map() and time.monotonic() - begun < 30:
    for key, _ in clients.select(1):
        more = key.fileobj.recv(4096)
        if more:
            clients.modify(key.fileobj, selectors.EVENT_READ, key.data + more)
            continue
        clients.unregister(key.fileobj)
        key.fileobj.close()
        pid = key.data.partition(b"pid=")[2].split()[0].decode()
        if pid not in known:
            print(int((time.monotonic() - begun) * 1e6))
            sys.exit(0)
sys.exit("nobody else has answered")
