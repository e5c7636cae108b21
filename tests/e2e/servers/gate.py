# SPDX-License-Identifier: MIT
"""gate.py FIRST PORT: a server that listens on FIRST at once, "path" (a unix path of its own) or a
port, and on PORT only when there is a file `go` in its directory and the program in that is
done.  waits.PID is there once it waits, listens.PID once it listens on both."""
import http.server
import os
import socket
import sys
import threading
import time


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"pid=%d" % os.getpid())

    def log_message(self, *args):
        pass


def open_port(port):
    return http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Answer)


if sys.argv[1] == "path":
    own = socket.socket(socket.AF_UNIX)
    own.bind(f"{os.getpid()}.pipe")
    own.listen()
else:
    threading.Thread(target=open_port(sys.argv[1]).serve_forever, daemon=True).start()
open(f"waits.{os.getpid()}", "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
with open("go") as program:
    exec(program.read())
last = open_port(sys.argv[2])
open(f"listens.{os.getpid()}", "w").close()
last.serve_forever()
