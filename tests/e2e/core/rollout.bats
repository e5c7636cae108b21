# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# Rolling restarts and scaling, under load and disturbed (FAULTS.md, R01 to
# R07).

bats_require_minimum_version 1.5.0
load ../../lib

# start_gated N: workers that are ready once "$DIR/gate" is there.
start_gated() {
	touch "$DIR/gate"
	start_cluster -n "$1" --ready notify "${@:2}" -- sh -c '
		until [ -e "$1/gate" ]; do sleep 0.02; done
		exec "$0" --notify --to "$1/heard"' "$FIXTURES/hear" "$DIR"
}

pids() {
	cluster '[.workers[].pid] | join(" ")'
}

# "started0 ready0 exited0 …": what was told of workers, since line $1.
story() {
	nclust events "$INSTANCE" --json | tail -n "+$(($1 + 1))" |
		jq -r 'select(.event | IN("started", "ready", "exited")) |
			"\(.event)\(.slot)"' | tr '\n' ' '
}

events_so_far() {
	nclust events "$INSTANCE" --json | wc -l
}

# --- A roll that goes well ----------------------------------------------------

@test "a rolling restart under load fails no request" {
	free_port
	start_cluster -n 3 -l "127.0.0.1:$PORT" --ready notify \
		-- "$FIXTURES/serve" --notify
	start_load "$PORT" --clients 6

	for i in 2 3 4; do
		nclust restart "$INSTANCE"
		[ "$(cluster .generation)" -eq "$i" ]
	done

	end_load
	[ "$ANSWERED" -gt 0 ]
	[ "$REFUSED $LOST $LATE" = "0 0 0" ]
	[ "$(cluster '[.workers[].restarts] | add')" -eq 0 ]
}

@test "the new one first, one slot at a time, never fewer ready" {
	start_gated 3
	begin=$(events_so_far)
	nclust restart "$INSTANCE"

	[ "$(story "$begin")" = "started0 ready0 exited0 \
started1 ready1 exited1 started2 ready2 exited2 " ]
	run ! grep -F degraded <(nclust events "$INSTANCE" --json)
	[ "$(cluster '[.workers[] | select(.generation != 2)] | length')" -eq 0 ]
}

@test "surge 2 takes two at a time" {
	start_gated 4 --surge 2
	rm "$DIR/gate"
	nclust restart --no-wait "$INSTANCE"

	wait_until 10 '[ "$(cluster ".workers | length")" -eq 6 ]'
	[ "$(cluster .ready)" -eq 4 ]
	touch "$DIR/gate"
	wait_until 10 '[ "$(cluster .generation)" -eq 2 ]'
}

@test "max-unavailable 1 and surge 0: the old one goes first" {
	start_gated 2 --surge 0 --max-unavailable 1
	begin=$(events_so_far)
	nclust restart "$INSTANCE"

	[ "$(story "$begin")" = "exited0 started0 ready0 \
exited1 started1 ready1 " ]
}

@test "one slot can be restarted alone" {
	start_gated 2
	first=$(worker_pid 0)
	second=$(worker_pid 1)
	nclust restart "$INSTANCE.1"

	[ "$(worker_pid 0)" = "$first" ]
	[ "$(worker_pid 1)" != "$second" ]
	run nclust restart "$INSTANCE.2"
	[ "$status" -ne 0 ]
	[[ $output == *"slots 0 and 1 only"* ]]
}

@test "status tells where a roll is" {
	start_gated 2
	rm "$DIR/gate"
	nclust restart --no-wait "$INSTANCE"
	wait_until 10 '[ "$(cluster .rollout.step)" = "waiting for it.0" ]'
	[ "$(cluster .state)" = rolling ]
	[ "$(cluster '.rollout | "\(.to) \(.done) \(.of)"')" = "2 0 2" ]
	run nclust status "$INSTANCE"
	[ "$status" -eq 0 ]
	touch "$DIR/gate"
	wait_until 10 '[ "$(cluster .state)" = running ]'
	[ "$(cluster .rollout)" = null ]
}

# --- A roll that fails ----------------------------------------------------------

