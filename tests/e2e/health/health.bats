# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# Whether a worker is ready, and whether it is well: by probes, by its watchdog,
# and by looking at what it does.

bats_require_minimum_version 1.5.0
load ../../lib

UNWELL=$FIXTURES/unwell

setup() {
	nclust_setup
	free_port
	mkfifo "$DIR/go"
}

restarts() {
	worker "$1" .restarts
}

pids() {
	cluster '[.workers[] | select(.state == "ready") | .pid] | join(" ")'
}

checks() {
	worker "$1" ".checks.$2 // 0"
}

# The worker of a slot is another one, and ready.
replaced() {
	[ "$(worker "$1" 'select(.state == "ready") | .pid')" != "$2" ] &&
		[ "$(cluster .ready)" -eq "$(cluster .wanted)" ] &&
		[ "$(cluster '.workers | length')" -eq "$(cluster .wanted)" ]
}

# --- Readiness ---------------------------------------------------------------

# ready_once_it_answers MODE ARG...: it is kept back until it is released.
ready_once_it_answers() {
	local mode=$1

	shift
	start_nclust -n 1 -l "127.0.0.1:$PORT" --ready "$mode" "$@" -- sh -c '
		read -r _ <"$1"; exec "$0"' "$UNWELL" "$DIR/go"
	wait_until 10 '[ "$(worker_state 0)" = starting ]'
	[ "$(cluster .ready)" -eq 0 ]
	release "$DIR/go"
	wait_ready
	[ "$(restarts 0)" -eq 0 ]
}

@test "ready = tcp: not before it has taken a connection" {
	ready_once_it_answers tcp
}

@test "ready = http: not before it has answered" {
	ready_once_it_answers http:/health
}

@test "ready = exec: not before the command succeeds" {
	cat >"$DIR/probe" <<-'END'
		#!/bin/sh
		env | grep ^NCLUST_ >"${0%/*}/facts"
		[ "$(cat /proc/"$NCLUST_CHECK_PID"/comm)" = unwell ]
	END
	chmod 755 "$DIR/probe"
	ready_once_it_answers "exec:$DIR/probe"
	grep -qx "NCLUST_CHECK_PID=$(worker_pid 0)" "$DIR/facts"
	grep -qx NCLUST_SLOT=0 "$DIR/facts"
	grep -qx "NCLUST_CLUSTER=$INSTANCE" "$DIR/facts"
	grep -q '^NCLUST_WORKER=.' "$DIR/facts"
}

# never_ready TEXT MODE WORKER...: it fails in time, and the log has the reason.
never_ready() {
	local text=$1 mode=$2

	shift 2
	start_nclust -n 1 -l "127.0.0.1:$PORT" --ready "$mode" \
		--start-timeout 500ms --check-timeout 100ms --backoff-min 1h \
		--backoff-max 1h --log-level info -- "$@"
	wait_logged 'was not ready after'
	[ "$(cluster .ready)" -eq 0 ]
	logged "$text"
}

@test "ready = tcp: one that takes no connection never is" {
	never_ready 'was not ready after' tcp sleep 1000
	run ! grep "worker [0-9]* ready after" "$LOG"
}

@test "ready = http: one that answers 503 never is" {
	never_ready "its last answer to 'ready': answered 503" \
		http:/health "$UNWELL" --status 503
}

@test "ready = http: one that answers nothing never is" {
	never_ready "its last answer to 'ready': no answer within 100ms" \
		http:/health "$UNWELL" --silent
}

@test "ready = http: one that speaks something else never is" {
	never_ready "its last answer to 'ready': its answer is not HTTP/1" \
		http:/health "$UNWELL" --garbage
}

@test "ready = exec: without success it never is, and what hangs is killed" {
	never_ready "its last answer to 'ready': no answer in time" \
		"exec:$NAP" "$UNWELL"
	wait_until 10 '[ -z "$(pgrep -f "^$NAP")" ]'
}

