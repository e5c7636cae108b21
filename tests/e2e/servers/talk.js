// SPDX-License-Identifier: MIT
// Echoes short messages of WebSockets, "later" when the file "open" is there; a stop signal ends it:
// node talk.js PORT
const fs = require("fs");
const http = require("http");

http
  .createServer()
  .on("upgrade", (request, socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
    socket.on("error", () => {});
    socket.on("data", (frame) => {
      const text = frame.subarray(6).map((byte, i) => byte ^ frame[2 + (i % 4)]);
      const echo = () => socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
      const look = () => (fs.existsSync("open") ? echo() : setTimeout(look, 5));

      if (String(text) === "later") look();
      else echo();
    });
  })
  .listen(process.argv[2]);
