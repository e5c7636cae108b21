# SPDX-License-Identifier: MIT
"""It serves clients at its first socket, and tells Prometheus at the second how many."""
import http.server
import os
import socket
import threading

served = 0


class Client(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global served
        text = f"# TYPE app_requests_total counter\napp_requests_total {served}\n"
        if self.server.socket.fileno() == 3:
            served += 1
            text = f"pid={os.getpid()} slot={os.environ['NCLUST_SLOT']}\n"
        self.wfile.write(f"HTTP/1.0 200 OK\nContent-Type: text/plain\n\n{text}".encode())


def serve(fd):
    server = http.server.HTTPServer(None, Client, False)
    server.socket = socket.socket(fileno=fd)
    server.serve_forever()


threading.Thread(target=serve, args=(4,)).start()
serve(3)