@test "beside others that answer, each new worker answers for itself" {
	start_cluster -n 3 -l "127.0.0.1:$PORT" --ready http:/health \
		--start-timeout 2s --log-level info -- sh -c '
			[ ! -e "$0" ] || exec "$1" --status 500
			exec "$1"' "$DIR/broken" "$UNWELL"
	before=$(pids)
	nclust restart "$INSTANCE"
	[ "$(cluster .generation)" -eq 2 ]
	after=$(pids)
	for pid in $before; do
		[[ " $after " != *" $pid "* ]]
	done

	touch "$DIR/broken"
	run ! nclust restart "$INSTANCE"
	wait_until 10 '[ "$(pids)" = "$1" ]' "$after"
	logged 'answered 500'
}

@test "a process below the worker may answer for it, by a unix socket too" {
	start_cluster -n 2 -l "unix:$DIR/s" --ready http:/health \
		-- "$UNWELL" --fork
	[ "$(cluster .ready)" -eq 2 ]
	start=$(pids)
	nclust restart "$INSTANCE"
	[ "$(pids)" != "$start" ]
}

@test "one that binds for itself is asked at its own port" {
	start_cluster -n 2 --intercept on --ready http:/health \
		-- "$UNWELL" --port "$PORT"
	[[ $(http_get "$PORT") == pid=* ]]
}

# --- Checks --------------------------------------------------------------------

# start_checked ARG...: three workers, checked often.
start_checked() {
	start_cluster -n 3 -l "127.0.0.1:$PORT" --ready tcp \
		--check http:/health --check-interval 100ms \
		--check-timeout 400ms --check-failures 2 --log-level info "$@"
}

@test "all workers behind one port are checked, and what they say is shown" {
	start_checked -- "$UNWELL"
	for slot in 0 1 2; do
		wait_until 20 '[ "$(checks "$1" ok)" -ge 2 ]' "$slot"
		[ "$(checks "$slot" failed)" -eq 0 ]
	done
	[ "$(worker 0 '.checks.last')" = null ]
}

# checked_on SLOT: it is, from now on.
checked_on() {
	wait_until 20 '[ "$(checks "$1" ok)" -gt "$2" ]' "$1" "$(checks "$1" ok)"
}

@test "after a restart of one worker the others are checked on" {
	local hung

	start_cluster -n 3 -l "127.0.0.1:$PORT" --ready tcp --check http:/health \
		--check-interval 100ms --check-timeout 2s --check-failures 2 \
		-- "$UNWELL"
	run -0 nclust restart "$INSTANCE.0"
	for slot in 0 1 2; do
		checked_on "$slot"
	done
	run -0 nclust upgrade "$INSTANCE"
	run -0 nclust restart "$INSTANCE.1"
	for slot in 0 1 2; do
		checked_on "$slot"
	done
	hung=$(worker_pid 2)
	freeze "$hung"
	wait_until 20 'replaced 2 "$1"' "$hung"
}

@test "so they are by a command" {
	start_cluster -n 2 --ready alive:10ms --check exec:true \
		--check-interval 100ms -- sleep 1000
	run -0 nclust restart "$INSTANCE.0"
	checked_on 0
	checked_on 1
}

# Does it stand in accept(2)?  accept4(2) and accept(2) of x86-64, and of arm64.
accepts() {
	grep -Eq '^(288|43|242|202) ' "/proc/$1/syscall"
}

