#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A server for HTTP that is a shell script: what comes is standard input, what is
# answered standard output.
#
#	nclust -l 9000 -n 32 --accept -- ./report.sh
#
# or with report.ini beside this.
set -u

read -r method path _ || exit 1
while read -r line && [ "${line%?}" != "" ]; do :; done # the headers

page() {
	echo "$method $path, asked by ${REMOTE_ADDR:-a process of this machine}"
	uptime
	df -h / | tail -n 1
}

text=$(page)
printf 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n'
printf 'Content-Length: %d\r\nConnection: close\r\n\r\n' $((${#text} + 1))
echo "$text"
echo "$path for ${TCPREMOTEIP:-uid $UNIXREMOTEEUID}" >&2