@test "a bad binary stops the roll: the old ones serve on, and why is told" {
	free_port
	cp "$FIXTURES/serve" "$DIR/server"
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready notify --log prefix \
		-- "$DIR/server" --notify
	before=$(pids)
	start_load "$PORT"

	cat >"$DIR/bad" <<-'EOF'
		#!/bin/sh
		echo 'no database' >&2
		exit 3
	EOF
	chmod +x "$DIR/bad"
	mv "$DIR/bad" "$DIR/server"
	run nclust restart "$INSTANCE"
	[ "$status" -eq 1 ]
	[[ $output == *"failed: it."[01]": exit 3 after "*"no database"* ]]
	[ "$(pids)" = "$before" ]
	[ "$(cluster '"\(.generation) \(.ready) \(.state)"')" = "1 2 running" ]

	rm "$DIR/server"
	run nclust restart "$INSTANCE"
	[ "$status" -eq 1 ]
	[[ $output == *"No such file or directory"* ]]
	[ "$(pids)" = "$before" ]

	# and a good one again
	cp "$FIXTURES/serve" "$DIR/server"
	nclust restart "$INSTANCE"
	end_load
	[ "$REFUSED $LOST $LATE" = "0 0 0" ]
	[ "$(cluster .ready)" -eq 2 ]
}

@test "a new one that is not ready in time stops the roll" {
	start_gated 2 --start-timeout 300ms
	before=$(pids)
	rm "$DIR/gate"

	run nclust restart "$INSTANCE"
	[ "$status" -eq 1 ]
	[[ $output =~ "not ready after "[0-9.]+" s".*"the old workers keep serving" ]]
	wait_until 10 '[ "$(pids)" = "$1" ]' "$before"
	[ "$(cluster .ready)" -eq 2 ]
}

@test "after a roll that failed half-way a death is replaced by the old way" {
	cp "$FIXTURES/hear" "$DIR/program"
	start_cluster -n 2 --ready notify -- sh -c '
		[ ! -e "$1/bad" ] || [ "$NCLUST_SLOT" -eq 0 ] || exit 9
		exec "$0" --notify' "$FIXTURES/hear" "$DIR"
	touch "$DIR/bad"
	run nclust restart "$INSTANCE"
	[ "$status" -eq 1 ]
	[[ $output == *"failed: it.1: exit 9"* ]]
	[ "$(cluster .ready)" -eq 2 ]
	rm "$DIR/bad"

	kill -KILL "$(worker_pid 1)"
	wait_until 10 '[ "$(worker 1 .restarts)" -eq 1 ]'
	wait_ready
	nclust restart "$INSTANCE"
	[ "$(cluster '[.workers[].generation] | unique | length')" -eq 1 ]
}

# --- Old ones that do not go ---------------------------------------------------------

@test "an old worker that never drains is killed at stop-timeout" {
	free_port
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready notify \
		--drain-timeout 300ms --stop-timeout 300ms -- "$FIXTURES/serve" --notify
	exec 5<>"/dev/tcp/127.0.0.1/$PORT" 6<>"/dev/tcp/127.0.0.1/$PORT"
	printf 'GET /sleep/600000 HTTP/1.0\r\n\r\n' >&5
	printf 'GET /sleep/600000 HTTP/1.0\r\n\r\n' >&6
	wait_until 10 '[ "$(cluster ".listeners[0].queue")" -eq 0 ]'

	nclust restart "$INSTANCE"
	logged 'did not end in time, sending SIGKILL' 2
	[ "$(cluster '"\(.ready) \(.workers | length)"')" = "2 2" ]
	[[ $(http_get "$PORT") == *gen=2* ]]
}

@test "old workers do not pile up, whatever is asked for" {
	start_cluster -n 2 --ready notify --stop-timeout 1h \
		-- "$FIXTURES/deaf" --notify
	for i in 1 2 3 4 5; do
		nclust restart --no-wait "$INSTANCE"
	done

	wait_until 10 '[ "$(cluster ".workers | length")" -ge 3 ]'
	[ "$(cluster '.workers | length')" -le 4 ]
	[ "$(cluster .ready)" -eq 2 ]
	[ "$(cluster '[.workers[].generation] | unique | length')" -le 3 ]
	nclust stop --now "$INSTANCE"
}