@test "with a socket for each worker a check goes to its own, and is not searched" {
	start_cluster -n 4 --balance random -l "$AT" --check http:/ \
		--check-interval 300ms --check-timeout 2s --check-failures 2 \
		--log-level info -- python3 -c '
import os, socket, sys
listener = socket.socket(fileno=3)
count = open("%s/accepted.%d" % (sys.argv[1], os.getpid()), "w", buffering=1)
while True:
    client, _ = listener.accept()
    print(file=count)
    client.recv(1000)
    client.sendall(b"HTTP/1.0 204 No Content\r\n\r\n")
    client.close()' "$DIR"
	wait_until 30 '[ "$(cluster "[.workers[].checks.ok] | min // 0")" -ge 6 ]'
	while read -r pid ok; do
		accepted=$(wc -l <"$DIR/accepted.$pid")
		later=$(cluster ".workers[] | select(.pid == $pid).checks.ok")
		echo "worker $pid: $accepted accepted, $ok to $later ok"
		[ "$accepted" -ge "$ok" ]
		[ "$accepted" -le $((later + 1)) ] # one may be under way
	done < <(cluster '.workers[] | "\(.pid) \(.checks.ok)"')

	# one that accepts none fails, and only that one
	hung=$(worker_pid 2)
	others=$(cluster '[.workers[] | select(.slot != 2).pid]' -c)
	# not within a check that it has taken
	wait_until 30 'freeze "$1" && accepts "$1" || { thaw "$1"; false; }' "$hung"
	wait_logged "worker $hung took no connection"
	wait_until 30 '[ "$(worker_pid 2)" != "$1" ]' "$hung"
	[ "$(cluster '[.workers[] | select(.slot != 2).pid]' -c)" = "$others" ]
	[ "$(cluster '[.workers[] | select(.slot != 2) | .checks.failed] | add')" -eq 0 ]
}

@test "of three, one that fails is replaced alone, and no request is lost" {
	start_checked -- "$UNWELL"
	read -r first second third <<<"$(pids)"
	start_load "$PORT"
	kill -USR1 "$second"

	wait_until 20 'replaced 1 "$1"' "$second"
	end_load
	[ "$REFUSED" -eq 0 ] && [ "$LOST" -eq 0 ] && [ "$ANSWERED" -gt 0 ]
	[ "$(worker_pid 0)" = "$first" ]
	[ "$(worker_pid 2)" = "$third" ]
	wait_logged "worker $second failed 2 checks in a row, GET /health: answered 500"
	logged '(its checks failed)'
	# its successor was there before it went
	ready=$(grep -n "it.1: worker $(worker_pid 1) ready" "$LOG" | cut -d: -f1)
	ended=$(grep -n "it.1: worker $second ended" "$LOG" | cut -d: -f1)
	[ "$ready" -lt "$ended" ]
}

@test "one that takes connections and answers none is replaced" {
	start_checked --stop-timeout 200ms --drain off -- "$UNWELL"
	pid=$(worker_pid 0)
	kill -USR2 "$pid"
	wait_until 20 'replaced 0 "$1"' "$pid"
	wait_logged "worker $pid failed 2 checks in a row, GET /health: no answer within 400ms"
	[ "$(restarts 1)" -eq 0 ]
	[ "$(restarts 2)" -eq 0 ]
}

@test "where each new worker fails its checks, the last one serves on for a while" {
	start_cluster -n 1 -l "127.0.0.1:$PORT" --ready tcp \
		--check http:/health --check-interval 100ms \
		--check-timeout 10s --check-failures 1 --log-level info \
		--stable-after 10m --backoff-min 1h --backoff-max 1h \
		--backoff-jitter 0% -- "$UNWELL" --status 404
	wait_logged 'fails its checks: replacing it in 60 min'
	[ "$(grep -c 'fails its checks: replacing it$' "$LOG")" -eq 1 ]
	wait_until 20 '[ "$(cluster ".workers | length")" -eq 1 ]' # the first is gone
	second=$(worker_pid 0)
	[ "$(worker 0 '.replaced_in | . > 3000 and . <= 3600')" = true ]
	run nclust status "$INSTANCE"
	[[ $output == *"replaced in "* ]]

	run -0 nclust upgrade "$INSTANCE"
	[ "$(worker_pid 0)" = "$second" ]
	[ "$(worker 0 '.replaced_in > 3000')" = true ]
	[ "$(worker 0 '.checks.failed >= 1')" = true ]
	[[ $(http_get "$PORT") == pid=* ]]
}

