#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Workers that do nothing to help are stopped without losing a request: at a
# quiet moment.  What cannot be drained is told.

load ../../lib
bats_require_minimum_version 1.5.0

setup() {
	nclust_setup
	free_port
}

# start_rude NCLUST-OPTION... -- SERVER-OPTION...
start_rude() {
	local options=()

	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	start_cluster -n 2 -l "127.0.0.1:$PORT" "${options[@]}" \
		--log-level debug -- "$FIXTURES/rude" "${@:2}"
}

# restarts N
restarts() {
	local n

	for ((n = 0; n < $1; n++)); do
		nclust restart "$INSTANCE"
	done
}

# drained FILTER: of the events "drained", one a line.
drained() {
	nclust events "$INSTANCE" --json |
		jq -r "select(.event == \"drained\") | $1"
}

# Each was quiet, and there was one for each worker that was replaced.
all_quiet() {
	[ "$(drained .forced | sort -u)" = 0 ]
	[ "$(drained .took_ms | wc -l)" -eq "$1" ]
}

# ask PATH [CURL-OPTION...]: a request in the background, which is being answered.
ask() {
	curl -sS --max-time $((30 * PATIENCE)) -o "$DIR/answer" "${@:2}" \
		"http://127.0.0.1:$PORT$1" 2>"$DIR/curl" 3>&- &
	ASKED=$!
	STARTED+=("$ASKED")
	wait_until 10 is_asked
}

# A server has read a request and has not answered: its connection is there on
# both sides, with nothing in a queue.
is_asked() {
	ss -Htn state established "sport = :$PORT" | awk '
		$1 == 0 && $2 == 0 { n++ } END { exit n != 1 }' || return 1
	! ss -Htn state established "dport = :$PORT" |
		awk '$2 != 0 { exit 1 }' || return 0
	return 1
}

# The worker that holds a connection to our port.
holder() {
	ss -Htnp state established "sport = :$PORT" |
		sed -n 's/.*pid=\([0-9]*\).*/\1/p' | head -n 1
}

@test "a blocking server that dies on its stop signal loses nothing" {
	start_rude --drain quiet -- --blocking --slow 50
	start_open "$PORT" --rate 60 --path /fast:9 --path /slow:1
	restarts 3
	all_quiet 6
	end_open
	[ "$LOST" -eq 0 ]
}

@test "without it, the same server loses requests" {
	start_rude --drain off -- --slow 300
	start_open "$PORT" --rate 60 --path /slow
	restarts 2
	[ -z "$(drained .forced)" ]
	end_open
	[ "$LOST" -gt 0 ]
}

@test "an event loop with several requests in flight" {
	start_rude --drain quiet -- --slow 60
	start_open "$PORT" --rate 30 --jitter --path /fast:5 --path /slow:5
	restarts 3
	all_quiet 6
	end_open
	[ "$LOST" -eq 0 ]
}

@test "keep-alive connections are ended between two requests" {
	start_rude --drain quiet --
	start_open "$PORT" --mode keep --connections 16 --rate 60
	restarts 2
	all_quiet 4
	end_open
	[ "$LOST" -eq 0 ]
}

@test "connections that mostly idle do not hold it up" {
	start_rude --drain quiet --
	start_open "$PORT" --mode chat --connections 32 --rate 20
	restarts 2
	all_quiet 4
	end_open
	[ "$LOST" -eq 0 ]
}

@test "a blocking server that streams is waited for" {
	start_rude --drain quiet -- --blocking --chunks 10
	start_open "$PORT" --mode stream --rate 2 --path /stream
	restarts 2
	all_quiet 4
	end_open
	[ "$LOST" -eq 0 ]
}

# Each pause is one in which a connection of an event loop may be ended: who sleeps
# with the only one it has is in the midst of something.
@test "a blocking server that pauses for long in its stream is waited for" {
	start_rude --drain quiet -- --blocking --chunks 8 --gap 220
	ask /stream
	restarts 1
	wait "$ASKED"
	[ "$(grep -c chunk "$DIR/answer")" -eq 8 ]
	all_quiet 2
}

