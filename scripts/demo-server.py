#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A small web server for scripts/demo, nothing of it made for nclust but the
six lines that any server needs which takes its socket from outside: descriptor
3 (sd_listen_fds(3)), and READY=1 to NOTIFY_SOCKET (sd_notify(3))."""

import http.server
import os
import signal
import socket
import threading
import time

PLACE = "worker %s, pid %d, generation %s" % (
    os.environ.get("NCLUST_SLOT", "?"),
    os.getpid(),
    os.environ.get("NCLUST_GENERATION", "?"),
)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.005)  # some work
        body = ("hello from %s\n" % PLACE).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # on the way out, wait for those under way

    def __init__(self):
        super().__init__(("", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=3)

    def notify(self, text):
        address = os.environ.get("NOTIFY_SOCKET")
        if address:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
                to.sendto(text.encode(), address.replace("@", "\0", 1))


if __name__ == "__main__":
    if int(os.environ.get("LISTEN_FDS", "0")) < 1:
        raise SystemExit("demo-server: no socket was passed (LISTEN_FDS)")
    server = Server()

    def stop(*_):
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    server.notify("READY=1")
    server.serve_forever(poll_interval=0.1)
    server.server_close()  # joins the threads of requests under way