@test "when nobody takes a connection, all have failed" {
	start_cluster -n 1 -l "127.0.0.1:$PORT" --ready tcp --check tcp \
		--check-interval 100ms --check-timeout 200ms \
		--check-failures 2 --drain-timeout 2s --log-level info \
		-- "$UNWELL"
	pid=$(worker_pid 0)
	kill -HUP "$pid"
	wait_logged 'all have failed'
	wait_until 20 'replaced 0 "$1"' "$pid"
	[[ $(worker 0 '.last_exit.text') == "exit 0" ]]
	# those that it never took are not its successor's fault
	[ "$(grep -c 'fails its checks' "$LOG")" -eq 1 ]
}

@test "one that is only busy has not failed" {
	start_cluster -n 1 -l "127.0.0.1:$PORT" --ready tcp --check tcp \
		--check-interval 100ms --check-timeout 200ms \
		--check-failures 100 --log-level info -- "$UNWELL"
	pid=$(worker_pid 0)
	wait_until 10 '[ "$(checks 0 ok)" -ge 1 ]'
	curl -s --max-time 30 "http://127.0.0.1:$PORT/sleep/1500" >"$DIR/answer" \
		3>&- &
	STARTED+=("$!")
	wait_logged 'all are busy, or hung'
	wait_until 20 '[ -s "$DIR/answer" ]'
	before=$(checks 0 ok)
	wait_until 10 '[ "$(checks 0 ok)" -gt "$1" ]' "$before"
	[ "$(checks 0 failed)" -eq 0 ]
	[ "$(worker_pid 0)" = "$pid" ]
}

# crowded BALANCE: a check has to wait behind more clients than are served in the
# time in which a worker fails.
crowded() {
	start_cluster -n 2 --balance "$1" -l "127.0.0.1:$PORT" --ready tcp \
		--check http:/ --check-interval 300ms --check-timeout 300ms \
		--check-failures 2 --log-level info -- "$UNWELL"
	before=$(pids)
	start_load "$PORT" --clients 40 --path /sleep/100 --count 2
	wait "$LOAD_PID"
	cat "$DIR/load"
	[[ $(tail -n 1 "$DIR/load") == "answered=80 refused=0 lost=0 late=0" ]]
	[ "$(pids)" = "$before" ]
	[ "$(restarts 0)" -eq 0 ] && [ "$(restarts 1)" -eq 0 ]
	for slot in 0 1; do # they are checked on
		ok=$(checks "$slot" ok)
		wait_until 20 '[ "$(checks "$1" ok)" -gt "$2" ]' "$slot" "$ok"
		[ "$(checks "$slot" failed)" -eq 0 ]
	done
}

@test "workers that have more clients than they can serve have not failed" {
	crowded share
}

@test "nor if each worker has a socket of its own" {
	crowded rr
}

@test "one of two that takes nothing fails, though the queue is full of clients" {
	start_cluster -n 2 --balance share -l "127.0.0.1:$PORT" --ready tcp \
		--check http:/ --check-interval 300ms --check-timeout 300ms \
		--check-failures 2 --log-level info -- "$UNWELL"
	other=$(worker_pid 1)
	pid=$(worker_pid 0)
	start_load "$PORT" --clients 40 --path /sleep/100
	kill -HUP "$pid"
	wait_until 30 'replaced 0 "$1"' "$pid"
	[ "$(worker_pid 1)" = "$other" ]
	end_load
	[ "$REFUSED" -eq 0 ] && [ "$LOST" -eq 0 ]
}

@test "check = exec: the worker that it fails for is replaced" {
	cat >"$DIR/probe" <<-'END'
		#!/bin/sh
		[ ! -e "${0%/*}/ill.$NCLUST_CHECK_PID" ]
	END
	chmod 755 "$DIR/probe"
	start_cluster -n 2 --ready alive:10ms --check "exec:$DIR/probe" \
		--check-interval 100ms --check-failures 2 -- "$FIXTURES/hear"
	pid=$(worker_pid 1)
	wait_until 20 '[ "$(checks 0 ok)" -ge 2 ] && [ "$(checks 1 ok)" -ge 2 ]'
	touch "$DIR/ill.$pid"
	wait_until 20 'replaced 1 "$1"' "$pid"
	wait_logged "worker $pid failed 2 checks in a row, '$DIR/probe': exit 1"
	[ "$(restarts 0)" -eq 0 ]
}

