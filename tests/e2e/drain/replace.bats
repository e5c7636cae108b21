#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Nothing that is done to a running cluster costs a request: its workers are
# replaced, moved, multiplied, recycled, broken by a deploy, and nclust itself
# is replaced and killed, under requests that come by a schedule whatever
# becomes of them (the fixture openload), and none is lost.
#
#   RESTARTS=20      so many rolling restarts of each server (default 2)
#   DRAIN=off        how old workers are emptied: with "off" the tests fail,
#                    which is what they are for

load ../../lib
load ../../servers
bats_require_minimum_version 1.5.0

RESTARTS=${RESTARTS:-2}
DRAIN_OPTION=(${DRAIN:+--drain "$DRAIN"})
SECONDS_A_VERB=60

setup_file() {
	build_server
}

begin() {
	"$@" >>"$LOG" 2>&1 3>&- &
	STARTED+=("$!")
}

# verb ARG...: bounded, as nothing here may wait for ever.
verb() {
	timeout $((SECONDS_A_VERB * PATIENCE)) "$NCLUST" "$@"
}

# --- Loads ---------------------------------------------------------------------

# start_loads: all of $MODES at $AT, and each has had an answer.
start_loads() {
	local mode

	LOADS=()
	wait_listened "$AT"
	for mode in $MODES; do
		"$FIXTURES/openload" "$AT" --rate "$RATE" --mode "$mode" \
			--connections 16 --jitter --patience 10000 "${MIX[@]}" \
			>"$DIR/open.$mode" 3>&- &
		LOADS+=("$mode:$!")
		STARTED+=("$!")
	done
	for mode in $MODES; do
		poll_until 20 file_has "$DIR/open.$mode" ready
	done
}

# end_loads: nothing was lost, and few raced.
end_loads() {
	local load mode report

	for load in "${LOADS[@]}"; do
		kill -TERM "${load#*:}"
	done
	for load in "${LOADS[@]}"; do
		wait "${load#*:}"
		mode=${load%:*}
		report=$(tail -n 1 "$DIR/open.$mode")
		echo "$mode: $report"
		jq -e '.answered > 0 and .lost == 0 and .own == 0 and
			.late == 0 and .races <= 1 + .sent / 1000' \
			<<<"$report" >/dev/null || {
			echo "lost under $mode load"
			LOST_SOME=yes
		}
	done
	[ -z "${LOST_SOME-}" ]
}

# serve NAME OPTION...: two of these workers, under load.
serve() {
	free_port
	"server_$1"
	start_cluster -n 2 "${DRAIN_OPTION[@]}" "${@:2}" "${SERVER[@]}"
	start_loads
}

# restarts NAME: each worker is replaced, RESTARTS times.
restarts() {
	local i

	serve "$@"
	for ((i = 1; i <= RESTARTS; i++)); do
		verb restart "$INSTANCE"
		[ "$(cluster .generation)" -eq $((i + 1)) ]
	done
	end_loads
	[ "$(cluster '[.workers[].restarts] | add')" -eq 0 ]
}

# --- Rolling restarts ------------------------------------------------------------

@test "a C server, one request at a time" {
	restarts blocking
}

@test "a C server, event loop with slow answers in flight" {
	restarts events
}

@test "a C server on a socket that it inherits" {
	restarts inherited
}

@test "a C server with connections that mostly idle" {
	restarts chat
}

@test "python3 -m http.server" {
	restarts python
}

@test "Go or Java" {
	restarts compiled
}

@test "a C server on a unix socket" {
	restarts unix
}

@test "a C server on a unix socket, connections kept" {
	restarts unix_kept
}

@test "a C server that streams" {
	restarts stream
}

@test "Node" {
	restarts node
}

@test "gunicorn" {
	restarts gunicorn
}

@test "nginx" {
	restarts nginx
}

# --- Other deeds -------------------------------------------------------------------

@test "reloads with another environment" {
	free_port
	server_events
	write_ini() {
		printf '%s\n' '[cluster:web]' "command = $RUDE $PORT --slow 100" \
			"workers = 2" "env = DEPLOY=$1" \
			${DRAIN:+"drain = $DRAIN"} >"$DIR/it.ini"
	}
	write_ini 0
	start_cluster -c "$DIR/it.ini"
	start_loads
	for ((i = 1; i <= RESTARTS; i++)); do
		write_ini "$i"
		verb reload "$INSTANCE"
		pid=$(worker_pid 1)
		tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "DEPLOY=$i"
	done
	end_loads
}

@test "more workers and fewer" {
	serve events
	for ((i = 1; i <= RESTARTS; i++)); do
		verb scale "$INSTANCE" 5
		[ "$(cluster .ready)" -eq 5 ]
		verb scale "$INSTANCE" 1
		[ "$(cluster .ready)" -eq 1 ]
	done
	end_loads
}

@test "20 upgrades in a row" {
	serve events
	pid=$(cluster '[.workers[].pid] | join(" ")')
	for i in {1..20}; do
		verb upgrade "$INSTANCE"
	done
	[ "$(status_json | jq .upgrades)" -eq 20 ]
	is_alive "$NCLUST_PID"
	[ "$(cluster '[.workers[].pid] | join(" ")')" = "$pid" ]
	verb restart "$INSTANCE"
	end_loads
}

