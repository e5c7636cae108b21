# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# What nclust does with signals, and on a terminal (FAULTS.md, S36 to S42;
# INTERFACE.md, section 4).

bats_require_minimum_version 1.5.0
load ../../lib

# start_hear N ARG...: N workers that write what they hear.
start_hear() {
	start_cluster -n "$1" --ready notify "${@:2}" -- "$FIXTURES/hear" \
		--notify --to "$DIR/heard"
}

heard() {
	file_has "$DIR/heard" "$@"
}

wait_heard() {
	poll_until 10 heard "$@" || {
		cat "$DIR/heard"
		return 1
	}
}

# The slots that heard a signal, in order.
who_heard() {
	sed -n "s/slot=\([0-9]*\) .* $1\$/\1/p" "$DIR/heard" | tr '\n' ' '
}

nobody_left() {
	local pid

	for pid in $(ours); do
		! is_alive "$pid" || return 1
	done
}

# --- Passed on --------------------------------------------------------------------

@test "USR1, USR2 and real-time signals go to one worker, the next in turn" {
	start_hear 3
	for i in 1 2 3 4; do
		kill -USR1 "$NCLUST_PID"
		wait_heard USR1 "$i"
	done
	[ "$(who_heard USR1)" = "0 1 2 0 " ]
	kill -USR2 "$NCLUST_PID"
	wait_heard USR2
	[ "$(who_heard USR2)" = "1 " ]
	kill -RTMIN+3 "$NCLUST_PID"
	wait_heard RTMIN+3
	[ "$(who_heard RTMIN+3)" = "2 " ]
}

@test "no real-time signal is lost, however many come at once" {
	start_hear 2
	kill -STOP "$NCLUST_PID"
	for ((i = 0; i < 100; i++)); do
		kill -RTMIN+1 "$NCLUST_PID"
	done
	kill -CONT "$NCLUST_PID"
	wait_heard RTMIN+1 100
	[ "$(grep -c 'slot=0 .* RTMIN+1' "$DIR/heard")" -eq 50 ]
}

@test "the verb goes round, too; --all and a slot go where they say" {
	start_hear 2
	nclust signal "$INSTANCE" USR1
	nclust signal "$INSTANCE" USR1
	wait_heard USR1 2
	[[ "$(who_heard USR1)" == "0 1 " || "$(who_heard USR1)" == "1 0 " ]]
	nclust signal "$INSTANCE" --all USR2
	wait_heard 'slot=0' 3
	wait_heard USR2 2
	nclust signal "$INSTANCE.1" HUP
	wait_heard HUP
	[ "$(who_heard HUP)" = "1 " ]
	run nclust signal "$INSTANCE" NONSENSE
	[ "$status" -eq 64 ]
}

@test "a slot that is down is passed over" {
	start_cluster -n 3 --ready notify --backoff-min 1h --backoff-max 1h \
		--stable-after 1h -- sh -c '
		[ "$NCLUST_SLOT" -ne 1 ] || [ ! -e "$1/down" ] || exit 1
		exec "$0" --notify --to "$1/heard"' "$FIXTURES/hear" "$DIR"
	touch "$DIR/down"
	kill -KILL "$(worker_pid 1)"
	wait_until 10 '[ "$(worker_state 1)" = backoff ]'

	for i in 1 2 3 4; do
		kill -USR1 "$NCLUST_PID"
		wait_heard USR1 "$i"
	done
	[ "$(who_heard USR1)" = "0 2 0 2 " ]
}

@test "with nobody ready a signal is dropped, and the verb says so" {
	start_nclust -n 1 --ready notify -- "$FIXTURES/hear" --to "$DIR/heard"
	wait_until 10 '[ -n "$(worker_pid 0)" ]'
	kill -USR1 "$NCLUST_PID"
	run nclust signal "$INSTANCE" USR1
	[ "$status" -eq 1 ]
	[[ $output == *"no worker"* ]]
	is_alive "$NCLUST_PID"
	run ! heard USR1
}

