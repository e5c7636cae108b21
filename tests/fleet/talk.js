// SPDX-License-Identifier: MIT
// A server of Node that talks with its siblings: node talk.js FOLDER PORT.  Told
// ["say", X] it sends X; what else comes is a line of FOLDER/SLOT.
const fs = require("fs");
const http = require("http");

const [folder, port] = process.argv.slice(2);

process.on("message", (message) => {
  if (Array.isArray(message) && message[0] === "say") process.send(message[1]);
  else
    fs.appendFileSync(
      `${folder}/${process.env.NCLUST_SLOT}`,
      JSON.stringify(message) + "\n"
    );
});
http.createServer((request, response) => response.end("ok\n")).listen(port);
