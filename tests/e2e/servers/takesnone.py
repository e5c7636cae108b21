# SPDX-License-Identifier: MIT
"""A server on all descriptors that it is given, with a thread for each and one for each client,
which stays.  From SIGUSR1 on it takes none from the first, as if a lock was never released, and
one of its threads waits for something else."""
import os
import select
import signal
import socket
import threading

hung = threading.Event()


def serve(client):
    try:
        while client.recv(1000):
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    except OSError:
        pass
    client.close()


def accept(fd):
    listener = socket.socket(fileno=fd)
    listener.setblocking(False)
    while True:
        select.select([listener], [], [], 0.05)
        if fd == 3 and hung.is_set():
            threading.Event().wait()
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            continue
        client.setblocking(True)
        threading.Thread(target=serve, args=(client,), daemon=True).start()


signal.signal(signal.SIGUSR1, lambda *_: hung.set())
for i in range(int(os.environ["LISTEN_FDS"])):
    threading.Thread(target=accept, args=(3 + i,), daemon=True).start()
never = select.poll()
never.register(os.pipe()[0], select.POLLIN)
while True:
    never.poll(50)  # the signal may be another thread's
