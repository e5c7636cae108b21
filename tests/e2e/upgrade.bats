#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154,SC2314
#
# nclust replaces itself by the binary on disk: the same process, with the same
# workers, sockets and clients.

load ../lib

setup() {
	nclust_setup
	# its binary is ours to replace
	cp "$NCLUST" "$DIR/nclust"
	NCLUST=$DIR/nclust
}

# put BINARY: it is what stands on disk from now on.
put() {
	cp "$1" "$DIR/.new"
	mv -f "$DIR/.new" "$DIR/nclust"
}

# Whoever it is now: a client that any version understands.
client() {
	"$ROOT/nclust" "$@"
}

upgrades() {
	status_json | jq .upgrades
}

workers() {
	status_json | jq -c '[.clusters[].workers[] | [.id, .pid]]'
}

# Nothing has changed, and everything still works.
still_the_same() {
	[ "$(workers)" = "$WORKERS" ]
	[ "$(status_json | jq .pid)" = "$NCLUST_PID" ]
	[ "$(upgrades)" = "${1:-0}" ]
}

works() {
	client restart "$INSTANCE"
	client scale "$INSTANCE" 3
	[ "$(cluster .ready)" -eq 3 ]
	client stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
}

serve() {
	free_port
	start_cluster -n 2 --listen "127.0.0.1:$PORT" --ready alive:100ms "$@" \
		-- "$FIXTURES/serve"
	WORKERS=$(workers)
}

@test "the process, the workers and their ages stay, and all goes on working" {
	serve
	since=$(worker 1 .uptime)

	run client upgrade "$INSTANCE"
	[ "$status" -eq 0 ]
	[[ $output == *"upgraded from "*" with 2 workers"* ]]

	still_the_same 1
	[ "$(jq -n "$(worker 1 .uptime) >= $since")" = true ]
	works
}
