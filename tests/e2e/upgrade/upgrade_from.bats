#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2001,SC2016,SC2034,SC2154,SC2314
#
# Between another nclust (NCLUST_BEFORE; by default one of a later version of the
# state) and this one, both ways, with all that is carried under way at once.
# `make upgrade-from REV=COMMIT` takes the nclust of that commit.

bats_require_minimum_version 1.5.0
load ../../lib
load ../../upgrade

setup() {
	upgrade_setup
	BEFORE=${NCLUST_BEFORE:-$VARIANTS/nclust-next}
	# Says that it runs, and waits until it may go on.
	cat >"$DIR/wait" <<-'END'
		#!/bin/sh
		echo "$$" >>"${0%/*}/begun"
		while [ ! -e "${0%/*}/go" ]; do sleep 0.05; done
		echo "$$" >>"${0%/*}/ended"
	END
	cat >"$DIR/tell" <<-'END'
		#!/bin/sh
		echo "slot=$NCLUST_SLOT pid=$$"
		cat
	END
	chmod 755 "$DIR/wait" "$DIR/tell"
	mkdir "$DIR/got"
	: >"$DIR/begun"
	: >"$DIR/ended"
	for name in WEB OWN NODE EACH SLOW; do
		free_port
		declare -g "$name=$PORT"
	done
	cat >"$DIR/it.ini" <<-INI
	[cluster:web]
	command = $FIXTURES/serve --notify
	workers = 2
	ready = notify
	listen = 127.0.0.1:$WEB, name=web, backlog=77
	shared-memory = 64k
	check = exec:$DIR/wait
	check-interval = 1h
	check-timeout = 2m
	on-ready = $DIR/wait
	stop-signal = QUIT:3s TERM:1s
	env = A=b c
	[cluster:own]
	command = $FIXTURES/plain $OWN
	workers = 2
	[cluster:each]
	command = $DIR/tell
	listen = 127.0.0.1:$EACH
	accept = yes
	workers = 4
	[cluster:talk]
	command = $FIXTURES/talk $DIR/got
	workers = 2
	ipc = on
	ready = alive:50ms
	[cluster:slow]
	command = $FIXTURES/rude --slow 1 --until $DIR/answer-it
	workers = 1
	ready = notify
	listen = 127.0.0.1:$SLOW
	drain = quiet
	drain-timeout = 10m
	[cluster:bad]
	command = $FIXTURES/die --exit 3
	workers = 1
	backoff-min = 10m
	backoff-max = 1h
	INI
	if command -v node >/dev/null; then
		cat >>"$DIR/it.ini" <<-INI
		[cluster:node]
		command = node $SCRIPTS/node/web.js $NODE
		workers = 2
		ready = listen
		INI
	else
		NODE=
	fi
}

# of CLUSTER: its pids.
of() {
	status_json | jq -c --arg name "$1" \
		'[.clusters[] | select(.name == $name).workers[].pid]'
}

# What stays as it is, whoever is nclust.
everything() {
	status_json | jq -cS '.pid, [.clusters[] | select(.name != "each") |
		[.name, .generation, .shared_memory,
		(.listeners | map(del(.queue, .dropped))),
		(.workers[] | [.id, .pid, .state, .restarts, .messages,
		.last_exit, .env])]]'
	status_json | jq -cS '.clusters[] | select(.name == "each") | .accept'
}

# A client of `each` that speaks before the upgrades and after them.
converse() {
	exec {TALK}<>"/dev/tcp/127.0.0.1/$EACH"
	read -r -t $((10 * PATIENCE)) TOLD <&"$TALK"
	[[ $TOLD == slot=* ]]
}

echoes() {
	echo "$1" >&"$TALK"
	read -r -t $((10 * PATIENCE)) line <&"$TALK"
	[ "$line" = "$1" ]
}

