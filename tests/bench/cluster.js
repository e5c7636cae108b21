// SPDX-License-Identifier: MIT
// Node's own way to share a port: node cluster.js PORT WORKERS
const cluster = require("cluster");

if (cluster.isPrimary) {
  for (let i = 0; i < Number(process.argv[3]); i++) cluster.fork();
} else {
  require("../e2e/servers/plain.js");
}