@test "a check that hangs is killed with all that it has started" {
	start_cluster -n 1 --ready alive:10ms \
		--check "exec:sh -c '$NAP & $NAP'" \
		--check-interval 100ms --check-timeout 200ms \
		--check-failures 1000 -- "$FIXTURES/hear"
	wait_until 20 '[ "$(checks 0 failed)" -ge 2 ]'
	[ "$(worker 0 .checks.last)" = "no answer in time" ]
	[ "$(pgrep -fc "^$NAP")" -le 2 ]
	nclust stop "$INSTANCE"
	wait_exit
	[ -z "$(pgrep -f "^$NAP")" ]
}

@test "checks can be switched on and off by a reload" {
	cat >"$DIR/it.ini" <<-END
		[cluster:web]
		command = $UNWELL
		workers = 1
		listen = 127.0.0.1:$PORT
		ready = tcp
	END
	start_cluster -c "$DIR/it.ini"
	pid=$(worker_pid 0)
	printf '%s\n' 'check = http:/health' 'check-interval = 50ms' \
		>>"$DIR/it.ini"
	nclust reload "$INSTANCE"
	wait_until 10 '[ "$(checks 0 ok)" -ge 2 ]'

	sed -i '/^check/d' "$DIR/it.ini"
	nclust reload "$INSTANCE"
	before=$(checks 0 ok)
	nclust restart --no-wait "$INSTANCE/web.0"
	wait_until 10 'replaced 0 "$1"' "$pid"
	[ "$(checks 0 ok)" -eq 0 ]
	[ "$before" -ge 2 ]
}

# stand_still COMMAND...: nclust and its workers, as when the machine stalls.
stand_still() {
	local pid pids

	pids=$(pids)
	kill -STOP "$NCLUST_PID"
	for pid in $pids; do
		kill -STOP -- "-$pid"
	done
	"$@" || :
	kill -CONT "$NCLUST_PID" # it may be the first to run again
	for pid in $pids; do
		kill -CONT -- "-$pid"
	done
}

# pass SECONDS: that many, up to one more.
pass() {
	poll_until 20 holds '[ "$(cut -d. -f1 /proc/uptime)" -gt "$1" ]' \
		$(($(cut -d. -f1 /proc/uptime) + $1))
}

# of_generation N FILTER: of its workers.
of_generation() {
	cluster "[.workers[] | select(.generation == $1)] | $2"
}

# well_for N COUNT: each worker of generation N has passed so many checks more.
well_for() {
	local before

	before=$(of_generation "$1" '[.[].checks.ok // 0] | max')
	wait_until 20 '[ "$(of_generation "$1" "[.[].checks.ok // 0] | min")" -ge "$2" ]' \
		"$1" $((before + $2))
}

# move FROM TO LINE...: a reload moves three workers, which are checked, to another
# `listen`; the first new one is not ready for a while.
move() {
	local from=$1 to=$2 old

	shift 2
	write_moved() {
		printf '%s\n' '[cluster:it]' 'workers = 3' 'check = http:/' \
			'check-interval = 100ms' 'check-timeout = 200ms' \
			'check-failures = 2' "listen = $1" "${@:2}" >"$DIR/it.ini"
	}
	write_moved "$from" "$@"
	start_cluster -c "$DIR/it.ini" --log-level info
	well_for 1 4
	old=$(of_generation 1 'map(.pid)' -c)
	touch "$DIR/wait"
	write_moved "$to" "$@"
	run -0 nclust reload it --no-wait
	wait_until 10 '[ "$(of_generation 2 length)" -eq 1 ]'
	well_for 1 20
	[ "$(of_generation 1 'map(.pid)' -c)" = "$old" ]
	rm "$DIR/wait"
	release "$DIR/go"
	wait_until 20 '[ "$(of_generation 2 "map(select(.state == \"ready\")) | length")" -eq 3 ]'
	well_for 2 4
	! grep -E 'failed|has taken' "$LOG"
}

