#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Node workers as they die, are replaced, lack something, or do what they must
# not: nclust is their primary all the time.
#
# shellcheck disable=SC2034 # what the loaded files read

# takes long
load ../../lib
load ../../life
load ../../node
load ../../upgrade
bats_require_minimum_version 1.5.0

setup() {
	node_setup
}

# --- Under requests -----------------------------------------------------------------

# All that may be lost is what was in the killed worker.
@test "killed under requests, shared and by turns" {
	for how in auto rr; do
		start_node --balance "$how" -- plain.js "$PORT"
		death_under_load
		each_worker_answers
		stop_cleanly
	done
}

# By turns nobody may stand still: who is asked for has its turn in time.
each_worker_answers() {
	[ "$(who_answer 40 | tr '\n' ' ')" = \
		"$(worker_pids | tr ' ' '\n' | sort | tr '\n' ' ')" ] ||
		each_is_worker
}

@test "replaced under requests, shared: none is lost" {
	start_node -- plain.js "$PORT"
	restart_under_load
	restart_under_load
	each_is_worker
	stop_cleanly
}

@test "replaced under requests, by turns: none is lost" {
	start_node --balance rr -- plain.js "$PORT"
	restart_under_load
	restart_under_load
	stop_cleanly
}

# Node's own primary leaves those to their fate.
@test "by turns: what dead workers have not taken goes to others" {
	start_node --balance rr -- plain.js "$PORT"
	ask_frozen "$(worker_pid 0)"
	wait_ready
	ask_frozen "$(worker_pid 0)" "$(worker_pid 1)"
}

# ask_frozen PID...: six requests while these stand still and are then killed.
ask_frozen() {
	local i pid asking=()

	: >"$DIR/answers"
	freeze "$@"
	for ((i = 0; i < 6; i++)); do
		ask >>"$DIR/answers" 2>&1 3>&- &
		asking+=("$!")
	done
	wait_until 10 '[ "$(all_who_came)" -ge 6 ] && [ "$(queued)" -eq 0 ]'
	kill -KILL "$@"
	wait "${asking[@]}"
	cat "$DIR/answers"
	[ "$(grep -c "^pid=[0-9]* worker=[0-9]" "$DIR/answers")" -eq 6 ]
	for pid in "$@"; do
		run ! grep "^pid=$pid " "$DIR/answers"
	done
}

# The answered, and those who wait for it.
all_who_came() {
	echo $(($(grep -c pid= "$DIR/answers") +
		$(ss -Htn state established "( sport = :$PORT )" | wc -l)))
}

@test "replaced under requests on kept connections: none is lost" {
	start_node -- leave.js "$PORT"
	on_kept_connections
	start_node --balance rr -- leave.js "$PORT"
	on_kept_connections
}

on_kept_connections() {
	start_open "$PORT" --rate 100 --mode keep --connections 16 \
		--path "/:9" --path "/?ms=100:1" --patience 10000
	nclust restart "$INSTANCE"
	nclust restart "$INSTANCE"
	end_open
	[ "$LOST" -eq 0 ]
	[ "$(jq .late <<<"$REPORT")" -eq 0 ]
	stop_cleanly
	# those that are idle Node would close as it is told, also where a
	# request is on its way
	logged "told with 0 connections" 6
	run ! grep "told with [1-9]" "$LOG"
}

@test "what stays open is left to the worker when half of the time is over" {
	local i asking=()

	start_node --drain-timeout 4s -- leave.js "$PORT"
	for i in 1 2 3; do
		ask /poll >>"$DIR/answers" 2>&1 3>&- &
		asking+=("$!")
	done
	wait_until 10 'requests_in 3'
	stop_cleanly
	wait "${asking[@]}"
	[ "$(grep -c "^nothing more" "$DIR/answers")" -eq 3 ]
	run ! logged "by force"
}

