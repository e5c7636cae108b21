# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2154
#
# The death of nclust: `orphans = stop` and `keep`, and the next one of that
# name.

bats_require_minimum_version 1.5.0
load ../lib

setup() {
	nclust_setup
	free_port
	PLACE=$NCLUST_RUNTIME_DIR/$INSTANCE
}

# The keeper ends by itself, but not before it has waited for the next one.
teardown() {
	local pid

	for pid in $(keeper_pids); do
		kill -KILL "$pid" 2>/dev/null || true
	done
	nclust_teardown
}

# The loggers that hold the directory of this test.
keeper_pids() {
	local pid

	find /proc/[0-9]*/fd -lname "$PLACE" 2>/dev/null | cut -d/ -f3 |
		sort -u | while read -r pid; do
		grep -qsa '^nclust-logger' "/proc/$pid/cmdline" && echo "$pid"
	done || true
}

# start_kept [OPTION]... [-- COMMAND...]: all ready, with `orphans = keep`.
start_kept() {
	local options=()

	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	[ $# -gt 0 ] || set -- -- "$FIXTURES/serve" --notify
	start_cluster -n 3 -l "127.0.0.1:$PORT" --orphans keep --ready notify \
		"${options[@]}" "$@"
}

# kill_nclust: SIGKILL, and it is gone.
kill_nclust() {
	kill -KILL "$NCLUST_PID"
	poll_until 10 is_gone "$NCLUST_PID"
	wait "$NCLUST_PID" 2>/dev/null || true
}

worker_pids() {
	cluster '[.workers[].pid] | sort | join(" ")'
}

all_alive() {
	local pid

	for pid in "$@"; do
		is_alive "$pid" || return 1
	done
}

all_gone() {
	local pid

	for pid in "$@"; do
		is_gone "$pid" || return 1
	done
}

# start_openload [OPTION]...: open-loop load in the background, answered once.
start_openload() {
	: >"$DIR/open"
	"$FIXTURES/openload" "$PORT" --rate 300 "$@" >"$DIR/open" 3>&- &
	OPEN_PID=$!
	STARTED+=("$OPEN_PID")
	poll_until 10 file_has "$DIR/open" ready
}

# end_openload: nothing was lost of what was asked.
end_openload() {
	kill -TERM "$OPEN_PID"
	poll_until 20 is_gone "$OPEN_PID"
	wait "$OPEN_PID" || true
	tail -n 1 "$DIR/open"
	[ "$(tail -n 1 "$DIR/open" | jq '.lost + .late')" -eq 0 ]
	[ "$(tail -n 1 "$DIR/open" | jq .answered)" -gt 0 ]
}

@test "workers serve on when nclust is killed, and the next one takes them over" {
	start_kept
	pids=$(worker_pids)
	before=$(worker 1 .uptime)
	start_openload
	kill_nclust

	all_alive $pids
	start_kept
	[ "$(worker_pids)" = "$pids" ]
	logged "took over 3 workers"
	jq -en --argjson a "$before" --argjson b "$(worker 1 .uptime)" '$b > $a'
	[ "$(cluster .state)" = running ]
	[ "$(cluster .generation)" -eq 1 ]
	end_openload
}

@test "workers that were taken over are restarted, scaled, signalled and stopped" {
	start_kept
	read -ra pids < <(worker_pids)
	kill_nclust
	start_kept
	old=$(worker_pid 0)

	# one dies: its end is told as of any other, and it is replaced
	kill -SEGV "$old"
	wait_until 10 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready
	[ "$(worker 0 .last_exit.text)" != null ]
	nclust signal "$INSTANCE" USR1 --all
	nclust scale "$INSTANCE" 2
	poll_until 10 is_gone "$(printf '%s\n' "${pids[@]}" | tail -n 1)" ||
		true
	[ "$(cluster .ready)" -eq 2 ]
	start_openload
	nclust restart "$INSTANCE"
	end_openload
	poll_until 10 all_gone "${pids[@]}"
	[ "$(cluster .ready)" -eq 2 ]
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	[ ! -e "$PLACE" ]
	poll_until 10 no_keeper
}

no_keeper() {
	[ -z "$(keeper_pids)" ]
}