late() {
	printf '%s\n' "[ ! -e '$DIR/wait' ] || read -r _ <'$DIR/go'" \
		"exec $*" >"$DIR/late"
	echo "command = sh '$DIR/late'"
}

@test "old workers are checked where they listen while a reload moves the others" {
	free=$AT
	free_port
	move "$free" "$AT" 'ready = notify' "$(late "$FIXTURES/serve" --notify)"
}

@test "the same where each worker has a socket of its own" {
	free=$AT
	free_port
	move "$free" "$AT" 'balance = random' 'ready = notify' \
		"$(late "$FIXTURES/serve" --notify)"
}

@test "the same where each slot has an address of its own" {
	move "unix:$DIR/old.{slot}" "unix:$DIR/new.{slot}" 'ready = notify' \
		"$(late "$FIXTURES/serve" --notify)"
}

@test "the same from an address for all to one for each slot, and readiness by http" {
	move "$AT" "unix:$DIR/new.{slot}" 'ready = http:/' \
		"$(late "$FIXTURES/serve")"
}

# gives_up_its_port READY: a release binds another one, and is asked there.
gives_up_its_port() {
	write_binding() {
		printf '%s\n' '[cluster:it]' 'workers = 3' 'intercept = on' \
			"command = $UNWELL --port $PORT" "ready = $1" \
			'start-timeout = 10s' 'check = http:/' \
			'check-interval = 100ms' 'check-timeout = 200ms' \
			'check-failures = 2' >"$DIR/it.ini"
	}
	write_binding "$1"
	start_cluster -c "$DIR/it.ini" --log-level info
	well_for 1 4
	free_port
	write_binding "$1"
	run -0 nclust reload --drop-ports it
	well_for 2 20
	[ "$(of_generation 2 length)" -eq 3 ]
	! grep -E 'failed|has taken' "$LOG"
}

@test "a release that gives its port up is ready by the one that it binds instead" {
	gives_up_its_port http:/
}

@test "a release that gives its port up is checked at the one that it binds instead" {
	gives_up_its_port listen
}

@test "nclust and its workers having stood still is nobody's failure" {
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready tcp \
		--check http:/sleep/300 --check-interval 10ms \
		--check-timeout 2s --check-failures 1 -- "$UNWELL"
	before=$(pids)
	wait_until 20 '[ "$(checks 0 ok)" -ge 1 ] && [ "$(checks 1 ok)" -ge 1 ]'
	for _ in 1 2 3; do
		stand_still pass 3
		ok=$(checks 0 ok)
		wait_until 20 '[ "$(checks 0 ok)" -gt "$1" ]' "$ok"
	done
	[ "$(pids)" = "$before" ]
	for slot in 0 1; do
		[ "$(checks "$slot" failed)" -eq 0 ]
	done
}

# stand_still_for_a_moment WORKERS: with that, their answers take longer than a check
# may take.
stand_still_for_a_moment() {
	local before ok slot

	start_cluster -n "$1" -l "127.0.0.1:$PORT" --ready tcp \
		--check http:/ --check-interval 10ms \
		--check-timeout 800ms --check-failures 1 -- python3 -c '
import socket, time
listener = socket.socket(fileno=3)
while True:
    client, _ = listener.accept()
    for _ in range(10):
        time.sleep(0.05) # one that is interrupted is over by then
    client.recv(1000)
    client.sendall(b"HTTP/1.0 204 No Content\r\n\r\n")
    client.close()'
	before=$(pids)
	mkfifo "$DIR/never"
	for _ in 1 2 3 4; do
		ok=$(checks 0 ok)
		wait_until 20 '[ "$(checks 0 ok)" -gt "$1" ]' "$ok"
		stand_still read -rt 0.45 <>"$DIR/never"
	done
	wait_until 20 '[ "$(checks 0 ok)" -gt "$1" ]' "$ok"
	[ "$(pids)" = "$before" ]
	for ((slot = 0; slot < $1; slot++)); do
		[ "$(checks "$slot" failed)" -eq 0 ]
	done
}

@test "nor is it if they stood still for a moment" {
	stand_still_for_a_moment 2
}

