// SPDX-License-Identifier: MIT
// As plain.js, and it says how many connections it has when it is told to leave;
// who asks for /poll is answered then: node leave.js LISTEN
const http = require("http");
const who = require("./who");

const polls = [];
let connections = 0;

const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://x");

  if (url.pathname === "/poll") {
    polls.push(response);
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
  for (const response of polls) response.end("nothing more\n");
});

server.listen(JSON.parse(process.argv[2]));
