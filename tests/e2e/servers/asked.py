# SPDX-License-Identifier: MIT
# Says who it is, and notes each path that it is asked for in DIR/PID; its check fails
# once there is DIR/ill.PID: python3 asked.py DIR PORT [--waits]
# With --waits it says READY=1 (sd_notify(3)) when somebody has written to DIR/go.PID.
import http.server
import os
import socket
import sys
import threading

OWN = f"{sys.argv[1]}/%s{os.getpid()}"


class Asked(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(OWN % "", "a") as notes:
            notes.write(self.path + "\n")
        ill = self.path == "/check" and os.path.exists(OWN % "ill.")
        self.send_response(503 if ill else 200)
        self.end_headers()
        self.wfile.write(b"%d" % os.getpid())

    def log_message(self, *args):
        pass


def say_ready():
    open(OWN % "go.").read()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Asked)
if len(sys.argv) > 3:
    os.mkfifo(OWN % "go.")
    threading.Thread(target=say_ready, daemon=True).start()
server.serve_forever()
