// Answers at once, and hands what takes long to the cluster "compute":
// COMPUTE=SOCKET node web.js PORT
const http = require("http");

// Who computes may die of it: then another one is asked.
function ask(path, tries, done) {
  const failed = (error) =>
    tries > 1 ? ask(path, tries - 1, done) : done(503, `${error.code}\n`);
  const where = { socketPath: process.env.COMPUTE, path, agent: false };

  http
    .get(where, (answer) => {
      let body = "";

      answer.on("data", (data) => (body += data));
      answer.on("error", failed);
      answer.on("end", () => done(answer.statusCode, body));
    })
    .on("error", failed);
}

http
  .createServer((request, response) => {
    const answer = (status, body) => {
      response.statusCode = status;
      response.end(body);
    };

    if (request.url === "/") answer(200, "ask for /primes?below=N\n");
    else ask(request.url, 3, answer);
  })
  .listen(Number(process.argv[2]));
