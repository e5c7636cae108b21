// SPDX-License-Identifier: MIT
// What a worker forks: it tells what it is, and does a sum.
const cluster = require("cluster");

process.on("message", ({ add }) => {
  process.send({
    sum: add.reduce((a, b) => a + b, 0),
    isWorker: cluster.isWorker,
    unique: process.env.NODE_UNIQUE_ID || null,
  });
  process.disconnect();
});
