#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016
#
# One worker among several is replaced, or taken away, while the others serve on by
# the very socket that it has: under a load that never pauses nothing is lost.

load ../../lib
bats_require_minimum_version 1.5.0

setup() {
	nclust_setup
	free_port
}

restart_slot() {
	timeout $((40 * PATIENCE)) "$NCLUST" restart "$INSTANCE.$1" 3>&-
}

# restart_each LOAD-OPTION...: one slot after the other.
restart_each() {
	start_open "$AT" "$@"
	restart_slot 0
	restart_slot 1
	end_well
	[ "$(cluster .generation)" -eq 3 ]
}

end_well() {
	end_open
	[ "$LOST" -eq 0 ]
	run ! grep -F 'by force' "$LOG"
}

one_socket() {
	[ "$(ss -Htln "sport = :$PORT" | wc -l)" -eq 1 ]
}

# until_replaced LOAD...: all workers that there are, under that load.
until_replaced() {
	local before pid

	before=$(cluster '[.workers[].pid] | join(" ")')
	start_open "$AT" "$@"
	for pid in $before; do
		wait_until 40 'is_gone "$1"' "$pid"
	done
}

# --- An event loop is taken off the socket that it shares ---------------------

@test "slow requests in flight at all times" {
	start_cluster -n 2 -l "$AT" -- "$FIXTURES/rude"
	restart_each --rate 100 --path /slow
	one_socket
}

@test "streams that overlap" {
	start_cluster -n 2 -l "$AT" -- "$FIXTURES/rude" --chunks 20
	restart_each --rate 10 --mode stream --path /stream
	one_socket
}

@test "connections that are used again and never all quiet" {
	start_cluster -n 2 -l "$AT" -- "$FIXTURES/rude"
	start_open "$AT" --rate 60 --mode keep --connections 24 --path /slow
	restart_slot 0
	restart_slot 1
	end_well
	[ "$RACES" -le 2 ]
}

@test "a server that binds for itself" {
	start_cluster -n 2 -- "$FIXTURES/rude" "$PORT"
	restart_each --rate 100 --path /slow
	one_socket
}

@test "Node" {
	cat >"$DIR/slow.js" <<-EOF
		require('http').createServer((q, s) =>
			setTimeout(() => s.end('pid=' + process.pid), 150)
		).listen($PORT, '127.0.0.1')
	EOF
	start_cluster -n 2 -- node "$DIR/slow.js"
	restart_each --rate 120
}

