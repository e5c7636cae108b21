# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# When a worker counts as ready, and whose word for it counts (FAULTS.md, S25,
# S32 to S35).

bats_require_minimum_version 1.5.0
load ../../lib

restarts() {
	worker "$1" .restarts
}

descriptors() {
	find "/proc/$NCLUST_PID/fd" -mindepth 1 | wc -l
}

# The path of the notify socket that a fixture was given.
notify_socket_of() {
	tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^NOTIFY_SOCKET=//p'
}

@test "READY=1 makes it ready, and not before" {
	mkfifo "$DIR/go"
	start_nclust -n 1 --ready notify -- sh -c '
		read -r _ <"$1"; exec "$0" READY=1' "$FIXTURES/notify" "$DIR/go"
	wait_until 10 '[ "$(worker_state 0)" = starting ]'
	run nclust status "$INSTANCE"
	[ "$status" -eq 2 ]

	echo >"$DIR/go"
	wait_ready
	[ "$(worker_state 0)" = ready ]
}

@test "STATUS= is shown, with control bytes made harmless" {
	start_cluster -n 1 --ready notify -- "$FIXTURES/notify" \
		$'STATUS=warming \e[31mup\nREADY=1'

	[[ $(worker 0 .status) == "warming "*"[31mup" ]]
	run nclust status "$INSTANCE"
	[[ $output == *warming* ]]
	[[ $output != *$'\e[31mup'* ]]
}

@test "STOPPING=1 is shown as draining, and its end is no crash loop" {
	start_nclust -n 1 --ready notify --backoff-min 1h --backoff-max 1h \
		-- "$FIXTURES/notify" READY=1 STOPPING=1
	wait_until 10 '[ "$(worker_state 0)" = draining ]'
	run nclust status "$INSTANCE"
	[ "$status" -ne 0 ]

	kill -TERM "$(worker_pid 0)"
	wait_until 10 '[ "$(restarts 0)" -eq 1 ]'
	wait_logged 'replaced at once'
}

@test "ERRNO= and RELOADING=1 are told" {
	start_cluster -n 1 --ready notify --log-level info \
		-- "$FIXTURES/notify" READY=1 ERRNO=13 RELOADING=1 READY=1

	wait_logged 'Permission denied'
	wait_logged 'is reloading its configuration'
	[ "$(worker_state 0)" = ready ]
}

@test "EXTEND_TIMEOUT_USEC= gives a slow starter its time" {
	start_nclust -n 1 --ready notify --start-timeout 400ms \
		-- "$FIXTURES/slow-ready" 1500 --extend 800000
	wait_ready
	[ "$(restarts 0)" -eq 0 ]
	run ! grep -F start-timeout "$LOG"
}

@test "EXTEND_TIMEOUT_USEC= gives a slow stopper its time" {
	start_cluster -n 1 --ready notify --stop-timeout 200ms -- sh -c '
		trap "exec \"\$0\" EXTEND_TIMEOUT_USEC=5000000 --sleep 700 \
			--exit 0" TERM
		"$0" READY=1 --barrier --exit 0
		sleep 1000 & wait' "$FIXTURES/notify"
	nclust stop "$INSTANCE"
	wait_exit
	run ! grep -F 'did not end in time' "$LOG"
}

@test "BARRIER=1 is answered once all before it has been heard" {
	start_cluster -n 1 --ready notify --log inherit \
		-- "$FIXTURES/notify" READY=1 --barrier
	wait_logged 'barrier ok'
}

@test "a child of the worker may speak for it" {
	start_cluster -n 1 --ready notify -- "$FIXTURES/notify" --child READY=1
	[ "$(worker_state 0)" = ready ]
}

@test "systemd-notify speaks for a shell" {
	need systemd-notify
	start_cluster -n 2 --ready notify -- sh -c '
		systemd-notify --ready --status="by hand"
		exec "$0"' "$FIXTURES/hear"
	[ "$(worker 1 .status)" = "by hand" ]
}

@test "a stranger, of another user too, is refused and told once" {
	start_nclust -n 1 --ready notify --start-timeout 1h \
		-- "$FIXTURES/notify" --as-stranger READY=1 \
		--as-stranger READY=1 STATUS=asked
	wait_until 10 '[ "$(worker 0 .status)" = asked ]'
	[ "$(worker_state 0)" = starting ]
	[ "$(grep -c 'refused a notify message' "$LOG")" -le 1 ]
}

