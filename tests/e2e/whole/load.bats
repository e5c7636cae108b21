#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The load generator counts each thing that can become of a request, and each
# under its own name: what replace.bats says rests on it.

load ../../lib
bats_require_minimum_version 1.5.0

# start_moody ADDRESS
start_moody() {
	: >"$DIR/moody"
	"$FIXTURES/moody" "$1" >"$DIR/moody" 3>&- &
	STARTED+=("$!")
	wait_until 10 'file_has "$DIR/moody" listening'
}

# ask ADDRESS PATH OPTION...: ten requests in order; REPORT is what it says.
ask() {
	REPORT=$("$FIXTURES/openload" "$1" --rate 100 --for 100 --path "$2" \
		"${@:3}" | tail -n 1)
	echo "$REPORT"
	[ "$(jq '[.answered, .late, .refused, .reset, .unanswered, .wrong,
		.races, .own, .away] | add == 10' <<<"$REPORT")" = true ]
}

# counted NAME N
counted() {
	[ "$(jq ".$1" <<<"$REPORT")" = "$2" ]
}

# each_ends ADDRESS: of short connections.
each_ends() {
	local path

	for path in ok:answered wrong:wrong garbage:wrong close:unanswered \
		cut:unanswered; do
		ask "$1" "/${path%:*}"
		counted "${path#*:}" 10
	done
}

@test "what becomes of a request has a name" {
	free_port
	start_moody "$PORT"
	each_ends "$PORT"
	ask "$PORT" /reset
	counted reset 10
	counted errors.ECONNRESET 10
	counted lost 10
}

@test "and on a unix socket, too" {
	start_moody "$DIR/socket"
	each_ends "$DIR/socket"
	ask "$DIR/socket" /race --mode keep --connections 1
	counted races 5
}

@test "refused, where nobody listens" {
	free_port
	ask "$PORT" /
	counted refused 10
	ask "$DIR/nobody" /
	counted refused 10
}

@test "late is answered after its time; what never comes is not waited for" {
	free_port
	start_moody "$PORT"
	ask "$PORT" /late --patience 250
	counted late 10
	counted lost 0
	ask "$PORT" /hang --patience 50
	counted unanswered 10
	counted timeouts 10
}

@test "a race is told from a request that was read and forgotten" {
	free_port
	start_moody "$PORT"
	ask "$PORT" /race --mode keep --connections 1
	counted answered 5
	counted races 5
	counted lost 0
	ask "$PORT" /forget --mode keep --connections 1
	counted answered 5
	counted unanswered 5
	ask "$PORT" /stale --mode keep --connections 1
	counted lost 0
	[ "$(jq '.closed_idle > 0' <<<"$REPORT")" = true ]
}

@test "a slow answer keeps no request from leaving in time" {
	free_port
	start_moody "$PORT"
	ask "$PORT" /late
	counted answered 10
	# In a closed loop it would be 10 × 300 ms.
	[ "$(jq '.seconds < 2' <<<"$REPORT")" = true ]
}

@test "ready is said at the first answer; SIGTERM ends it" {
	free_port
	start_moody "$PORT"
	start_open "$PORT" --rate 50 --path /ok
	end_open
	counted lost 0
	[ "$(jq '.answered >= 1' <<<"$REPORT")" = true ]
}