# requests_in COUNT: so many are with the workers.
requests_in() {
	[ "$(ss -Htn state established "( sport = :$PORT )" | wc -l)" -eq "$1" ] &&
		[ "$(queued)" -eq 0 ]
}

@test "where nobody can look in, a worker answers what it was asked" {
	need_root
	nclust_under "$FIXTURES/confine" docker --
	cp "$(readlink -f "$(command -v "$NODE")")" "$DIR/node"
	chmod 711 "$DIR/node" # execve(2) makes such a process unreadable
	NODE=$DIR/node
	for how in auto rr; do
		start_node --user nobody --balance "$how" -- leave.js "$PORT"
		with_requests_under_way
		logged "told with "
		run ! grep "told with 0" "$LOG"
		run ! logged "they get their stop signal at once"
	done
}

@test "stopped with requests under way: all are answered" {
	start_node -- plain.js "$PORT"
	with_requests_under_way
}

with_requests_under_way() {
	local i asking=()

	rm -f "$DIR/answers"
	for ((i = 0; i < 10; i++)); do
		ask "/?ms=6000" >>"$DIR/answers" 2>&1 3>&- &
		asking+=("$!")
	done
	wait_until 10 'requests_in 10'
	stop_cleanly
	wait "${asking[@]}"
	cat "$DIR/answers"
	[ "$(grep -c "^pid=[0-9]* worker=[0-9]" "$DIR/answers")" -eq 10 ]
}

@test "upgrade under requests: same workers, same channels, none is lost" {
	local ids id

	upgrade_setup_here
	start_node --relay others -- web.js "$PORT"
	WORKERS=$(workers)
	start_visits
	some_more
	upgrade
	some_more
	still_the_same 1
	# they can still talk, and be talked to
	ask_worker "$(worker_pid 0)" /say -d '"after"' >/dev/null
	wait_until 10 '[[ $(ask_worker "$1" /heard) == *\"after\"* ]]' \
		"$(worker_pid 1)"
	some_more
	end_visits
	[ "$REFUSED $LOST $LATE" = "0 0 0" ]
	ids=$(for id in $(worker_pids); do ask_worker "$id"; done |
		part_of_all worker)
	# and are replaced by others, whose ids nobody had
	restart_under_load
	each_is_worker
	for id in $(worker_pids); do
		id=$(ask_worker "$id" | part worker)
		run ! grep -xF "$id" <<<"$ids"
	done
	stop_cleanly
}

# upgrade_setup, but for what node_setup has done.
upgrade_setup_here() {
	cp "$NCLUST" "$DIR/nclust"
	NCLUST=$DIR/nclust
}

part_of_all() {
	sed -n "s/.*\b$1=\([^ ]*\).*/\1/p"
}

@test "upgrade under requests, by turns: none is lost" {
	upgrade_setup_here
	start_node --balance rr -- plain.js "$PORT"
	WORKERS=$(workers)
	start_visits
	some_more
	upgrade
	some_more
	upgrade
	some_more
	end_visits
	still_the_same 2
	[ "$REFUSED $LOST $LATE" = "0 0 0" ]
	restart_under_load
	stop_cleanly
}

@test "nclust is killed: the workers end, as Node's do" {
	local pids pid

	start_node -- plain.js "$PORT"
	pids=$(worker_pids)
	kill -KILL "$NCLUST_PID"
	for pid in $pids; do
		poll_until 10 is_gone "$pid"
	done
}

# --- Too little of something ----------------------------------------------------------

