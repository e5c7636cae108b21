# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# /events: what happens, as it happens, for as many as may watch.
#
# takes long

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	SOCKET=$DIR/http
}

# follow FILE: in the background; it follows when this returns.
follow() {
	curl -sSN -i --unix-socket "$SOCKET" http://localhost/events \
		>"$1" 2>&1 3>&- &
	FOLLOWER=$!
	STARTED+=("$FOLLOWER")
	poll_until 10 grep -q '^retry: ' "$1"
}

# happened FILE FILTER: is there such an event?
happened() {
	sed -n 's/^data: //p' "$1" | jq -es "any(.[]; $2)" >/dev/null
}

start_web() {
	start_cluster --http "unix:$SOCKET" -n 2 --drain off "$@"
}

may_follow() {
	curl -sSN --max-time 0.5 --unix-socket "$SOCKET" \
		http://localhost/events | grep -q '^retry: '
}

healthy() {
	curl -sS --max-time 10 --unix-socket "$SOCKET" \
		http://localhost/healthz | grep -qx ok
}

# How many of those that were started follow still.
followers() {
	local pid n=0

	for pid in "${STARTED[@]:1}"; do
		is_gone "$pid" || n=$((n + 1))
	done
	echo "$n"
}

@test "who follows sees all of it, through an upgrade and to the end" {
	start_web --ready alive:0s -- sleep 1000
	follow "$DIR/events"
	grep -qi '^content-type: text/event-stream' "$DIR/events"
	pid=$(worker_pid 1)
	kill -SEGV "$pid"
	poll_until 10 happened "$DIR/events" '.event == "exited" and
		.slot == 1 and .pid == '"$pid"' and (.text | test("SIGSEGV"))'
	nclust upgrade "$INSTANCE"
	poll_until 10 happened "$DIR/events" '.event == "upgraded"'
	nclust stop "$INSTANCE"
	wait_exit
	# the last words have come, and the answer is whole
	wait "$FOLLOWER"
	happened "$DIR/events" '.event == "state" and .state == "stopped"'
	run ! happened "$DIR/events" '.request'
}

@test "who does not read loses the stream, and nobody else notices" {
	start_web --ipc on --ready alive:0s -- bash -c '
		while ! [ -e "$0" ]; do sleep 0.05; done
		[ "$NCLUST_SLOT" -eq 0 ] || exec sleep 1000
		for ((i = 0; i < 60; i++)); do
			printf "\"%060000d\"\r\n" 0 >&"$NCLUST_CHANNEL_FD"
			# who reads is to have read what came before
			until [ "$(stat -c %s "$1")" -ge $((60000 * i)) ]; do
				sleep 0.02
			done
		done
		sleep 1000' "$DIR/go" "$DIR/reads"
	follow "$DIR/stopped"
	kill -STOP "$FOLLOWER"
	stopped=$FOLLOWER
	follow "$DIR/reads"
	: >"$DIR/go"
	poll_until 20 eval '[ "$(grep -c "\"event\":\"message" "$DIR/reads")" -gt 20 ]'
	healthy
	nclust scale "$INSTANCE" 3
	poll_until 10 happened "$DIR/reads" '.event == "scaled"'
	web=$(pgrep -P "$NCLUST_PID" -x nclust-web)
	[ -n "${REPORTS:-}" ] ||
		[ "$(awk '/^VmRSS/ { print $2 }' "/proc/$web/status")" -lt 16000 ]
	kill -CONT "$stopped"
	poll_until 10 is_gone "$stopped"
	is_alive "$FOLLOWER"
}

@test "32 may follow; who leaves makes room, or has followed for longest" {
	start_web --ready alive:0s -- sleep 1000
	for ((i = 0; i < 32; i++)); do
		curl -sSN --unix-socket "$SOCKET" http://localhost/events \
			>"$DIR/events.$i" 2>&1 3>&- &
		STARTED+=("$!")
		last=$!
	done
	for ((i = 0; i < 32; i++)); do
		poll_until 10 test -s "$DIR/events.$i"
	done
	run curl -sSi --max-time 10 --unix-socket "$SOCKET" \
		http://localhost/events
	[[ ${lines[0]} == *" 503 "* ]]
	[[ $output == *"Retry-After: 10"* ]]
	healthy
	kill "$last"
	poll_until 10 may_follow
	nclust scale "$INSTANCE" 1
	for i in 0 30; do
		poll_until 10 happened "$DIR/events.$i" '.event == "scaled"'
	done
	# all places are taken again; the one that came first gives way in the end
	follow "$DIR/events.32"
	[ "$(followers)" -eq 32 ]
	poll_until 60 may_follow
	poll_until 10 eval '[ "$(followers)" -eq 31 ]'
	healthy
}
