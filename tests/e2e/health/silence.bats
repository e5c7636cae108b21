# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# Workers that take no connection of a check: who has failed, and who has not?

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	free_port
}

# The first worker is another one than $1, and nobody is on his way.
replaced() {
	cluster 'select(.ready == .wanted and (.workers | length) == .wanted).workers[0].pid' |
		grep -vqx "$1"
}

# It answers on all sockets that it is given.  From SIGUSR1 on it takes nothing from
# the first, as if a lock was never released, and one of its threads waits for
# something else.
deaf_server() {
	cat >"$DIR/deaf.py" <<-'EOF'
		import os, select, signal, socket, threading
		hung = threading.Event()
		def serve(client):
		    try:
		        while client.recv(1000):
		            client.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
		    except OSError:
		        pass
		    client.close()
		def accept(fd):
		    listener = socket.socket(fileno=fd)
		    listener.settimeout(0.05)
		    while True:
		        try:
		            client, _ = listener.accept()
		        except TimeoutError:
		            if fd == 3 and hung.is_set():
		                threading.Event().wait()
		            continue
		        client.settimeout(None)
		        threading.Thread(target=serve, args=(client,), daemon=True).start()
		signal.signal(signal.SIGUSR1, lambda *_: hung.set())
		for i in range(int(os.environ['LISTEN_FDS'])):
		    threading.Thread(target=accept, args=(3 + i,), daemon=True).start()
		never = select.poll()
		never.register(os.pipe()[0], select.POLLIN)
		while True:
		    never.poll(50) # the signal may be another thread's
	EOF
}

# start_deaf OPTION...: it may fail its checks for so long.
start_deaf() {
	deaf_server
	start_cluster --ready tcp --check http:/ --check-interval 300ms \
		--check-timeout 300ms --check-failures 2 --drain-timeout 1s \
		"$@" -- python3 "$DIR/deaf.py"
	deaf=$(worker 0 .pid)
}

# come_and_go PORT: clients that stay for a moment.
come_and_go() {
	while exec 9<>"/dev/tcp/127.0.0.1/$1"; do
		read -rt 0.3 <&9 || :
		exec 9>&-
	done 2>/dev/null
}

# hears_at_the_other BALANCE
hears_at_the_other() {
	local first=$PORT _

	free_port
	start_deaf -n 1 --balance "$1" -l "127.0.0.1:$first" \
		-l "127.0.0.1:$PORT"
	for _ in 1 2 3; do
		come_and_go "$PORT" 3>&- &
		STARTED+=("$!")
	done
	kill -USR1 "$deaf"
	wait_until 20 'replaced "$1"' "$deaf"
	logged '(its checks failed)'
}

@test "one that takes clients at another port only has failed" {
	hears_at_the_other share
}

@test "so it has where each worker has a socket of its own" {
	hears_at_the_other rr
}

@test "one whose clients leave, and that takes no other, has failed" {
	start_deaf -n 1 -l "127.0.0.1:$PORT"
	cat >"$DIR/leave.py" <<-'EOF'
		import socket, sys, time
		at = ('127.0.0.1', int(sys.argv[1]))
		clients = [socket.create_connection(at) for _ in range(200)]
		for client in clients:
		    client.sendall(b'GET / HTTP/1.1\r\n\r\n')
		    client.recv(1000)
		open(sys.argv[2], 'w').close()
		while clients:
		    time.sleep(0.1)
		    clients.pop().close()
	EOF
	python3 "$DIR/leave.py" "$PORT" "$DIR/come" 3>&- &
	leaving=$!
	STARTED+=("$leaving")
	wait_until 20 '[ -e "$DIR/come" ]'
	kill -USR1 "$deaf"
	wait_until 20 'replaced "$1"' "$deaf"
	kill -0 "$leaving"
	logged '(its checks failed)'
}

@test "one with a full queue at a unix socket has failed" {
	start_deaf -n 1 -l "unix:$DIR/socket,backlog=5" --check-interval 2s
	ok=$(worker 0 .checks.ok)
	wait_until 20 '[ "$(worker 0 .checks.ok)" -gt "$1" ]' "$ok"
	kill -USR1 "$deaf"
	python3 -c '
import socket, sys, time
clients = [socket.socket(socket.AF_UNIX) for _ in range(20)]
for client in clients:
    client.setblocking(False)
time.sleep(0.2)
for client in clients:
    client.connect_ex(sys.argv[1])
time.sleep(60)' "$DIR/socket" 3>&- &
	STARTED+=("$!")
	wait_until 20 'replaced "$1"' "$deaf"
	logged '(its checks failed)'
}

@test "one is found though another is restarted again and again" {
	mkfifo "$DIR/never"
	start_deaf -n 3 -l "127.0.0.1:$PORT" --balance rr \
		--check-interval 700ms --check-timeout 600ms
	kill -USR1 "$deaf"
	for ((n = 0; n < 20; n++)); do
		nclust restart --bake 0 "$INSTANCE.1"
		[ "$(worker 0 .pid)" = "$deaf" ] || break
		read -rt 0.5 <>"$DIR/never" || :
	done
	wait_logged '(its checks failed)'
	[ "$n" -lt 20 ]
}