# By turns: nclust may not try again and again meanwhile, and nothing is lost.
@test "a worker without descriptors: the others wait, and nclust rests" {
	local i fd line fds=() before after

	node_command --balance rr --limit-nofile 40 -- net.js "$PORT"
	start_cluster -n 1 "${COMMAND[@]}"
	for ((i = 0; i < 60; i++)); do
		exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
		fds+=("$fd")
	done
	read -r -t $((10 * PATIENCE)) line <&"${fds[0]}"
	before=$(cpu_ticks "$NCLUST_PID")
	run ! read -r -t 1 line <&"${fds[59]}"
	after=$(cpu_ticks "$NCLUST_PID")
	[ $((after - before)) -le 20 ]

	# as places become free, they have their turn
	for ((i = 0; i < 59; i++)); do
		fd=${fds[i]}
		exec {fd}>&-
	done
	read -r -t $((10 * PATIENCE)) line <&"${fds[59]}"
	[[ $line == "pid=$(worker_pid 0) "* ]]
	[ "$(worker 0 .restarts)" -eq 0 ]
}

cpu_ticks() {
	local line fields

	read -r line <"/proc/$1/stat"
	read -ra fields <<<"${line##*) }"
	echo $((fields[11] + fields[12]))
}

# --- Hostile workers --------------------------------------------------------------------

# hostile HOW: beside a good cluster, which notices nothing.
hostile() {
	cat >"$DIR/$INSTANCE.ini" <<-END
		[cluster:bad]
		command = node $NODE_SCRIPTS/hostile.js $1
		workers = 1
		backoff-min = 1s
		[cluster:good]
		command = node $NODE_SCRIPTS/plain.js $PORT
		workers = 2
	END
	start_nclust -c "$DIR/$INSTANCE.ini"
	CLUSTER=good
	wait_until 20 '[ "$(cluster .ready)" -eq 2 ]'
}

good_is_well() {
	wait_listened "$PORT"
	each_is_worker
	restart_good
	[ "$(worker 0 .restarts) $(worker 1 .restarts)" = "0 0" ]
	# a sanitizer keeps what has been freed
	[ -n "${REPORTS:-}" ] || [ "$(private_memory)" -le 16384 ]
	[ "$(find "/proc/$NCLUST_PID/fd" -mindepth 1 | wc -l)" -le 400 ]
	stop_cleanly
}

# A rolling restart of the good one alone.
restart_good() {
	start_visits
	some_more
	nclust restart good
	some_more
	end_visits
	[ "$REFUSED $LOST $LATE" = "0 0 0" ]
}

@test "hostile: a line without an end" {
	hostile endless
	wait_until 20 'logged "done endless" ||
		[ "$(CLUSTER=bad worker 0 .restarts)" -ge 1 ]'
	good_is_well
}

@test "hostile: answers that nobody has asked for" {
	hostile acks
	wait_logged "done acks"
	good_is_well
}

@test "hostile: what is no message" {
	hostile nonsense
	wait_until 20 'logged "done nonsense" ||
		[ "$(CLUSTER=bad worker 0 .restarts)" -ge 1 ]'
	good_is_well
}

@test "hostile: more ports than anybody needs" {
	hostile ports
	wait_until 20 'logged "done ports" ||
		[ "$(CLUSTER=bad worker 0 .restarts)" -ge 1 ]'
	good_is_well
}

@test "hostile: it never reads what it is told" {
	local i

	hostile deaf
	for ((i = 0; i < 100; i++)); do
		nclust send bad "\"$(printf '%060000d' "$i")\"" || true
	done >/dev/null 2>&1
	good_is_well
}

@test "a port that its user may not have is no port for it" {
	local least

	need_root
	read -r least </proc/sys/net/ipv4/ip_unprivileged_port_start
	[ "$least" -gt 81 ] || skip "any user may have any port here"
	node_command --user nobody -- web.js 81
	start_nclust -n 1 "${COMMAND[@]}"
	wait_logged "cannot listen: EACCES"
	run ! port_is_taken 81
}

@test "a path that its user may not write is no socket for it" {
	need_root
	mkdir -m 755 "$DIR/mine"
	node_command --user nobody -- web.js "\"$DIR/mine/socket\""
	start_nclust -n 1 "${COMMAND[@]}"
	wait_logged "cannot listen: EACCES"
	[ ! -e "$DIR/mine/socket" ]
}
