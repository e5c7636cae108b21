// SPDX-License-Identifier: MIT
// No server: takes jobs from nowhere.  With a FIFO it says that it is ready
// when it has read a line of that: node queue.js [FIFO]
const fs = require("fs");

setInterval(() => {}, 1000);
if (process.argv[2]) {
  const lines = fs.createReadStream(process.argv[2]);

  lines.on("data", () => process.send("ready"));
}
