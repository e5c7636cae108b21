#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Other versions of Node than the machine's, and who else speaks its protocol.
# They come from npm (scripts/setup test), where there are such for the machine.
#
# shellcheck disable=SC2034 # what the loaded files read

load ../../lib
load ../../life
load ../../node
bats_require_minimum_version 1.5.0


setup() {
	node_setup
}

# Servers, both ways to share them, messages, children, deaths and restarts.
basic_matrix() {
	local pid

	start_node --relay others -- web.js "$PORT"
	each_is_worker
	pid=$(worker_pid 0)
	ask_worker "$pid" /again
	wait_until 10 '[ "$(ask_worker "$1" /rounds | part rounds)" = 1 ]' "$pid"
	[ "$(ask_worker "$pid" /fork)" = \
		'{"sum":6,"isWorker":false,"unique":null}' ]
	[ "$(ask_worker "$pid" /say-big -d 300000)" = "said null" ]
	[ "$(ask_worker "$pid" /say-handles)" = "said null" ]
	wait_until 10 '[[ $(ask_worker "$1" /heard) == *xxx* ]]' \
		"$(worker_pid 1)"
	death_under_load
	ask_worker "$(worker_pid 1)" /disconnect
	wait_until 10 '[ "$(worker 1 .restarts)" -eq 1 ]'
	wait_ready
	each_is_worker
	stop_cleanly

	start_node --balance rr -- plain.js "$PORT"
	[ "$(who_answer 20 | wc -l)" -eq 2 ]
	start_visits
	some_more
	nclust restart "$INSTANCE"
	some_more
	end_visits
	[ "$REFUSED $LOST $LATE" = "0 0 0" ]
	stop_cleanly
}

@test "Node 16" {
	with_node 16
	basic_matrix
}

@test "Node 18" {
	with_node 18
	basic_matrix
}

@test "Node 22" {
	with_node 22
	basic_matrix
}

@test "Node 24" {
	with_node 24
	basic_matrix
}

@test "Bun" {
	NODE=$(echo "$NODE_MODULES"/@oven/bun-linux-*/bin/bun)
	[ -x "$NODE" ] || skip "no Bun here (scripts/setup test)"
	start_node -- plain.js "$PORT"
	both_answer
	[[ $(ask) == "pid="*" worker="[0-9]* ]]
	stop_cleanly
}

@test "Deno" {
	NODE=$(echo "$NODE_MODULES"/@deno/linux-*/deno)
	[ -x "$NODE" ] || skip "no Deno here (scripts/setup test)"
	start_cluster -n 2 --ready listen --env "DENO_DIR=$DIR/deno" -- "$NODE" run -A \
		"$NODE_SCRIPTS/plain.js" "$PORT"
	[ "$(who_answer 10 | wc -l)" -eq 2 ]
	nclust restart "$INSTANCE"
	[ "$(who_answer 10 | wc -l)" -eq 2 ]
	stop_cleanly
}
