// SPDX-License-Identifier: MIT
// Calls back after ?ms=N of a request, and when the file of ?until=FILE is there.
const fs = require("fs");

module.exports = (request, then) => {
  const { searchParams } = new URL(request.url, "http://x");
  const file = searchParams.get("until");
  const look = () => (file && !fs.existsSync(file) ? setTimeout(look, 5) : then());

  setTimeout(look, Number(searchParams.get("ms")));
};
