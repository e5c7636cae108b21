// SPDX-License-Identifier: MIT
// A TCP server that tells who it is and then repeats what it hears, up to
// MOST connections at a time: node net.js LISTEN [MOST]
const net = require("net");
const who = require("./who");

const server = net.createServer((socket) => {
  socket.on("error", () => {});
  socket.write(who());
  socket.pipe(socket);
});

if (process.argv[3]) server.maxConnections = Number(process.argv[3]);
server.listen(JSON.parse(process.argv[2]));
