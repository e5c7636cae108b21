# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# nclust is root, its workers are not: descriptors that they pass and whose close(2)
# waits do not make nclust wait.

bats_require_minimum_version 1.5.0
load ../../lib

# start_hostile HOW OPTION...
start_hostile() {
	need_root
	start_nclust -n 1 --ready notify --user nobody --log prefix \
		--intercept off "${@:2}" -- \
		python3 "$SCRIPTS/servers/unclosable.py" "$1" "$NCLUST_RUNTIME_DIR/it/control"
}

# It answers now, and a stop is obeyed: SO_LINGER is an hour.
goes_on() {
	for _ in {1..20}; do
		timeout 10 "$NCLUST" status it --json >/dev/null || [ $? -lt 3 ]
		sleep 0.1
	done
	# what waits for its end becomes less again
	wait_until 20 '[ "$(find "/proc/$NCLUST_PID/fd" -type l | wc -l)" -lt 64 ]'
	timeout 20 "$NCLUST" stop --now it
	wait_exit
	[ "$status" -eq 0 ]
}

@test "descriptors in notify messages do not keep nclust" {
	start_hostile notify
	wait_logged passed
	goes_on
}

@test "so it is with those on a message channel" {
	start_hostile channel --ipc on
	wait_logged passed
	goes_on
}

@test "and with those that are still unread when their worker ends" {
	start_hostile unread
	wait_logged passed
	for _ in 1 2 3; do
		pid=$(worker_pid 0)
		kill -STOP "$NCLUST_PID"
		sleep 0.5 # the queue of its socket fills
		kill -KILL "$pid"
		kill -CONT "$NCLUST_PID"
		wait_until 10 '[ "$(worker_pid 0)" != "'"$pid"'" ]'
		wait_ready 20
	done
	goes_on
}

@test "who may look at the control socket cannot pass any" {
	start_hostile control --control-group nogroup
	wait_logged passed
	goes_on
}

@test "as many as can be sent do not keep it either" {
	start_hostile flood
	wait_logged passed
	goes_on
}

@test "a worker that passes more than can be closed is killed" {
	need_root
	# nclust takes sockets from programs of that name
	printf '#!/bin/sh\nexec python3 "$@"\n' >"$DIR/node"
	chmod 755 "$DIR/node"
	start_nclust -n 1 --ready alive:0 --user nobody --log prefix \
		--intercept off -- "$DIR/node" \
		"$SCRIPTS/servers/unclosable.py" node
	pid=$(worker_pid 0)
	wait_logged "killing worker $pid: it has given nclust more descriptors"
	wait_until 10 '[ "$(worker_pid 0)" != "'"$pid"'" ]'
	goes_on
}
