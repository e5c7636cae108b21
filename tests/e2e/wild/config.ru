# SPDX-License-Identifier: MIT
# An application that tells which process answers.
run ->(_) { [200, { "content-type" => "text/plain" }, ["pid=#{$$}\n"]] }
