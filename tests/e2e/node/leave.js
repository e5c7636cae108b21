// SPDX-License-Identifier: MIT
// As plain.js, and it says how many connections it has when it gets its stop signal;
// who asks for /poll is answered then: node leave.js LISTEN
const fs = require("fs");
const http = require("http");
const later = require("./later");
const who = require("./who");

const polls = [];
const connections = new Set();

const server = http.createServer((request, response) => {
  if (request.url === "/poll") polls.push(response);
  else later(request, () => response.end(who()));
});

server.on("connection", (socket) => {
  const ports = `${socket.localPort} ${socket.remotePort}`;

  connections.add(ports);
  socket.on("close", () => connections.delete(ports));
});

// As the kernel has it: of those that ended just before, Node may not know yet.
function established() {
  let count = 0;

  if (connections.size === 0) return 0;
  for (const name of ["tcp", "tcp6"])
    for (const line of fs.readFileSync(`/proc/net/${name}`, "utf8").split("\n")) {
      const [, local, remote, state] = line.trim().split(/\s+/);
      const port = (address) => parseInt(address.split(":")[1], 16);

      if (state === "01" && connections.has(`${port(local)} ${port(remote)}`))
        count++;
    }
  return count;
}

process.on("SIGTERM", () => {
  console.log(`told with ${established()} connections`);
  for (const response of polls) response.end("nothing more\n");
  server.close();
  if (server.closeIdleConnections) server.closeIdleConnections();
});

server.listen(JSON.parse(process.argv[2]));