@test "a rolling restart goes on when nclust is upgraded within it" {
	serve events
	for ((i = 1; i <= RESTARTS; i++)); do
		verb restart --no-wait "$INSTANCE"
		verb upgrade "$INSTANCE"
		wait_until 60 '[ "$(cluster .generation)" -ge "$1" ] &&
			[ "$(cluster .state)" = running ]' $((i + 1))
	done
	end_loads
}

@test "nclust is killed, and a loop starts the next" {
	free_port
	server_events
	: >"$DIR/pids"
	while [ ! -e "$DIR/stop" ]; do
		"$NCLUST" --name "$INSTANCE" -n 2 --orphans keep \
			"${DRAIN_OPTION[@]}" "${SERVER[@]}" >>"$LOG" 2>&1 &
		echo "$!" >>"$DIR/pids"
		wait "$!" || true
	done 3>&- &
	wait_ready
	start_loads
	workers=$(cluster '[.workers[].pid] | join(" ")')
	for ((i = 1; i <= RESTARTS; i++)); do
		kill -KILL "$(tail -n 1 "$DIR/pids")"
		wait_until 20 '[ "$(wc -l <"$DIR/pids")" -gt "$1" ]' "$i"
		wait_ready
		[ "$(cluster '[.workers[].pid] | join(" ")')" = "$workers" ]
	done
	verb restart "$INSTANCE"
	touch "$DIR/stop"
	end_loads
	verb stop "$INSTANCE"
}

@test "restarts, more and fewer workers, each while the one before goes on" {
	serve events
	for ((i = 1; i <= RESTARTS; i++)); do
		verb restart --no-wait "$INSTANCE"
		verb scale --no-wait "$INSTANCE" $((2 + i % 3))
		verb restart --no-wait "$INSTANCE"
		verb scale --no-wait "$INSTANCE" 2
	done
	verb restart "$INSTANCE"
	wait_ready
	[ "$(cluster .ready)" -eq 2 ]
	end_loads
}

@test "workers recycled by their age" {
	serve events --max-age 1s
	wait_until 60 '[ "$(nclust events "$INSTANCE" --json |
		grep -c "\"event\":\"exited\"")" -ge "$1" ]' $((2 * RESTARTS))
	end_loads
}

# --- Broken deploys ------------------------------------------------------------------

# The program is a script that each deploy writes anew.
deploy() {
	printf '#!/bin/sh\n%s\n' "$1" >"$DIR/new"
	chmod +x "$DIR/new"
	mv "$DIR/new" "$DIR/server"
}

serve_deployed() {
	free_port
	server_events
	deploy "exec $RUDE --slow 100 \"\$@\""
	start_cluster -n 2 --ready notify "${DRAIN_OPTION[@]}" "$@" \
		-l "127.0.0.1:$PORT" -- "$DIR/server"
	before=$(cluster '[.workers[].pid] | join(" ")')
	start_loads
}

# refused_deploy WORDS OPTION...: it fails for that reason, and all is as before.
refused_deploy() {
	run verb restart "$INSTANCE" "${@:2}"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"$1"* ]]
	[ "$(cluster .ready)" -eq 2 ]
	[ "$(cluster .generation)" -eq 1 ]
}

# The verb has failed while the new worker, which has its SIGTERM, may still be there.
same_workers() {
	wait_until 20 '[ "$(cluster "[.workers[].pid] | join(\" \")")" = "$before" ]'
}

@test "a deploy that exits at once" {
	serve_deployed
	deploy 'exit 3'
	refused_deploy "exit 3"
	same_workers
	end_loads
}

@test "a deploy that is never ready" {
	serve_deployed --start-timeout 500ms
	deploy "exec $RUDE --mute \"\$@\""
	refused_deploy "not ready"
	same_workers
	end_loads
}

@test "a deploy that cannot bind" {
	serve_deployed
	taken=$PORT
	free_port
	begin "$FIXTURES/moody" "$PORT"
	deploy "unset LISTEN_FDS SERVER_STARTER_PORT; exec $RUDE $PORT"
	refused_deploy "exit 99"
	same_workers
	PORT=$taken
	end_loads
}

# It takes nothing, so that nothing is lost by its own death.
@test "a new command that dies while it is watched" {
	free_port
	server_inherited
	write_ini() {
		printf '%s\n' '[cluster:web]' "command = $RUDE --slow 100 $1" \
			"workers = 2" "listen = 127.0.0.1:$PORT" "canary = 1" \
			"bake = 5s" ${DRAIN:+"drain = $DRAIN"} >"$DIR/it.ini"
	}
	write_ini ""
	start_cluster -c "$DIR/it.ini"
	before=$(worker_pid 1)
	start_loads
	write_ini "--deaf --die 200"
	run verb reload "$INSTANCE"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"exit 3"* ]]
	wait_ready
	[ "$(worker_pid 1)" = "$before" ]
	run ! grep -qa deaf "/proc/$(worker_pid 0)/cmdline"
	end_loads
}

@test "and a good one after them" {
	serve_deployed
	deploy 'exit 3'
	refused_deploy "exit 3"
	deploy "exec $RUDE --slow 100 \"\$@\""
	verb restart "$INSTANCE" --canary 1 --bake 300ms
	[ "$(cluster '[.workers[] | select(.generation == 1)] | length')" -eq 0 ]
	end_loads
}