@test "every cluster has a turn of its own" {
	for name in one two; do
		printf '%s\n' "[cluster:$name]" "workers = 2" "ready = notify" \
			"command = $FIXTURES/hear --notify --to $DIR/$name"
	done >"$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	kill -USR1 "$NCLUST_PID"
	poll_until 10 file_has "$DIR/one" "slot=0" 2
	poll_until 10 file_has "$DIR/two" "slot=0" 2
}

@test "rules: all, first, ignore, stop, restart, and translation" {
	start_hear 2 --signal-USR1 all --signal-USR2 first \
		--signal-RTMIN+1 ignore --signal-RTMIN+2 'RTMIN+2->WINCH' \
		--signal-RTMIN+3 restart --signal-RTMIN+4 stop
	kill -USR1 "$NCLUST_PID"
	wait_heard USR1 2
	kill -USR2 "$NCLUST_PID"
	wait_heard USR2 1
	kill -USR2 "$NCLUST_PID"
	wait_heard USR2 2
	[ "$(who_heard USR2)" = "0 0 " ]
	kill -RTMIN+1 "$NCLUST_PID"
	kill -RTMIN+2 "$NCLUST_PID"
	wait_heard WINCH
	run ! heard RTMIN
	kill -RTMIN+3 "$NCLUST_PID"
	wait_until 10 '[ "$(cluster .generation)" -eq 2 ]'
	kill -RTMIN+4 "$NCLUST_PID"
	wait_exit
	[ "$status" -eq 0 ]
}

@test "TERM->QUIT: the stop has another first signal" {
	start_hear 1 --signal-TERM 'TERM->QUIT' --stop-timeout 5s
	kill -TERM "$NCLUST_PID"
	wait_heard QUIT
}

@test "CHLD, PIPE and WINCH are never passed on" {
	start_hear 1
	kill -CHLD "$NCLUST_PID"
	kill -PIPE "$NCLUST_PID"
	kill -WINCH "$NCLUST_PID"
	kill -USR1 "$NCLUST_PID"
	wait_heard USR1
	[ "$(wc -l <"$DIR/heard")" -eq 2 ]
}

# --- To nclust ----------------------------------------------------------------------

@test "TTIN and TTOU: one worker more, one fewer" {
	start_hear 1
	kill -TTIN "$NCLUST_PID"
	wait_until 10 '[ "$(cluster .ready)" -eq 2 ]'
	kill -TTOU "$NCLUST_PID"
	wait_until 10 '[ "$(cluster ".workers | length")" -eq 1 ]'
	kill -TTOU "$NCLUST_PID"
	wait_until 10 '[ "$(cluster ".workers | length")" -eq 0 ]'
	kill -TTOU "$NCLUST_PID"
	# two that wait together come lowest number first, not in order
	wait_until 10 'grep -q "^ShdPnd:[^1-9a-f]*$" "/proc/$NCLUST_PID/status"'
	kill -TTIN "$NCLUST_PID"
	wait_until 10 '[ "$(cluster .ready)" -eq 1 ]'
}

@test "TERM is a graceful stop, the second one at once" {
	start_cluster -n 2 --ready notify --stop-timeout 1h \
		-- "$FIXTURES/hear" --notify --to "$DIR/heard" --end-on never
	kill -TERM "$NCLUST_PID"
	wait_heard TERM 2
	is_alive "$NCLUST_PID"
	[ "$(cluster .state)" = stopping ]

	kill -TERM "$NCLUST_PID"
	wait_exit
	[ "$status" -eq 0 ]
	nobody_left
}

@test "QUIT stops at once" {
	start_cluster -n 1 --ready notify --stop-timeout 1h \
		-- "$FIXTURES/hear" --notify --to "$DIR/heard" --end-on never
	kill -QUIT "$NCLUST_PID"
	wait_exit
	run ! heard TERM
	nobody_left
}

