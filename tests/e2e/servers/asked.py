# SPDX-License-Identifier: MIT
# Says who it is, and notes each path that it is asked for in DIR/PID; its check fails
# once there is DIR/ill.PID: python3 asked.py DIR PORT
import http.server
import os
import sys

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


http.server.ThreadingHTTPServer(
    ("127.0.0.1", int(sys.argv[2])), Asked
).serve_forever()