@test "a sibling cannot make another worker ready, nor stop it" {
	mkfifo "$DIR/socket"
	start_nclust -n 2 --ready notify --start-timeout 1h -- sh -c '
		if [ "$NCLUST_SLOT" -eq 0 ]; then
			echo "$NOTIFY_SOCKET" >"$1"
			exec "$0/hear"
		fi
		export MINE=$NOTIFY_SOCKET
		NOTIFY_SOCKET=$(cat "$1") "$0/notify" "STATUS=spoof\nREADY=1" \
			"MAINPID=1" --barrier --exit 0
		exec "$0/notify" READY=1' "$FIXTURES" "$DIR/socket"
	wait_until 10 '[ "$(worker_state 1)" = ready ]'
	wait_logged 'refused a notify message'
	[ "$(worker_state 0)" = starting ]
	[ "$(worker 0 .status)" = null ]
}

@test "somebody outside, even root, is refused" {
	start_nclust -n 1 --ready notify --start-timeout 1h \
		-- "$FIXTURES/hear"
	wait_until 10 '[ -n "$(worker_pid 0)" ]'
	socket=$(notify_socket_of "$(worker_pid 0)")
	NOTIFY_SOCKET=$socket "$FIXTURES/notify" READY=1 --barrier --exit 0

	wait_logged 'refused a notify message'
	[ "$(worker_state 0)" = starting ]
}

@test "the notify socket is the worker's user's, and nobody else's" {
	need_root
	start_cluster -n 1 --ready notify --user nobody -- "$FIXTURES/hear" \
		--notify
	socket=$(notify_socket_of "$(worker_pid 0)")
	[ "$(stat -c '%U %a' "$socket")" = "nobody 600" ]
	[ "$(find "$NCLUST_RUNTIME_DIR" -path '*/notify/*' | wc -l)" -eq 1 ]
}

# The sockets that there are, and none of them twice.
notify_sockets() {
	find "$NCLUST_RUNTIME_DIR" -path '*/notify/*' | wc -l
}

@test "who comes after another has a notify socket of its own name, and no more" {
	start_cluster -n 3 --ready notify -- "$FIXTURES/hear" --notify
	before=$(notify_socket_of "$(worker_pid 0)")
	for _ in 1 2 3; do
		nclust restart "$INSTANCE"
	done
	after=$(notify_socket_of "$(worker_pid 0)")
	[ "$before" != "$after" ]
	[ ! -e "$before" ]
	[ -S "$after" ]
	# and when all is over there are no others
	wait_until 10 '[ "$(notify_sockets)" -eq 3 ]'
	# fewer workers: no more sockets than those need
	nclust scale "$INSTANCE" 1
	wait_until 10 '[ "$(cluster ".workers | length")" -eq 1 ]'
	wait_until 10 '[ "$(notify_sockets)" -eq 1 ]'
	nclust upgrade "$INSTANCE"
	wait_until 10 '[ "$(notify_sockets)" -eq 1 ]'
	nclust stop "$INSTANCE"
	wait_exit
	[ "$(notify_sockets)" -eq 0 ]
}

@test "sockets of workers that crash go when fewer are wanted" {
	start_cluster -n 20 --ready notify --backoff-min 1h --backoff-max 1h \
		-- sh -c 'mkdir "$1/$NCLUST_SLOT" && exec "$0" --notify' \
		"$FIXTURES/hear" "$DIR"
	[ "$(notify_sockets)" -eq 20 ]
	# shellcheck disable=SC2046
	kill -KILL $(cluster '.workers[].pid')
	wait_until 10 '[ "$(cluster "[.workers[] | select(.state == \"backoff\")] |
		length")" -eq 20 ]'
	nclust scale "$INSTANCE" 1 --no-wait || true
	wait_until 10 '[ "$(notify_sockets)" -le 1 ]'
}

@test "malformed messages do no harm and leak no descriptor" {
	start_cluster -n 1 --ready notify -- "$FIXTURES/notify" READY=1 \
		STATUS=before
	wait_begun
	before=$(descriptors)
	nclust stop "$INSTANCE"
	wait_exit

	start_nclust -n 1 --ready notify -- "$FIXTURES/notify" '' '=' 'READY' \
		'READY=0' 'READY=1x' 'STATUS' $'\xff\xfe' --huge 100000 \
		--huge 200000 --fds 253 STATUS=x --fds 1 '' --fds 253 BARRIER=1 \
		--fds 30 'FDSTORE=1' 'EXTEND_TIMEOUT_USEC=-1' \
		'EXTEND_TIMEOUT_USEC=99999999999999999999999' 'ERRNO=x' \
		'MAINPID=1' STATUS=after
	wait_until 10 '[ "$(worker 0 .status)" = after ]'
	[ "$(worker_state 0)" = starting ]
	# the ends of pipes that it gave away are closed a moment later
	wait_until 5 '[ "$(descriptors)" -le "$1" ]' "$before"
}

