# SPDX-License-Identifier: MIT
"""HTTPS by asyncio, with nothing done at SIGTERM: tls.py PORT CERTIFICATE KEY"""

import asyncio
import os
import ssl
import sys


async def answer(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.0 200 OK\r\n\r\npid=%d\n" % os.getpid())
    await writer.drain()
    writer.close()


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server = await asyncio.start_server(
        answer, "127.0.0.1", int(sys.argv[1]), ssl=context, backlog=1024
    )
    await server.serve_forever()


asyncio.run(main())
