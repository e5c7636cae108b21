# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# nclust is root, its workers are not: descriptors that they pass and whose close(2)
# waits do not make nclust wait.

bats_require_minimum_version 1.5.0
load ../../lib

# nclust takes sockets from programs of that name
as_node() {
	printf '#!/bin/sh\nexec python3 "$@"\n' >"$DIR/node"
	chmod 755 "$DIR/node"
}

# start_hostile HOW OPTION...
start_hostile() {
	need_root
	start_nclust -n 1 --ready notify --user nobody --log prefix \
		--intercept off "${@:2}" -- \
		python3 "$SCRIPTS/servers/unclosable.py" "$1" \
		"$NCLUST_RUNTIME_DIR/it/control" "${PEER:-}"
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
	as_node
	start_nclust -n 1 --ready alive:0 --user nobody --log prefix \
		--intercept off -- "$DIR/node" \
		"$SCRIPTS/servers/unclosable.py" node
	pid=$(worker_pid 0)
	wait_logged "killing worker $pid: it has given nclust more descriptors"
	wait_until 10 '[ "$(worker_pid 0)" != "'"$pid"'" ]'
	goes_on
}

@test "nor does a named listener that its worker has made one of those" {
	local pid PEER

	free_port
	PEER=$PORT
	python3 "$SCRIPTS/servers/unclosable.py" peer "$PEER" 3>&- &
	STARTED+=("$!")
	free_port
	start_hostile listener -l "127.0.0.1:$PORT"
	wait_ready
	poll_until 10 holds '(: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null' "$PEER"
	pid=$(worker_pid 0)
	kill -STOP "$NCLUST_PID" # it would make it listen again
	kill -USR1 "$pid"
	poll_until 10 grep -q "^State:.T" "/proc/$pid/status"
	kill -KILL "$pid"
	kill -CONT "$NCLUST_PID"
	goes_on
}

@test "nor a connection that a worker of Node's cluster gives back" {
	need_root
	as_node
	free_port
	start_nclust -n 1 --ready alive:0 --user nobody --log prefix \
		--intercept off --balance rr -- "$DIR/node" \
		"$SCRIPTS/servers/unclosable.py" rr "$PORT"
	wait_logged "listening on"
	exec 9<>"/dev/tcp/127.0.0.1/$PORT"
	wait_logged passed
	goes_on
	exec 9>&-
}

@test "nor what a client sends along with a connection that is refused" {
	need_root
	printf '#!/bin/sh\n' >"$DIR/serve"
	chmod 755 "$DIR/serve"
	start_nclust -l "unix:$DIR/socket" --accept --log prefix --intercept off -- \
		"$DIR/serve"
	wait_logged accepting
	chmod 644 "$DIR/serve"
	python3 "$SCRIPTS/servers/unclosable.py" client "$DIR/socket" \
		>"$DIR/client" 3>&- &
	STARTED+=("$!")
	poll_until 30 file_has "$DIR/client" passed
	goes_on
}

checked() {
	need_root
	start_nclust -n 1 -l "unix:$DIR/socket" --user nobody --log prefix \
		--intercept off --ready alive:0 --check http:/ \
		--check-interval 100ms -- \
		python3 "$SCRIPTS/servers/unclosable.py" answer
	wait_logged passed
	goes_on
}

@test "nor what a worker sends along with its answer to a check" {
	checked
}

@test "so it is where the kernel does not refuse it" {
	printf '#!/bin/sh\nexec "%s" linux-6.15 -- "%s" "$@"\n' \
		"$FIXTURES/confine" "$NCLUST" >"$DIR/nclust"
	chmod 755 "$DIR/nclust"
	NCLUST=$DIR/nclust checked
}