@test "a storm of signals is survived" {
	start_hear 2 --signal-HUP ignore --log-level error
	for ((i = 0; i < 3000; i++)); do
		case $((i % 8)) in
		0) kill -HUP "$NCLUST_PID" ;;
		1) kill -TTIN "$NCLUST_PID" ;;
		2) kill -TTOU "$NCLUST_PID" ;;
		3) kill -PIPE "$NCLUST_PID" ;;
		4) kill -WINCH "$NCLUST_PID" ;;
		5) kill -USR1 "$NCLUST_PID" ;;
		6) kill -CHLD "$NCLUST_PID" ;;
		7) kill -RTMIN+9 "$NCLUST_PID" ;;
		esac
	done
	nclust scale "$INSTANCE" 2
	[ "$(cluster '"\(.ready) \(.workers | length)"')" = "2 2" ]
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
}

@test "TERM in the midst of spawning: everybody goes, nobody is forgotten" {
	for n in 1 2 3 4; do
		: >"$DIR/heard"
		launch_nclust -n 100 -- "$FIXTURES/hear" --to "$DIR/heard"
		poll_until 10 heard start $((n * 5)) || true
		kill -TERM "$NCLUST_PID" 2>/dev/null || true
		wait_exit
		[ "$status" -eq 0 ]
		nobody_left
	done
}

@test "STOP and CONT of nclust change nothing" {
	start_hear 2
	before=$(cluster '[.workers[].pid] | join(" ")')
	kill -STOP "$NCLUST_PID"
	kill -CONT "$NCLUST_PID"
	[ "$(cluster '[.workers[].pid] | join(" ")')" = "$before" ]
	[ "$(cluster .ready)" -eq 2 ]
}

@test "TSTP and CONT: the workers stop and go on with nclust" {
	start_hear 2
	pid=$(worker_pid 1)
	kill -TSTP "$NCLUST_PID"
	wait_until 10 '[ "$(process_state "$1")" = T ]' "$pid"
	poll_until 10 holds '[ "$(process_state "$NCLUST_PID")" = T ]'

	kill -CONT "$NCLUST_PID"
	poll_until 10 holds '[ "$(process_state "$1")" = S ]' "$pid"
	[ "$(cluster .ready)" -eq 2 ]
	[ "$(cluster '[.workers[].restarts] | add')" -eq 0 ]
}

# --- Terminals -------------------------------------------------------------------------
#
# script(1) makes the terminal; what is written to fd 7 is typed on it.

# on_terminal COMMAND: run it there, as the session's leader.
on_terminal() {
	need script
	mkfifo "$DIR/keys"
	SHELL=/bin/sh script -qefc "$1" "$DIR/screen" <"$DIR/keys" \
		>/dev/null 2>&1 3>&- &
	SCRIPT=$!
	STARTED+=("$SCRIPT")
	exec 7>"$DIR/keys"
}

# nclust as a line for a shell.
nclust_line() {
	printf '%q ' "$NCLUST" --name "$INSTANCE" "$@"
}

find_nclust() {
	NCLUST_PID=$(status_json 2>/dev/null | jq -r .pid)
}

screen_has() {
	file_has "$DIR/screen" "$@"
}

@test "^C is one graceful stop, and the terminal is sane" {
	on_terminal "$(nclust_line -n 2 --ready notify -- "$FIXTURES/hear" \
		--notify --to "$DIR/heard"); echo \"status=\$?\"; stty -a"
	wait_ready
	printf '\003' >&7

	poll_until 10 screen_has 'status=0'
	poll_until 10 screen_has 'isig icanon'
	# their own sessions: they hear nclust's TERM, not the terminal's INT
	heard TERM 2
	run ! heard INT
	nobody_left_but "$SCRIPT"
}

# Shells and script(1) itself carry our environment, too.
nobody_left_but() {
	poll_until 10 holds '! grep -qsa -- "--notify" $(
		for pid in $(ours); do echo "/proc/$pid/cmdline"; done)' \
		/dev/null
}

@test "^C twice is a stop at once" {
	on_terminal "$(nclust_line -n 1 --ready notify --stop-timeout 1h \
		-- "$FIXTURES/hear" --notify --to "$DIR/heard" \
		--end-on never); echo \"status=\$?\""
	wait_ready
	printf '\003' >&7
	wait_heard TERM
	printf '\003' >&7
	poll_until 10 screen_has 'status=0'
}

