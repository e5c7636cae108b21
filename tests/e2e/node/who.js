// SPDX-License-Identifier: MIT
// What every script here answers: which process it is, and what Node takes it
// for.  "worker=no" is one that Node's cluster knows nothing of.
const cluster = require("cluster");

module.exports = () => {
  const worker = cluster.isWorker ? cluster.worker.id : "no";

  return `pid=${process.pid} worker=${worker} slot=${process.env.NCLUST_SLOT}\n`;
};