start_all() {
	put "$1"
	start_nclust -c "$DIR/it.ini"
	wait_until 20 '[ "$(CLUSTER=bad worker 0 .state)" = backoff ] &&
		[ "$(CLUSTER=own cluster .ready)" -eq 2 ] &&
		[ "$(CLUSTER=talk cluster .ready)" -eq 2 ] &&
		[ "$(wc -l <"$DIR/begun")" -ge 3 ]'
	[ -z "$NODE" ] ||
		wait_until 20 '[ "$(CLUSTER=node cluster .ready)" -eq 2 ]'
	client send talk.0 '["say","early"]'
	client send talk.1 '"half"'
	client events -f "$INSTANCE" >"$DIR/events" 2>&1 3>&- &
	STARTED+=("$!")
	script -qec "$PROGRAM status --watch $INSTANCE" /dev/null \
		>"$DIR/watch" 2>&1 </dev/null 3>&- &
	STARTED+=("$!")
	converse
	curl -sS "http://127.0.0.1:$SLOW/slow" >"$DIR/answer" 3>&- &
	ASKER=$!
	# taken by the worker: one that waits in the queue is established as well
	wait_until 5 '[ "$(ss -Htn state established "sport = :$1" | wc -l)" \
		-ge 1 ] &&
		[ "$(CLUSTER=slow cluster ".listeners[0].queue")" -eq 0 ]' "$SLOW"
	client scale slow 0 --no-wait
	wait_until 5 '[ "$(CLUSTER=slow worker_state 0)" = draining ] &&
		[ -s "$DIR/watch" ]'
	LEAVES=$(CLUSTER=slow worker_pid 0)
}

# Each part goes on.
all_go_on() {
	local pid

	[[ $(http_get "$OWN") == pid=* ]]
	[ -z "$NODE" ] || [[ $(http_get "$NODE") == pid=* ]]
	echoes "after $1"
	client send talk.0 "\"after $1\""
	wait_until 10 'grep -qF "after $1" "$DIR/got/0"' "$1"
	wait_until 10 'file_has "$DIR/events" "upgraded from" "$1"' "$1"
	all_cloexec
}

# refused COUNT EVERYTHING: an earlier one may not know a default of this one;
# then nothing has changed.
refused() {
	cat "$DIR/out"
	[ "$1" -eq 0 ] && [ "$(everything)" = "$2" ] &&
		file_has "$DIR/out" "the new nclust says: setting '" &&
		skip "the other one does not know a default of this one"
}

# there_and_back BINARY BINARY: from one to the other, back, and there again.
there_and_back() {
	local as n=0

	start_all "$1"
	as=$(everything)
	start_open "$WEB" --rate 200
	for binary in "$2" "$1" "$2"; do
		put "$binary"
		upgrade >"$DIR/out" 2>&1 || refused "$n" "$as"
		n=$((n + 1))
		diff <(sed 's/"messages":{[^}]*}//g' <<<"$as") \
			<(everything | sed 's/"messages":{[^}]*}//g')
		[ "$(upgrades)" -eq "$n" ]
		all_go_on "$n"
		as=$(everything)
	done
	: >"$DIR/answer-it"
	wait "$ASKER"
	grep -F "$LEAVES" "$DIR/answer"
	poll_until 10 is_gone "$LEAVES"
	end_open
	[ "$LOST" -eq 0 ]

	# hooks and probes that ran through it are heard, those that are new run
	: >"$DIR/go"
	wait_until 10 '[ "$(wc -l <"$DIR/ended")" -eq \
		"$(wc -l <"$DIR/begun")" ]'
	wait_until 10 '[ "$(CLUSTER=web worker 0 .checks.ok)" -ge 1 ]'
	exec {TALK}>&-
	wait_until 10 '[ "$(CLUSTER=each cluster .accept.running)" -eq 0 ]'
	[ "$(CLUSTER=each cluster .accept.served)" -eq 1 ]
	for name in web own talk ${NODE:+node}; do
		old=$(CLUSTER=$name worker_pid 0)
		kill -KILL "$old"
		wait_until 20 '[ "$(CLUSTER=$1 worker_pid 0)" != "$2" ] &&
			[ "$(CLUSTER=$1 cluster .ready)" -eq 2 ]' "$name" "$old"
	done
	client restart web
	client restart own
	[[ $(http_get "$OWN") == pid=* ]]
	client stop it
	wait_exit 20
	[ ! -e "$NCLUST_RUNTIME_DIR/$INSTANCE" ]
}

@test "started by the other one: here, back, and here again" {
	there_and_back "$BEFORE" "$PROGRAM"
}

@test "started by this one: there, back, and there again" {
	there_and_back "$PROGRAM" "$BEFORE"
}
