// SPDX-License-Identifier: MIT
// A server that has never heard of clusters: node plain.js LISTEN
//
// LISTEN is JSON: a port, a path in quotes, or what listen() takes as options.
// /?until=FILE is answered when that is there.
const http = require("http");
const later = require("./later");
const who = require("./who");

http
  .createServer((request, response) => {
    later(request, () => response.end(who()));
  })
  .listen(JSON.parse(process.argv[2]), function () {
    console.log("listening at", JSON.stringify(this.address()));
  });
