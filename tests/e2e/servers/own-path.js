// SPDX-License-Identifier: MIT
// The same as own-path.py, by Node: it is libuv that removes the path in close().
const fs = require("fs");
const path = process.argv[2];

fs.rmSync(path, { force: true });
const server = require("http").createServer((_, answer) => answer.end(`pid=${process.pid}\n`));
server.listen(path);
process.on("SIGTERM", () => server.close(() => process.exit(0)));
