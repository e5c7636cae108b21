#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154,SC2314
#
# What goes on when nclust replaces itself: clients, output, ports, backoff,
# rollouts, places.

bats_require_minimum_version 1.5.0
load ../../lib
load ../../upgrade

setup() {
	upgrade_setup
}

# --- Workers -------------------------------------------------------------------

@test "workers that are killed around the exec are seen and replaced" {
	serve_two --backoff-min 10ms
	for ((i = 0; i < 15; i++)); do
		old=$(worker_pid $((i % 2)))
		upgrade --no-wait
		kill -KILL "$old"
		wait_until 10 '[ "$(upgrades)" -eq "$1" ] &&
			[ "$(worker_pid "$2")" != "$3" ] &&
			[ "$(cluster .ready)" -eq 2 ]' \
			$((i + 1)) $((i % 2)) "$old"
		[ "$(process_state "$old")" = gone ]
	done
	[ "$(status_json | jq '[.clusters[].workers[].restarts] | add')" -eq 15 ]
	works
}

@test "backoff, restarts, the last end and the time of the next try are kept" {
	start_nclust -n 2 --backoff-min 20s --backoff-jitter 0% \
		-- "$FIXTURES/die" --exit 3
	wait_until 10 '[ "$(worker 0 .state)" = backoff ] &&
		[ "$(worker 1 .state)" = backoff ]'
	before=$(worker 0 '[.restarts, .last_exit, .state]')
	left=$(worker 0 .next_try)

	upgrade

	[ "$(worker 0 '[.restarts, .last_exit, .state]')" = "$before" ]
	[ "$(jq -n "$(worker 0 .next_try) <= $left and
		$(worker 0 .next_try) > $left - 10")" = true ]
	client stop "$INSTANCE"
	wait_exit
}

@test "a worker that starts is ready as it says so, before or after" {
	start_nclust -n 1 --ready notify --start-timeout 30s \
		-- "$FIXTURES/slow-ready" 3000
	wait_until 5 '[ "$(worker_state 0)" = starting ]'
	pid=$(worker_pid 0)
	upgrade
	[ "$(worker_state 0)" = starting ]

	wait_ready
	[ "$(worker_pid 0)" = "$pid" ]
	[ "$(worker 0 .restarts)" -eq 0 ]
}

@test "what was given to the first workers is given to the next ones" {
	echo 'FROM_FILE=once' >"$DIR/env"
	export OF_CALLER='two words'
	start_cluster -n 1 --ready notify --env-file "$DIR/env" --env 'A=x y' \
		--umask 027 --limit-nofile 333 -- "$FIXTURES/hear" --notify
	rm "$DIR/env"
	upgrade

	old=$(worker_pid 0)
	kill -KILL "$old"
	wait_until 10 '[ "$(worker_pid 0)" != "$1" ] &&
		[ "$(worker_state 0)" = ready ]' "$old"
	tr '\0' '\n' <"/proc/$(worker_pid 0)/environ" >"$DIR/has"
	tr '\0' '\n' <"/proc/$old/environ" >"$DIR/had" 2>/dev/null || true
	grep -x 'FROM_FILE=once' "$DIR/has"
	grep -x 'A=x y' "$DIR/has"
	grep -x 'OF_CALLER=two words' "$DIR/has"
	run ! grep NCLUST_HANDOVER "$DIR/has"
	[ "$(awk '/^Umask/ { print $2 }' "/proc/$(worker_pid 0)/status")" = 0027 ]
	[ "$(awk '/^Max open files/ { print $4 }' \
		"/proc/$(worker_pid 0)/limits")" = 333 ]
	# and nothing but 0-2 is open in it
	[ "$(find "/proc/$(worker_pid 0)/fd" -mindepth 1 | wc -l)" -eq 3 ]
	[ "$(cat "/proc/$(worker_pid 0)/oom_score_adj")" = \
		"$(cat "/proc/self/oom_score_adj")" ] ||
		[ "$(cat "/proc/$(worker_pid 0)/oom_score_adj")" -gt \
			"$(cat "/proc/$NCLUST_PID/oom_score_adj")" ]
}

