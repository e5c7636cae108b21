// SPDX-License-Identifier: MIT
// As plain.js, and it ends in its own time: after its stop signal it serves on until the file "close"
// is there, closes its server, and flushes until the file "flush" is there: node finish.js LISTEN
const fs = require("fs");
const http = require("http");
const later = require("./later");
const who = require("./who");

const when = (file, then) =>
  fs.existsSync(file) ? then() : setTimeout(when, 5, file, then);

const server = http
  .createServer((request, response) => later(request, () => response.end(who())))
  .listen(JSON.parse(process.argv[2]));

function finish(signal) {
  console.log(`got ${signal}`);
  when("close", () =>
    server.close((error) => {
      console.log(`closed: ${error ? error.code : "well"}`);
      when("flush", () => console.log("flushed"));
    })
  );
}

process.on("SIGTERM", finish);
process.on("SIGINT", finish);
process.on("disconnect", () => console.log("disconnected"));
process.on("exit", (code) => console.log(`exits with ${code}`));
