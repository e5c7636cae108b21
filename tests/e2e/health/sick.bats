# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# One sick worker among several behind a shared port: the others answer, and it
# is found all the same.

bats_require_minimum_version 1.5.0
load ../../lib

SICK=$FIXTURES/sick

setup() {
	nclust_setup
	free_port
}

# start_checked ARG... [-- MODE]: three workers; one that is sick is found after
# 0.4 s, and within 1.2 s.
start_checked() {
	start_cluster -n 3 -l "127.0.0.1:$PORT" --ready tcp --check http:/ \
		--check-interval 200ms --check-failures 2 \
		--check-timeout 200ms --stop-timeout 200ms --drain off \
		--log-level info "$@"
	for slot in 0 1 2; do
		wait_until 20 '[ "$(worker "$1" .checks.ok)" -ge 1 ]' "$slot"
	done
}

pids() {
	cluster '[.workers[] | select(.state == "ready") | .pid] | join(" ")'
}

# replaced PID [TEXT]: it was found, that was said once, and another one serves.
replaced() {
	[ -z "${2-}" ] || wait_logged "worker $1 $2" 1 20
	wait_until 20 'is_gone "$1" && [ "$(cluster .ready)" -eq 3 ]' "$1"
	[ -z "${2-}" ] || [ "$(grep -cF "worker $1 $2" "$LOG")" -eq 1 ]
}

TEXT="took no connection, and did nothing else"

# Ask until it has come to slot 1, and the words are true.
ask_until() {
	local path=$1

	shift
	poll_until 30 asked "$path" "$@"
}

asked() {
	curl -s --max-time 0.2 "http://127.0.0.1:$PORT$1" >"$DIR/answer" \
		3>&- || true
	shift
	holds "$@"
}

# A thread of it waits for a lock, or it has been found already.
is_locked() {
	is_gone "$1" || grep -qs futex "/proc/$1"/task/*/wchan
}

# Those of the slots 0 and 2 live.
others_live() {
	[ "$(worker_pid 0)" = "$1" ] && [ "$(worker_pid 2)" = "$2" ]
}

@test "one that loops without a connection is found among several" {
	start_checked -- "$SICK"
	read -r first second third <<<"$(pids)"
	kill -USR1 "$second"
	replaced "$second" "$TEXT"
	logged "thread $second: R"
	others_live "$first" "$third"
}

@test "one that loops in a request is found among several" {
	start_checked -- "$SICK"
	read -r first second third <<<"$(pids)"
	ask_until /loop/1 '! [ -s "$DIR/answer" ]'
	replaced "$second" "$TEXT"
	others_live "$first" "$third"
}

@test "an idle one that is stopped is found among several" {
	start_checked -- "$SICK"
	read -r first second third <<<"$(pids)"
	kill -HUP "$second" # while it is idle
	replaced "$second" "$TEXT"
	logged "thread $second: T"
	others_live "$first" "$third"
}

@test "one whose pool waits for a lock, so that none accepts, is found" {
	start_checked -- "$SICK" --pool 1
	read -r first second third <<<"$(pids)"
	ask_until /lock/1 'is_locked "$1"' "$second"
	replaced "$second" "$TEXT"
	others_live "$first" "$third"
}

@test "one that accepts, and whose other threads are locked, is found" {
	start_checked -- "$SICK" --feed 2
	read -r first second third <<<"$(pids)"
	ask_until /lock/1 'is_locked "$1"' "$second"
	replaced "$second"
	others_live "$first" "$third"
}

@test "idle ones behind another that takes everything are left alone" {
	start_cluster -n 3 -l "127.0.0.1:$PORT" --ready alive:100ms \
		--check http:/ --check-interval 100ms --check-failures 2 \
		--log-level info -- "$SICK" --unlucky
	before=$(pids)
	wait_until 20 '[ "$(worker 0 .checks.ok)" -ge 20 ]'
	[ "$(pids)" = "$before" ]
	for slot in 1 2; do
		[ "$(worker "$slot" '.checks.failed // 0')" -eq 0 ]
	done
	run ! grep -F 'took no connection' "$LOG"
}

@test "one that computes for less than interval times failures is left alone" {
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready tcp --check http:/ \
		--check-interval 500ms --check-failures 8 --log-level info \
		-- "$SICK"
	before=$(pids)
	for _ in 1 2 3; do
		curl -sS --max-time 30 "http://127.0.0.1:$PORT/burn/1500" |
			grep -q ^pid=
	done
	[ "$(pids)" = "$before" ]
	run ! grep -F 'took no connection' "$LOG"
}

@test "one that is silent to checks is drained at once, and no client is lost" {
	start_cluster -n 3 -l "127.0.0.1:$PORT" --ready tcp \
		--check http:/mute --check-interval 200ms --check-failures 2 \
		--check-timeout 200ms --drain-timeout 20s --log-level info \
		-- "$SICK" --pool 8
	start_load "$PORT"
	second=$(worker_pid 1)
	kill -USR2 "$second"
	replaced "$second"
	end_load
	[ "$REFUSED" -eq 0 ] && [ "$LOST" -eq 0 ] && [ "$ANSWERED" -gt 0 ]
	# a check that it did not answer is none of its requests
	run ! grep -F 'drained by force' "$LOG"
	run ! grep -F 'still busy' "$LOG"
}

# Half of drain-timeout is when it would not wait for its queue any more.
@test "those that accept nothing are drained at once: checks wait in their queue" {
	start_cluster -n 2 -l "$AT" --check tcp --check-interval 200ms \
		--check-failures 2 --check-timeout 200ms --drain quiet \
		--drain-timeout 200s --stop-timeout 200ms --log-level debug \
		-- "$FIXTURES/rude" --poll --graceful --deaf
	wait_logged 'it.0: drained in' 1 60
}

# --- request-timeout -----------------------------------------------------------

# start_timed ARG... -- MODE: two workers that owe no answer for longer than 1 s.
start_timed() {
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready tcp \
		--request-timeout 1s --stop-timeout 200ms --log-level info "$@"
}

# hang: some worker has a request that it answers never; sets HUNG to its pid.
hang() {
	curl -s --max-time 60 "http://127.0.0.1:$PORT/never" 3>&- &
	STARTED+=("$!")
	wait_logged 'hangs: no answer to 127.0.0.1:' 1 20
	HUNG=$(sed -n 's/.*worker \([0-9]*\) hangs: .*/\1/p' "$LOG")
}

