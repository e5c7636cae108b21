# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
#
# What does not work is explained where a user looks: in `status`, in
# `status --json` and in `events`.

bats_require_minimum_version 1.5.0
load ../../lib

# hold_port: somebody else has $PORT; sets HOLDER.
hold_port() {
	free_port
	timeout 60 python3 - "$PORT" "$DIR/held" >>"$LOG" 2>&1 3>&- <<-'E' &
	import socket, sys, time
	s = socket.socket(socket.AF_INET6)
	s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
	s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
	s.bind(("::", int(sys.argv[1])))
	s.listen()
	open(sys.argv[2], "w").write("held\n")
	time.sleep(60)
	E
	STARTED+=("$!")
	wait_until 10 '[ -s "$DIR/held" ]'
	HOLDER=$(pgrep -P "$!" || echo "$!")
}

# named_everywhere TEXT: it stands in all three places.
named_everywhere() {
	local text=$1

	run nclust status "$INSTANCE"
	[[ $output == *"$text"* ]] || return 1
	status_json | grep -qF -- "$text" || return 1
	nclust events "$INSTANCE" --json | jq -r '.cause // ""' |
		grep -qF -- "$text" || return 1
	run nclust events "$INSTANCE"
	[[ $output == *"$text"* ]]
}

@test "a port that is taken: by whom" {
	hold_port
	start_nclust -n 2 --ready listen -- node -e '
		require("net").createServer().listen(+process.argv[1])' "$PORT"
	# a busy machine may not find it at the first try
	poll_until 20 named_everywhere "in use by python3 (pid $HOLDER)"
	run nclust status "$INSTANCE"
	[ "$status" -eq 2 ]
	[[ $output =~ "not "("once ready in "[0-9]+" tries"|"ready at the first try")"; exit 1 after " ]]
}

@test "a port that is taken, seen by nobody: by the program's words" {
	hold_port
	start_nclust -n 1 --intercept off -- sh -c "
		echo 'listen tcp :$PORT: bind: address already in use' >&2
		exit 1"
	poll_until 20 named_everywhere "port $PORT is in use by python3 (pid $HOLDER)"
}

@test "a port of nclust's own that is taken: by whom" {
	hold_port
	poll_until 20 refused 78 \
		"Address already in use; in use by python3 (pid $HOLDER)" \
		nclust --name "$INSTANCE" -n 1 -l "$PORT" -- sleep 60
}

@test "the last output is the line that explains" {
	launch_nclust -n 1 --restart never -- node -e '
		console.log("starting")
		require("net").connect(1, "127.0.0.1")'
	wait_exit
	grep -q "exit 1 .*last output: Error: connect ECONNREFUSED 127.0.0.1:1\$" \
		"$LOG"
}

# with_stdout file|pipe|socket ARG...: as start_nclust, its output there.
with_stdout() {
	local kind=$1

	shift
	set -- --name "$INSTANCE" "$@"
	case $kind in
	file) "$NCLUST" "$@" >"$DIR/file" 2>&1 </dev/null 3>&- & ;;
	pipe) "$NCLUST" "$@" > >(cat >"$DIR/pipe") 2>&1 </dev/null 3>&- & ;;
	socket)
		python3 -c '
import os, socket, subprocess, sys
a, b = socket.socketpair()
p = subprocess.Popen(sys.argv[2:], stdin=0, stdout=b, stderr=b)
b.close()
out = open(sys.argv[1], "wb", buffering=0)
while data := a.recv(65536):
    out.write(data)
sys.exit(p.wait())' "$DIR/socket" "$NCLUST" "$@" </dev/null 3>&- &
		;;
	esac
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	poll_until 10 answers_or_ended "$NCLUST_PID"
}

# said_everywhere TEXT: it was the last output of worker 0, in all three places.
said_everywhere() {
	[ "$(worker 0 .last_failure.last_output)" = "$1" ] &&
		[[ $(nclust status "$INSTANCE") == *"; last output: $1"* ]] &&
		nclust events "$INSTANCE" --json | jq -es --arg text "$1" '
			any(.event == "exited" and .last_output == $text)' &&
		[[ $(nclust events "$INSTANCE") == *"; last output: $1"* ]]
}

