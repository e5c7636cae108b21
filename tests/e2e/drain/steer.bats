#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Old workers that are never quiet as a whole get no new connections while they
# are replaced: the new generation has sockets of its own for a while.

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
	start_cluster -n 2 "${options[@]}" -- "$FIXTURES/rude" --poll "${@:2}"
}

restart_within() {
	timeout $(($1 * PATIENCE)) "$NCLUST" restart "$INSTANCE" "${@:2}" 3>&-
}

# How many sockets listen on the port, in truth and as status has it.
sockets() {
	ss -Htln "sport = :$PORT" | wc -l
}

told_sockets() {
	cluster '.listeners[0].sockets // 1'
}

one_socket() {
	[ "$(sockets)" -eq 1 ] && [ "$(told_sockets)" -eq 1 ]
}

nobody_waits() {
	[ "$(cluster '.listeners[0].queue')" -eq 0 ]
}

# The old ones are closed with their last worker.
one_is_left() {
	poll_until 10 one_socket
	poll_until 5 nobody_waits
}

# busy_restarts N LOAD-OPTION...: under a load that never pauses.
busy_restarts() {
	local n

	start_open "$AT" "${@:2}"
	for ((n = 0; n < $1; n++)); do
		restart_within 30
	done
	end_open
	[ "$LOST" -eq 0 ]
}

# --- Servers that are never quiet ----------------------------------------------

@test "slow requests in flight at all times: none is lost" {
	start_rude -l "$AT" --
	busy_restarts 2 --rate 100 --path /slow
	one_is_left
}

@test "streams that overlap: none is cut" {
	start_rude -l "$AT" -- --chunks 20
	busy_restarts 1 --rate 10 --mode stream --path /stream
	one_is_left
}

@test "so it is with a server that binds for itself" {
	start_rude -- "$PORT"
	busy_restarts 2 --rate 100 --path /slow
	one_is_left
	[ "$(cluster '.listeners[0].learned')" = true ]
}

@test "so it is with Node" {
	cat >"$DIR/slow.js" <<-EOF
		require('http').createServer((q, s) =>
			setTimeout(() => s.end('pid=' + process.pid), 150)
		).listen($PORT, '127.0.0.1')
	EOF
	start_cluster -n 2 -- node "$DIR/slow.js"
	busy_restarts 1 --rate 50
	one_is_left
}

@test "so it is with python3 -m http.server, which has slow clients" {
	mkdir "$DIR/files"
	head -c 100000 /dev/zero >"$DIR/files/file"
	start_cluster -n 2 -- python3 -m http.server --bind 127.0.0.1 \
		--directory "$DIR/files" "$PORT"
	busy_restarts 2 --rate 50 --path /file
	one_is_left
}

@test "so it is with IPv6, and one socket for both families" {
	AT="[::1]:$PORT"
	start_rude -l "$AT" --
	AT=127.0.0.1:$PORT
	nclust stop "$INSTANCE"
	wait_exit
	start_rude -l "$PORT" --
	busy_restarts 1 --rate 100 --path /slow
	one_is_left
}

@test "connections that are used again and never all quiet" {
	start_rude -l "$AT" --
	start_open "$AT" --rate 60 --mode keep --connections 24 --path /slow
	restart_within 30
	end_open
	[ "$LOST" -eq 0 ]
	[ "$RACES" -le 2 ]
}

# without PRIVILEGE,...: nclust has not got it, even where the test has.
without() {
	printf '#!/bin/sh\nexec %s "%s" "$@"\n' \
		"$([ "$(id -u)" -ne 0 ] || echo "setpriv --bounding-set $1")" \
		"$NCLUST" >"$DIR/unprivileged"
	chmod +x "$DIR/unprivileged"
	NCLUST=$DIR/unprivileged
}

@test "so it is where nclust may do nothing that others may not" {
	without -sys_admin,-net_admin,-net_raw,-bpf
	start_rude -l "$AT" --
	busy_restarts 2 --rate 100 --path /slow
	one_is_left
	run ! grep -q "share it\|cannot choose" "$LOG"
}

# --- While it lasts --------------------------------------------------------------

# An old worker that is busy as long as "$DIR/gate" has no line: nobody is
# released before.
hold_restart() {
	start_open "$AT" --rate 20 --mode stream --path /stream
	restart_within 60 >"$DIR/restart" 2>&1 &
	RESTART=$!
	STARTED+=("$RESTART")
	wait_until 10 '[ "$(told_sockets)" -eq 2 ]'
}

