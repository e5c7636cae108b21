// Its own primary accepts, and hands each connection to a worker by a message, as that of
// @socket.io/sticky does: a worker opens no port.  "ticks": workers have a timer, too.
const cluster = require("cluster");
const http = require("http");

if (cluster.isPrimary) {
    const workers = [cluster.fork(), cluster.fork()];
    let turn = 0;
    require("net").createServer({pauseOnConnect: true}, socket =>
        workers[turn++ % 2].send("sticky:connection", socket)).listen(process.argv[2]);
} else {
    const server = http.createServer((asks, answer) => answer.end(`pid=${process.pid}\n`));
    process.on("message", (type, socket) => {
        server.emit("connection", socket);
        socket.resume();
    });
    if (process.argv[3] === "ticks")
        setInterval(() => {}, 1000);
    setImmediate(() => console.log("waits"));
}
