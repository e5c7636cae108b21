#!/usr/bin/env node
// SPDX-License-Identifier: MIT
// A script that is a command of its own, and a module: module.mjs PORT
import http from "http";
import who from "./who.js";

http
  .createServer((_, response) => response.end(who()))
  .listen(Number(process.argv[2]));
