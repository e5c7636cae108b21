// SPDX-License-Identifier: MIT
// How many CPUs it counts, what it was told, and how many threads its pool has, which is started
// as a whole when it is first used: node threads.js FILE
const fs = require('fs'), crypto = require('crypto');
const threads = () => fs.readdirSync('/proc/self/task').length;
const before = threads();
crypto.pbkdf2('a', 'b', 1, 8, 'sha1', () =>
	fs.writeFileSync(process.argv[2], [require('os').availableParallelism(),
		process.env.UV_THREADPOOL_SIZE, threads() - before].join(' ')));
setInterval(() => {}, 60000);