# --- Disturbed -----------------------------------------------------------------------

@test "a second restart during a roll: both are told well, and no one is left" {
	start_gated 3
	rm "$DIR/gate"
	nclust restart "$INSTANCE" >"$DIR/first" 2>&1 3>&- &
	first=$!
	wait_until 10 '[ "$(cluster .state)" = rolling ]'
	nclust restart "$INSTANCE" >"$DIR/second" 2>&1 3>&- &
	second=$!
	wait_until 10 '[ "$(cluster .rollout.to)" -eq 3 ]'
	touch "$DIR/gate"

	wait "$first"
	wait "$second"
	[ "$(cluster '.workers | length')" -eq 3 ]
	[ "$(cluster .ready)" -eq 3 ]
	[ "$(cluster '[.workers[].generation] | unique | join(" ")')" = 3 ]
}

@test "stop during a roll wins, and who waited for the roll is told" {
	start_gated 2
	rm "$DIR/gate"
	nclust restart "$INSTANCE" >"$DIR/restart" 2>&1 3>&- &
	restart=$!
	wait_until 10 '[ "$(cluster ".workers | length")" -eq 3 ]'

	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	status=0
	wait "$restart" || status=$?
	[ "$status" -eq 1 ]
	[ -s "$DIR/restart" ]
}

@test "scale during a roll: both come true" {
	start_gated 2
	rm "$DIR/gate"
	nclust restart "$INSTANCE" >/dev/null 3>&- &
	restart=$!
	wait_until 10 '[ "$(cluster .state)" = rolling ]'
	nclust scale "$INSTANCE" 4 >/dev/null 3>&- &
	scale=$!
	wait_until 10 '[ "$(cluster .wanted)" -eq 4 ]'
	touch "$DIR/gate"

	wait "$restart"
	wait "$scale"
	[ "$(cluster '"\(.ready) \(.workers | length)"')" = "4 4" ]
	[ "$(cluster '[.workers[].generation] | unique | join(" ")')" = 2 ]
}

@test "scale down during a roll: no more than asked for are left" {
	start_gated 4
	rm "$DIR/gate"
	nclust restart "$INSTANCE" >/dev/null 3>&- &
	restart=$!
	wait_until 10 '[ "$(cluster .state)" = rolling ]'
	nclust scale --no-wait "$INSTANCE" 1
	touch "$DIR/gate"

	wait "$restart"
	wait_until 10 '[ "$(cluster ".workers | length")" -eq 1 ]'
	[ "$(cluster '.workers[0] | "\(.slot) \(.generation)"')" = "0 2" ]
}

@test "the old worker dies while its successor starts: filled once" {
	start_gated 2
	rm "$DIR/gate"
	nclust restart "$INSTANCE" >/dev/null 3>&- &
	restart=$!
	wait_until 10 '[ "$(cluster ".workers | length")" -eq 3 ]'
	kill -KILL "$(cluster '[.workers[] | select(.slot == 0 and
		.generation == 1)][0].pid')"
	wait_until 10 '[ "$(cluster ".workers | length")" -eq 2 ]'
	touch "$DIR/gate"

	wait "$restart"
	[ "$(cluster '"\(.ready) \(.workers | length)"')" = "2 2" ]
	# two at the start, and two new ones
	[ "$(grep -c start "$DIR/heard")" -eq 4 ]
}

@test "a worker that the roll has not come to dies: filled once" {
	start_gated 3
	rm "$DIR/gate"
	nclust restart "$INSTANCE" >/dev/null 3>&- &
	restart=$!
	wait_until 10 '[ "$(cluster ".workers | length")" -eq 4 ]'
	kill -KILL "$(worker_pid 2)"
	wait_until 10 '[ "$(cluster "[.workers[] |
		select(.slot == 2)][0].restarts")" -eq 1 ]'
	touch "$DIR/gate"

	wait "$restart"
	[ "$(cluster '"\(.ready) \(.workers | length)"')" = "3 3" ]
	[ "$(cluster '[.workers[].slot] | join(" ")')" = "0 1 2" ]
}

