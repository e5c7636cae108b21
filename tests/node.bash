# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# What the tests with Node share: `load ../../lib`, `load ../../life` and
# `load ../../node` in a file, node_setup in its setup().  The scripts are in
# tests/e2e/node; who answers says "pid=PID worker=ID slot=SLOT", with "worker=no" where Node's
# cluster module does not take it for a worker.

NODE_SCRIPTS=$SCRIPTS/node
# What scripts/setup has got by npm: node16 …, express, Bun and Deno.
NODE_MODULES=${XDG_CACHE_HOME:-$HOME/.cache}/nclust/node/node_modules

node_setup() {
	life_setup
	NODE=node
	must_have "$NODE"
	must_have curl
	# Answers come at once, and all that was accepted is answered.
	DRAINS=yes
	AT_ONCE=$CLIENTS
	export NODE_PATH=$NODE_MODULES
	unset NODE_OPTIONS NODE_CLUSTER_SCHED_POLICY NODE_CHANNEL_FD \
		NODE_UNIQUE_ID NODE_CHANNEL_SERIALIZATION_MODE
}

# start_node [OPTION]... -- SCRIPT [ARG]...: two workers, which listen; `ready =
# auto` takes one that is slow to begin for ready after a second.
start_node() {
	node_command "$@"
	start_cluster -n 2 --ready listen "${COMMAND[@]}"
}

# Sets COMMAND: nclust's options, and Node with that script of ours.
node_command() {
	COMMAND=()
	while [ "$1" != -- ]; do
		COMMAND+=("$1")
		shift
	done
	COMMAND+=(-- "$NODE" "$NODE_SCRIPTS/$2" "${@:3}")
}

# ask [PATH] [OPTION]...: one request, by a connection of its own.
ask() {
	curl -sS --max-time "$((10 * PATIENCE))" "${@:2}" \
		"http://127.0.0.1:$PORT${1:-/}"
}

# ask_worker PID [PATH] [OPTION]...: the same, and this worker has to answer, as
# all others stand still.
ask_worker() {
	local pid others=() answer status=0

	for pid in $(worker_pids); do
		[ "$pid" = "$1" ] || others+=("$pid")
	done
	freeze "${others[@]}"
	answer=$(ask "${@:2}") || status=$?
	thaw "${others[@]}"
	echo "$answer"
	return "$status"
}

# part NAME: of an answer on stdin.
part() {
	sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" | head -n 1
}

# Each worker answers by itself, and is a worker for Node's cluster module too.
each_is_worker() {
	local pid answer

	for pid in $(worker_pids); do
		answer=$(ask_worker "$pid")
		[[ $answer == "pid=$pid worker="[0-9]*" slot="[0-9]* ]] || {
			echo "wanted an answer of worker $pid, got: $answer"
			return 1
		}
	done
}

# All processes that answer COUNT requests, each once.
who_answer() {
	local i

	for ((i = 0; i < $1; i++)); do
		ask
	done | sed -n 's/^pid=\([0-9]*\) .*/\1/p' | sort -u
}

# stop_cleanly: it ends well and leaves nothing behind.
stop_cleanly() {
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	[ -z "$(ours_that_stay)" ]
}

# with_node MAJOR: another Node from now on.
with_node() {
	NODE=$NODE_MODULES/node$1/bin/node
	[ -x "$NODE" ] || skip "no Node $1 here (scripts/setup test)"
	[[ $("$NODE" --version) == "v$1."* ]]
}
