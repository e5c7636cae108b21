// SPDX-License-Identifier: MIT
// As answer -1, by Node: node one.js PORT.  Requests are worked on one after
// the other, as by a handler that computes; Node accepts more meanwhile.
const net = require("net");
const nothing = new Int32Array(new SharedArrayBuffer(4));
const body = `pid=${process.pid}\n`;

net
  .createServer((socket) => {
    let request = "";

    socket.write("HTTP/1.1 200 OK\r\n");
    socket.on("error", () => {});
    socket.on("data", (data) => {
      request += data;
      if (!request.includes("\r\n\r\n")) return;
      const work = request.match(/\/sleep\/(\d+)/);
      if (work) Atomics.wait(nothing, 0, 0, Number(work[1]));
      socket.end(`Content-Length: ${body.length}\r\n\r\n${body}`);
    });
  })
  .listen(process.argv[2]);
