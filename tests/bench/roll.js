// SPDX-License-Identifier: MIT
// Node's own primary: node roll.js SCRIPT PORT WORKERS.  Who dies is replaced.
// On SIGUSR2 each gets a successor, and is disconnected when that listens.
const cluster = require("cluster");

const [script, port, count] = process.argv.slice(2);

function replace(old, done) {
  const next = cluster.fork();

  old.replaced = true;
  next.once("listening", () => {
    old.once("exit", done);
    old.disconnect();
  });
}

cluster.setupPrimary({ exec: script, args: [port] });
for (let i = 0; i < Number(count); i++) cluster.fork();
cluster.on("exit", (worker) => worker.replaced || cluster.fork());
process.on("SIGUSR2", () => {
  const old = Object.values(cluster.workers);
  const next = () =>
    old.length > 0 ? replace(old.shift(), next) : console.log("rolled");

  next();
});
