// SPDX-License-Identifier: MIT
// HTTPS, whose sessions any worker can resume: node https.js PORT KEY CERT
const fs = require("fs");
const https = require("https");
const who = require("./who");

const [port, key, cert] = process.argv.slice(2);

https
  .createServer(
    { key: fs.readFileSync(key), cert: fs.readFileSync(cert) },
    (_, response) => response.end(who())
  )
  .listen(Number(port));
