# SPDX-License-Identifier: MIT
# A server of one unix listener, which it spoils for all others when it is asked to
# stop ("shutdown", "unlink").
import os
import signal
import socket
import sys
import time

how = sys.argv[1]
listener = socket.socket(fileno=3)


def stop(*_):
    if how == "shutdown":
        listener.shutdown(socket.SHUT_RDWR)
    elif how == "unlink":
        os.unlink(listener.getsockname())
    os._exit(0)


def answer():
    try:
        client, _ = listener.accept()
    except OSError:
        time.sleep(0.01)
        return
    with client:
        client.recv(1000)
        client.sendall(b"HTTP/1.0 200 OK\r\n\r\npid=%d\n" % os.getpid())


signal.signal(signal.SIGTERM, stop)
ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
ready.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    answer()