# The one that is idle is ended while both stand still: what the other one is at then
# the kernel does not tell any more.
@test "a process of it that pauses in its stream, beside one that is idle" {
	start_cluster -n 1 -l "127.0.0.1:$PORT" --drain quiet \
		--log-level debug -- \
		"$FIXTURES/rude" --blocking --fork --work 20 --chunks 5 --gap 400
	ask /stream --no-buffer
	poll_until 10 grep -q chunk "$DIR/answer"
	exec {IDLE}<>"/dev/tcp/127.0.0.1/$PORT"
	printf 'GET / HTTP/1.1\r\n\r\n' >&"$IDLE"
	read -r -t $((10 * PATIENCE)) <&"$IDLE"
	restarts 1
	wait "$ASKED"
	[ "$(grep -c chunk "$DIR/answer")" -eq 5 ]
	all_quiet 1
	[ "$(drained .ended)" = 1 ]
}

# Each has its own copy of all connections that are there when it is born, too.
@test "a server whose processes all have the socket" {
	start_cluster -n 2 -l "127.0.0.1:$PORT" --drain quiet \
		--log-level debug -- "$FIXTURES/rude" --blocking --fork --keep \
		--chunks 5 --gap 150
	start_open "$PORT" --mode stream --rate 8 --path /stream
	restarts 2
	all_quiet 4
	end_open
	[ "$LOST" -eq 0 ]
}

# The answer and the next request fall within one tick of the kernel's clock.  Where
# such a connection ends curl asks again over another one: then it is the successor
# that answers.
@test "a client that asks again at once, and waits for long" {
	local n asked=()

	start_rude -n 1 --drain quiet -- --slow 7000
	for n in 1 2 3 4 5 6; do
		curl -sS --max-time $((30 * PATIENCE)) --no-buffer \
			"http://127.0.0.1:$PORT/" "http://127.0.0.1:$PORT/slow" \
			>"$DIR/answer.$n" 2>>"$DIR/curl" 3>&- &
		asked+=("$!")
	done
	STARTED+=("${asked[@]}")
	wait_until 10 '[ "$(cat "$DIR"/answer.* | grep -c pid=)" -eq 6 ]'
	restarts 1
	wait "${asked[@]}"
	[ "$(cat "$DIR"/answer.* | grep -c generation=1)" -eq 12 ]
	all_quiet 1
}

@test "a header that is sent at once, and a body some time later" {
	start_rude --drain quiet -- --chunks 1 --gap 60
	start_open "$PORT" --mode stream --rate 100 --path /stream
	restarts 4
	all_quiet 8
	end_open
	[ "$LOST" -eq 0 ]
}