@test "nor is it where one worker is all there is" {
	stand_still_for_a_moment 1
}

@test "nor is it where a command checks that was over by then, or stood still too" {
	cat >"$DIR/probe" <<-'END'
		#!/bin/sh
		echo "$$" >"${0%/*}/probing"
		for _ in 1 2 3 4 5 6; do sleep 0.05; done
	END
	chmod 755 "$DIR/probe"
	start_cluster -n 1 -l "127.0.0.1:$PORT" --ready tcp \
		--check "exec:$DIR/probe" --check-interval 10ms \
		--check-timeout 600ms --check-failures 1 -- "$UNWELL"
	before=$(pids)
	mkfifo "$DIR/never"
	wait_until 20 '[ "$(checks 0 ok)" -ge 1 ]'
	for also in "" 1 "" 1; do
		last=$(cat "$DIR/probing")
		wait_until 20 '[ "$(cat "$DIR/probing")" != "$1" ]' "$last"
		kill -STOP "$NCLUST_PID"
		last=$(cat "$DIR/probing")
		[ -z "$also" ] || kill -STOP -- "-$last" || :
		read -rt 1 <>"$DIR/never" || :
		kill -CONT "$NCLUST_PID"
		[ -z "$also" ] || kill -CONT -- "-$last" || :
		ok=$(checks 0 ok)
		wait_until 20 '[ "$(checks 0 ok)" -gt "$1" ]' "$ok"
	done
	[ "$(pids)" = "$before" ]
	[ "$(checks 0 failed)" -eq 0 ]
}

# --- The watchdog -----------------------------------------------------------------

@test "watchdog: one that falls silent gets SIGABRT, and is replaced" {
	start_cluster -n 1 --ready notify --watchdog 300ms --log-level info \
		-- sh -c '
			[ -e "$1" ] || { : >"$1"; exec "$0" READY=1 WATCHDOG=1; }
			exec "$0" READY=1 --sleep 100 WATCHDOG=1 --sleep 100 \
				WATCHDOG=1 --sleep 100 WATCHDOG=1 --sleep 100 \
				WATCHDOG=1 WATCHDOG_USEC=3600000000' \
		"$FIXTURES/notify" "$DIR/once"
	wait_until 20 '[ "$(restarts 0)" -eq 1 ]'
	wait_logged 'killed by SIGABRT'
	logged '(sent no WATCHDOG=1)'
	[[ $(worker 0 .last_exit.text) == "killed by SIGABRT"* ]]
}

@test "watchdog: WATCHDOG=trigger is taken for silence" {
	mkfifo "$DIR/pipe"
	start_cluster -n 1 --ready notify --watchdog 1h --log-level info \
		-- sh -c '
			[ -e "$1/once" ] && exec "$0" READY=1
			: >"$1/once"
			"$0" READY=1 --barrier --exit 0; read -r _ <"$1/go"
			exec "$0" WATCHDOG=trigger' "$FIXTURES/notify" "$DIR"
	release "$DIR/go"
	wait_until 20 '[ "$(restarts 0)" -eq 1 ]'
	[[ $(worker 0 .last_exit.text) == "killed by SIGABRT"* ]]
}

@test "watchdog: having stood still with nclust for a moment is not silence" {
	start_cluster -n 2 --ready notify --watchdog 3s -- python3 -c '
import os, socket, time
told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
told.connect(os.environ["NOTIFY_SOCKET"])
told.send(b"READY=1")
while True:
    time.sleep(0.4)
    told.send(b"WATCHDOG=1")'
	before=$(pids)
	mkfifo "$DIR/never"
	for _ in 1 2 3; do
		stand_still read -rt 3.4 <>"$DIR/never"
	done
	[ "$(pids)" = "$before" ]
	[ "$(restarts 0)" -eq 0 ] && [ "$(restarts 1)" -eq 0 ]
}

