// SPDX-License-Identifier: MIT
// Opens its port at once and answers 503 while it loads for a second: node loads.js PORT
const http = require("http");
const loaded = Date.now() + 1000;

http
  .createServer((request, response) => {
    response.statusCode = Date.now() > loaded ? 200 : 503;
    response.end(`pid=${process.pid}\n`);
  })
  .listen(process.argv[2]);
