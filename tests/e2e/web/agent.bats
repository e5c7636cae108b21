# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# HAProxy's agent-check, by a raw client: one line, and the end.  The real HAProxy is in
# tests/fleet.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	SOCKET=$DIR/agent
}

agent() {
	socat -T $((5 * PATIENCE)) -u "UNIX:$SOCKET" -
}

says() {
	[ "$(agent)" = "$1" ]
}

web_pid() {
	pgrep -P "$NCLUST_PID" -x nclust-web
}

write_ini() {
	ln -sf "$(command -v sleep)" "$DIR/sleep"
	printf '%s\n' '[nclust]' "$@" '[defaults]' 'ready = alive:0s' \
		'[cluster:web]' 'command = ./sleep 1000' 'workers = 2' \
		"listen = unix:$DIR/web" '[cluster:jobs]' 'command = sleep 1000' \
		'workers = 1' >"$DIR/it.ini"
}

@test "it says what HAProxy is to do, without the library for HTTP" {
	write_ini "agent = unix:$SOCKET"
	start_cluster -c "$DIR/it.ini"
	[ "$(agent)" = "ready up 100%" ]
	run ! grep -q microhttpd "/proc/$(web_pid)/maps"
	nclust drain "$INSTANCE" --no-wait
	[ "$(agent)" = drain ]
	nclust undrain "$INSTANCE"
	[ "$(agent)" = "ready up 100%" ]
	# half of the workers cannot be started again
	rm "$DIR/sleep"
	CLUSTER=web worker_pid 1 | xargs kill -KILL
	wait_until 10 'says "ready up 50%"'
	CLUSTER=web worker_pid 0 | xargs kill -KILL
	wait_until 10 'says "down #web: 0 of 2 workers ready"'
	ln -s "$(command -v sleep)" "$DIR/sleep"
	nclust restart "$INSTANCE/web"
	wait_until 10 'says "ready up 100%"'
	nclust stop "$INSTANCE/jobs"
	[ "$(agent)" = "stopped #jobs: 0 of 1 workers ready" ]
	nclust restart "$INSTANCE/jobs"
	nclust scale 0 jobs
	[ "$(agent)" = "ready up 100%" ]
	nclust scale 0 web
	[ "$(agent)" = maint ]
}

@test "with a range of workers it says so, too, when the operator has scaled it to 0" {
	free_port
	for workers in 1..3 0..3; do
		start_nclust --agent "unix:$SOCKET" -n "$workers" \
			-l "127.0.0.1:$PORT" --ready alive:0s -- sleep 1000
		wait_until 10 'says "ready up 100%"' # 0..3: a client wakes it
		nclust scale "$INSTANCE" 0
		[ "$(agent)" = maint ]
		nclust scale "$INSTANCE" 1
		[ "$(agent)" = "ready up 100%" ]
		run -0 nclust stop "$INSTANCE"
	done
}

@test "a cluster that wakes is up, unless its start fails" {
	free_port
	printf '#!/bin/sh\n[ ! -e %s/bad ] || exit 3\n%s\n%s\n' "$DIR" \
		"while [ ! -e $DIR/go ]; do sleep 0.05; done" \
		'exec "$@"' >"$DIR/gated"
	chmod 755 "$DIR/gated"
	start_nclust --agent "unix:$SOCKET" -n 0..1 -l "$AT" --ready notify \
		--idle-after 1s --backoff-min 20s --log inherit -- \
		"$DIR/gated" "$FIXTURES/serve" --notify
	wait_until 10 'says "ready up 100%"'
	http_get "$PORT" >"$DIR/first" 3>&- &
	STARTED+=("$!")
	wait_until 10 '[ "$(worker_state 0)" = starting ]'
	for _ in 1 2 3; do
		[ "$(agent)" = "ready up 100%" ]
	done
	touch "$DIR/bad"
	kill -KILL "$(worker_pid 0)"
	wait_until 10 'says "down #it: 0 of 1 workers ready"'
	rm "$DIR/bad"
	touch "$DIR/go"
	nclust restart "$INSTANCE"
	wait_until 10 'says "ready up 100%"'
}

