# SPDX-License-Identifier: MIT
"""Opens its port at once and answers 503 while it loads for a second, as servers of models do, in
any Python: loads.py [PORT [SECONDS]]; without a port it serves the socket that it was passed."""
import os
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOADED = time.monotonic() + float(sys.argv[2] if len(sys.argv) > 2 else 1)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"pid={os.getpid()}\n".encode()
        self.send_response(200 if time.monotonic() > LOADED else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


ThreadingHTTPServer.request_queue_size = 100
if len(sys.argv) > 1:
    server = ThreadingHTTPServer(("", int(sys.argv[1])), Handler)
else:
    server = ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
    server.socket = socket.socket(fileno=3)
server.serve_forever()