@test "a second restart while the first is steered: both are told, nothing is lost" {
	start_rude -l "$AT" --
	hold_restart
	restart_within 60
	wait "$RESTART" || true
	end_open
	[ "$LOST" -eq 0 ]
	[ "$(cluster .generation)" -eq 3 ]
	one_is_left
}

@test "an old worker that crashes while it is emptied is no reason to stop" {
	start_rude -l "$AT" --
	hold_restart
	old=$(status_json | jq '[.clusters[0].workers[] |
		select(.generation == 1 and .pid != null)][0].pid')
	kill -KILL "$old"
	wait "$RESTART"
	end_open
	[ "$(jq .refused <<<"$REPORT")" -eq 0 ]
	[ "$(cluster .ready)" -eq 2 ]
	one_is_left
}

# Both slots get new connections.
each_answers() {
	local slot

	for slot in 0 1; do
		wait_until 10 'http_get "$PORT" / | grep -q "slot=$1"' "$slot"
	done
}

@test "a release that fails midway: what went to it is answered, and so is the rest" {
	cat >"$DIR/server" <<-EOF
		#!/bin/sh
		[ ! -e "$DIR/bad" ] || [ "\$NCLUST_SLOT" = 0 ] || exit 3
		exec "$FIXTURES/rude" --poll
	EOF
	chmod +x "$DIR/server"
	start_cluster -n 2 -l "$AT" -- "$DIR/server"
	start_open "$AT" --rate 100 --path /slow
	touch "$DIR/bad"
	run restart_within 30
	[ "$status" -eq 1 ]
	[ "$(cluster .ready)" -eq 2 ]
	# both sockets outlive an upgrade, and each worker has its own
	wait_until 10 '[ "$(sockets)" -eq 2 ]'
	timeout $((30 * PATIENCE)) "$NCLUST" upgrade "$INSTANCE" 3>&-
	[ "$(cluster .ready)" -eq 2 ]
	[ "$(told_sockets)" -eq 2 ]
	each_answers
	rm "$DIR/bad"
	restart_within 30
	end_open
	[ "$LOST" -eq 0 ]
	one_is_left
}

@test "an upgrade between two restarts: the old workers go on accepting" {
	local i

	cat >"$DIR/server" <<-EOF
		#!/bin/sh
		[ ! -p "$DIR/gate" ] || read -r line <"$DIR/gate"
		exec "$FIXTURES/rude" --poll
	EOF
	chmod +x "$DIR/server"
	start_cluster -n 2 -l "$AT" --bake 0 -- "$DIR/server"
	restart_within 30
	one_is_left
	timeout $((30 * PATIENCE)) "$NCLUST" upgrade "$INSTANCE" 3>&-
	mkfifo "$DIR/gate"
	restart_within 60 >"$DIR/restart" 2>&1 &
	RESTART=$!
	STARTED+=("$RESTART")
	wait_until 10 '[ "$(status_json | jq "[.clusters[0].workers[] |
		select(.pid != null)] | length")" -eq 3 ]'
	for ((i = 0; i < 5; i++)); do
		[[ $(http_get "$PORT") == *generation=2* ]]
	done
	# it is gone before the next worker may look for it
	exec 7<>"$DIR/gate"
	rm "$DIR/gate"
	echo go >&7
	exec 7>&-
	wait "$RESTART"
	one_is_left
}

# The kernel has answered its SYN, and shows it to nobody before it says something.
@test "the last worker of before is kept for a client that is about to speak" {
	start_cluster -n 1 -l "$AT,defer-accept=60s" --drain quiet --bake 0 -- \
		"$FIXTURES/rude" --blocking
	old=$(worker_pid 0)
	mkfifo "$DIR/speak"
	python3 - "$PORT" "$DIR/speak" >"$DIR/client" 2>&1 3>&- <<-'EOF' &
		import socket, sys
		s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
		print('connected', flush=True)
		open(sys.argv[2]).read()
		s.sendall(b'GET / HTTP/1.1\r\nHost: it\r\n\r\n')
		print(s.recv(4096), flush=True)
	EOF
	client=$!
	STARTED+=("$client")
	poll_until 10 file_has "$DIR/client" connected
	restart_within 60 >"$DIR/restart" 2>&1 &
	RESTART=$!
	STARTED+=("$RESTART")
	wait_until 10 '[ "$(cluster "[.workers[] |
		select(.generation == 2 and .state == \"ready\")] | length")" -eq 1 ]'
	run poll_until 1 is_gone "$old"
	[ "$status" -ne 0 ]
	release "$DIR/speak"
	poll_until 10 is_gone "$client"
	grep "pid=$old" "$DIR/client"
	wait "$RESTART"
}