@test "a worker that is being drained is drained on, and loses nothing" {
	free_port
	start_cluster -n 1 --listen "127.0.0.1:$PORT" --ready notify \
		--drain quiet -- "$FIXTURES/rude" --slow 4000
	curl -sS "http://127.0.0.1:$PORT/slow" >"$DIR/answer" 3>&- &
	asker=$!
	wait_until 5 '[ "$(ss -Htn state established "sport = :$1" | wc -l)" \
		-ge 1 ]' "$PORT"
	pid=$(worker_pid 0)
	client scale "$INSTANCE" 0 --no-wait
	[ "$(worker_state 0)" = draining ]

	upgrade
	upgrade

	[ "$(worker_pid 0)" = "$pid" ]
	[ "$(worker_state 0)" = draining ]
	wait "$asker"
	grep -F "$pid" "$DIR/answer"
	poll_until 5 is_gone "$pid"
	run ! logged 'drained by force'
}

# --- Clients ---------------------------------------------------------------------

@test "who follows the events, or watches the status, goes on" {
	serve_two
	client events -f "$INSTANCE" >"$DIR/events" 2>&1 3>&- &
	STARTED+=("$!")
	script -qec "$PROGRAM status --watch $INSTANCE" /dev/null \
		>"$DIR/watch" 2>&1 </dev/null 3>&- &
	watcher=$!
	STARTED+=("$watcher")
	wait_until 5 'file_has "$DIR/events" "is running" &&
		[ -s "$DIR/watch" ]'

	upgrade
	upgrade

	wait_until 5 'file_has "$DIR/events" "upgraded from" 2'
	kill -KILL "$(worker_pid 0)"
	wait_until 5 'file_has "$DIR/events" "killed by SIGKILL"'
	wait_until 5 'file_has "$DIR/watch" "2 upgrades"'
	is_alive "$watcher"
	# the history is there from before the first upgrade on
	client events "$INSTANCE" | grep -F "started worker"
}

@test "half a request stays half a request" {
	serve_two
	PEER_SOCKET=$NCLUST_RUNTIME_DIR/$INSTANCE/control python3 - "$ROOT" \
		"$INSTANCE" <<-'E'
	import json, os, subprocess, socket, sys
	s = socket.socket(socket.AF_UNIX)
	s.settimeout(10)
	s.connect(os.environ["PEER_SOCKET"])
	f = s.makefile("r")
	f.readline()
	s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"status"}\n{"jsonrpc":"2.0",')
	assert json.loads(f.readline())["result"]["upgrades"] == 0
	# one that comes meanwhile waits in the queue
	subprocess.run([sys.argv[1] + "/nclust", "upgrade", sys.argv[2]],
	               check=True)
	s.sendall(b'"id":2,"method":"status"}\n')
	answer = json.loads(f.readline())
	assert answer["id"] == 2 and answer["result"]["upgrades"] == 1, answer
	E
}

@test "many clients at once, and one who does not read" {
	serve_two
	PEER_SOCKET=$NCLUST_RUNTIME_DIR/$INSTANCE/control python3 - "$ROOT" \
		"$INSTANCE" <<-'E'
	import json, os, subprocess, socket, sys
	def connect():
	    s = socket.socket(socket.AF_UNIX)
	    s.settimeout(10)
	    s.connect(os.environ["PEER_SOCKET"])
	    return s, s.makefile("r")
	deaf, _ = connect()
	line = b'{"jsonrpc":"2.0","id":7,"method":"status"}\n'
	deaf.setblocking(False)
	sent = 0
	try:
	    while True:
	        sent += deaf.send(line)
	except BlockingIOError:
	    pass
	all = [connect() for _ in range(40)]
	for s, f in all:
	    f.readline()
	    s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"events","params":{"follow":true}}\n')
	    f.readline()
	subprocess.run([sys.argv[1] + "/nclust", "upgrade", sys.argv[2]],
	               check=True)
	for s, f in all:
	    while "upgraded from" not in f.readline():
	        pass
	deaf.setblocking(True)
	deaf.settimeout(10)
	f = deaf.makefile("r")
	json.loads(f.readline())
	for n in range(sent // len(line)):
	    answer = json.loads(f.readline())
	    assert "result" in answer, answer
	E
	still_the_same 1
}

