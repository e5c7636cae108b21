// SPDX-License-Identifier: MIT
// A web application with express: node express.js PORT
const express = require("express");
const who = require("./who");

const app = express();

app.use(express.json());
app.get("/", (_, response) => response.send(who()));
app.post("/sum", (request, response) => {
  response.json({ sum: request.body.reduce((a, b) => a + b, 0) });
});
app.listen(Number(process.argv[2]));