# A canary that takes nothing of what is sent to it, and dies.
plan() {
	printf '%s\n' '[cluster:web]' "command = $FIXTURES/rude $1" \
		"listen = $AT" "workers = ${2-2}" "canary = 1" "bake = 5s" \
		>"$DIR/it.ini"
}

dies_unheard() {
	plan "$WAITS" "$@"
	start_cluster -c "$DIR/it.ini"
	start_open "$AT" --rate 100 --path /slow
	plan "$WAITS --deaf --die 200" "$@"
	run timeout $((30 * PATIENCE)) "$NCLUST" reload "$INSTANCE" 3>&-
	[ "$status" -eq 1 ]
	[[ $output == *"exit 3"* ]]
	one_is_left
	end_open
	[ "$LOST" -eq 0 ]
	[ "$(jq .max <<<"$REPORT")" -lt 8000000 ]
	[ "$(cluster .ready)" -eq "${1-2}" ]
}

@test "a canary that dies: what waited for it is answered by others" {
	WAITS=--poll dies_unheard
}

@test "so it is when it comes in the midst of another rollout" {
	cat >"$DIR/server" <<-EOF
		#!/bin/sh
		[ ! -e "$DIR/bad" ] || exec "$FIXTURES/rude" --deaf --die 200
		exec "$FIXTURES/rude" --poll
	EOF
	chmod +x "$DIR/server"
	start_cluster -n 2 -l "$AT" -- "$DIR/server"
	start_open "$AT" --rate 100 --mode stream --path /stream
	restart_within 60 >"$DIR/restart" 2>&1 &
	RESTART=$!
	STARTED+=("$RESTART")
	wait_until 10 '[ "$(told_sockets)" -eq 2 ]'
	touch "$DIR/bad"
	run restart_within 60 --canary 1 --bake 5s
	[ "$status" -eq 1 ]
	wait "$RESTART" || true
	end_open
	[ "$LOST" -eq 0 ]
}

@test "so it is where the kernel moves nothing: an event loop shares its socket" {
	without -sys_admin,-net_admin,-net_raw,-bpf
	WAITS='' dies_unheard
}

@test "so it is with a single worker" {
	without -sys_admin,-net_admin,-net_raw,-bpf
	WAITS='' dies_unheard 1
}

@test "a canary like which all others would die: no worker is risked for it" {
	without -sys_admin,-net_admin,-net_raw,-bpf
	cat >"$DIR/server" <<-EOF
		#!/bin/sh
		[ ! -e "$DIR/bad" ] || exec "$FIXTURES/rude" --poll --deaf --die 200
		exec "$FIXTURES/rude" --poll
	EOF
	chmod +x "$DIR/server"
	start_cluster -n 2 -l "$AT" -- "$DIR/server"
	before=$(cluster '[.workers[].pid]' | jq -c .)
	start_open "$AT" --rate 50 --patience 20000
	touch "$DIR/bad"
	run restart_within 30 --canary 1 --bake 5s
	[ "$status" -eq 1 ]
	# who waits is told, and may ask again
	poll_until 20 one_socket
	end_open
	[ "$(jq '.unanswered + .refused' <<<"$REPORT")" -eq 0 ]
	[ "$(cluster '[.workers[].pid]' | jq -c .)" = "$before" ]
}

@test "a release that never gets ready gets nothing" {
	cat >"$DIR/server" <<-EOF
		#!/bin/sh
		[ ! -e "$DIR/bad" ] || exec "$FIXTURES/rude" --poll --mute
		exec "$FIXTURES/rude" --poll
	EOF
	chmod +x "$DIR/server"
	start_cluster -n 2 -l "$AT" --ready notify --start-timeout 500ms -- \
		"$DIR/server"
	start_open "$AT" --rate 100 --path /slow
	touch "$DIR/bad"
	run restart_within 30
	[ "$status" -eq 1 ]
	one_is_left
	end_open
	[ "$LOST" -eq 0 ]
}

