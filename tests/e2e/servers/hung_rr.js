// SPDX-License-Identifier: MIT
// hung_rr.js PORT COMMAND...: an HTTP server that nclust accepts for, and a child that
// binds the same port, and so gets the socket.
const { spawn } = require('child_process');
const http = require('http');

const [port, command, ...args] = process.argv.slice(2);

http.createServer((request, response) => response.end('well\n'))
	.listen(Number(port), '127.0.0.1', () =>
		spawn(command, args, { stdio: 'inherit' }));
