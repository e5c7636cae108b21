// SPDX-License-Identifier: MIT
// A server that has never heard of clusters: node plain.js LISTEN
//
// LISTEN is JSON: a port, a path in quotes, or what listen() takes as options.
const http = require("http");
const who = require("./who");

const slow = (request) => Number(new URL(request.url, "http://x").searchParams.get("ms"));

http
  .createServer((request, response) => {
    setTimeout(() => response.end(who()), slow(request));
  })
  .listen(JSON.parse(process.argv[2]), function () {
    console.log("listening at", JSON.stringify(this.address()));
  });