# --- Another port ------------------------------------------------------------------

# A server that takes what it is given; else slot 0 opens all the ports that are named,
# and the others the first.
poll_server() {
	cat >"$DIR/poll.py" <<-'EOF'
		import os, select, socket, sys, threading, time
		def answer(c):
		    c.recv(4096)
		    time.sleep(0.1)
		    c.sendall(b'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n')
		    c.close()
		def bound(port):
		    s = socket.socket()
		    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		    s.bind(('127.0.0.1', int(port)))
		    s.listen()
		    return s
		given = int(os.environ.get('LISTEN_FDS', 0))
		own = sys.argv[1:] if os.environ['NCLUST_SLOT'] == '0' else sys.argv[1:2]
		doors = {s.fileno(): s for s in
		    [socket.socket(fileno=3 + i) for i in range(given)] +
		    [bound(port) for port in own]}
		p = select.poll()
		for s in doors.values():
		    s.setblocking(False)
		    p.register(s, select.POLLIN)
		while True:
		    for fd, _ in p.poll():
		        try:
		            c = doors[fd].accept()[0]
		        except BlockingIOError:
		            continue
		        c.setblocking(True)
		        threading.Thread(target=answer, args=(c,)).start()
	EOF
}

# two_ports LISTEN...
two_ports() {
	printf '%s\n' '[cluster:web]' "command = python3 $DIR/poll.py" \
		'workers = 3' "balance = $BALANCE" "${@/#/listen = }" \
		>"$DIR/it.ini"
}

# adds_port BALANCE: by a reload, and rolls once more.
adds_port() {
	local first=$AT reload added

	poll_server
	BALANCE=share two_ports "$AT"
	start_cluster -c "$DIR/it.ini"
	start_open "$AT" --rate 50
	free_port
	BALANCE=$1 two_ports "$first" "$AT"
	"$NCLUST" reload "$INSTANCE" 3>&- &
	reload=$!
	STARTED+=("$reload")
	wait_listened "$PORT"
	"$FIXTURES/openload" "$AT" --rate 50 >"$DIR/added" 3>&- &
	added=$!
	STARTED+=("$added")
	wait "$reload"
	timeout $((30 * PATIENCE)) "$NCLUST" restart "$INSTANCE" 3>&-
	end_open
	[ "$LOST" -eq 0 ]
	kill -TERM "$added"
	wait "$added"
	REPORT=$(tail -n 1 "$DIR/added")
	echo "$REPORT"
	[ "$(jq '.lost + .late' <<<"$REPORT")" -eq 0 ]
}

@test "a port that a reload adds is the new workers' alone" {
	adds_port share
}

@test "so it is where they get sockets of their own from then on" {
	adds_port rr
}

@test "a port that one slot opens is that slot's alone" {
	local first=$PORT

	poll_server
	free_port
	start_cluster -n 3 -- python3 "$DIR/poll.py" "$first" "$PORT"
	start_open "$AT" --rate 50
	timeout $((30 * PATIENCE)) "$NCLUST" restart "$INSTANCE.0" 3>&-
	for ((i = 0; i < 10; i++)); do
		http_get "$PORT"
	done
	end_open
	[ "$(jq '.lost + .late' <<<"$REPORT")" -eq 0 ]
}

@test "so it is with a port that a setting names, if the server binds it by itself" {
	local first=$PORT

	poll_server
	free_port
	start_cluster -n 3 -l "127.0.0.1:$PORT" -- \
		env -u LISTEN_FDS python3 "$DIR/poll.py" "$first" "$PORT"
	start_open "$AT" --rate 50
	for verb in "restart $INSTANCE.0" "upgrade $INSTANCE" \
		"restart $INSTANCE.0" "restart $INSTANCE.1"; do
		# shellcheck disable=SC2086 # a verb and its target
		timeout $((30 * PATIENCE)) "$NCLUST" $verb 3>&-
		for ((i = 0; i < 10; i++)); do
			http_get "$PORT"
		done
	done
	end_open
	[ "$(jq '.lost + .late' <<<"$REPORT")" -eq 0 ]
}