@test "who waits for a stop, a scale or a restart gets his answer" {
	serve_two
	client restart "$INSTANCE" --json >"$DIR/restart" 3>&- &
	restart=$!
	upgrade
	wait "$restart"
	[ "$(jq .ok "$DIR/restart")" = true ]
	[ "$(upgrades)" -eq 1 ]
	[ "$(cluster .generation)" -eq 2 ]
	works
}

# --- Output --------------------------------------------------------------------------

@test "the logger runs on, and no line is lost" {
	start_cluster -n 1 --log prefix --ready alive:1ms \
		-- "$FIXTURES/log-flood" --pause 3 --lines 800 --stay
	logger=$(pgrep -P "$NCLUST_PID" -f 'role logger')

	upgrade
	upgrade
	while ! file_has "$LOG" 'line 799'; do
		upgrade
	done
	[ "$(pgrep -P "$NCLUST_PID" -f 'role logger')" = "$logger" ]
	diff <(grep -o '| line [0-9]*$' "$LOG") \
		<(seq -f '| line %g' 0 799)
	# the last words of one that dies are still to be had
	kill -KILL "$(worker_pid 0)"
	wait_logged 'killed by SIGKILL'
	grep -F 'last output: line 7' "$LOG"
}

# --- Ports ---------------------------------------------------------------------------

@test "a port that a worker has bound is shared by those born after" {
	free_port
	start_cluster -n 2 -- "$FIXTURES/plain" "$PORT"
	WORKERS=$(workers)
	upgrade
	still_the_same 1

	for i in 0 1; do
		old=$(worker_pid "$i")
		kill -KILL "$old"
		wait_until 10 '[ "$(worker_pid "$1")" != "$2" ] &&
			[ "$(worker_state "$1")" = ready ]' "$i" "$old"
	done
	[ "$(http_get "$PORT" | cut -c1-4)" = pid= ]
	client scale "$INSTANCE" 4
	upgrade
	client restart "$INSTANCE"
	[ "$(cluster '.listeners | length')" -eq 1 ]
	[ "$(worker 3 .restarts)" -le 1 ]
}

@test "a bind while nclust replaces itself is answered" {
	free_port
	start_cluster -n 2 --backoff-min 1ms --backoff-max 10ms \
		-- "$FIXTURES/plain" "$PORT"
	for ((i = 0; i < 20; i++)); do
		wait_until 10 '[ "$(cluster .ready)" -eq 2 ]'
		kill -KILL "$(worker_pid $((i % 2)))"
		upgrade
	done
	wait_until 10 '[ "$(cluster .ready)" -eq 2 ]'
	run ! grep -iF 'address already in use' "$LOG"
	[ "$(http_get "$PORT" | cut -c1-4)" = pid= ]
	[ "$(upgrades)" -eq 20 ]
}

