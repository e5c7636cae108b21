#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154,SC2314
#
# nclust is killed while a worker is stopped for a look at its connections: with
# `orphans = keep` the worker runs on, also when nobody starts a next nclust.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
}

is_stopped() {
	grep -q "^State:.*T" "/proc/$1/status"
}

# killed_in_a_freeze N ARG...: start a cluster of one worker; by its Nth signal nclust is
# killed as it is about to continue what it has frozen.  Sets PID of the worker, and
# nclust is gone.
killed_in_a_freeze() {
	local try

	for try in {1..10}; do
		INSTANCE=it$try
		free_port
		start_cluster -n 1 -l "127.0.0.1:$PORT" --orphans keep \
			--drain quiet "${@:2}"
		kill_in_a_freeze "$1"
		# on a busy machine it may have given up before it had frozen all
		! grep -q 'SIG\(CONT\|TERM\).*= 0' "$DIR/trace" || continue
		is_alive "$PID"
		return
	done
	return 1
}

kill_in_a_freeze() {
	PID=$(worker_pid 0)
	strace -qq -o "$DIR/trace" -p "$NCLUST_PID" -e trace=pidfd_send_signal \
		-e inject=pidfd_send_signal:signal=KILL:when="$1" 3>&- \
		2>"$DIR/strace" &
	tracer=$!
	poll_until 10 holds 'grep -q "TracerPid:.*[1-9]" \
		"/proc/$NCLUST_PID/status"' || skip "strace cannot attach"
	nclust restart "$INSTANCE" >"$DIR/out" 2>&1 || true
	poll_until 10 is_gone "$NCLUST_PID"
	wait "$tracer" || true
	cat "$DIR/trace"
	grep -q 'SIGSTOP.*= 0' "$DIR/trace"
}

@test "a worker runs on that was frozen when nclust was killed, and no next one" {
	need strace
	killed_in_a_freeze 2 -- "$FIXTURES/rude"
	poll_until 10 holds '! is_stopped "$1"' "$PID"
	[[ $(http_get "$PORT") == * ]]
}

@test "all of a worker runs on that was frozen, also what is below it" {
	need strace
	killed_in_a_freeze 4 --intercept off -- sh -c '
		setsid sleep 1000 & echo $! >"$0"; "$1" & wait' \
		"$DIR/far" "$FIXTURES/rude"
	poll_until 10 test -s "$DIR/far"
	poll_until 10 holds '! is_stopped "$1"' "$PID"
	poll_until 10 holds '! is_stopped "$1"' "$(cat "$DIR/far")"
}
