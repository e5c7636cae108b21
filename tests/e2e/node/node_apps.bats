#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What Node programs do with Node's cluster they do under nclust, unchanged:
# each is written as for Node's own primary, or knows of none.

load ../../lib
load ../../life
load ../../node
bats_require_minimum_version 1.5.0

setup() {
	node_setup
}

# --- Servers -------------------------------------------------------------------

@test "a server that has never heard of clusters" {
	start_node -- plain.js "$PORT"
	each_is_worker
	stop_cleanly
	# the port is anybody's again
	"$FIXTURES/plain" "$PORT" --try
}

@test "the script that forks itself: all copies are its workers" {
	start_node -- clustered.js "$PORT"
	each_is_worker
	run ! logged "the primary's branch"
	stop_cleanly
}

@test "ipc = off: the script is its own primary" {
	start_cluster -n 1 --ipc off -- node "$NODE_SCRIPTS/clustered.js" \
		"$PORT"
	wait_until 10 'ask >/dev/null 2>&1'
	[[ $(ask) == *"worker="[12]* ]]
	logged "the primary's branch" 1
	stop_cleanly
}

@test "express" {
	[ -d "$NODE_MODULES/express" ] || skip "no express (scripts/setup test)"
	start_node -- express.js "$PORT"
	each_is_worker
	[ "$(ask /sum -H 'Content-Type: application/json' -d '[1,2,3]')" = \
		'{"sum":6}' ]
	[ "$(ask /none -o /dev/null -w '%{http_code}')" = 404 ]
}

# talk: a line of the server's and one of the client's, on a connection.
talk() {
	local fd line

	exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
	echo "hello there" >&"$fd"
	read -r -t $((10 * PATIENCE)) line <&"$fd"
	echo "$line"
	read -r -t $((10 * PATIENCE)) line <&"$fd"
	exec {fd}>&-
	[ "$line" = "hello there" ]
}

@test "a TCP server, shared and by turns" {
	for how in auto rr; do
		start_node --balance "$how" -- net.js "$PORT"
		for _ in 1 2 3 4 5 6; do
			[[ $(talk) == "pid="*" worker="[0-9]* ]]
		done
		stop_cleanly
	done
}

@test "https: each worker resumes the sessions of the others" {
	local version first second said

	must_have openssl
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
		-nodes -days 2 -subj /CN=localhost -keyout "$DIR/key" \
		-out "$DIR/cert" 2>/dev/null
	start_node -- https.js "$PORT" "$DIR/key" "$DIR/cert"
	read -r first second <<<"$(worker_pids)"
	for version in -tls1_2 -tls1_3; do
		freeze "$second"
		said=$(by_tls "$version" -sess_out "$DIR/session")
		[[ $said == *"New, TLS"*"pid=$first "* ]]
		thaw "$second"
		freeze "$first"
		said=$(by_tls "$version" -sess_in "$DIR/session")
		[[ $said == *"Reused, TLS"*"pid=$second "* ]]
		thaw "$first"
	done
	# and who comes after them does, too, and after another nclust
	nclust upgrade "$INSTANCE"
	nclust restart "$INSTANCE"
	said=$(by_tls "$version" -sess_in "$DIR/session")
	[[ $said == *"Reused, TLS"*"pid="* ]]
}

by_tls() {
	printf 'GET / HTTP/1.0\r\n\r\n' | timeout $((10 * PATIENCE)) \
		openssl s_client -connect "127.0.0.1:$PORT" -ign_eof "$@" 2>&1
}

@test "datagrams" {
	local pid answer

	start_node -- dgram.js "$PORT"
	for pid in $(worker_pids); do
		answer=$(answers_datagram "$pid")
		[[ $answer == "pid=$pid worker="[0-9]* ]]
	done
}

answers_datagram() {
	local pid others=()

	for pid in $(worker_pids); do
		[ "$pid" = "$1" ] || others+=("$pid")
	done
	freeze "${others[@]}"
	/usr/bin/python3 -c 'if True:
		import socket, sys
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.settimeout(float(sys.argv[2]))
		s.sendto(b"hello", ("127.0.0.1", int(sys.argv[1])))
		print(s.recv(1000).decode(), end="")
	' "$PORT" $((10 * PATIENCE))
	thaw "${others[@]}"
}

@test "a unix socket, which is gone after the stop" {
	start_node -- plain.js "\"$DIR/socket\""
	ask() {
		curl -sS --max-time "$((10 * PATIENCE))" \
			--unix-socket "$DIR/socket" "http://localhost${1:-/}"
	}
	each_is_worker
	nclust restart "$INSTANCE"
	each_is_worker
	stop_cleanly
	[ ! -e "$DIR/socket" ]
}

@test "a port that the system chooses: the same in all workers" {
	local pid ports=()

	start_node -- ports.js "$PORT"
	for pid in $(worker_pids); do
		ports+=("$(ask_worker "$pid" | sed 's/ pid=.*//')")
	done
	[[ ${ports[0]} =~ ^ports=([0-9]+)\ ([0-9]+)$ ]]
	[ "${BASH_REMATCH[1]}" != "${BASH_REMATCH[2]}" ]
	[ "${ports[0]}" = "${ports[1]}" ]
	PORT=${BASH_REMATCH[2]}
	each_is_worker
}

