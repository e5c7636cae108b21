# SPDX-License-Identifier: MIT
# An asyncio server on all addresses, which are two sockets: IPv4 and IPv6.
import asyncio
import os
import sys


async def answer(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.0 200 OK\r\n\r\npid=%d\n" % os.getpid())
    writer.close()


async def main():
    server = await asyncio.start_server(answer, "", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
