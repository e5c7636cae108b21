# SPDX-License-Identifier: MIT
"""A server of which one worker runs a scheduler.

GET / says whether the worker that answers is that one.
"""
import fcntl
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

leads = threading.Event()


def schedule():
    # waits here until nclust, or the kernel, gives this worker the lock; the
    # worker has it until it ends
    fcntl.flock(int(os.environ["NCLUST_LEADER_FD"]), fcntl.LOCK_EX)
    leads.set()
    while True:
        print("what only one may do", flush=True)
        time.sleep(1)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"leader\n" if leads.is_set() else b"worker\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


threading.Thread(target=schedule, daemon=True).start()
server = ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)  # LISTEN_FDS
server.serve_forever()
