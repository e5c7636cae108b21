// SPDX-License-Identifier: MIT
// Answers each datagram: node dgram.js PORT
const dgram = require("dgram");
const who = require("./who");

const socket = dgram.createSocket("udp4");

socket.on("message", (_, from) => socket.send(who(), from.port, from.address));
socket.bind(Number(process.argv[2]), "127.0.0.1");