@test "NULs and a megabyte in a message are refused" {
	need perl
	start_nclust -n 1 --ready notify --start-timeout 1h -- perl -e '
		use Socket;
		socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die;
		my $to = sockaddr_un($ENV{NOTIFY_SOCKET});
		setsockopt($s, SOL_SOCKET, SO_SNDBUF, 4 << 20);
		send($s, "STATUS=" . "x" x (1 << 20), 0, $to);
		send($s, "READY=1\0x", 0, $to);
		send($s, "\0READY=1", 0, $to);
		send($s, "\0" x 100, 0, $to);
		send($s, "STATUS=after", 0, $to) or die;
		sleep 600'
	wait_until 10 '[ "$(worker 0 .status)" = after ]'
	[ "$(worker_state 0)" = starting ]
}

@test "a flood of messages from one does not keep others from being heard" {
	start_nclust -n 2 --ready notify -- sh -c '
		[ "$NCLUST_SLOT" -eq 0 ] || exec "$0" READY=1
		exec "$0" READY=1 --flood 100000000 STATUS=flood' \
		"$FIXTURES/notify"
	wait_ready
	kill -KILL "$(worker_pid 1)"
	wait_until 10 '[ "$(restarts 1)" -eq 1 ]'
	wait_ready
	nclust stop "$INSTANCE"
	wait_exit
}

@test "what a worker said just before it died is heard" {
	start_nclust -n 1 --ready notify --stable-after 1h --backoff-min 1h \
		--backoff-max 1h -- "$FIXTURES/notify" READY=1 --exit 3

	# only a worker that was ready is forgiven its first death
	wait_logged 'replaced at once'
}

@test "not ready in time has failed: never taken as ready" {
	start_nclust -n 1 --ready notify --start-timeout 200ms \
		--backoff-min 1h --backoff-max 1h \
		-- "$FIXTURES/slow-ready" never
	wait_logged 'was not ready after 0.2 s (start-timeout)'
	wait_until 10 '[ "$(worker_state 0)" = backoff ]'
	run ! grep -F 'workers ready' "$LOG"
	run nclust status "$INSTANCE"
	[ "$status" -eq 2 ]
}

@test "alive:TIME: ready after that time, not before" {
	start_nclust -n 1 --ready alive:700ms --log-level info \
		-- "$FIXTURES/hear"
	wait_until 10 '[ "$(worker_state 0)" = starting ]'
	wait_ready
	logged 'ready after 0.7 s'
}

@test "alive:TIME: a death before that is one of a worker that was not ready" {
	start_nclust -n 1 --ready alive:1h --backoff-min 1h \
		--backoff-max 1h -- "$FIXTURES/die" --exit 2
	wait_logged 'next try in'
	[ "$(worker 0 .last_exit.text)" = "exit 2" ]
}

@test "auto, where only slot 0 listens: why the others are stopped, and what to write" {
	local why="it did not listen, but it.0 does, and 'ready = auto' expects"

	free_port
	# slot 1 begins when it is known that slot 0 listens
	set -- -n 2 --start-timeout 2s -- sh -c '
		[ "$NCLUST_SLOT" -ne 0 ] || exec "$0" "$1"
		[ -e "$2" ] || { : >"$2"; sleep 0.5; exit 1; }
		exec sleep 1000' "$FIXTURES/plain" "$PORT" "$DIR/again"
	start_nclust "$@"
	wait_logged "; $why" 1 20
	logged "(not ready in time)"
	logged "set 'ready = alive:1s'"
	[[ $(worker 1 .last_failure.cause) == "$why"* ]]
	nclust events "$INSTANCE" --json | jq -r '.cause // ""' |
		grep -qF "$why"
	nclust stop "$INSTANCE"
	wait_exit

	rm "$DIR/again"
	start_cluster --ready alive:1s "$@"
	[ "$(cluster .ready)" -eq 2 ]
}

@test "auto: alive for a second, and once READY=1 came, only by that" {
	mkfifo "$DIR/go"
	start_nclust -n 1 --log-level info -- sh -c '
		read -r _ <"$1"; exec "$0" READY=1 STATUS=told' \
		"$FIXTURES/notify" "$DIR/go"
	# it says nothing: taken as ready
	wait_logged 'ready after 1.0 s'

	# then it does, and from now on its word is waited for
	echo >"$DIR/go"
	wait_until 10 '[ "$(worker 0 .status)" = told ]'
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(restarts 0)" -eq 1 ]'
	wait_until 10 '[ "$(worker 0 ".uptime > 1.2")" = true ]'
	[ "$(worker_state 0)" = starting ]
	echo >"$DIR/go"
	wait_ready
}

