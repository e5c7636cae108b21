# SPDX-License-Identifier: MIT
# A server with webrick, on IPv4 and IPv6: ruby plain-webrick.rb PORT
require "webrick"

server = WEBrick::HTTPServer.new(Port: ARGV[0].to_i, AccessLog: [])
server.mount_proc("/") { |_, response| response.body = "pid=#{$$}\n" }
server.start
