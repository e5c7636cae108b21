// SPDX-License-Identifier: MIT
// As plain.js, and it says how many connections it has when it is told to leave;
// answers to /stream go on, piece by piece, until then: node leave.js LISTEN
const http = require("http");
const who = require("./who");

const streams = new Map();
let connections = 0;

const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://x");

  if (url.pathname === "/stream") {
    response.write("begun\n");
    streams.set(
      response,
      setInterval(() => response.write("more\n"), 5),
    );
  } else {
    setTimeout(() => response.end(who()), Number(url.searchParams.get("ms")));
  }
});

server.on("connection", (socket) => {
  connections++;
  socket.on("close", () => connections--);
});

process.on("internalMessage", (message) => {
  if (message.act !== "disconnect") return;
  console.log(`told with ${connections} connections`);
  for (const [response, timer] of streams) {
    clearInterval(timer);
    response.end("ended by the worker\n");
  }
});

server.listen(JSON.parse(process.argv[2]));