@test "a port is closed and taken again" {
	local pid

	start_node -- web.js "$PORT"
	for pid in $(worker_pids); do
		ask_worker "$pid" /again
		wait_until 10 '[ "$(ask_worker "$1" /rounds | part rounds)" = 1 ]' \
			"$pid"
	done
	each_is_worker
	[ "$(worker 0 .restarts) $(worker 1 .restarts)" = "0 0" ]
}

@test "a host, and a backlog" {
	local length address

	start_node -- plain.js '{"host":"127.0.0.1","port":'"$PORT"',"backlog":7}'
	each_is_worker
	read -r _ _ length address _ < <(ss -Hltn "sport = :$PORT")
	[ "$address" = "127.0.0.1:$PORT" ]
	# of both together
	[ "$length" -ge 7 ] && [ "$length" -le 14 ]
}

@test "exclusive: one has the port, the other is told so" {
	node_command -- web.js '{"port":'"$PORT"',"exclusive":true}'
	start_cluster -n 2 "${COMMAND[@]}"
	wait_logged "listening at"
	wait_logged "cannot listen: EADDRINUSE"
	[[ $(ask) == "pid="*" worker="[0-9]* ]]
	[ "$(grep -c "^listening at" "$LOG")" -eq 1 ]
	[ "$(grep -c "cannot listen: EADDRINUSE" "$LOG")" -eq 1 ]
}

@test "somebody else has the port: both are told so" {
	"$FIXTURES/plain" "$PORT" 3>&- &
	STARTED+=("$!")
	wait_until 10 '"$FIXTURES/visit" "$PORT" --show >/dev/null 2>&1'
	node_command -- web.js "$PORT"
	start_nclust -n 2 "${COMMAND[@]}"
	wait_logged "cannot listen: EADDRINUSE bind" 2
	[ "$(worker 0 .restarts) $(worker 1 .restarts)" = "0 0" ]
}

@test "listen({fd: 3}): a socket of nclust's" {
	start_node -l "127.0.0.1:$PORT" -- plain.js '{"fd":3}'
	each_is_worker
	nclust restart "$INSTANCE"
	each_is_worker
}

@test "listen({fd}) of what is not its own" {
	node_command -- web.js '{"fd":0}'
	start_nclust -n 1 "${COMMAND[@]}"
	wait_logged "cannot listen: E"
	[ "$(worker 0 .restarts)" -eq 0 ]
}

# --- Round robin ------------------------------------------------------------------

@test "by turns: each worker gets as many as the others" {
	local i

	start_node --balance rr -- plain.js "$PORT"
	for ((i = 0; i < 20; i++)); do
		ask
	done | sort | uniq -c | sort -n >"$DIR/counts"
	cat "$DIR/counts"
	[ "$(awk '{ print $1 }' "$DIR/counts" | tr '\n' ' ')" = "10 10 " ]
	run ! grep worker=no "$DIR/counts"
}

@test "NODE_CLUSTER_SCHED_POLICY=rr chooses turns" {
	local i

	start_node --env NODE_CLUSTER_SCHED_POLICY=rr -- plain.js "$PORT"
	for ((i = 0; i < 10; i++)); do
		ask
	done | sort | uniq -c | sort -n >"$DIR/counts"
	[ "$(awk '{ print $1 }' "$DIR/counts" | tr '\n' ' ')" = "5 5 " ]
}

@test "by turns: who has maxConnections passes on" {
	local first second third a b c

	start_node --balance rr -- net.js "$PORT" 1
	exec {first}<>"/dev/tcp/127.0.0.1/$PORT"
	read -r -t $((10 * PATIENCE)) a <&"$first"
	exec {second}<>"/dev/tcp/127.0.0.1/$PORT"
	read -r -t $((10 * PATIENCE)) b <&"$second"
	[ "$(part pid <<<"$a")" != "$(part pid <<<"$b")" ]

	# both have enough: the third waits until the first has gone
	exec {third}<>"/dev/tcp/127.0.0.1/$PORT"
	exec {first}>&-
	read -r -t $((10 * PATIENCE)) c <&"$third"
	[ "$(part pid <<<"$c")" = "$(part pid <<<"$a")" ]
	exec {second}>&- {third}>&-
}

@test "by turns: a client keeps its worker, as socket.io needs it" {
	local host i

	start_node --balance rr --sticky client-address -- plain.js "$PORT"
	for host in {2..17}; do
		for i in 1 2 3; do
			ask / --interface "127.0.0.$host" | part slot
		done | sort | uniq -c
	done >"$DIR/slots"
	[ "$(awk '$1 != 3' "$DIR/slots" | wc -l)" -eq 0 ]
	[ "$(awk '{ print $2 }' "$DIR/slots" | sort -u | tr '\n' ' ')" = "0 1 " ]
}

# --- What workers do --------------------------------------------------------------