@test "descriptors that nclust was started with are there for a reload" {
	free_port
	cat >"$DIR/it.ini" <<-INI
	[cluster:a]
	command = $FIXTURES/serve --notify
	workers = 1
	ready = notify
	listen = inherit:web, name=first
	INI
	cat >"$DIR/passing" <<-E
	import os, socket, sys
	s = socket.socket()
	s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
	s.bind(("127.0.0.1", $PORT))
	s.listen(64)
	if s.fileno() != 3:
	    os.dup2(s.fileno(), 3)
	os.set_inheritable(3, True)
	os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1",
	                  LISTEN_FDNAMES="web")
	os.execv(sys.argv[1], sys.argv[1:])
	E
	printf '#!/bin/sh\nexec python3 %q %q "$@"\n' "$DIR/passing" \
		"$DIR/nclust" >"$DIR/passer"
	chmod 755 "$DIR/passer"
	NCLUST=$DIR/passer
	start_cluster -c "$DIR/it.ini"
	upgrade
	upgrade
	sed -i 's/first/second/; s/workers = 1/workers = 2/' "$DIR/it.ini"
	sed -i 's/\[cluster:a\]/[cluster:b]/' "$DIR/it.ini"
	client reload "$INSTANCE"
	wait_ready
	[[ $(http_get "$PORT") == pid=* ]]
	wait_until 10 '[ "$(status_json |
		jq -c "[.clusters[] | .name]")" = "[\"b\"]" ]'
}

# --- Rollouts ------------------------------------------------------------------------

@test "a rollout under way is waited for; a second upgrade is refused meanwhile" {
	start_cluster -n 2 --ready notify -- "$FIXTURES/slow-ready" 400
	client restart "$INSTANCE" 3>&- &
	restart=$!
	wait_until 5 '[ "$(cluster .rollout)" != null ]'

	upgrade >"$DIR/out" 2>&1 3>&- &
	asker=$!
	wait_until 5 'client events "$INSTANCE" |
		grep -qF "waits until the rollout"'
	run -75 upgrade
	[[ $output == *"an upgrade is under way"* ]]
	wait "$restart"
	wait "$asker"
	[ "$(upgrades)" -eq 1 ]
	[ "$(cluster .generation)" -eq 2 ]
}

@test "a stop comes before an upgrade that waits" {
	start_cluster -n 2 --ready notify -- "$FIXTURES/slow-ready" 500
	client restart "$INSTANCE" --no-wait
	upgrade >"$DIR/out" 2>&1 3>&- &
	asker=$!
	wait_until 5 'client events "$INSTANCE" |
		grep -qF "waits until the rollout"'
	client stop "$INSTANCE"
	status=0
	wait "$asker" || status=$?
	[ "$status" -eq 1 ]
	grep -F 'nclust is stopping' "$DIR/out"
	wait_exit
	[ "$status" -eq 0 ]
}

@test "a file's clusters, their settings and where each came from" {
	free_port
	a=$PORT
	free_port
	cat >"$DIR/it.ini" <<-INI
	[nclust]
	pidfile = $DIR/it.pid
	[cluster:one]
	command = $FIXTURES/serve --notify --name "web"
	workers = 2
	ready = notify
	listen = 127.0.0.1:$a, name=web, backlog=77
	stop-signal = QUIT:3s TERM:1s
	env = X=1
	env = Y=a b
	on-ready = $FIXTURES/notify --exit 0
	[cluster:two]
	command = $FIXTURES/hear --notify
	workers = 1
	ready = notify
	INI
	start_cluster -c "$DIR/it.ini" --stop-timeout 7s
	client config "$INSTANCE" >"$DIR/before"
	client config "$INSTANCE" --json | jq -S . >"$DIR/before.json"
	WORKERS=$(workers)

	upgrade

	diff "$DIR/before" <(client config "$INSTANCE")
	diff "$DIR/before.json" <(client config "$INSTANCE" --json | jq -S .)
	still_the_same 1
	run -0 client reload "$INSTANCE"
	[[ $output == *"one: no change; two: no change"* ]]
	still_the_same 1
	sed -i 's/X=1/X=2/; s/workers = 1/workers = 2/' "$DIR/it.ini"
	run -0 client reload "$INSTANCE"
	[[ $output == *"one: env: rolling restart"* ]]
	CLUSTER=two
	[ "$(cluster .ready)" -eq 2 ]
	[ "$(cat "$DIR/it.pid")" = "$NCLUST_PID" ]
	client stop "$INSTANCE"
	wait_exit
	[ ! -e "$DIR/it.pid" ]
}

