# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# nclust -d: it returns when all is ready, or with the reason why not.

bats_require_minimum_version 1.5.0
load ../../lib

# Daemons are not our children: they are found by what they answer.
teardown() {
	nclust stop "$INSTANCE" --now >/dev/null 2>&1 || true
	nclust_teardown
}

# nothing_left: no process of this test, and no place of the instance.
nothing_left() {
	poll_until 2 nobody_left && [ ! -e "$NCLUST_RUNTIME_DIR/$INSTANCE" ]
}

nobody_left() {
	local pid

	for pid in $(ours); do
		# those who looked have gone meanwhile
		is_gone "$pid" || return 1
	done
}

@test "-d returns when all are ready, and not before" {
	run -0 timeout 20 "$NCLUST" -d --name it -n 2 --ready notify \
		--stop-signal KILL -- "$FIXTURES/slow-ready" 300
	# at this very moment
	run -0 nclust status it
	[[ $output == *"2 of 2 ready"* ]]
	pid=$(status_json | jq .pid)
	[ "$(worker 1 '.uptime > 0.3')" = true ]

	# a session of its own, below nobody of ours
	read -r ppid sid tty < <(ps -o ppid=,sid=,tty= -p "$pid")
	[ "$sid" = "$pid" ]
	[ "$tty" = '?' ]
	[ "$ppid" != "$$" ]
	nclust stop it
	nothing_left
}

@test "-d in \$(…) returns, and in a pipe" {
	text=$(timeout 20 "$NCLUST" -d --name it -n 1 --ready notify \
		--stop-signal KILL -- "$FIXTURES/deaf" --notify 2>&1)
	run -0 nclust status it
	nclust stop it

	timeout 20 "$NCLUST" -d --name it -n 1 --ready notify \
		--stop-signal KILL -- "$FIXTURES/deaf" --notify 2>&1 |
		timeout 20 cat >>"$LOG"
	run -0 nclust status it
	[[ $text == *"1 of 1 workers ready"* ]]
}

@test "-d leaves the terminal to its user" {
	# the other side sees the end when nobody has the terminal open
	timeout 20 python3 - "$NCLUST" --name it -d -n 1 --ready notify \
		--stop-signal KILL -- "$FIXTURES/deaf" --notify <<-'E'
	import os, pty, sys
	pid, master = pty.fork()
	if pid == 0:
	    os.execv(sys.argv[1], sys.argv[1:])
	while True:
	    try:
	        if not os.read(master, 4096):
	            break
	    except OSError:
	        break
	assert os.waitpid(pid, 0)[1] == 0
	E
	run -0 nclust status it
}

@test "-d with a start that times out: the reason, non-zero, nothing left" {
	run timeout 20 "$NCLUST" -d --name it -n 2 --ready notify \
		--start-timeout 300ms --stop-timeout 100ms -- \
		sh -c 'echo still waiting for the database; exec "$0" never' \
		"$FIXTURES/slow-ready"
	[ "$status" -eq 1 ]
	[[ $output == *"start-timeout"* ]]
	[[ $output == *"still waiting for the database"* ]]
	nothing_left
}

@test "-d with a worker that dies three times: the reason, its last words" {
	run timeout 20 "$NCLUST" -d --name it -n 1 --ready notify \
		--backoff-min 10ms -- "$FIXTURES/die" --stderr "first words" \
		--stderr "cannot open the database" --exit 7
	[ "$status" -eq 1 ]
	[[ $output == *"three times"* ]]
	[[ $output == *"exit 7"* ]]
	[[ $output == *"cannot open the database"* ]]
	nothing_left
}

@test "-d with one cluster of two that fails stops the other one" {
	cat >"$DIR/it.ini" <<-INI
	[cluster:web]
	command = $FIXTURES/deaf --notify
	workers = 2
	ready = notify
	stop-signal = KILL
	[cluster:api]
	command = $FIXTURES/die --exit 7
	workers = 1
	ready = notify
	backoff-min = 10ms
	INI
	run timeout 20 "$NCLUST" -d -c "$DIR/it.ini"
	[ "$status" -eq 1 ]
	[[ $output == *"api"*"exit 7"* ]]
	nothing_left
}