@test "cluster.worker.disconnect() and kill(): it ends and is replaced" {
	local old

	start_node -- web.js "$PORT"
	for what in /disconnect /kill; do
		old=$(worker_pid 0)
		ask_worker "$old" "$what"
		wait_until 10 '[ "$(worker_pid 0)" != "$1" ] && is_gone "$1"' \
			"$old"
		wait_ready
		each_is_worker
	done
	[ "$(worker 0 .restarts)" -eq 2 ]
	[ "$(worker 1 .restarts)" -eq 0 ]
	# no id is used twice
	[ "$(ask_worker "$(worker_pid 0)" | part worker)" -gt 2 ]
}

@test "child_process.fork() and worker_threads inside" {
	local pid

	start_node -- web.js "$PORT"
	for pid in $(worker_pids); do
		[ "$(ask_worker "$pid" /fork)" = \
			'{"sum":6,"isWorker":false,"unique":null}' ]
		[[ $(ask_worker "$pid" /thread) == "fib=832040 pid=$pid "* ]]
	done
	stop_cleanly
}

# --- Messages ---------------------------------------------------------------------

@test "messages from outside: process.on('message')" {
	local pid

	start_node -- web.js "$PORT"
	nclust send "$INSTANCE.1" '{"to":"one","n":1.5}'
	pid=$(worker_pid 1)
	wait_until 10 '[ "$(ask_worker "$1" /heard)" = "$2" ]' "$pid" \
		'[{"to":"one","n":1.5}]'
	nclust send "$INSTANCE" --all '"all"'
	for pid in $(worker_pids); do
		wait_until 10 '[[ $(ask_worker "$1" /heard) == *\"all\"* ]]' "$pid"
	done
	[ "$(ask_worker "$(worker_pid 0)" /heard)" = '["all"]' ]
}

@test "messages to the others: as they were said, however odd or long" {
	local zero one heard

	start_node --relay others -- web.js "$PORT"
	zero=$(worker_pid 0)
	one=$(worker_pid 1)
	odd='{"lone":"\ud800 \udfff","nul":"\u0000","word":"äöü 😀"}'
	[ "$(ask_worker "$zero" /say -d "$odd")" = "said null" ]
	[ "$(ask_worker "$zero" /say-big -d 300000)" = "said null" ]
	[ "$(ask_worker "$zero" /say -d '"last"')" = "said null" ]
	wait_until 10 '[[ $(ask_worker "$1" /heard) == *\"last\"* ]]' "$one"
	heard=$(ask_worker "$one" /heard)
	from='{"from":{"cluster":"it","slot":0},"message":'
	[[ $heard == "[$from$odd},$from{\"big\":\"xxx"*"xxx\"}},$from\"last\"}]" ]]
	[ "$(tr -cd x <<<"$heard" | wc -c)" -eq 300000 ]
	# not to itself
	[ "$(ask_worker "$zero" /heard)" = "[]" ]
}

@test "messages with handles are taken, and hold up none behind them" {
	local pid

	start_node -- web.js "$PORT"
	pid=$(worker_pid 0)
	for _ in 1 2 3; do
		[ "$(ask_worker "$pid" /say-handles)" = "said null" ]
	done
	each_is_worker
}

# --- Readiness --------------------------------------------------------------------

@test "process.send('ready'): a worker without a server says when" {
	mkfifo "$DIR/fifo"
	node_command --ready notify -- queue.js "$DIR/fifo"
	start_nclust -n 1 "${COMMAND[@]}"
	wait_until 10 '[ "$(worker_state 0)" = starting ]'
	[ "$(cluster .ready)" -eq 0 ]
	release "$DIR/fifo"
	wait_ready
	stop_cleanly
}

@test "a worker that never listens is as any other program" {
	node_command -- queue.js
	start_cluster -n 2 "${COMMAND[@]}"
	[ "$(cluster .ready)" -eq 2 ]
	nclust restart "$INSTANCE"
	stop_cleanly
}

# --- How it is started --------------------------------------------------------------

@test "a script that names node in its first line, and is a module" {
	start_cluster -n 2 --ready listen -- "$NODE_SCRIPTS/module.mjs" "$PORT"
	each_is_worker
}

@test "npm start: both answer, and none is left" {
	must_have npm
	start_cluster -n 2 --directory "$NODE_SCRIPTS/package" \
		--env npm_config_cache="$DIR/npm" \
		--env npm_config_update_notifier=false -- npm start -- "$PORT"
	wait_ready 30
	both_answer
	nclust restart "$INSTANCE"
	both_answer
	stop_cleanly
}

@test "sh -c: both answer, and are workers if asked to be" {
	start_cluster -n 2 -- sh -c "node '$NODE_SCRIPTS/plain.js' $PORT; true"
	both_answer
	stop_cleanly
	start_cluster -n 2 --ipc on -- \
		sh -c "node '$NODE_SCRIPTS/plain.js' $PORT; true"
	both_answer
	[[ $(ask) == *"worker="[0-9]* ]]
	stop_cleanly
}

@test "node -e: both answer" {
	start_cluster -n 2 -- node -e 'require("http")
		.createServer((_, r) => r.end(`pid=${process.pid}\n`))
		.listen('"$PORT"')'
	both_answer
	stop_cleanly
}