# --- Places --------------------------------------------------------------------------

@test "a daemon with a pid file keeps its name to itself" {
	free_port
	"$NCLUST" -d --name "$INSTANCE" -n 2 --pidfile "$DIR/pid" \
		--listen "127.0.0.1:$PORT" --ready notify \
		-- "$FIXTURES/serve" --notify 3>&-
	MAIN=$(cat "$DIR/pid")
	STARTED+=("$MAIN")
	WORKERS=$(workers)

	upgrade
	still_the_same 1

	run -75 "$NCLUST" --name "$INSTANCE" -n 1 -- sleep 9
	[[ $output == *"is already running (pid $MAIN)"* ]]
	client stop "$INSTANCE"
	poll_until 5 is_gone "$MAIN"
	[ ! -e "$DIR/pid" ]
}

@test "who waits for a daemon to be ready hears of it from the new one" {
	"$NCLUST" -d --name "$INSTANCE" -n 1 --pidfile "$DIR/pid" \
		--ready notify -- "$FIXTURES/slow-ready" 4000 >>"$LOG" 2>&1 3>&- &
	starter=$!
	wait_until 5 '[ "$(worker_state 0)" = starting ]'
	STARTED+=("$(cat "$DIR/pid")")
	upgrade
	[ "$(worker_state 0)" = starting ]
	wait "$starter"
	[ "$(worker_state 0)" = ready ]
	client stop "$INSTANCE"
}

@test "workers that outlive nclust are taken over, also after an upgrade" {
	serve_two --orphans keep
	upgrade
	client scale "$INSTANCE" 3
	upgrade
	WORKERS=$(workers | jq -c 'map(.[1])')
	kill -KILL "$NCLUST_PID"
	wait "$NCLUST_PID" || true
	[[ $(http_get "$PORT") == pid=* ]]

	start_cluster -n 3 --listen "127.0.0.1:$PORT" --ready notify \
		--orphans keep -- "$FIXTURES/serve" --notify
	[ "$(workers | jq -c 'map(.[1])')" = "$WORKERS" ]

	# and those that were taken over go through the next one
	upgrade
	[ "$(workers | jq -c 'map(.[1])')" = "$WORKERS" ]
	kill -KILL "$(worker_pid 1)"
	wait_until 10 '[ "$(cluster .ready)" -eq 3 ] &&
		[ "$(worker 1 .restarts)" -ge 1 ]'
	works
}

@test "as init of a pid namespace" {
	need_root
	need unshare
	nclust_under unshare --pid --fork --kill-child --mount-proc
	free_port
	start_cluster -n 2 --listen "127.0.0.1:$PORT" --ready notify \
		-- "$FIXTURES/serve" --notify
	WORKERS=$(workers)
	MAIN=1
	upgrade
	upgrade
	still_the_same 2
	kill -KILL "$(pgrep -f "^$FIXTURES/serve" | head -n 1)" || true
	client restart "$INSTANCE"
	client stop "$INSTANCE"
	wait_exit
}

@test "as an ordinary user" {
	need_root
	need setpriv
	mkdir -m 755 "$DIR/bin"
	mv "$DIR/nclust" "$DIR/bin/nclust"
	NCLUST=$DIR/bin/nclust
	chown 65534:65534 "$NCLUST_RUNTIME_DIR"
	nclust_under setpriv --reuid 65534 --regid 65534 --clear-groups
	client() {
		setpriv --reuid 65534 --regid 65534 --clear-groups \
			"$PROGRAM" "$@"
	}
	serve_two
	upgrade
	still_the_same 1
	upgrade
	works
}

