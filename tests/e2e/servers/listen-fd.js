// SPDX-License-Identifier: MIT
// A Node server that takes its socket as descriptor 3.
const http = require("http");

const server = http.createServer((_, response) => {
  response.setHeader("Connection", "close");
  response.end(`pid=${process.pid}\n`);
});
server.listen({ fd: 3 });
process.on("SIGTERM", () => server.close());
