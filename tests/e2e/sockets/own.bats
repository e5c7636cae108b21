#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# "{slot}" in `listen`: each slot has an address of its own, which only its workers
# get, and which is there as long as the slot.

load ../../lib
bats_require_minimum_version 1.5.0

setup() {
	nclust_setup
	free_ports 5
}

# free_ports COUNT: PORT and those after it.
free_ports() {
	local i try

	for ((try = 0; try < 50; try++)); do
		free_port || return 1
		for ((i = 1; i < $1; i++)); do
			! port_is_taken $((PORT + i)) || break
		done
		[ "$i" -lt "$1" ] || return 0
	done
	return 1
}

slot_of() {
	http_get "$1" | sed -n 's/.*slot=\([0-9]*\).*/\1/p'
}

# serves COUNT: have so many slots their ports, and nobody else?
serves() {
	local i

	for ((i = 0; i < $1; i++)); do
		[ "$(slot_of $((PORT + i)))" = "$i" ] || return 1
	done
	! is_listened $((PORT + $1))
}

start_own() {
	start_cluster "$@" --ready notify -l "127.0.0.1:{slot+$PORT}" -- \
		"$FIXTURES/serve" --notify
}

@test "each slot has its own port and path, beside one for all" {
	free=$PORT
	free_port
	start_cluster -n 2 --ready notify -l "127.0.0.1:{slot+$free}" \
		-l "127.0.0.1:$PORT, name=all" \
		-l "unix:$DIR/{cluster}-{slot}.sock, name=u{slot}" -- \
		"$FIXTURES/leak" --notify --to "$DIR/dump.{slot}"
	[ "$(jq -r .env.LISTEN_FDNAMES "$DIR/dump.0")" = "$free:all:u0" ]
	[ "$(jq -r .env.LISTEN_FDNAMES "$DIR/dump.1")" = \
		"$((free + 1)):all:u1" ]
	[ "$(jq -r .env.SERVER_STARTER_PORT "$DIR/dump.1")" = \
		"127.0.0.1:$((free + 1))=3;127.0.0.1:$PORT=4;$DIR/it-1.sock=5" ]
}

@test "a restart and a death leave no client of a slot's port without an answer" {
	start_own -n 3
	serves 3
	start_load "$((PORT + 1))"
	run -0 nclust restart it
	end_load
	[ "$REFUSED" -eq 0 ]
	[ "$LOST" -eq 0 ]
	serves 3
	start_load "$((PORT + 1))"
	old=$(worker_pid 1)
	kill -KILL "$old"
	wait_until 10 '[ "$(worker_pid 1)" != "$1" ]' "$old"
	end_load
	[ "$REFUSED" -eq 0 ]
	serves 3
}

@test "ports come and go with the slots" {
	start_own -n 2
	run -0 nclust scale it 4
	serves 4
	run -0 nclust scale it 2
	wait_until 10 'serves 2'
	run -0 nclust scale it 3
	serves 3
	run -0 nclust scale it 0
	run -0 nclust scale it 2
	serves 2
}

@test "no scale is done onto a port that somebody else has" {
	start_own -n 2
	"$FIXTURES/bind-itself" "$((PORT + 3))" 3>&- &
	STARTED+=($!)
	wait_listened "$((PORT + 3))"
	run -1 nclust scale it 4
	[[ $output == *"cannot listen on 'tcp:127.0.0.1:$((PORT + 3))': Address already in use; in use by bind-itself"* ]]
	[ "$(cluster .wanted)" -eq 2 ]
	run -0 nclust scale it 3
	[ "$(slot_of $((PORT + 2)))" = 2 ]
	run -0 nclust restart it
	[ "$(slot_of $((PORT + 2)))" = 2 ]
}

@test "an upgrade carries them, and a scale after it adds some" {
	start_own -n 2
	run -0 nclust upgrade it
	serves 2
	run -0 nclust scale it 3
	run -0 nclust restart it
	serves 3
	run -0 nclust scale it 1
	wait_until 10 'serves 1'
}