@test "watchdog: the worker is told how often, and that it is meant" {
	start_cluster -n 1 --ready alive:10ms --watchdog 1h -- sh -c '
		env | grep ^WATCHDOG >"$0"; echo "pid=$$" >>"$0"
		exec sleep 1000' "$DIR/env"
	wait_until 10 'file_has "$DIR/env" pid='
	grep -qx WATCHDOG_USEC=3600000000 "$DIR/env"
	[ "$(sed -n 's/^WATCHDOG_PID=//p' "$DIR/env")" = \
		"$(sed -n 's/^pid=//p' "$DIR/env")" ]
}

# --- Stall ------------------------------------------------------------------------

# start_stalling ARG...: two workers that bind for themselves or are given the
# port.
start_stalling() {
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready tcp --stall 1s \
		--log-level info --stop-timeout 200ms --drain off "$@"
}

@test "stall: one that has a request and does nothing is replaced" {
	start_stalling -- "$UNWELL"
	pid=$(worker_pid 0)
	kill -USR2 "$pid"
	# until it has taken one, which is never answered
	poll_until 10 holds '! curl -s --max-time 0.5 "http://127.0.0.1:$PORT/"'
	wait_until 20 'replaced 0 "$1"' "$pid"
	wait_logged "worker $pid has requests waiting and has made no progress"
	logged '(made no progress)'
	[ "$(restarts 1)" -eq 0 ]
}

@test "stall: one that takes nothing from a socket of its own is replaced" {
	start_stalling --balance rr -- "$UNWELL"
	[ "$(cluster .balance)" != share ]
	pid=$(worker_pid 0)
	freeze "$pid"
	poll_until 10 holds '! curl -s --max-time 0.5 "http://127.0.0.1:$PORT/"'
	# these stay in its queue
	for _ in {1..4}; do
		curl -s --max-time 60 "http://127.0.0.1:$PORT/" >>"$DIR/got" 3>&- &
		STARTED+=("$!")
	done
	wait_until 20 'replaced 0 "$1"' "$pid"
	logged '(made no progress)'
	[ "$(restarts 1)" -eq 0 ]
}

@test "stall: idle, streaming and waiting workers are left alone" {
	start_stalling -- "$UNWELL"
	before=$(pids)
	idle_and_dripping 60
	http_get "$PORT" /sleep/700
	[ "$(pids)" = "$before" ]
	run ! grep -F 'no progress' "$LOG"
}

@test "stall: nclust and its workers having stood still is none" {
	start_cluster -n 1 -l "127.0.0.1:$PORT" --ready tcp --stall 4s \
		-- "$UNWELL"
	before=$(pids)
	curl -s --max-time 30 "http://127.0.0.1:$PORT/sleep/9500" \
		>"$DIR/answer" 3>&- &
	STARTED+=("$!")
	pass 1 # it has been looked at by then
	stand_still pass 5
	wait_until 20 '[ -s "$DIR/answer" ]'
	[ "$(pids)" = "$before" ]
	run ! grep -F 'no progress' "$LOG"
}

@test "a check follows no path that is not its listener's own file any more" {
	mkdir "$DIR/there"
	start_cluster -n 1 -l "unix:$DIR/there/s" --ready alive:0 \
		--check http:/ --check-interval 200ms --check-failures 2 -- \
		"$UNWELL"
	wait_until 10 '[ "$(worker 0 ".checks.ok // 0")" -gt 0 ]'
	cat >"$DIR/other.py" <<-'END'
		import socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.bind(sys.argv[1])
		s.listen()
		print("listens", flush=True)
		s.accept()
		print("somebody came", flush=True)
	END
	timeout 60 python3 "$DIR/other.py" "$DIR/other" >"$DIR/said" 3>&- &
	STARTED+=("$!")
	poll_until 10 file_has "$DIR/said" listens
	pid=$(worker_pid 0)
	ln -s "$DIR/other" "$DIR/link"
	mv -T "$DIR/link" "$DIR/there/s"
	wait_logged "'$DIR/there/s' is not the file of its listener any more"
	wait_until 20 '[ "$(worker_pid 0)" != "'"$pid"'" ]'
	run ! file_has "$DIR/said" "somebody came"
}
