// SPDX-License-Identifier: MIT
// The script of Node's manual, which forks itself: node clustered.js PORT
const cluster = require("cluster");
const http = require("http");
const who = require("./who");

if (cluster.isPrimary) {
  console.log("the primary's branch");
  for (let i = 0; i < 2; i++) cluster.fork();
} else {
  http
    .createServer((_, response) => response.end(who()))
    .listen(Number(process.argv[2]));
}