# node_server: what it does with a request is $1.
node_server() {
	cat >"$DIR/app.js" <<-EOF
		const zero = new Int32Array(new SharedArrayBuffer(4));
		require('http').createServer((q, s) => {
			s.setHeader('connection', 'close');
			$1;
		}).listen($PORT, '127.0.0.1');
	EOF
}

@test "workers of Node that have more clients than they can serve have not" {
	node_server 'Atomics.wait(zero, 0, 0, 100); s.end("x")'
	start_cluster -n 2 --balance rr --check tcp --check-interval 300ms \
		--check-timeout 300ms --check-failures 2 -- node "$DIR/app.js"
	before=$(cluster '[.workers[].pid] | join(" ")')
	timeout 60 python3 -c '
import socket, sys, threading, time
until = time.time() + 5
def go():
    while time.time() < until:
        s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        s.recv(1000)
        s.close()
all = [threading.Thread(target=go) for _ in range(40)]
[one.start() for one in all]
[one.join() for one in all]' "$PORT"
	[ "$(cluster '[.workers[].pid] | join(" ")')" = "$before" ]
	run ! grep -F 'replacing it' "$LOG"
}

@test "stall and request-timeout see what Node's workers owe their clients" {
	node_server 'if (q.url !== "/never") s.end("x")'
	for setting in stall request-timeout; do
		start_cluster -n 2 --balance rr "--$setting" 1s \
			--drain-timeout 1s -- node "$DIR/app.js"
		curl -s --max-time 60 "http://127.0.0.1:$PORT/never" 3>&- &
		STARTED+=("$!")
		wait_logged 'replacing it'
		nclust stop "$INSTANCE"
		wait_exit
	done
}

# --- nclust stands still, too ------------------------------------------------------

# stand_still COMMAND...: nclust and its only worker, meanwhile.
stand_still() {
	local pid

	pid=$(worker 0 .pid)
	kill -STOP "$NCLUST_PID"
	kill -STOP -- "-$pid"
	"$@" || :
	kill -CONT "$NCLUST_PID"
	kill -CONT -- "-$pid"
}

# busy_and_still BALANCE: it is busy for 1.3 s of its own time, and may be for 1.6.
busy_and_still() {
	local before _

	start_cluster -n 1 -l "127.0.0.1:$PORT" --balance "$1" --ready tcp \
		--check http:/ --check-interval 200ms --check-timeout 100ms \
		--check-failures 8 -- python3 -c '
import socket, time
listener = socket.socket(fileno=3)
while True:
    client, _ = listener.accept()
    if b"/busy" in client.recv(1000):
        for _ in range(26):
            time.sleep(0.05)
    client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    client.close()'
	before=$(worker 0 .pid)
	for _ in 1 2; do
		curl -s --max-time 30 "http://127.0.0.1:$PORT/busy" 3>&- &
		STARTED+=("$!")
		read -rt 1.1 <>"$DIR/never" || :
		stand_still read -rt 0.45 <>"$DIR/never"
		wait "$!"
	done
	[ "$(worker 0 .pid)" = "$before" ]
	run ! grep -F 'replacing it' "$LOG"
}

@test "to stand still with nclust for a moment is not silence" {
	mkfifo "$DIR/never"
	busy_and_still share
}

@test "nor is it where each worker has a socket of its own" {
	mkfifo "$DIR/never"
	busy_and_still rr
}

@test "a command that stood still with nclust at its beginning has its time" {
	cat >"$DIR/probe" <<-'END'
		#!/bin/sh
		echo "$$" >"${0%/*}/probing"
		for i in $(seq 26); do sleep 0.05; done
	END
	chmod 755 "$DIR/probe"
	mkfifo "$DIR/never"
	start_cluster -n 1 -l "127.0.0.1:$PORT" --ready tcp \
		--check "exec:$DIR/probe" --check-interval 10ms \
		--check-timeout 2500ms --check-failures 1 -- "$FIXTURES/unwell"
	wait_until 20 '[ -s "$DIR/probing" ]'
	before=$(worker 0 .pid)
	for _ in 1 2; do
		last=$(cat "$DIR/probing")
		wait_until 20 'last=$(cat "$DIR/probing") && [ -n "$last" ] &&
			[ "$last" != "$1" ]' "$last"
		last=$(cat "$DIR/probing")
		kill -STOP "$NCLUST_PID"
		kill -STOP -- "-$last"
		read -rt 2.9 <>"$DIR/never" || :
		kill -CONT -- "-$last"
		kill -CONT "$NCLUST_PID"
		ok=$(worker 0 .checks.ok)
		wait_until 20 '[ "$(worker 0 .checks.ok)" -gt "$1" ]' "$ok"
	done
	[ "$(worker 0 .checks.failed)" -eq 0 ]
	[ "$(worker 0 .pid)" = "$before" ]
}