@test "connections that wait for a worker make the weight less" {
	free_port
	start_cluster --agent "unix:$SOCKET" -n 1 -l "127.0.0.1:$PORT" \
		--intercept off --ready alive:0s -- sleep 1000
	[ "$(agent)" = "ready up 100%" ]
	exec 4<>"/dev/tcp/127.0.0.1/$PORT"
	# a moment's queue does not count, the same at the next look does
	[ "$(agent)" = "ready up 100%" ]
	[ "$(agent)" = "ready up 50%" ]
	for fd in 11 12 13 14 15 16 17 18; do
		eval "exec $fd<>/dev/tcp/127.0.0.1/$PORT"
	done
	agent
	[ "$(agent)" = "ready up 10%" ]
}

@test "nonsense, silence and a crowd harm nobody" {
	start_cluster --agent "unix:$SOCKET" --http "unix:$DIR/http" -n 2 \
		--ready alive:0s -- sleep 1000
	pid=$(web_pid)
	run python3 - "$SOCKET" <<-'E'
	import socket, sys, os
	def connect():
	    s = socket.socket(socket.AF_UNIX)
	    s.settimeout(20)
	    s.connect(sys.argv[1])
	    return s
	def line(s):
	    got = b""
	    while True:
	        try:
	            more = s.recv(100)
	        except ConnectionResetError:
	            break
	        if not more:
	            break
	        got += more
	    return got
	# what it sends is nobody's business
	for sent in (b"web\n", b"\0" * 2000, os.urandom(1000), b"GET / HTTP/1.1\r\n\r\n"):
	    s = connect()
	    try:
	        s.sendall(sent)
	    except BrokenPipeError: # it was answered before
	        pass
	    assert line(s) == b"ready up 100%\n", sent
	# some never read, some send without an end, some leave at once
	held = [connect() for _ in range(100)]
	for s in held[:20]:
	    s.setblocking(False)
	    try:
	        for _ in range(50):
	            s.send(b"x" * 65536)
	    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
	        pass
	for _ in range(2000):
	    connect().close()
	assert line(connect()) == b"ready up 100%\n"
	print("well")
	E
	echo "$output"
	[ "$output" = well ]
	[ "$(web_pid)" = "$pid" ]
	[ "$(curl -sS --max-time 10 --unix-socket "$DIR/http" \
		http://localhost/readyz)" = ok ]
	# nothing is kept of them
	wait_until 10 '[ "$(ls "/proc/$1/fd" | wc -l)" -lt 25 ]' "$pid"
}

@test "killed it is back, and it goes through an upgrade" {
	start_cluster --agent "unix:$SOCKET" -n 1 --ready alive:0s -- sleep 1000
	pid=$(web_pid)
	kill -KILL "$pid"
	[ "$(agent)" = "ready up 100%" ]
	pid=$(web_pid)
	nclust drain "$INSTANCE"
	nclust upgrade "$INSTANCE"
	[ "$(web_pid)" = "$pid" ]
	[ "$(agent)" = drain ]
	kill -KILL "$pid"
	[ "$(agent)" = drain ]
	nclust stop "$INSTANCE"
	wait_exit
	[ ! -e "$SOCKET" ]
}

@test "a reload adds it, moves it and takes it away; in vain, all stays" {
	write_ini
	start_cluster -c "$DIR/it.ini"
	run web_pid
	[ -z "$output" ]
	write_ini "agent = unix:$SOCKET"
	nclust reload "$INSTANCE"
	[ "$(agent)" = "ready up 100%" ]
	pid=$(web_pid)
	write_ini "agent = unix:/no/such/place" "http = unix:$DIR/http"
	run nclust reload "$INSTANCE"
	[ "$status" -ne 0 ]
	[[ $output == *"agent: "*"/no/such/place"* ]]
	[ "$(agent)" = "ready up 100%" ]
	[ "$(web_pid)" = "$pid" ]
	[ ! -e "$DIR/http" ]
	free_port
	write_ini "agent = $PORT"
	nclust reload "$INSTANCE"
	wait_until 10 '[ ! -e "$SOCKET" ]'
	[ "$(socat -u "TCP:127.0.0.1:$PORT" -)" = "ready up 100%" ]
	write_ini
	nclust reload "$INSTANCE"
	wait_until 10 '[ -z "$(web_pid)" ]'
	run ! is_listened "$PORT"
}

@test "a drain waits until an agent's client has heard of it" {
	start_cluster --agent "unix:$SOCKET" -n 1 --ready alive:0s -- sleep 1000
	for _ in 1 2 3; do
		agent
		sleep 1
	done
	nclust drain "$INSTANCE" --timeout 20s >"$DIR/drain" 3>&- &
	pid=$!
	wait_until 5 'says drain'
	wait "$pid"
	[[ $(<"$DIR/drain") == *": empty after "* ]]
}
