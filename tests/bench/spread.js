// SPDX-License-Identifier: MIT
// How evenly are connections spread?  node spread.js PORT COUNT CLIENTS: so many
// requests, each by a connection of its own, CLIENTS at a time; the answers hold
// "pid=N".  Prints the coefficient of variation over the workers that answered,
// how many those were, and the fewest and the most that one had.
const http = require("http");

const [port, count, clients] = process.argv.slice(2).map(Number);
const answers = new Map();
let asked = 0;

function ask() {
  if (asked++ >= count) return;
  http.get({ port, host: "127.0.0.1", agent: false }, (response) => {
    let body = "";

    response.on("data", (data) => (body += data));
    response.on("end", () => {
      const who = /pid=(\d+)/.exec(body)[1];

      answers.set(who, (answers.get(who) || 0) + 1);
      ask();
    });
  });
}

for (let i = 0; i < clients; i++) ask();
process.on("exit", () => {
  const each = [...answers.values()];
  const mean = each.reduce((a, b) => a + b, 0) / each.length;
  const squares = each.map((n) => (n - mean) ** 2).reduce((a, b) => a + b, 0);
  const deviation = Math.sqrt(squares / each.length);

  console.log(
    (deviation / mean).toFixed(4),
    each.length,
    Math.min(...each),
    Math.max(...each)
  );
});
