# SPDX-License-Identifier: MIT
"""A server on descriptor 3 whose 24 threads serve, while its main thread sleeps: in that alone
Python's handlers run, and only a signal of its own wakes it."""
import os
import signal
import socket
import threading
import time


def serve():
    while True:
        taken = listener.accept()[0]
        taken.recv(4096)
        taken.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        taken.close()


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
listener = socket.socket(fileno=3)
for _ in range(24):
    threading.Thread(target=serve, daemon=True).start()
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
    told.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    time.sleep(100)
