// SPDX-License-Identifier: MIT
// A worker that does not keep to the protocol, on the channel that it finds
// where nclust has put it: node hostile.js HOW
const fs = require("fs");
const who = require("./who");

const CHANNEL = Number(process.argv[3] || 3);

// Unlike process.send() these are bytes, whatever they mean.
function write(bytes) {
  let rest = Buffer.from(bytes);

  while (rest.length > 0) {
    try {
      rest = rest.subarray(fs.writeSync(CHANNEL, rest));
    } catch (error) {
      if (error.code !== "EAGAIN") return error.code;
    }
  }
  return "written";
}

const internal = (fields) =>
  write(`${JSON.stringify({ cmd: "NODE_CLUSTER", ...fields })}\n`);

const ways = {
  // a line that never ends
  endless: () => {
    const much = Buffer.alloc(1 << 20, "x");

    for (let i = 0; i < 64 && write(much) === "written"; i++);
  },
  // answers to what nobody has asked
  acks: () => {
    for (const ack of [0, 1, 99, -1, 1e300, "x", null, {}])
      internal({ ack, accepted: true, seq: 7 });
    for (let i = 0; i < 5; i++) {
      write('{"cmd":"NODE_HANDLE_ACK"}\n');
      write('{"cmd":"NODE_HANDLE_NACK"}\n');
    }
  },
  // what looks like a message and is none
  nonsense: () => {
    write("\n\n{\n}\n[]\nnull\n\0\0\n");
    write('{"cmd":"NODE_CLUSTER"\n{"cmd":"NODE_CLUSTER"}\n');
    write('{"cmd":"NODE_CLUSTER","act":"none","seq":1}\n');
    write('{"cmd":"NODE_CLUSTER","act":"queryServer"}\n');
    write(`{"cmd":"NODE_CLUSTER","act":${"[".repeat(5000)}\n`);
    write('{"cmd":"NODE_HANDLE","type":"net.Native","msg":{}}\n');
    write('{"cmd":"NODE_HANDLE"}\n');
    internal({ act: "close", key: "nobody's", seq: 2 });
    internal({ act: "listening", port: "x", addressType: {}, seq: 3 });
    for (const port of [-1, 65536, 1e99, "80", null, {}])
      internal({ act: "queryServer", index: 0, port, addressType: 4, seq: 4 });
    for (const addressType of [5, null, "udp7", -1, []])
      internal({ act: "queryServer", port: 1, addressType, seq: 5 });
    for (const fd of [0, 1, 2, 3, 4, 5, 1e6, -1, "x"])
      internal({ act: "queryServer", index: 0, fd, seq: 6 });
    internal({
      act: "queryServer",
      address: "x".repeat(4000),
      port: -1,
      addressType: -1,
      seq: 8,
    });
  },
  // more servers than anybody has
  ports: () => {
    for (let index = 0; index < 20000; index++) {
      const query = { act: "queryServer", address: "127.0.0.1", port: 0 };

      internal({ ...query, addressType: 4, index, seq: 100 + index });
    }
  },
  // it never reads what it is told
  deaf: () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  },
};

ways[process.argv[2]]();
process.stdout.write(`done ${process.argv[2]} ${who()}`);
setInterval(() => {}, 1000);
