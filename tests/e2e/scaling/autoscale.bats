# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# workers = MIN..MAX: as many as the load needs, and none without clients.
#
# takes long

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	free_port
	LOAD=
}

teardown() {
	end_keepers
	nclust_teardown
}

# start_range RANGE [OPTION]...: of workers that answer /sleep/MS one at a time.
start_range() {
	start_cluster -n "$1" -l "127.0.0.1:$PORT" --ready notify "${@:2}" \
		-- "$FIXTURES/serve" --notify
}

# Eight clients who wait 40 ms for each answer: two workers are too few.
start_load() {
	"$FIXTURES/load" "$PORT" --clients 8 --path /sleep/40 \
		>"$DIR/load" 3>&- &
	LOAD=$!
	STARTED+=("$LOAD")
}

end_load() {
	kill -TERM "$LOAD"
	wait "$LOAD"
	[[ $(tail -n 1 "$DIR/load") == *"refused=0 lost=0 late=0" ]]
}

wanted() {
	cluster .wanted
}

reasons() {
	nclust events "$INSTANCE" --json |
		jq -r 'select(.event == "scaled").reason' | paste -sd ' '
}

@test "a load starts more workers, and its end stops them, none lost" {
	start_range 2..5
	[ "$(cluster '.autoscale | "\(.min) \(.max)"')" = "2 5" ]
	start_load
	wait_until 20 '[ "$(cluster .ready)" -gt 2 ]'
	# each step says why
	logged ': connections wait to be accepted ('
	[ "$(cluster .autoscale.last.reason)" = queue ]
	[ "$(reasons)" != "" ]
	run -0 nclust status "$INSTANCE"
	[[ $output == *"2 to 5 workers, by load; last "*"ago (queue)"* ]]
	end_load

	wait_until 90 '[ "$(wanted)" -eq 2 ]'
	logged 'scaled to 2 workers: these are enough'
	[ "$(cluster .autoscale.last.reason)" = calm ]
	[ "$(cluster .wanted)" -ge 2 ]
	# and none was below, or above
	[ -z "$(nclust events "$INSTANCE" --json | jq -c \
		'select(.event == "scaled" and (.count < 2 or .count > 5))')" ]
}

@test "a burst of clients gets the spare and then more" {
	start_cluster -n 1..3 --spare 1 -l "127.0.0.1:$PORT" --ready notify \
		-- "$FIXTURES/serve" --notify --delay 700
	wait_until 20 '[ "$(cluster ".workers[] | select(.state == \"spare\").pid")" ]'
	run -0 "$FIXTURES/load" "$PORT" --clients 30 --count 1 --path /sleep/40
	[[ $output == *"answered=30 refused=0 lost=0 late=0" ]]
	wait_until 10 '[ "$(cluster .ready)" -gt 1 ]'
	[ "$(reasons | cut -d " " -f 1)" = queue ]
	logged " now serves"
}

@test "no client: no worker, and the first one waits for a start" {
	start_range 0..3 --idle-after 1s
	[ "$(wanted)" -eq 0 ]
	for _ in 1 2; do
		[[ $(http_get "$PORT") == pid=* ]]
		[ "$(cluster .autoscale.last.reason)" = client ]
		wait_until 10 '[ "$(wanted)" -eq 0 ]'
		wait_until 10 '[ "$(fixtures_alive)" -eq 0 ]'
	done
	[ "$(reasons)" = "client idle client idle" ]
	run -0 nclust status "$INSTANCE"
	run -69 "$NCLUST" restart "$INSTANCE.0"
	[[ $output == *"'$INSTANCE' is asleep: it has no workers until a client comes"* ]]

	# many at once are not refused, either
	run -0 "$FIXTURES/load" "$PORT" --clients 20 --count 3
	[[ $output == *"answered=60 refused=0 lost=0 late=0" ]]
}

@test "a client that has its connection open keeps a worker" {
	start_range 0..3 --idle-after 1s
	exec 4<>"/dev/tcp/127.0.0.1/$PORT"
	wait_until 10 '[ "$(cluster .ready)" -eq 1 ]'
	since=$SECONDS
	wait_until 20 '[ $((SECONDS - $1)) -ge 4 ]' "$since"
	[ "$(wanted)" -eq 1 ]
	exec 4>&-
	wait_until 10 '[ "$(wanted)" -eq 0 ]'
}