@test "^C: a stop that takes long says what it waits for, and how to end it" {
	on_terminal "$(nclust_line -n 1 --ready notify --stop-timeout 1h \
		-- "$FIXTURES/hear" --notify --to "$DIR/heard" \
		--end-on never); echo \"status=\$?\""
	wait_ready
	worker=$(worker_pid 0)
	printf '\003' >&7
	poll_until 10 screen_has "$INSTANCE: still stopping after "
	screen_has "$INSTANCE.0 (worker $worker) has got SIGTERM, SIGKILL follows in"
	screen_has "to end it now: nclust stop --now $INSTANCE, or Ctrl-C"
	printf '\003' >&7
	poll_until 10 screen_has 'status=0'
}

@test "^Z stops nclust and its workers, fg resumes them" {
	on_terminal "exec bash --norc --noprofile -i"
	printf '%s\n' "$(nclust_line -n 1 --ready notify -- "$FIXTURES/hear" \
		--notify)" >&7
	wait_ready
	find_nclust
	worker=$(worker_pid 0)
	printf '\032' >&7
	poll_until 10 holds '[ "$(process_state "$NCLUST_PID")" = T ]'
	# it stops when it next gets a CPU
	poll_until 10 holds '[ "$(process_state "$1")" = T ]' "$worker"

	printf 'fg\n' >&7
	poll_until 10 holds '[ "$(process_state "$1")" = S ]' "$worker"
	wait_ready
	[ "$(worker_pid 0)" = "$worker" ]
	printf '\003' >&7
	poll_until 10 is_gone "$NCLUST_PID"
}

@test "the terminal hangs up: stop" {
	on_terminal "exec $(nclust_line -n 1 --ready notify \
		-- "$FIXTURES/hear" --notify --to "$DIR/heard")"
	wait_ready
	find_nclust
	worker=$(worker_pid 0)
	kill -KILL "$SCRIPT"

	poll_until 10 is_gone "$NCLUST_PID"
	heard TERM
	is_gone "$worker"
}

@test "under nohup a hang-up changes nothing" {
	on_terminal "nohup $(nclust_line -n 1 --ready notify \
		-- "$FIXTURES/hear" --notify --to "$DIR/heard") >$LOG 2>&1 & \
		wait"
	wait_ready
	find_nclust
	STARTED+=("$NCLUST_PID")
	worker=$(worker_pid 0)
	kill -KILL "$SCRIPT"
	poll_until 10 is_gone "$SCRIPT"
	kill -HUP "$NCLUST_PID"
	kill -USR1 "$NCLUST_PID"
	wait_heard USR1

	[ "$(worker_pid 0)" = "$worker" ]
	[ "$(cluster .generation)" -eq 1 ]
	nclust stop "$INSTANCE"
}

@test "a terminal with TOSTOP does not stop who writes to it" {
	on_terminal "stty tostop; exec bash --norc --noprofile -i"
	cat >"$DIR/worker" <<-EOF
		#!/bin/sh
		while :; do echo still here; sleep 0.05; done &
		exec $FIXTURES/hear --notify
	EOF
	chmod +x "$DIR/worker"
	printf '%s &\n' "$(nclust_line -n 1 --ready notify --log inherit \
		--log-level debug -- "$DIR/worker")" >&7
	wait_ready
	poll_until 10 screen_has 'still here' 5
	find_nclust
	[ "$(worker 0 .stopped)" = null ]
	[ "$(process_state "$NCLUST_PID")" != T ]
	nclust stop "$INSTANCE"
}

@test "SIGHUP while it stops: nothing is reloaded, and nobody is started" {
	printf '%s\n' '[cluster:web]' "command = $FIXTURES/deaf --notify" \
		'workers = 1' 'ready = notify' 'stop-timeout = 1h' >"$DIR/it.ini"
	start_cluster -c "$DIR/it.ini" --log-level debug
	old=$(worker_pid 0)
	kill -TERM "$NCLUST_PID"
	wait_logged 'it: stopping'
	echo 'env = A=1' >>"$DIR/it.ini"
	kill -HUP "$NCLUST_PID"
	wait_logged 'received SIGHUP'
	kill -KILL "$old"
	wait_exit
	run ! grep -E 'reload|rollout' "$LOG"
}
