// SPDX-License-Identifier: MIT
// Node's primary, relaying between two workers as `relay = others` does:
// node relay.js COMMAND [ARG]...
const { spawn } = require("child_process");

const [command, ...args] = process.argv.slice(2);
const workers = [];

function start(slot) {
  const worker = spawn(command, args, {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    env: { ...process.env, NCLUST_SLOT: String(slot) },
  });

  workers.push(worker);
  worker.on("message", (message) => {
    for (const other of workers)
      if (other !== worker)
        other.send({ from: { cluster: "chat", slot }, message });
  });
  worker.on("error", () => {});
}

for (let slot = 0; slot < 2; slot++) start(slot);
process.on("SIGTERM", () => {
  for (const worker of workers) worker.kill();
  process.exit(0);
});
