// SPDX-License-Identifier: MIT
// A Node server as any, some of whose answers take 100 ms: node slow.js PORT
const http = require("http");

http
  .createServer((request, response) => {
    const answer = () => response.end(`pid=${process.pid}\n`);

    if (request.url === "/slow") setTimeout(answer, 100);
    else answer();
  })
  .listen(process.argv[2]);