@test "the service manager is told, and by the same process" {
	: >"$DIR/told"
	socat -u "UNIX-RECVFROM:$DIR/notify,fork" \
		"SYSTEM:cat; echo,pty=0" >>"$DIR/told" 3>&- &
	STARTED+=("$!")
	poll_until 5 test -S "$DIR/notify"
	export NOTIFY_SOCKET=$DIR/notify
	serve_two
	unset NOTIFY_SOCKET
	wait_until 5 'file_has "$DIR/told" READY=1'

	upgrade

	wait_until 5 'file_has "$DIR/told" RELOADING=1'
	wait_until 5 'file_has "$DIR/told" READY=1 2'
	run ! grep MAINPID "$DIR/told"
	client stop "$INSTANCE"
	wait_until 5 'file_has "$DIR/told" STOPPING=1'
	wait_exit
}

@test "a removed control socket is made anew, also after an upgrade" {
	serve_two
	upgrade
	rm "$NCLUST_RUNTIME_DIR/$INSTANCE/control"
	wait_until 5 '[ -S "$NCLUST_RUNTIME_DIR/$INSTANCE/control" ]'
	still_the_same 1
	works
}

@test "a control socket that is removed just before an upgrade is made anew" {
	serve_two --signal-USR2 upgrade
	rm "$NCLUST_RUNTIME_DIR/$INSTANCE/control"
	kill -USR2 "$NCLUST_PID"
	wait_logged 'upgraded from'
	wait_until 5 '[ -S "$NCLUST_RUNTIME_DIR/$INSTANCE/control" ]'
	still_the_same 1
}

@test "a listener that a worker has shut down is healed, also after an upgrade" {
	serve_two
	upgrade
	python3 - "$NCLUST_PID" "$PORT" <<-'E'
	import ctypes, os, socket, sys
	libc = ctypes.CDLL(None, use_errno=True)
	pidfd = os.pidfd_open(int(sys.argv[1]))
	for name in os.listdir(f"/proc/{sys.argv[1]}/fd"):
	    fd = libc.syscall(438, pidfd, int(name), 0)
	    if fd < 0:
	        continue
	    try:
	        s = socket.socket(fileno=fd)
	        if s.family == socket.AF_INET and \
	           s.getsockname()[1] == int(sys.argv[2]):
	            s.shutdown(socket.SHUT_RDWR)
	            break
	    except OSError:
	        pass
	else:
	    sys.exit("no such listener")
	E
	wait_logged "a worker has shut it down for all; listening again"
	[[ $(http_get "$PORT") == pid=* ]]
}

# --- It crashes when there is no way back --------------------------------------------

worker_pids() {
	status_json | jq -c '[.clusters[].workers[].pid] | sort'
}

@test "a new one that crashes as it takes over: the next start has the workers" {
	serve_two --orphans keep
	were=$(worker_pids)
	start_open "$PORT" --rate 300
	put "$VARIANTS/nclust-die"
	run -75 upgrade
	poll_until 10 is_gone "$NCLUST_PID"

	put "$PROGRAM"
	start_cluster -n 2 --listen "127.0.0.1:$PORT" --ready notify \
		--orphans keep -- "$FIXTURES/serve" --notify
	[ "$(worker_pids)" = "$were" ]
	end_open
	[ "$LOST" -eq 0 ]
	works
}

@test "without orphans = keep its workers end with it" {
	serve_two
	pid=$(worker_pid 0)
	put "$VARIANTS/nclust-die"
	run -75 upgrade
	poll_until 10 is_gone "$NCLUST_PID"
	poll_until 10 is_gone "$pid"
	run -3 client status "$INSTANCE"
}

# --- Any one system call fails ---------------------------------------------------------

@test "any one call fails while it replaces itself: all goes on" {
	need strace
	serve_two
	fails_once memfd_create EMFILE 3
	fails_once execveat ENOMEM 2
	fails_once fcntl EBADF 40
	fails_once close_range EBADF 6
	fails_once pipe2 EMFILE 2
	fails_once clone EAGAIN 2
	fails_once write ENOSPC 6
	fails_once epoll_create1 EMFILE 3
	fails_once signalfd4 EMFILE 2
	fails_once timerfd_create EMFILE 2
	upgrade
	works
}
