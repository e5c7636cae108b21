#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154,SC2314
#
# The new binary ends, or hangs, when there is no way back: with `orphans = keep`
# somebody has stood by.

bats_require_minimum_version 1.5.0
load ../lib
load ../upgrade

setup() {
	upgrade_setup
}

is_another() {
	MAIN=$(client status "$INSTANCE" --json 2>/dev/null | jq .pid) &&
		[ -n "$MAIN" ] && [ "$MAIN" != "${1:-$NCLUST_PID}" ] &&
		STARTED+=("$MAIN")
}

worker_pids() {
	status_json | jq -c '[.clusters[].workers[].pid] | sort'
}

# is_back PIDS WHY: the one of before serves on, with the same workers.
is_back() {
	poll_until 20 is_another
	[ "$(worker_pids)" = "$1" ]
	poll_until 10 holds '[ "$(cluster .ready)" -eq 2 ]'
	wait_logged "upgrade failed, the nclust of before goes on as process $MAIN: the new nclust $2"
	logged "took over 2 workers of nclust $NCLUST_PID, which is gone"
	[ "$(stat -L -c %i "/proc/$MAIN/exe")" = "$OLD" ]
	[[ $(http_get "$PORT") == pid=* ]]
}

# fall_for BINARY: two workers under load, and that is what they are to be upgraded to.
fall_for() {
	serve_two --orphans keep
	OLD=$(stat -L -c %i "/proc/$NCLUST_PID/exe")
	were=$(worker_pids)
	start_open "$PORT" --rate 300
	put "$1"
}

# All that an operator does, and an upgrade that goes well.
goes_on() {
	put "$ROOT/nclust"
	upgrade
	[ "$(status_json | jq .pid)" = "$MAIN" ]
	[ "$(worker_pids)" = "$1" ]
	client restart "$INSTANCE"
	client stop "$INSTANCE"
	poll_until 10 is_gone "$MAIN"
	[ ! -e "$NCLUST_RUNTIME_DIR/$INSTANCE" ]
}

# No process of ours but it, its logger and its workers.
nobody_stands_by() {
	poll_until 10 holds '[ "$(pgrep -P "$1" | wc -l)" -eq 3 ]' \
		"${1:-$NCLUST_PID}"
}

@test "one that crashes as it takes over: the old one serves on, nothing lost" {
	fall_for "$FIXTURES/nclust-die"

	run -75 upgrade
	is_back "$were" "ended before it had taken over"

	end_open
	[ "$LOST" -eq 0 ]
	goes_on "$were"
}

@test "one that hangs as it takes over is ended, and so too" {
	fall_for "$FIXTURES/nclust-stall"

	run -75 upgrade
	poll_until 20 is_gone "$NCLUST_PID"
	is_back "$were" "did not take over within 5 s"

	end_open
	[ "$LOST" -eq 0 ]
	goes_on "$were"
}

@test "an upgrade that goes well, or back, leaves nobody who stands by" {
	serve_two --orphans keep
	nobody_stands_by
	upgrade
	nobody_stands_by
	put "$FIXTURES/nclust-fail"
	run -1 upgrade
	[[ $output == *"this one is built to fail"* ]]
	still_the_same 1
	nobody_stands_by
}

@test "one that knows of nobody who stands by is not ended for that" {
	serve_two --orphans keep
	put "$FIXTURES/nclust-before"
	upgrade
	still_the_same 1
	# nobody who would wait for a word
	[ "$(pgrep -P "$NCLUST_PID" | wc -l)" -eq 3 ]
}

@test "a service manager starts it anew by itself: nobody is in its way" {
	export NOTIFY_SOCKET=$DIR/notify
	serve_two --orphans keep
	were=$(worker_pids)
	put "$FIXTURES/nclust-die"
	run -75 upgrade
	poll_until 10 is_gone "$NCLUST_PID"

	put "$ROOT/nclust"
	start_cluster -n 2 --listen "127.0.0.1:$PORT" --ready notify \
		--orphans keep -- "$FIXTURES/serve" --notify
	[ "$(worker_pids)" = "$were" ]
	run ! logged "upgrade failed, the nclust of before"
}

@test "without orphans = keep its workers end with it" {
	serve_two
	pid=$(worker_pid 0)
	put "$FIXTURES/nclust-die"
	run -75 upgrade
	poll_until 10 is_gone "$NCLUST_PID"
	poll_until 10 is_gone "$pid"
	run -3 client status "$INSTANCE"
}

# survives CALL ERROR MOST: whichever such call of the new program fails, the
# dynamic loader's included.
survives() {
	local n pid=${MAIN:-$NCLUST_PID}

	for ((n = 1; n <= $3; n++)); do
		strace -qq -o "$DIR/trace" -p "$pid" -e "trace=$1" \
			-e "inject=$1:error=$2:when=$n" 3>&- 2>"$DIR/strace" &
		tracer=$!
		poll_until 10 holds 'grep -q "TracerPid:.*[1-9]" \
			"/proc/$1/status"' "$pid" || skip "strace cannot attach"
		client upgrade "$INSTANCE" >"$DIR/out" 2>&1 || true
		kill -TERM "$tracer" 2>/dev/null || true
		wait "$tracer" || true
		poll_until 20 is_another 0
		pid=$MAIN
		[ "$(worker_pids)" = "$WERE" ] || {
			echo "after $1 number $n: $2"
			return 1
		}
		grep -q INJECTED "$DIR/trace" || break
	done
	echo "$1: $((n - 1)) failed"
}

@test "any one call of the loader fails: the workers are served on" {
	need strace
	serve_two --orphans keep
	WERE=$(worker_pids)
	start_open "$PORT" --rate 100
	survives openat ENOENT 8
	survives mmap ENOMEM 8
	survives pipe2 EMFILE 3
	survives clone EAGAIN 3
	survives pidfd_open EMFILE 3
	end_open
	[ "$LOST" -eq 0 ]
	goes_on "$WERE"
}
