# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# Commands that are run when something has happened, and that they never hold
# nclust up.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	mkdir -m 777 "$DIR/told"
	# It tells what it was told, whole files only.
	cat >"$DIR/tell" <<-'END'
		#!/bin/sh
		dir=${0%/*}/told
		{
			env | grep '^NCLUST_'
			echo "uid=$(id -u) cwd=$(pwd) stdin=$(readlink /proc/self/fd/0)"
		} >"$dir/.$$"
		mv "$dir/.$$" "$dir/$NCLUST_EVENT.$$"
	END
	chmod 755 "$DIR/tell"
}

# told EVENT TEXT...: one of the files of that event has all these lines.
told() {
	local event=$1 file text

	shift
	for file in "$DIR/told/$event".*; do
		[ -e "$file" ] || continue
		for text; do
			grep -qxF -- "$text" "$file" || continue 2
		done
		return 0
	done
	return 1
}

wait_told() {
	poll_until 10 told "$@" && return 0
	echo "never told: $*"
	head -n 50 "$DIR"/told/* || true
	return 1
}

# Children of nclust that run this command.
running() {
	local pid count=0

	for pid in $(cat /proc/"$NCLUST_PID"/task/*/children); do
		tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null |
			grep -qF -- "$1" && count=$((count + 1))
	done
	echo "$count"
}

zombies() {
	pgrep -c -r Z -P "$NCLUST_PID" || true
}

@test "a worker's beginning and end are told, with the facts" {
	start_cluster -n 2 --ready alive:10ms --on-ready "$DIR/tell" \
		--on-exit "$DIR/tell" --on-crash "$DIR/tell" -- sleep 1000
	pid=$(worker_pid 1)
	wait_told ready NCLUST_EVENT=ready NCLUST_SLOT=1 "NCLUST_NAME=$INSTANCE" \
		"NCLUST_CLUSTER=$INSTANCE" "NCLUST_WORKER_PID=$pid" \
		NCLUST_GENERATION=1

	kill -SEGV "$pid"
	for event in exit crash; do
		wait_told "$event" NCLUST_SLOT=1 "NCLUST_WORKER_PID=$pid" \
			NCLUST_EXIT_SIGNAL=SIGSEGV
	done
	grep -q '^NCLUST_REASON=killed by SIGSEGV' "$DIR"/told/crash.*
	grep -q 'stdin=/dev/null' "$DIR"/told/crash.*
}

@test "what is asked for is no crash; an exit status is told" {
	start_cluster -n 1 --ready alive:10ms --on-exit "$DIR/tell" \
		--on-crash "$DIR/tell" --on-stop "$DIR/tell" \
		-- sh -c 'trap "exit 7" TERM; sleep 1000 & wait'
	nclust stop "$INSTANCE"
	wait_exit
	wait_told stop "NCLUST_CLUSTER=$INSTANCE"
	wait_told exit NCLUST_EXIT_CODE=7 'NCLUST_REASON=exit 7'
	run ! told crash
}

@test "another number of workers is told" {
	start_cluster -n 1 --ready alive:10ms --on-scale "$DIR/tell" \
		-- "$FIXTURES/hear"
	nclust scale "$INSTANCE" 3
	wait_told scale NCLUST_COUNT=3 NCLUST_WANTED=3
}

@test "a rollout is told when it begins, and how it ends" {
	start_cluster -n 1 --ready alive:10ms --on-rollout "$DIR/tell" \
		--start-timeout 5s -- sh -c '
			[ ! -e "$0/broken" ] || exit 3
			exec "$1"' "$DIR" "$FIXTURES/hear"
	nclust restart "$INSTANCE"
	wait_told rollout NCLUST_OUTCOME=started NCLUST_ROLLOUT=1 NCLUST_COUNT=1
	wait_told rollout NCLUST_OUTCOME=done NCLUST_ROLLOUT=1

	touch "$DIR/broken"
	run ! nclust restart "$INSTANCE"
	wait_told rollout NCLUST_OUTCOME=failed NCLUST_ROLLOUT=2 NCLUST_SLOT=0
}

@test "a hook runs as the workers do, and where they do" {
	need_root
	start_cluster -n 1 --ready alive:10ms --user nobody --directory / \
		--on-ready "$DIR/tell" -- "$FIXTURES/hear"
	wait_told ready "uid=$(id -u nobody) cwd=/ stdin=/dev/null"
}

@test "one that hangs holds nothing up, not even the end" {
	start_cluster -n 1 --ready alive:10ms --on-ready 'sleep 1000.5' \
		--on-exit "$DIR/tell" -- "$FIXTURES/hear"
	wait_until 10 '[ "$(running "sleep 1000.5")" -eq 1 ]'
	nclust restart "$INSTANCE"
	wait_told exit NCLUST_SLOT=0
	wait_until 10 '[ "$(running "sleep 1000.5")" -eq 2 ]'
	hooks=$(pgrep -P "$NCLUST_PID" -f 'sleep 1000.5')

	timeout $((20 * PATIENCE)) "$NCLUST" stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	for pid in $hooks; do
		is_gone "$pid"
	done
}

@test "one that fails is told once, until it goes well" {
	start_cluster -n 1 --ready alive:10ms --on-scale "sh -c 'exit 4'" \
		--on-ready ./not-there -- "$FIXTURES/hear"
	wait_logged "the hook on-ready ('./not-there') failed:"
	nclust scale "$INSTANCE" 2
	wait_logged "the hook on-scale ('sh -c 'exit 4'') failed: exit 4"
	nclust scale "$INSTANCE" 1
	nclust scale "$INSTANCE" 2
	wait_until 10 '[ "$(running "sh -c")" -eq 0 ]'
	[ "$(grep -c 'the hook on-scale' "$LOG")" -eq 1 ]
	[ "$(grep -c 'the hook on-ready' "$LOG")" -eq 1 ]
}

@test "what a hook leaves behind is ended, and nobody is taken for a worker" {
	start_cluster -n 1 --ready alive:10ms \
		--on-ready "sh -c '$NAP & $NAP &'" \
		-- "$FIXTURES/hear"
	pid=$(worker_pid 0)
	wait_until 10 '[ "$(pgrep -fc "^$NAP")" -eq 0 ]'
	nclust restart "$INSTANCE"
	wait_until 10 '[ "$(pgrep -fc "^$NAP")" -eq 0 ]'
	wait_until 10 '[ "$(zombies)" -eq 0 ]'
	[ "$(worker_pid 0)" != "$pid" ]
	[ "$(worker 0 .restarts)" -eq 0 ]
}

total_restarts() {
	cluster '[.workers[].restarts] | add'
}

@test "of a thousand events in a burst, some wait, and the rest is counted" {
	start_nclust -n 50 --ready alive:1h --backoff-min 1ms --backoff-max 1ms \
		--log-level warn --on-exit "$NAP" \
		--on-crash "$NAP" -- false
	wait_until 60 '[ "$(total_restarts)" -ge 500 ]'
	[ "$(running "$NAP")" -eq 16 ]
	[ -n "${REPORTS:-}" ] || [ "$(process_rss "$NCLUST_PID")" -lt 16384 ]

	nclust stop --now "$INSTANCE"
	wait_exit
	[ -z "$(pgrep -f "^$NAP")" ]
	wait_logged 'hooks did not end in time: killed'
}

# In KiB.
process_rss() {
	awk '/^VmRSS/ { print $2 }' "/proc/$1/status"
}
