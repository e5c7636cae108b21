// SPDX-License-Identifier: MIT
// A server that closes itself a moment late, so that a client asks again before, and that
// then waits until all clients leave; each answer takes 20 ms: node linger.js LISTEN
const http = require("http");
const who = require("./who");

const server = http.createServer((_, response) => {
  setTimeout(() => response.end(who()), 20);
});
const close = server.close;

server.close = (...args) => setTimeout(() => close.apply(server, args), 300);
process.on("SIGTERM", () => {});
server.listen(JSON.parse(process.argv[2]));
