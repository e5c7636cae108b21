# SPDX-License-Identifier: MIT
#
# inner.py PATH: serves HTTP on the descriptor that it is given, and keeps a
# connection, never read from, with a process of its own over the unix socket
# PATH.PID.
import http.server
import os
import socket
import sys

path = "%s.%d" % (sys.argv[1], os.getpid())
inner = socket.socket(socket.AF_UNIX)
inner.bind(path)
inner.listen()
if os.fork() == 0:
    mine = socket.socket(socket.AF_UNIX)
    mine.connect(path)
    inner.close()
    mine.send(b"x")  # which nobody reads
    mine.recv(1)  # until the other end is closed
    os._exit(0)
its, _ = inner.accept()


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *words):
        pass


server = http.server.HTTPServer(("", 0), Answer, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
server.serve_forever()