@test "nobody waits there for a slot that does not open it, and is restarted" {
	local first=$PORT slot i

	poll_server
	free_port
	start_cluster -n 4 -l "127.0.0.1:$PORT" -- \
		env -u LISTEN_FDS python3 "$DIR/poll.py" "$first" "$PORT"
	start_open "127.0.0.1:$first" --rate 150 # more than one at each
	for slot in 3 0 2; do
		timeout $((30 * PATIENCE)) "$NCLUST" restart "$INSTANCE.$slot" 3>&-
		for ((i = 0; i < 20; i++)); do
			http_get "$PORT"
		done
	done
	end_open
	[ "$(jq '.lost + .late' <<<"$REPORT")" -eq 0 ]
}

@test "a port that a reload names: those that get it by that have clients, too" {
	write_naming() {
		printf '%s\n' '[cluster:it]' 'workers = 3' 'bake = 5m' \
			'intercept = on' "$@" >"$DIR/it.ini"
	}
	write_naming "command = $FIXTURES/unwell --port $PORT" 'ready = listen'
	start_cluster -c "$DIR/it.ini"
	write_naming "command = $FIXTURES/unwell" 'ready = tcp' "listen = $AT"
	nclust reload --no-wait it
	wait_logged 'the first new worker is ready'
	new=$(cluster '.workers[] | select(.generation == 2).pid')
	wait_until 10 '[[ $(http_get "$PORT") == "pid=$1 "* ]]' "$new"
}

# --- What is left ------------------------------------------------------------------

@test "twenty restarts leave one socket and no descriptor behind" {
	start_rude -l "$AT" --
	start_open "$AT" --rate 50
	restart_within 30
	poll_until 10 one_socket
	before=$(find "/proc/$NCLUST_PID/fd" -type l | wc -l)
	for ((n = 0; n < 20; n++)); do
		restart_within 30
	done
	end_open
	[ "$LOST" -eq 0 ]
	one_is_left
	wait_until 5 '[ "$(find "/proc/$NCLUST_PID/fd" -type l | wc -l)" -le "$1" ]' \
		"$before"
}

# joins: another socket of the same address, as the kernel lets any process of the user
# have where SO_REUSEPORT is set.
joins() {
	python3 - "$PORT" <<-'EOF'
		import socket, sys
		s = socket.socket()
		s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
		s.bind(('127.0.0.1', int(sys.argv[1])))
	EOF
}

@test "nobody joins the port before it is steered" {
	start_rude -l "$AT" --
	run joins
	[ "$status" -ne 0 ]
	[[ $output == *"Address already in use"* ]]
}

@test "an event loop is not steered: it is taken off the socket that all have" {
	start_cluster -n 2 -l "$AT" -- "$FIXTURES/rude"
	busy_restarts 2 --rate 100 --path /slow
	run ! joins
	[ "$(told_sockets)" -eq 1 ]
}

@test "who joins the port meanwhile gets nothing, and is told of" {
	start_rude -l "$AT" -- --start 200
	python3 -u - "$PORT" >"$DIR/stranger" 3>&- <<-'EOF' &
		import socket, sys, time
		while True:
		    s = socket.socket()
		    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
		    try:
		        s.bind(('127.0.0.1', int(sys.argv[1])))
		        s.listen()
		        break
		    except OSError:
		        s.close()
		        time.sleep(0.001)
		print('joined')
		s.accept()
		print('stolen')
	EOF
	stranger=$!
	STARTED+=("$stranger")
	start_open "$AT" --rate 100
	restart_within 30
	poll_until 10 file_has "$DIR/stranger" joined
	restart_within 30
	end_open
	wait_logged "another process listens at tcp:$AT"
	[ "$LOST" -eq 0 ]
	[ "$(cat "$DIR/stranger")" = joined ]
	# and all is as ever when it has gone
	kill -KILL "$stranger"
	one_is_left
	restart_within 30
	one_is_left
}

# --- Not steered -------------------------------------------------------------------

@test "one slot, a graceful server and a unix socket are not steered" {
	start_rude -l "$AT" -l "unix:$DIR/sock" --
	timeout $((30 * PATIENCE)) "$NCLUST" restart "$INSTANCE.0"
	one_socket
	nclust stop "$INSTANCE"
	wait_exit
	start_rude -l "$AT" --drain signal -- --graceful
	restart_within 30
	one_socket
	[ "$(cluster .generation)" -eq 2 ]
}