@test "so it is wherever the output goes, for one that never comes up" {
	for kind in file pipe socket; do
		with_stdout "$kind" -n 1 --backoff-max 100ms -- sh -c '
			printf "starting\nError: no database" >&2; exit 4'
		poll_until 20 said_everywhere "Error: no database"
		nclust stop "$INSTANCE" --now
		wait_exit
		# and it has passed
		grep -q "^Error: no database" "$DIR/$kind"
	done
}

@test "memory and CPU are those of all processes of a worker" {
	start_cluster -n 1 --ready alive:100ms -- sh -c '
		python3 -c "
import time
b = bytearray(64 << 20)
for i in range(0, len(b), 4096): b[i] = 1
end = time.time() + 3
while time.time() < end: pass
time.sleep(1000)" & wait'
	wait_until 20 '[ "$(worker 0 .memory_bytes)" -gt 67108864 ]'
	[ "$(worker 0 .rss_bytes)" -lt 33554432 ]
	[ "$(worker 0 .processes)" -ge 2 ]
	# 3 s of CPU since its start are far more than none of the shell
	wait_until 20 '[ "$(worker 0 ".cpu_percent | floor")" -ge 10 ]'
	run nclust status "$INSTANCE"
	[[ $output =~ \ [67][0-9]M\  ]]
}

@test "what a worker does after a status is in the next one" {
	start_cluster -n 1 --ready alive:100ms -- python3 -c '
import signal, subprocess, time
def eat(*_):
    global eaten
    eaten = b"x" * (64 << 20)
signal.signal(signal.SIGUSR1, eat)
signal.signal(signal.SIGUSR2, lambda *_: subprocess.Popen(["sleep", "1000"]))
while True: time.sleep(1000)'
	wait_until 10 '[ "$(worker 0 .memory_bytes)" -gt 1048576 ]'
	sleep 1
	[ "$(worker 0 .memory_bytes)" -lt 67108864 ]
	[ "$(worker 0 .processes)" -eq 1 ]
	kill -USR1 "$(worker_pid 0)"
	wait_until 5 '[ "$(worker 0 .memory_bytes)" -gt 67108864 ]'
	kill -USR2 "$(worker_pid 0)"
	wait_until 5 '[ "$(worker 0 .processes)" -eq 2 ]'
}

most_background() {
	nclust events "$INSTANCE" --json | jq -es '
		map(select(.event == "exited") | .cause // "") |
		map(select(test("background"))) as $told |
		($told | length) * 2 > length' >/dev/null
}

@test "a program that goes to the background" {
	start_nclust -n 2 --backoff-min 20ms --backoff-max 50ms \
		-- sh -c 'setsid sleep 60 & exit 0'
	wait_until 10 '[ "$(cluster .trouble.tries)" -ge 6 ]'

	# what is left of a try cannot be recognised in the midst of an exec, and
	# status names the cause of the last try
	poll_until 20 named_everywhere "went to the background (daemonised)"
	# most tries say so, not only one a second
	poll_until 20 most_background
}

@test "a start that never comes up is told with the count of its tries" {
	start_nclust -n 1 --backoff-min 50ms --backoff-max 100ms \
		-- sh -c 'echo no database; exit 4'
	wait_logged 'it: not once ready in 8 tries; exit 4 after '
	nclust events "$INSTANCE" --json | jq -es '
		any(.event == "not-ready" and .cluster == "it")'
}

@test "a failed restart stands in status until one succeeds" {
	echo 'exec sleep 1000' >"$DIR/app"
	start_cluster -n 2 -- sh "$DIR/app"
	echo 'echo "db1: Connection refused"; exit 3' >"$DIR/app"

	run -1 nclust restart "$INSTANCE"
	run nclust status "$INSTANCE"
	[ "$status" -eq 0 ]
	[[ $output == *"last restart failed "*" ago: it.0: exit 3 after "* ]]
	[[ $output == *"db1: Connection refused; generation 1 keeps serving"* ]]
	cluster '.failed_restart | .rollout, .ago, .cause' |
		grep -q 'it.0: exit 3'
	nclust events "$INSTANCE" --json | jq -es 'any(
		.event == "rollout-failed" and
		(.cause | startswith("it.0: exit 3")))'

	# nclust's own successor knows it too
	nclust upgrade "$INSTANCE"
	[[ $(cluster .failed_restart.text) == "last restart failed"* ]]
	[ "$(worker 0 .last_failure.text)" = "exit 3" ]

	echo 'exec sleep 1000' >"$DIR/app"
	nclust restart "$INSTANCE"
	[ "$(cluster .failed_restart)" = null ]
}

