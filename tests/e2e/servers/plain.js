// SPDX-License-Identifier: MIT
// A Node server as any: node plain.js PORT
const http = require("http");

http
  .createServer((_, response) => response.end(`pid=${process.pid}\n`))
  .listen(process.argv[2]);