@test "the word of a process that has ended is refused, and why is told" {
	start_nclust -n 1 --ready notify --start-timeout 1h \
		-- "$FIXTURES/hear"
	wait_until 10 '[ -n "$(worker_pid 0)" ]'
	socket=$(notify_socket_of "$(worker_pid 0)")
	kill -STOP "$NCLUST_PID"
	NOTIFY_SOCKET=$socket "$FIXTURES/notify" READY=1 --exit 0
	kill -CONT "$NCLUST_PID"

	wait_logged 'it ended before nclust read it'
	[ "$(worker_state 0)" = starting ]
}

@test "time that nclust itself stood still is granted to who was waiting" {
	mkfifo "$DIR/go"
	start_nclust -n 1 --ready notify --start-timeout 2s -- sh -c '
		read -r _ <"$1"; exec "$0" READY=1' "$FIXTURES/notify" "$DIR/go"
	wait_until 10 '[ "$(worker_state 0)" = starting ]'

	kill -STOP "$NCLUST_PID"
	poll_until 4 false || true
	kill -CONT "$NCLUST_PID"

	nclust status "$INSTANCE" || true
	[ "$(worker_state 0)" = starting ]
	echo >"$DIR/go"
	wait_ready
	[ "$(restarts 0)" -eq 0 ]
}

# Of the cluster's slots, so many have a process that starts; the pid of one.
starts() {
	cluster '[.workers[] | select(.state == "starting" and .pid)] | length'
}

pid_of_start() {
	cluster '[.workers[] | select(.state == "starting" and .pid)][0].pid'
}

# A worker that is ready when the file named after its pid is there.
when_told() {
	echo 'touch "$1/born.$$"
		until [ -e "$1/go.$$" ]; do sleep 0.02; done
		exec "$0" READY=1'
}

@test "no more than start-at-once start at a time: a start, deaths, a scale-up" {
	start_nclust -n 5 --ready notify --start-at-once 2 --log-level info \
		-- sh -c "$(when_told)" "$FIXTURES/notify" "$DIR"
	for ready in 0 1 2 3; do
		wait_until 10 '[ "$(cluster .ready)" -eq "$1" ]' "$ready"
		wait_until 10 '[ "$(starts)" -eq 2 ]'
		[ "$(find "$DIR" -name 'born.*' | wc -l)" -eq $((ready + 2)) ]
		[ "$(cluster '[.workers[] | select(.waits)] | length')" -eq \
			$((3 - ready)) ]
		[ "$(nclust status "$INSTANCE" |
			grep -c 'waits until others have started')" -eq $((3 - ready)) ]
		touch "$DIR/go.$(pid_of_start)"
	done
	wait_until 10 '[ "$(cluster .ready)" -eq 4 ]'
	touch "$DIR/go.$(pid_of_start)"
	wait_ready

	for slot in 0 1 2 3; do
		kill -KILL "$(worker_pid $slot)"
	done
	wait_until 10 '[ "$(cluster .ready)" -eq 1 ] && [ "$(starts)" -eq 2 ]'
	[ "$(find "$DIR" -name 'born.*' | wc -l)" -eq 7 ]
	# one that fails makes room as well
	kill -KILL "$(pid_of_start)"
	wait_until 10 '[ "$(find "$DIR" -name "born.*" | wc -l)" -ge 8 ]'
	[ "$(starts)" -le 2 ]

	# an upgrade keeps the others waiting
	run nclust upgrade "$INSTANCE"
	[ "$status" -eq 0 ]
	[ "$(starts)" -le 2 ]
	nclust scale "$INSTANCE" 7 --no-wait
	[ "$(starts)" -le 2 ]
	for _ in $(seq 40); do
		[ "$(cluster .ready)" -lt 7 ] || break
		[ "$(starts)" -le 2 ]
		touch "$DIR/go.$(pid_of_start)"
		wait_until 10 '[ "$(starts)" -gt 0 ] || [ "$(cluster .ready)" -eq 7 ]'
	done
	wait_until 10 '[ "$(cluster .ready)" -eq 7 ]'
}

@test "start-at-once = all starts workers that wait for each other" {
	start_nclust -n 8 --ready notify --start-at-once all -- sh -c '
		touch "$1/born.$$"
		until [ "$(ls "$1" | grep -c born)" -eq 8 ]; do sleep 0.02; done
		exec "$0" READY=1' "$FIXTURES/notify" "$DIR"
	wait_ready
}
