// SPDX-License-Identifier: MIT
// A worker that asks its primary for one socket, and tells how it was answered:
// node asks.js path PATH ('@' first: abstract) | node asks.js udp PORT FLAGS | node asks.js often
const [how, what, flags] = process.argv.slice(2);

process.on("internalMessage", (message) => {
  if (how === "often" && message.ack) {
    process.send({ cmd: "NODE_CLUSTER", act: "close", key: message.key });
    setImmediate(ask);
  } else if (message.ack === 7 || message.type === "dgram.Native")
    console.log(`answer ${message.errno || message.msg?.errno || "given"}`);
});

const places = {
  path: { address: what?.replace("@", "\0"), port: -1, addressType: -1 },
  udp: { address: "127.0.0.1", port: +what, addressType: "udp4", flags: +flags },
  often: { address: "127.0.0.1", port: 0, addressType: 4 },
};

function ask() {
  process.send({
    cmd: "NODE_CLUSTER",
    act: "queryServer",
    index: 0,
    seq: 7,
    ...places[how],
  });
}

ask();
setInterval(() => {}, 1000);
