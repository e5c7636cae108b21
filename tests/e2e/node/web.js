// SPDX-License-Identifier: MIT
// A server that does on request what programs do with Node's cluster:
// node web.js LISTEN (JSON: a port, a path in quotes, or options)
const child_process = require("child_process");
const cluster = require("cluster");
const http = require("http");
const { Worker } = require("worker_threads");
const who = require("./who");

const heard = []; // what has come from process.on("message")
let rounds = 0; // how often the port was closed and taken again

process.on("message", (message) => heard.push(message));

const actions = {
  "/": (_, answer) => answer(who()),
  "/rounds": (_, answer) => answer(`rounds=${rounds} ${who()}`),

  // The port is closed, and taken again as soon as nobody waits for an answer.
  "/again": (_, answer) => {
    answer(who());
    server.close(() => {
      rounds++;
      listen();
    });
    if (server.closeIdleConnections) server.closeIdleConnections();
  },

  "/disconnect": (_, answer) => {
    answer(who());
    cluster.worker.disconnect();
  },
  "/kill": (_, answer) => {
    answer(who());
    cluster.worker.kill();
  },

  // A child has a channel of its own, and none of this process's.
  "/fork": (_, answer) => {
    const child = child_process.fork(`${__dirname}/child.js`);

    child.on("message", (message) => answer(JSON.stringify(message)));
    child.send({ add: [1, 2, 3] });
  },
  // It listens for itself: is the cluster in its way?
  "/thread": (_, answer) => {
    const thread = new Worker(`${__dirname}/thread.js`, { workerData: 30 });

    thread.on("message", (message) => answer(`fib=${message} ${who()}`));
  },

  "/heard": (_, answer) => answer(JSON.stringify(heard)),
  // The value in the body goes to the primary.
  "/say": (body, answer) => {
    process.send(JSON.parse(body), (error) => answer(`said ${error}\n`));
  },
  "/say-big": (body, answer) => {
    process.send({ big: "x".repeat(Number(body)) }, (error) =>
      answer(`said ${error}\n`)
    );
  },
  // And a message with a handle, of each kind there is.
  "/say-handles": (_, answer, socket) => {
    process.send({ handle: "server" }, server, () => {
      process.send({ handle: "socket" }, socket, { keepOpen: true }, () =>
        process.send({ handle: "none" }, (error) => answer(`said ${error}\n`))
      );
    });
  },
};

const server = http.createServer((request, response) => {
  const action = actions[request.url.replace(/\?.*/, "")];
  let body = "";

  response.setHeader("Connection", "close");
  if (!action) {
    response.statusCode = 404;
    response.end();
    return;
  }
  request.on("data", (data) => (body += data));
  request.on("end", () =>
    action(body, (text) => response.end(text), request.socket)
  );
});

server.on("error", (error) => {
  console.log(`cannot listen: ${error.code} ${error.syscall}`);
  setInterval(() => {}, 1000); // it lives on
});

function listen() {
  server.listen(JSON.parse(process.argv[2]), () =>
    console.log(`listening at ${JSON.stringify(server.address())}`)
  );
}

listen();