@test "a server that opens its port by itself sleeps and wakes, too" {
	start_cluster -n 0..3 --idle-after 1s \
		-- "$FIXTURES/plain" "$PORT" --loopback --shut
	wait_until 10 '[ "$(wanted)" -eq 0 ]'
	wait_until 10 '[ -z "$(cluster ".workers[].pid")" ]'
	[ "$(cluster '.listeners[0].learned')" = true ]
	run -0 "$FIXTURES/load" "$PORT" --clients 4 --count 2
	[[ $output == *"answered=8 refused=0 lost=0 late=0" ]]
	wait_until 10 '[ "$(wanted)" -eq 0 ]'
	[[ $(http_get "$PORT") != "" ]]
}

write_plain() {
	printf '%s\n' '[cluster:web]' 'workers = 0..2' 'idle-after = 1s' \
		"command = $FIXTURES/plain $PORT --loopback" >"$DIR/it.ini"
}

@test "asleep, a server is started once for the port of its new command" {
	write_plain
	start_cluster -c "$DIR/it.ini"
	wait_until 10 '[ "$(wanted)" -eq 0 ]'
	free_port
	write_plain
	nclust reload "$INSTANCE"
	wait_until 10 '[ -n "$(cluster ".listeners[] | select(.name == \"$PORT\").name")" ]'
	wait_until 10 '[ "$(wanted)" -eq 0 ]'
	[[ $(http_get "$PORT") == pid=* ]]
}

@test "asleep, a restart with another command is done when its port is open" {
	write_plain
	printf '%s\n' '[cluster:other]' 'command = sleep 1000' >>"$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	wait_until 10 '[ "$(wanted)" -eq 0 ]'
	free_port
	nclust restart "$INSTANCE/web" -- "$FIXTURES/plain" "$PORT" --loopback
	[[ $(http_get "$PORT") == pid=* ]]
	# it is stopped as it sleeps, and begins anew
	wait_until 10 '[ "$(wanted)" -eq 0 ]'
	nclust stop "$INSTANCE/web"
	run ! http_get "$PORT"
	nclust restart "$INSTANCE/web"
	[[ $(http_get "$PORT") == pid=* ]]
	# one that does not start is told
	wait_until 10 '[ "$(wanted)" -eq 0 ]'
	run -1 nclust restart "$INSTANCE/web" -- sh -c 'exit 3'
	[[ $output == *"exit 3"* ]]
}

@test "without an address there is nothing to wake by: a worker stays" {
	printf '%s\n' '[cluster:web]' 'command = sleep 1000' \
		'workers = 0..2' 'idle-after = 1s' 'ready = alive:10ms' \
		>"$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	since=$SECONDS
	wait_until 20 '[ $((SECONDS - $1)) -ge 4 ]' "$since"
	[ "$(wanted)" -eq 1 ]

	# nor is one there after a reload that takes the address away
	sed -i "\$ a listen = 127.0.0.1:$PORT" "$DIR/it.ini"
	nclust reload "$INSTANCE"
	wait_until 20 '[ "$(wanted)" -eq 0 ]'
	sed -i '/^listen/d' "$DIR/it.ini"
	nclust reload "$INSTANCE"
	wait_until 20 '[ "$(cluster .ready)" -eq 1 ]'
}

# How often nclust has gone to sleep.
switches() {
	awk '/^voluntary/ { print $2 }' "/proc/$NCLUST_PID/status"
}

@test "who sleeps does not wake nclust, and a range does once a second" {
	start_range 0..3 --idle-after 10m
	poll_until 10 quiet
	before=$(switches)
	sleep 3
	[ "$(switches)" -eq "$before" ]

	http_get "$PORT"
	poll_until 10 worker_is 0 ready
	before=$(switches)
	sleep 4
	[ "$(($(switches) - before))" -le 8 ]
}

quiet() {
	local before

	before=$(switches)
	sleep 1
	[ "$(switches)" -eq "$before" ]
}

worker_is() {
	[ "$(worker_state "$1")" = "$2" ]
}