@test "asyncio" {
	cat >"$DIR/slow.py" <<-EOF
		import asyncio, socket
		async def serve(r, w):
		    await r.readuntil(b'\r\n\r\n')
		    await asyncio.sleep(0.15)
		    w.write(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
		    await w.drain()
		    w.close()
		async def main():
		    async with await asyncio.start_server(
		            serve, sock=socket.socket(fileno=3)) as s:
		        await s.serve_forever()
		asyncio.run(main())
	EOF
	start_cluster -n 2 -l "$AT" -- python3 "$DIR/slow.py"
	restart_each --rate 120
}

@test "a unix socket, which cannot be steered at all" {
	AT=$DIR/sock
	start_cluster -n 2 -l "unix:$AT" -- "$FIXTURES/rude" --slow 60
	restart_each --rate 200 --path /slow
	start_open "$AT" --rate 200 --path /slow
	timeout $((60 * PATIENCE)) "$NCLUST" restart "$INSTANCE" 3>&-
	end_well
}

@test "one that has to go, as there are to be fewer" {
	start_cluster -n 3 -l "$AT" -- "$FIXTURES/rude"
	start_open "$AT" --rate 100 --path /slow
	timeout $((40 * PATIENCE)) "$NCLUST" scale "$INSTANCE" 1 3>&-
	wait_until 40 '[ "$(cluster ".workers | length")" -eq 1 ]'
	end_well
}

# gives_way SLOT: its worker is gone that took too much.
gives_way() {
	local pid

	pid=$(sed -n "s/.*it\.$1: worker \([0-9]*\) uses more.*/\1/p" "$LOG")
	[ -n "$pid" ] && is_gone "$pid"
}

@test "those that have grown too much, one at a time" {
	start_cluster -n 2 -l "$AT" --max-memory 40M -- sh -c '
		[ ! -e "$0" ] || exec "$1"
		exec "$1" --eat 60' "$DIR/fixed" "$FIXTURES/rude"
	touch "$DIR/fixed"
	start_open "$AT" --rate 100 --path /slow
	for slot in 0 1; do
		wait_until 40 'gives_way "$1"' "$slot"
	done
	end_well
	one_socket
}

@test "those that have grown old, one at a time" {
	start_cluster -n 2 -l "$AT" --max-age 3s -- "$FIXTURES/rude"
	until_replaced --rate 100 --path /slow
	end_well
}

# --- One that waits otherwise: its successor gets a socket of its own -----------

@test "poll: each slot in turn" {
	start_cluster -n 2 -l "$AT" -- "$FIXTURES/rude" --poll
	start_open "$AT" --rate 200 --path /slow
	for slot in 0 1 0; do
		restart_slot "$slot"
	done
	[ "$(cluster .generation)" -eq 4 ]
	timeout $((40 * PATIENCE)) "$NCLUST" upgrade "$INSTANCE" 3>&-
	restart_slot 1
	timeout $((60 * PATIENCE)) "$NCLUST" restart "$INSTANCE" 3>&-
	end_well
	poll_until 10 one_socket
}

@test "poll: those that have grown old, one at a time" {
	start_cluster -n 3 -l "$AT" --max-age 4s -- "$FIXTURES/rude" --poll
	until_replaced --rate 300 --path /slow
	end_well
}

@test "a thread for each connection" {
	cat >"$DIR/slow.py" <<-EOF
		import http.server, time
		class Slow(http.server.BaseHTTPRequestHandler):
		    def do_GET(self):
		        time.sleep(0.15)
		        self.send_response(200)
		        self.send_header('Content-Length', '2')
		        self.end_headers()
		        self.wfile.write(b'ok')
		    def log_message(self, *a): pass
		http.server.ThreadingHTTPServer(
		    ('127.0.0.1', $PORT), Slow).serve_forever()
	EOF
	start_cluster -n 2 -- python3 "$DIR/slow.py"
	restart_each --rate 100
}

@test "one request at a time: no other socket is needed" {
	start_cluster -n 2 -l "$AT" -- "$FIXTURES/rude" --blocking --work 5
	start_open "$AT" --rate 100
	restart_slot 0
	end_well
	one_socket
}

@test "an upgrade meanwhile" {
	start_cluster -n 2 -l "$AT" -- "$FIXTURES/rude" --slow 2000
	start_open "$AT" --rate 50 --path /slow
	"$NCLUST" restart --no-wait "$INSTANCE.0" 3>&-
	timeout $((40 * PATIENCE)) "$NCLUST" upgrade "$INSTANCE" 3>&-
	wait_until 40 '[ "$(cluster .generation)" -eq 2 ]'
	end_well
}

# --- In which order -----------------------------------------------------------------

# Only slot 0 takes connections, and so is the one that is busy.
@test "a rolling restart comes to those that are idle first" {
	MARKS=$DIR/read start_cluster -n 3 -l "$AT" -- sh -c '
		[ "$NCLUST_SLOT" = 0 ] || set -- --deaf
		exec "$0" --slow 60000 --mark "$MARKS" "$@"' "$FIXTURES/rude"
	curl -sS --max-time 60 "http://$AT/slow?1" 2>/dev/null 3>&- &
	STARTED+=("$!")
	poll_until 10 test -s "$DIR/read"
	nclust restart "$INSTANCE" --no-wait
	wait_until 10 '[ "$(worker 1 .generation)" = 2 ] &&
		[ "$(worker 2 .generation)" = 2 ]'
	[ "$(cluster '[.workers[] | select(.slot == 0 and .generation == 1)] |
		length')" -eq 1 ]
	nclust stop "$INSTANCE" --now
	wait_exit
}
