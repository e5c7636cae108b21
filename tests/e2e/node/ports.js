// SPDX-License-Identifier: MIT
// Two servers, each at a port that the system chooses, and one more server in
// which they are told: node ports.js PORT
const http = require("http");
const who = require("./who");

const any = [1, 2].map(() => http.createServer((_, r) => r.end(who())));

any[0].listen(0, "127.0.0.1", () =>
  any[1].listen(0, "127.0.0.1", () => {
    const ports = any.map((server) => server.address().port).join(" ");

    http
      .createServer((_, r) => r.end(`ports=${ports} ${who()}`))
      .listen(Number(process.argv[2]));
  })
);
