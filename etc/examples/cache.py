#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A server whose workers each keep a cache, and forget together.

GET /NAME     from the cache of the worker that answers, or computed
DELETE /NAME  forgotten by this worker at once, and by all others by a message

Run it by cache.ini; `nclust send --all cache '{"forget":"/NAME"}'` does the
same from outside.
"""
import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

cache = {}
# There is none when it runs alone.
number = os.environ.get("NCLUST_CHANNEL_FD")
channel = socket.socket(fileno=int(number)) if number else None


def listen():
    for line in channel.makefile("rb"):
        value = json.loads(line)
        # a worker's message says who sent it, one by `nclust send` does not
        value = value.get("message", value)
        cache.pop(value["forget"], None)


class Handler(BaseHTTPRequestHandler):
    def answer(self, text):
        body = f"{text}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        text = cache.get(self.path)
        if text is None:
            text = cache[self.path] = f"computed at {time.time()}"
        slot = os.environ.get("NCLUST_SLOT", "-")
        self.answer(f"slot={slot} {text}")

    def do_DELETE(self):
        cache.pop(self.path, None)
        if channel:
            message = json.dumps({"forget": self.path}) + "\n"
            channel.sendall(message.encode())
        self.answer("forgotten")

    def log_message(self, *_):
        pass


if channel:
    threading.Thread(target=listen, daemon=True).start()
port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
ThreadingHTTPServer(("", port), Handler).serve_forever()
