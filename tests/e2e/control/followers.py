# SPDX-License-Identifier: MIT
# 70 clients that follow what happens, and come back at once where they are closed:
# followers.py SOCKET GROUP, as nobody with that group.
import os
import selectors
import socket
import sys

FOLLOW = b'{"jsonrpc":"2.0","id":1,"method":"events","params":{"follow":true}}\n'
ready = selectors.DefaultSelector()
os.setgroups([int(sys.argv[2])])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)


def come():
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    try:
        s.send(FOLLOW)
    except OSError:
        pass  # closed already: it shows below
    ready.register(s, selectors.EVENT_READ)


for _ in range(70):
    come()
print("following", flush=True)
while True:
    for key, _ in ready.select():
        try:
            data = key.fileobj.recv(65536)
        except OSError:
            data = b""
        if not data:
            ready.unregister(key.fileobj)
            key.fileobj.close()
            try:
                come()
            except OSError:
                sys.exit()  # nclust has stopped