@test "one that cannot be executed" {
	printf '#!/bin/sh\nexec sleep 1000\n' >"$DIR/app"
	chmod 755 "$DIR/app"
	start_cluster -n 1 --ready alive:200ms -- "$DIR/app"
	chmod 600 "$DIR/app"

	run -1 nclust restart "$INSTANCE"
	named_everywhere "cannot execute '$DIR/app': Permission denied"
	[[ $(worker 0 .last_failure.cause) == "cannot execute"* ]]
}

@test "LAST EXIT shows only what nobody asked for" {
	start_cluster -n 2 --log prefix -- sh -c '
		trap "exit 0" TERM; sleep 1000 & wait'
	nclust restart "$INSTANCE"
	run nclust status "$INSTANCE"
	[[ $output != *"exit 0"* ]]
	[ "$(worker 0 .last_exit.asked)" = true ]

	kill -KILL "$(worker_pid 1)"
	wait_until 10 '[ "$(worker 1 .last_failure.text)" = "killed by SIGKILL" ]'
	nclust restart "$INSTANCE"
	run nclust status "$INSTANCE"
	[[ $output =~ "killed by SIGKILL after "[^,]*", "[^,]*" ago" ]]
}

@test "a stop that takes long says what it waits for and how to end it" {
	start_cluster -n 2 --stop-timeout 40s --ready notify -- "$FIXTURES/deaf" \
		--notify
	pid=$(worker_pid 0)

	script -qec "'$NCLUST' stop $INSTANCE" /dev/null >"$DIR/verb" 2>&1 3>&- &
	STARTED+=("$!")
	wait_logged 'it: still stopping after '
	grep -q "it.0 (worker $pid) has got SIGTERM, SIGKILL follows in " "$LOG"
	grep -q 'to end it now: nclust stop --now it$' "$LOG"
	nclust events "$INSTANCE" --json | jq -es 'any(
		.event == "stop-waits" and .cluster == "it")'
	# who asked for it reads it too
	poll_until 10 file_has "$DIR/verb" 'still stopping after'
	nclust stop --now "$INSTANCE"
	wait_exit
}

@test "a stop that is over at once says nothing" {
	start_cluster -n 2 -- sleep 1000
	nclust stop "$INSTANCE"
	wait_exit
	run ! logged 'still stopping'
}

@test "a job that has ended with success is done, and no trouble" {
	printf '%s\n' '[cluster:side]' "command = $FIXTURES/hear --notify" \
		'ready = notify' 'workers = 1' '[cluster:job]' \
		'command = true' 'workers = 1' 'ready = alive:1h' \
		'restart = never' >"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	CLUSTER=job
	wait_until 20 '[ "$(cluster .done)" = true ]'
	CLUSTER=side
	wait_until 20 '[ "$(cluster .ready)" -eq 1 ]'
	CLUSTER=job
	for _ in before after; do
		[ "$(cluster .wanted)" -eq 0 ]
		[ "$(cluster .trouble)" = null ]
		run -0 nclust status "$INSTANCE"
		[[ $output == *"done: its workers ended with success"* ]]
		run -0 nclust upgrade "$INSTANCE"
	done
	run -0 nclust restart "$INSTANCE/side"
}