# Who runs, or waits for a CPU that others have, is at work: it is silent for longer
# than 100 ms here, in the midst of its answer.
@test "an event loop that is starved of CPU in the midst of an answer" {
	cat >"$DIR/starved.py" <<-EOF
		import os, select, socket, time
		os.nice(5)
		os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
		s = socket.socket(fileno=3)
		loop = select.epoll()
		loop.register(s, select.EPOLLIN)
		while loop.poll():
		    c, _ = s.accept()
		    c.recv(9999)
		    c.sendall(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbegin\n')
		    while not os.path.exists('$DIR/drains'):
		        pass
		    end = time.process_time() + 0.3
		    while time.process_time() < end:
		        pass
		    c.sendall(b'end\n')
		    c.close()
	EOF
	python3 -c 'import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
while True: pass' 3>&- &
	STARTED+=("$!")
	start_cluster -n 1 -l "127.0.0.1:$PORT" --drain quiet \
		--drain-timeout 100s --ready alive:50ms --log-level debug \
		-- python3 "$DIR/starved.py"
	curl -sN --max-time $((60 * PATIENCE)) "http://127.0.0.1:$PORT/" \
		>"$DIR/answer" 3>&- &
	ASKED=$!
	STARTED+=("$ASKED")
	poll_until 60 file_has "$DIR/answer" begin
	nclust restart "$INSTANCE" --no-wait
	wait_logged "draining worker" 1 20
	touch "$DIR/drains"
	wait "$ASKED"
	file_has "$DIR/answer" end
	wait_logged "rollout 1 done" 1 20
	all_quiet 1
}

@test "TLS handshakes over 40 ms" {
	local pid

	need openssl
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
		-nodes -subj /CN=localhost -keyout "$DIR/key" -out "$DIR/cert" \
		2>"$DIR/openssl"
	start_cluster -n 2 --drain quiet --log-level debug -- python3 \
		"$ROOT/tests/e2e/servers/tls.py" "$PORT" "$DIR/cert" "$DIR/key"
	wait_listened "$PORT"
	mkfifo "$DIR/end"
	python3 "$ROOT/tests/e2e/drain/handshakes.py" "$PORT" 12 40 <"$DIR/end" \
		>"$DIR/asked" 2>"$DIR/failed" 3>&- &
	pid=$!
	STARTED+=("$pid")
	exec {END}>"$DIR/end"
	poll_until 20 file_has "$DIR/asked" ready
	restarts 3
	all_quiet 6
	exec {END}>&-
	wait "$pid"
	cat "$DIR/asked" "$DIR/failed"
	file_has "$DIR/asked" lost=0
}

@test "python3 -m http.server, which knows nothing" {
	mkdir "$DIR/www"
	head -c 20000 /dev/zero >"$DIR/www/file"
	start_cluster -n 2 --directory "$DIR/www" --drain quiet \
		--log-level debug -- \
		python3 -m http.server --bind 127.0.0.1 "$PORT"
	start_open "$PORT" --rate 60 --path /file
	restarts 2
	all_quiet 4
	end_open
	[ "$LOST" -eq 0 ]
}

@test "a server that forks is looked at and ended as a whole" {
	start_cluster -n 2 --drain quiet --log-level debug \
		--drain-timeout 120s -- \
		python3 "$ROOT/tests/e2e/servers/forking.py" "$PORT"
	start_open "$PORT" --rate 20 --path /slow
	restarts 2
	all_quiet 4
	end_open
	[ "$LOST" -eq 0 ]
}

@test "behind a shell, too" {
	start_cluster -n 2 -l "127.0.0.1:$PORT" --drain quiet \
		--log-level debug -- \
		sh -c "'$NCLUST' exec -- '$FIXTURES/rude' --slow 50; true"
	start_open "$PORT" --rate 30 --jitter --path /slow
	restarts 2
	all_quiet 4
	end_open
	[ "$LOST" -eq 0 ]
}

# They are stopped and continued again and again, as their connections are ended one
# by one.
freezes() {
	drained .freezes | awk '{ n += $1 } END { print n + 0 }'
}

@test "a parent with job control does not see its child stopped" {
	start_cluster -n 2 -l "127.0.0.1:$PORT" --drain quiet \
		--log-level debug -- python3 "$ROOT/tests/e2e/servers/jobs.py" \
		"$DIR/seen" "$FIXTURES/rude"
	start_open "$PORT" --mode chat --connections 48 --rate 60
	# how often depends on the moment
	for ((n = 2; n < 20 && $(freezes) <= 8; n += 2)); do
		restarts 2
		all_quiet "$((2 * n))"
	done
	[ "$(freezes)" -gt 8 ]
	end_open
	[ "$LOST" -eq 0 ]
	[ ! -e "$DIR/seen" ]
}

@test "a shell with job control waits for its server" {
	start_cluster -n 2 -l "127.0.0.1:$PORT" --drain quiet \
		--log-level debug -- bash -c \
		'set -m; "$1" exec -- "$2" & wait; echo "$?" >"$0"' \
		"$DIR/seen" "$NCLUST" "$FIXTURES/rude"
	start_open "$PORT" --mode chat --connections 48 --rate 60
	restarts 1
	all_quiet 2
	end_open
	[ "$LOST" -eq 0 ]
	[ ! -e "$DIR/seen" ]
}

@test "workers of another user" {
	need_root
	start_rude --user nobody --drain quiet -- --slow 50
	start_open "$PORT" --rate 30 --jitter --path /fast --path /slow
	restarts 2
	all_quiet 4
	end_open
	[ "$LOST" -eq 0 ]
}

# The kernel wakes one for each connection.  Here whoever comes after it takes long
# to start.
@test "who was woken for a connection and ends without taking it: another one does" {
	start_cluster -n 2 -l "127.0.0.1:$PORT" -- sh -c \
		'[ ! -e "$1" ] || exec sleep 1000; exec "$0" --doze "$1"' \
		"$FIXTURES/rude" "$DIR/dozes"
	curl -sS --max-time $((10 * PATIENCE)) -o "$DIR/answer" \
		"http://127.0.0.1:$PORT/" 3>&- &
	ASKED=$!
	STARTED+=("$ASKED")
	poll_until 10 test -s "$DIR/dozes"
	kill -KILL "$(worker_pid "$(<"$DIR/dozes")")"
	wait "$ASKED"
	grep "slot=$((1 - $(<"$DIR/dozes")))" "$DIR/answer"
}

# Each of them is stopped and looked at; what is asked meanwhile is answered.
@test "status answers again and again while many are drained" {
	local scaling left=300 seen=()

	start_cluster -n 300 -l "127.0.0.1:$PORT" --drain quiet --log off -- \
		"$FIXTURES/rude" --mute
	nclust scale "$INSTANCE" 2 3>&- &
	scaling=$!
	STARTED+=("$scaling")
	while is_alive "$scaling" && [ "$left" -gt 2 ]; do
		left=$(cluster '[.workers[] | select(.state == "draining")] |
			length')
		seen+=("$left")
	done
	wait "$scaling"
	echo "draining: ${seen[*]}"
	[ "$(printf '%s\n' "${seen[@]}" | awk '$1 > 0' | sort -u | wc -l)" -ge 3 ]
}

# Nobody but it takes the connection that it was woken for, and it has no time: it
# answers the one that it has.
@test "who is emptied and was woken for a connection: another one takes it at once" {
	local i

	start_cluster -n 2 -l "127.0.0.1:$PORT" --surge 0 --max-unavailable 1 \
		--drain quiet --drain-timeout 10m -- \
		"$FIXTURES/rude" --slow 600000 --doze "$DIR/dozes" --doze-busy
	ask /slow
	for ((i = 0; i < 20; i++)); do
		curl -sS --max-time $((60 * PATIENCE)) -o "$DIR/late" \
			"http://127.0.0.1:$PORT/" 3>&- &
		late=$!
		STARTED+=("$late")
		poll_until 10 holds '[ -s "$1" ] || is_gone "$2"' \
			"$DIR/dozes" "$late"
		[ ! -s "$DIR/dozes" ] || break
	done
	[ -s "$DIR/dozes" ] || skip "the kernel wakes only the idle one"
	slot=$(<"$DIR/dozes")
	busy=$(worker_pid "$slot")
	nclust restart --no-wait "$INSTANCE.$slot"
	poll_until 20 is_gone "$late"
	grep "slot=$((1 - slot))" "$DIR/late"
	is_alive "$busy"
}

# A request comes when all has been looked at: nclust is slow, between its look and
# its deed.
@test "a request that comes while its worker stands still is answered" {
	local slow=$((1000000 * PATIENCE))

	start_cluster -n 1 -l "127.0.0.1:$PORT" --drain quiet -- \
		"$FIXTURES/rude"
	old=$(worker_pid 0)
	python3 - "$PORT" "$old" "$PATIENCE" >"$DIR/client" 2>&1 3>&- <<-'EOF' &
		import socket, sys, time
		port, pid, slow = (int(word) for word in sys.argv[1:])
		s = socket.create_connection(('127.0.0.1', port))
		ask = b'GET / HTTP/1.1\r\nHost: it\r\n\r\n'
		s.sendall(ask)
		print(s.recv(4096), flush=True)
		while True:
		    with open('/proc/%d/stat' % pid) as f:
		        if f.read().rsplit(') ', 1)[1][0] == 'T':
		            break
		    time.sleep(0.001)
		time.sleep(1.5 * slow)
		s.sendall(ask)
		print('second:', s.recv(4096), flush=True)
	EOF
	client=$!
	STARTED+=("$client")
	poll_until 10 file_has "$DIR/client" 200
	strace -qq -o "$DIR/trace" -p "$NCLUST_PID" -e trace=waitid \
		-e inject=waitid:delay_enter=$slow 3>&- 2>"$DIR/strace" &
	tracer=$!
	STARTED+=("$tracer")
	poll_until 10 holds 'grep -q "TracerPid:.*[1-9]" \
		"/proc/$NCLUST_PID/status"' || skip "strace cannot attach"
	nclust restart --no-wait "$INSTANCE"
	poll_until 30 is_gone "$client"
	kill -TERM "$tracer"
	cat "$DIR/client"
	grep "second: .*pid=$old" "$DIR/client"
}

@test "a worker that a debugger holds is not waited for" {
	start_rude --drain quiet --drain-timeout 10m --stop-timeout 200ms --
	python3 - "$(worker_pid 0)" >"$DIR/debugger" 2>&1 3>&- <<-'EOF' &
		import ctypes, os, sys
		libc = ctypes.CDLL(None)
		pid = int(sys.argv[1])
		if libc.ptrace(16, pid, ctypes.c_void_p(), ctypes.c_void_p()) == 0:
		    os.waitpid(pid, 0x40000000)
		    print('attached', flush=True)
		    os.waitpid(pid, 0x40000000)
	EOF
	debugger=$!
	STARTED+=("$debugger")
	poll_until 10 holds 'file_has "$1" attached || is_gone "$2"' \
		"$DIR/debugger" "$debugger"
	file_has "$DIR/debugger" attached || skip "needs ptrace(2)"
	timeout $((60 * PATIENCE)) "$NCLUST" restart "$INSTANCE" 3>&-
	[ "$(cluster .ready)" -eq 2 ]
}

@test "a worker without connections is stopped at once" {
	start_rude --drain quiet --
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	logged "drained in" 2
}

@test "a worker that is never quiet is told of, with its connection" {
	start_rude --drain quiet --drain-timeout 500ms -- --slow 60000
	ask /slow
	restarts 1
	wait_until 10 'is_gone "$1"' "$ASKED"
	logged "drained by force: 1 connection still busy: 127.0.0.1:"
	[ "$(drained 'select(.forced == 1) | .busy')" = 1 ]
	[ "$(drained 'select(.forced == 1) | .took_ms >= 450')" = true ]
}

@test "it is waited for as long as it takes, within drain-timeout" {
	start_rude --drain quiet -- --slow 1500
	ask /slow
	restarts 1
	wait "$ASKED"
	grep -q pid= "$DIR/answer"
	all_quiet 2
}

@test "stop --now does not wait for a quiet moment" {
	local pid

	start_rude --drain quiet -- --slow 60000
	ask /slow
	pid=$(holder)
	nclust restart "$INSTANCE" --no-wait
	wait_logged "draining worker"
	nclust stop "$INSTANCE" --now
	wait_exit
	is_gone "$pid"
	run ! logged "drained by force"
}

@test "a worker that is killed while it is drained" {
	local pid

	start_rude --drain quiet -- --slow 60000
	ask /slow
	pid=$(holder)
	nclust restart "$INSTANCE" --no-wait
	wait_until 20 '[ "$(status_json | jq "[.clusters[0].workers[] |
		select(.state == \"draining\")] | length")" -gt 0 ] ||
		[ "$(cluster .generation)" = 2 ]'
	kill -KILL "$pid"
	wait_until 20 '[ "$(cluster .rollout)" = null ]'
	wait_ready
}

@test "a worker that somebody has stopped is drained all the same" {
	start_rude --drain quiet --
	kill -STOP "$(worker_pid 0)"
	restarts 1
	all_quiet 2
}

@test "nobody stays stopped, wherever it ends" {
	start_rude --drain quiet --drain-timeout 30s -- --slow 1500
	ask /slow
	nclust restart "$INSTANCE" --no-wait
	wait_logged "draining worker"
	kill -TSTP "$NCLUST_PID"
	wait_until 10 '[ "$(process_state "$NCLUST_PID")" = T ]'
	kill -CONT "$NCLUST_PID"
	wait "$ASKED"
	grep -q pid= "$DIR/answer"
	wait_until 20 '[ "$(cluster .rollout)" = null ]'
	wait_ready
}

@test "auto: who answers what is in flight gets its signal at once from then on" {
	start_rude --drain auto --drain-timeout 400ms -- --graceful --slow 1500
	ask /slow
	restarts 1
	wait "$ASKED"
	grep -q pid= "$DIR/answer"
	logged "drained by force" 1
	ask /slow
	restarts 1
	wait "$ASKED"
	grep -q pid= "$DIR/answer"
	logged "drained by force" 1
	run ! logged "drained by force" 2
}

@test "auto: who dies of it is not trusted" {
	start_rude --drain auto --drain-timeout 400ms -- --slow 60000
	ask /slow
	restarts 1
	wait_until 10 'is_gone "$1"' "$ASKED"
	ask /slow
	restarts 1
	wait_until 10 'is_gone "$1"' "$ASKED"
	logged "drained by force" 2
}

@test "a unix socket: not before it was closed, or still for long" {
	start_cluster -n 2 -l "unix:$DIR/socket" --drain quiet \
		--log-level debug -- "$FIXTURES/rude" --slow 50
	start_open "$DIR/socket" --rate 5 --path /fast --path /slow
	restarts 2
	end_open
	[ "$LOST" -eq 0 ]
}

@test "a connection between processes of one worker is nobody's request" {
	start_cluster -n 2 -l "127.0.0.1:$PORT" --drain quiet \
		--drain-timeout 10s --log-level debug -- python3 \
		"$ROOT/tests/e2e/servers/inner.py" "$DIR/inner"
	restarts 1
	all_quiet 2
}

@test "where no descriptor of a worker can be had, the kernel is asked" {
	nclust_under "$FIXTURES/confine" docker --
	start_rude --drain quiet -- --slow 50
	start_open "$PORT" --rate 30 --jitter --path /fast --path /slow
	restarts 2
	all_quiet 4
	end_open
	[ "$LOST" -eq 0 ]
}

@test "it tells who is busy there, too" {
	nclust_under "$FIXTURES/confine" docker --
	start_rude --drain quiet --drain-timeout 300ms -- --slow 60000
	ask /slow
	restarts 1
	wait_until 10 'is_gone "$1"' "$ASKED"
	logged "drained by force: 1 connection still busy: a peer ("
}

@test "workers that were taken over from an nclust that was killed" {
	start_rude --orphans keep --drain quiet -- --slow 50
	start_open "$PORT" --rate 30 --jitter --path /fast --path /slow
	kill -KILL "$NCLUST_PID"
	wait "$NCLUST_PID" || true
	start_rude --orphans keep --drain quiet -- --slow 50
	restarts 2
	all_quiet 4
	end_open
	[ "$LOST" -eq 0 ]
}

@test "an upgrade of nclust in the midst of it" {
	start_rude --drain quiet -- --slow 2000
	ask /slow
	nclust restart "$INSTANCE" --no-wait
	wait_logged "draining worker"
	nclust upgrade "$INSTANCE"
	wait "$ASKED"
	grep -q pid= "$DIR/answer"
	wait_until 20 '[ "$(cluster .rollout)" = null ]'
	wait_ready
	run ! logged "drained by force"
}