@test "request-timeout: its successor first, and the drain does not wait for it" {
	start_timed --drain-timeout 50s -- "$SICK" --pool 4
	start_load "$PORT"
	hang
	wait_until 20 'is_gone "$1" && [ "$(cluster .ready)" -eq 2 ]' "$HUNG"
	end_load
	[ "$REFUSED" -eq 0 ] && [ "$LOST" -eq 0 ] && [ "$ANSWERED" -gt 0 ]
	wait_logged "worker $HUNG killed by SIGTERM"
	logged '(a request hung)'
	run ! grep -F 'drained by force' "$LOG"
	# the event says what it did
	run -0 nclust events "$INSTANCE" --json
	text=$(jq -r 'select(.event == "hang") | .message // .text' <<<"$output")
	[[ $text == *"; thread $HUNG: "[RS]* ]]
	[ "$(jq 'select(.event == "hang") | .age >= 1 and .cpu >= 0' \
		<<<"$output")" = true ]
}

@test "request-timeout: on-hang runs while it lives, hang-signal before the end" {
	cat >"$DIR/hook" <<-'END'
		#!/bin/sh
		state=$(cut -d' ' -f3 "/proc/$NCLUST_WORKER_PID/stat")
		echo "$NCLUST_EVENT $NCLUST_WORKER_PID $state $NCLUST_REASON" \
			>"${0%/*}/facts"
	END
	chmod 755 "$DIR/hook"
	start_timed --on-hang "$DIR/hook" --hang-signal USR2 --drain off \
		-- "$SICK" --pool 4
	hang
	wait_until 10 '[ -s "$DIR/facts" ]'
	[[ $(<"$DIR/facts") == "hang $HUNG S no answer to 127.0.0.1:"* ]]
	wait_until 20 'is_gone "$1" && [ "$(cluster .ready)" -eq 2 ]' "$HUNG"
	wait_logged "wrote what it does"
}

@test "request-timeout: slow, idle and streaming connections are left alone" {
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready tcp \
		--request-timeout 2s --log-level info -- "$FIXTURES/unwell"
	before=$(pids)
	idle_and_dripping 80
	[ "$(pids)" = "$before" ]
	run ! grep -F 'hangs' "$LOG"
}
