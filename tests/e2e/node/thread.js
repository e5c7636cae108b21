// SPDX-License-Identifier: MIT
// A computation in a thread.
const { parentPort, workerData } = require("worker_threads");

const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));

parentPort.postMessage(fib(workerData));