@test "the new worker is killed while it starts: the roll has failed" {
	start_gated 2
	before=$(pids)
	rm "$DIR/gate"
	nclust restart "$INSTANCE" >"$DIR/restart" 2>&1 3>&- &
	restart=$!
	wait_until 10 '[ "$(cluster ".workers | length")" -eq 3 ]'
	kill -KILL "$(cluster '[.workers[] | select(.generation == 2)][0].pid')"

	status=0
	wait "$restart" || status=$?
	[ "$status" -eq 1 ]
	file_has "$DIR/restart" 'killed by SIGKILL'
	[ "$(pids)" = "$before" ]
}

# --- Scale --------------------------------------------------------------------------

@test "scale 0 parks: connections wait in the queue until there are workers" {
	free_port
	start_cluster -n 2 -l "127.0.0.1:$PORT,backlog=16" --ready notify \
		-- "$FIXTURES/serve" --notify
	nclust scale "$INSTANCE" 0
	[ "$(cluster '"\(.wanted) \(.ready) \(.workers | length)"')" = "0 0 0" ]
	for i in 1 2 3 4 5; do
		http_get "$PORT" >"$DIR/answer.$i" 3>&- &
	done
	wait_until 10 '[ "$(cluster ".listeners[0].queue")" -eq 5 ]'
	[ "$(cluster '.listeners[0].queue_limit')" -eq 16 ]

	nclust scale "$INSTANCE" 1
	wait_until 10 '[ "$(cat "$1"/answer.* | grep -c slot=0)" -eq 5 ]' "$DIR"
}

@test "a restart of nobody comes back at once" {
	start_gated 1
	nclust scale "$INSTANCE" 0
	timeout 20 "$NCLUST" restart "$INSTANCE"
	nclust scale "$INSTANCE" 1
	[ "$(worker 0 .generation)" -eq 2 ]
}

@test "a queue that overflows is counted, and what was in it is answered" {
	free_port
	start_cluster -n 1 -l "127.0.0.1:$PORT,backlog=1" --ready notify \
		-- "$FIXTURES/serve" --notify
	nclust scale "$INSTANCE" 0
	for i in 1 2 3 4 5 6; do
		http_get "$PORT" >"$DIR/answer.$i" 2>&1 3>&- &
	done
	wait_until 10 '[ "$(cluster ".listeners[0].dropped")" -gt 0 ]'
	run nclust status "$INSTANCE"
	[[ $output == *drop* ]]

	nclust scale "$INSTANCE" 1
	wait_until 20 '[ "$(cat "$1"/answer.* | grep -c slot=0)" -ge 2 ]' \
		"$DIR"
}

@test "scale up to 300 and down to 2 under load: no request fails" {
	free_port
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready notify \
		-- "$FIXTURES/serve" --notify
	start_load "$PORT"

	nclust scale "$INSTANCE" 300
	[ "$(cluster '"\(.wanted) \(.ready)"')" = "300 300" ]
	nclust scale "$INSTANCE" 2
	[ "$(cluster '"\(.wanted) \(.workers | length)"')" = "2 2" ]
	[ "$(cluster '[.workers[].slot] | join(" ")')" = "0 1" ]

	end_load
	[ "$REFUSED $LOST $LATE" = "0 0 0" ]
}

@test "scale by +1 and -1, and its limits" {
	start_gated 1
	nclust scale "$INSTANCE" +1
	[ "$(cluster .ready)" -eq 2 ]
	nclust scale "$INSTANCE" -1
	[ "$(cluster .ready)" -eq 1 ]
	run nclust scale "$INSTANCE" 10001
	[ "$status" -ne 0 ]
	run nclust scale "$INSTANCE" many
	[ "$status" -eq 64 ]
	[ "$(cluster .wanted)" -eq 1 ]
}

@test "the others are untouched when the cluster is scaled" {
	start_gated 2
	before=$(pids)
	nclust scale "$INSTANCE" 4
	nclust scale "$INSTANCE" 2
	[ "$(pids)" = "$before" ]
}

@test "scaling up to workers that cannot start is told, with exit 1" {
	start_gated 1 --start-timeout 300ms
	rm "$DIR/gate"
	run nclust scale "$INSTANCE" 2
	[ "$status" -eq 1 ]
	[[ $output == *"start-timeout"* ]]
	[ "$(worker_state 0)" = ready ]
}
