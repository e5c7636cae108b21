# SPDX-License-Identifier: MIT
"""A server that forks for each connection, and does nothing at SIGTERM."""

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ForkingMixIn


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/slow"):
            time.sleep(0.15)
        while self.path.startswith("/work") and time.process_time() < 1.2:
            pass
        body = f"pid={os.getppid()} child={os.getpid()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ForkingMixIn, HTTPServer):
    request_queue_size = 1024
    block_on_close = False


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
