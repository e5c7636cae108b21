// How many primes are there?  Nothing else is done meanwhile:
// COMPUTE=SOCKET node compute.js
const http = require("http");

const MOST = 100e6; // bytes of memory, too

function primes(below) {
  const composite = new Uint8Array(below);
  let count = 0;

  for (let n = 2; n < below; n++) {
    if (composite[n]) continue;
    count++;
    for (let i = n * n; i < below; i += n) composite[i] = 1;
  }
  return count;
}

http
  .createServer((request, response) => {
    const url = new URL(request.url, "http://localhost");
    const below = Number(url.searchParams.get("below"));

    if (url.pathname !== "/primes" || !(below >= 0 && below <= MOST)) {
      response.statusCode = 404;
      response.end(`wanted /primes?below=N, with N up to ${MOST}\n`);
      return;
    }
    const answer = { below, primes: primes(below), pid: process.pid };

    response.end(`${JSON.stringify(answer)}\n`);
  })
  .listen(process.env.COMPUTE);
