# SPDX-License-Identifier: MIT
# A WSGI application that tells which process answers.
import os


def app(_, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"pid=%d\n" % os.getpid()]
