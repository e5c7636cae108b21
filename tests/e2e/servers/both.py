# SPDX-License-Identifier: MIT
# A server of UDP, and of TCP once there is FILE: python3 both.py PORT FILE
import os
import socket
import sys
import time

at = ("127.0.0.1", int(sys.argv[1]))
u = socket.socket(type=socket.SOCK_DGRAM)
u.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
u.bind(at)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
s = socket.create_server(at)
while True:
    c, _ = s.accept()
    c.sendall(b"pid=%d\n" % os.getpid())
    c.close()