write_ini() {
	printf '%s\n' '[cluster:web]' "command = $FIXTURES/serve --notify" \
		"listen = 127.0.0.1:$PORT" 'ready = notify' "$@" >"$DIR/it.ini"
}

@test "a scale by hand holds until a reload in which workers changed" {
	write_ini 'workers = 0..3' 'idle-after = 1s'
	start_cluster -c "$DIR/it.ini"
	nclust scale "$INSTANCE" 2
	[ "$(cluster .autoscale.by_hand)" = true ]
	write_ini 'workers = 0..3' 'idle-after = 2s'
	nclust reload "$INSTANCE"
	since=$SECONDS
	wait_until 20 '[ $((SECONDS - $1)) -ge 4 ]' "$since"
	[ "$(wanted)" -eq 2 ]

	# by hand there is none, and nobody wakes it
	nclust scale "$INSTANCE" 0
	run ! curl -sS --max-time 1 "http://127.0.0.1:$PORT/"
	[ "$(wanted)" -eq 0 ]

	write_ini 'workers = 1..4' 'idle-after = 2s'
	nclust reload "$INSTANCE"
	[ "$(cluster '.autoscale | "\(.min) \(.max) \(.by_hand)"')" = \
		"1 4 false" ]
	# more, if the one that nobody woke it for has waited long in the queue
	[ "$(wanted)" -ge 1 ]
	[[ $(http_get "$PORT") == pid=* ]]

	write_ini 'workers = 3'
	nclust reload "$INSTANCE"
	[ "$(wanted)" -eq 3 ]
	[ "$(cluster .autoscale)" = null ]
}

@test "a rollout that has failed takes its limits back" {
	write_ini 'workers = 1..3'
	start_cluster -c "$DIR/it.ini"
	write_ini 'workers = 2..4'
	sed -i 's/^command.*/command = false/' "$DIR/it.ini"
	nclust reload "$INSTANCE" || true
	wait_until 20 '[ "$(cluster ".autoscale | \"\(.min) \(.max)\"")" = "1 3" ]'
}

@test "MIN above MAX: the file's line, and nothing is started" {
	write_ini 'workers = 4..2'
	run -78 nclust -c "$DIR/it.ini"
	[[ $output == *"it.ini:5: cluster:web.workers: wanted a range whose first number is not above the second, found '4..2'"* ]]
}

@test "an upgrade keeps the number, awake and asleep" {
	start_range 0..3 --idle-after 8s
	nclust upgrade "$INSTANCE"
	[ "$(wanted)" -eq 0 ]
	[[ $(http_get "$PORT") == pid=* ]]
	start_load
	wait_until 20 '[ "$(wanted)" -ge 2 ]'
	end_load
	n=$(wanted)
	nclust upgrade "$INSTANCE"
	[ "$(wanted)" -eq "$n" ]
	[ "$(cluster .autoscale.last.to)" -eq "$n" ]
	wait_until 30 '[ "$(wanted)" -eq 0 ]'
	[[ $(http_get "$PORT") == pid=* ]]
}

@test "the next nclust keeps the number, awake and asleep" {
	start_range 0..3 --idle-after 3s --orphans keep
	start_load
	wait_until 20 '[ "$(wanted)" -ge 2 ]'
	wait_until 20 '[ "$(cluster .ready)" -eq "$(wanted)" ]'
	end_load
	n=$(wanted)
	kill_nclust
	start_range 0..3 --idle-after 3s --orphans keep
	[ "$(wanted)" -eq "$n" ]
	wait_until 20 '[ "$(wanted)" -eq 0 ]'
	wait_until 10 '[ "$(fixtures_alive)" -eq 0 ]'
	kill_nclust
	start_range 0..3 --idle-after 3s --orphans keep
	[ "$(wanted)" -eq 0 ]
	[[ $(http_get "$PORT") == pid=* ]]
}

@test "nothing is scaled while a rolling restart is under way" {
	start_range 2..8 --canary 1 --bake 3s
	nclust restart "$INSTANCE" --no-wait
	wait_logged 'watching'
	start_load
	wait_logged 'rollout 1 done' 1 30
	wait_logged 'scaled to 4 workers' 1 20
	sed '/rollout 1 done/,$d' "$LOG" >"$DIR/before"
	run -1 grep 'scaled to' "$DIR/before"
	end_load
}
