// SPDX-License-Identifier: MIT
// A worker that asks its primary for one socket, and tells how it was answered:
// node asks.js path PATH | node asks.js udp PORT FLAGS
const [how, what, flags] = process.argv.slice(2);

process.on("internalMessage", (message) => {
  if (message.ack === 7 || message.type === "dgram.Native")
    console.log(`answer ${message.errno || message.msg?.errno || "given"}`);
});

process.send({
  cmd: "NODE_CLUSTER",
  act: "queryServer",
  index: 0,
  seq: 7,
  ...(how === "udp"
    ? { address: "127.0.0.1", port: +what, addressType: "udp4", flags: +flags }
    : { address: what, port: -1, addressType: -1 }),
});
setInterval(() => {}, 1000);