@test "-d tells what kept it from starting at all, by its exit status" {
	run -127 timeout 20 "$NCLUST" -d --name it -n 1 -- "$DIR/nothing"
	[[ $output == *"$DIR/nothing"*"No such file"* ]]
	run -126 timeout 20 "$NCLUST" -d --name it -n 1 -- "$DIR"
	echo '[cluster]' >"$DIR/it.ini"
	run timeout 20 "$NCLUST" -d -c "$DIR/it.ini"
	[ "$status" -eq 78 ]
	nothing_left

	free_port
	start_cluster -n 1 -l "127.0.0.1:$PORT" --ready notify \
		-- "$FIXTURES/serve" --notify
	run timeout 20 "$NCLUST" -d --name it -n 1 -- true
	[ "$status" -eq 75 ]
	[[ $output == *"already running (pid $NCLUST_PID)"* ]]
	run timeout 20 "$NCLUST" -d --name it2 -n 1 -l "127.0.0.1:$PORT" \
		-- true
	[ "$status" -ne 0 ]
	[[ $output == *"127.0.0.1:$PORT"*"in use"* ]]
}

@test "-d killed while it starts: who waits is not left waiting" {
	timeout 20 "$NCLUST" -d --name it -n 1 --ready notify \
		-- "$FIXTURES/slow-ready" never >>"$LOG" 2>&1 3>&- &
	local waiting=$!
	wait_until 10 '[ "$(worker_state 0 2>/dev/null)" = starting ]'
	kill -KILL "$(status_json | jq .pid)"
	status=0
	wait "$waiting" || status=$?
	[ "$status" -ne 0 ]
	[ "$status" -ne 124 ]
	# its workers do not outlive it
	poll_until 5 nobody_left
}

@test "-d --no-wait is none: what can be stopped while it starts, is" {
	timeout 20 "$NCLUST" -d --name it -n 1 --ready notify \
		-- "$FIXTURES/slow-ready" never >>"$LOG" 2>&1 3>&- &
	local waiting=$!
	wait_until 10 '[ "$(worker_state 0 2>/dev/null)" = starting ]'
	nclust stop it --now
	status=0
	wait "$waiting" || status=$?
	[ "$status" -ne 0 ]
	[ "$status" -ne 124 ]
	nothing_left
}

@test "-d writes the pid file of the one who stays, before it returns" {
	run -0 timeout 20 "$NCLUST" -d --name it -n 1 --ready notify \
		--stop-signal KILL --pidfile "$DIR/pid" \
		-- "$FIXTURES/deaf" --notify
	[ "$(cat "$DIR/pid")" = "$(status_json | jq .pid)" ]
	nclust stop it
	[ ! -e "$DIR/pid" ]

	run timeout 20 "$NCLUST" -d --name it -n 1 --ready notify \
		--start-timeout 100ms --stop-signal KILL --pidfile "$DIR/pid" \
		-- "$FIXTURES/slow-ready" never
	[ "$status" -eq 1 ]
	[ ! -e "$DIR/pid" ]
}

@test "-d: after the start output goes nowhere, and stops nobody" {
	timeout 20 "$NCLUST" -d --name it -n 1 --ready notify \
		--stop-signal KILL -- sh -c \
		'echo before; "$0" READY=1 --barrier --exit 0; "$1" --lines 100000;
		echo after >"$2"; exec sleep 1000' \
		"$FIXTURES/notify" "$FIXTURES/log-flood" "$DIR/after" \
		>"$DIR/out" 2>&1
	# more than any pipe takes
	poll_until 20 test -s "$DIR/after"
	run ! grep -q before "$DIR/out"
	run ! grep -q 'line 1' "$DIR/out"
	# later workers as well
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready
}

@test "-d with log = inherit or prefix keeps on writing where it was told" {
	local mode

	mkfifo "$DIR/go"
	for mode in inherit prefix; do
		timeout 20 "$NCLUST" -d --name it -n 1 --ready notify \
			--stop-signal KILL --log "$mode" -- sh -c \
			'"$0" READY=1 --barrier --exit 0; read -r go <"$1"
			echo said later; exec sleep 1000' \
			"$FIXTURES/notify" "$DIR/go" >"$DIR/out" 2>&1
		run ! grep -q later "$DIR/out"
		release "$DIR/go"
		poll_until 10 file_has "$DIR/out" "said later"
		[ "$mode" = inherit ] || grep -qx "it.0 | said later" "$DIR/out"
		nclust stop it
	done
}

@test "-d with log = off drops all of it" {
	timeout 20 "$NCLUST" -d --name it -n 1 --ready notify --log off \
		--stop-signal KILL -- \
		sh -c 'echo before; exec "$0" --notify' "$FIXTURES/deaf" \
		>"$DIR/out" 2>&1
	run ! grep -q before "$DIR/out"
}
