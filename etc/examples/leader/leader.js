// A server of which one worker runs a scheduler.
// GET / says whether the worker that answers is that one.
const http = require("http");

let leads = false;

// Node knows no flock(2): nclust takes the lock for one worker, and says so.
process.on("message", (message) => {
  if (message.nclust !== "leader") return;
  leads = true;
  setInterval(() => console.log("what only one may do"), 1000);
});

http
  .createServer((request, response) => response.end(leads ? "leader\n" : "worker\n"))
  .listen({ fd: 3 });
