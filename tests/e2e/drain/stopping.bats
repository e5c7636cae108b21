#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# A worker that has its stop signal, or is about to get it, takes no new connection:
# what it has read it has time to answer.  Each server here marks the requests that
# it has read, so that what is lost can be told from what nobody had begun.

load ../../lib
bats_require_minimum_version 1.5.0

setup() {
	nclust_setup
	free_port
	READ=$DIR/read
	: >"$READ"
}

# load LOAD-OPTION...: requests with numbers.
begin_load() {
	start_open "$AT" --lost "$DIR/lost" "$@"
}

# All was answered: others were there for what one did not take.
nothing_lost() {
	end_open
	[ "$LOST" -eq 0 ]
}

verb() {
	timeout $((60 * PATIENCE)) "$NCLUST" "$@" 3>&-
}

# --- All stop -------------------------------------------------------------------

# stop_under_load LOAD-OPTION...: nothing that was read is lost, and nobody is waited
# for until time is up.
stop_under_load() {
	begin_load "$@"
	wait_until 10 '[ "$(wc -l <"$READ")" -gt 50 ]'
	verb stop "$INSTANCE"
	wait_exit
	end_open
	[ "$(lost_after_reading "$READ")" -eq 0 ]
	run ! logged "by force"
}

@test "stop: an event loop under a load that never pauses" {
	start_cluster -n 2 -l "$AT" -- "$FIXTURES/rude" --mark "$READ"
	stop_under_load --rate 100 --path /slow
}

@test "stop: so it is with one that binds for itself, and ends a little later" {
	start_cluster -n 2 --ready listen -- \
		"$FIXTURES/rude" "$PORT" --mark "$READ" --late 200
	stop_under_load --rate 100 --path /slow
}

# Python's handlers run in the main thread, which only its own signal wakes.
@test "restart: a main thread that sleeps hears the signal, however many serve" {
	cat >"$DIR/threads.py" <<-'EOF'
	import os, signal, socket, threading, time

	def serve():
	    while True:
	        taken = listener.accept()[0]
	        taken.recv(4096)
	        taken.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
	        taken.close()

	signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
	listener = socket.socket(fileno=3)
	for _ in range(24):
	    threading.Thread(target=serve, daemon=True).start()
	while True:
	    time.sleep(100)
	EOF
	start_cluster -n 4 -l "$PORT" --ready alive:200ms --bake 0 -- \
		python3 "$DIR/threads.py"
	verb restart "$INSTANCE"
	run ! logged "did not end in time"
}

# --- One goes, and others serve on --------------------------------------------------

# each_way RATE: a rolling restart, those that have grown old, and fewer of them.
each_way() {
	begin_load --rate "$1" --path /slow
	verb restart "$INSTANCE"
	verb restart "$INSTANCE"
	verb restart "$INSTANCE.1"
	verb scale "$INSTANCE" 3
	verb scale "$INSTANCE" 2
	nothing_lost
	run ! logged "by force"
}

old_ones() {
	local before pid

	before=$(cluster '[.workers[].pid] | join(" ")')
	begin_load --rate "$1" --path /slow
	for pid in $before; do
		wait_until 40 'is_gone "$1"' "$pid"
	done
	nothing_lost
	run ! logged "by force"
}

@test "an event loop that ends a little after its signal, and accepts until then" {
	start_cluster -n 2 -l "$AT" -- \
		"$FIXTURES/rude" --mark "$READ" --late 200 --slow 15
	each_way 150
}

@test "and so those that have grown old" {
	start_cluster -n 2 -l "$AT" --max-age 1s -- \
		"$FIXTURES/rude" --mark "$READ" --late 200 --slow 15
	old_ones 150
}

@test "a server that waits in accept, and ends a little after its signal" {
	start_cluster -n 2 -l "$AT" -- "$FIXTURES/rude" --mark "$READ" \
		--blocking --late 100 --slow 8
	each_way 80
}

@test "and so those of it that have grown old" {
	start_cluster -n 2 -l "$AT" --max-age 1s -- "$FIXTURES/rude" \
		--mark "$READ" --blocking --late 100 --slow 8
	old_ones 80
}

@test "Java's ServerSocket" {
	need javac
	javac -d "$DIR" "$ROOT/tests/e2e/servers/Accept.java"
	start_cluster -n 2 --ready listen -- \
		java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx32m \
		-cp "$DIR" Accept "$PORT" "$READ" 5
	each_way 30
}

# --- Unix sockets, of which only the queues are known ---------------------------------

# restarts LOAD-OPTION...: each worker is replaced twice.
restarts() {
	begin_load "$@"
	verb restart "$INSTANCE"
	verb restart "$INSTANCE"
	nothing_lost
	run ! logged "by force"
}

@test "a unix socket: slow answers of an event loop" {
	AT=$DIR/sock
	start_cluster -n 2 -l "unix:$AT" -- \
		"$FIXTURES/rude" --mark "$READ" --slow 400
	restarts --rate 40 --path /slow --path /fast
}

@test "a unix socket: connections that are used again, and slow answers" {
	AT=$DIR/sock
	start_cluster -n 2 -l "unix:$AT" -- \
		"$FIXTURES/rude" --mark "$READ" --slow 1500
	begin_load --mode keep --connections 4 --rate 4 --path /slow --for 2000
	verb restart "$INSTANCE"
	wait "$OPEN_PID"
	[ "$(tail -n 1 "$DIR/open" | jq .lost)" -eq 0 ]
	run ! logged "by force"
}

@test "a unix socket: who catches its signal is left what nobody can see" {
	AT=$DIR/sock
	start_cluster -n 2 -l "unix:$AT" -- \
		"$FIXTURES/rude" --mark "$READ" --slow 400 --graceful
	begin_load --mode keep --connections 8 --rate 16 --path /slow
	verb restart "$INSTANCE.0"
	end_open
	[ "$(lost_after_reading "$READ")" -eq 0 ]
	run ! logged "by force"
}

@test "a unix socket: Node is told to disconnect at once" {
	AT=$DIR/sock
	cat >"$DIR/slow.js" <<-EOF
		const fs = require('fs')
		require('http').createServer((q, s) => {
			fs.appendFileSync('$READ', q.url.split('?')[1] + '\n')
			setTimeout(() => s.end('ok'), 400)
		}).listen('$AT')
	EOF
	start_cluster -n 2 --ready listen -- node "$DIR/slow.js"
	restarts --rate 40
}

@test "a unix socket: gunicorn with threads" {
	need gunicorn
	AT=$DIR/sock
	cat >"$DIR/slow.py" <<-EOF
		import os, time
		marks = os.open('$READ', os.O_WRONLY | os.O_APPEND)
		def app(environ, start_response):
		    os.write(marks, environ['QUERY_STRING'].encode() + b'\n')
		    time.sleep(0.4)
		    start_response('200 OK', [('Content-Length', '2')])
		    return [b'ok']
	EOF
	start_cluster -n 2 -l "unix:$AT" -- gunicorn --chdir "$DIR" -w 1 \
		--threads 8 --worker-tmp-dir "$DIR" slow:app
	begin_load --rate 15
	verb restart "$INSTANCE"
	nothing_lost
	run ! logged "by force"
}
