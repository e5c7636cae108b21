#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# What `nclust events` still knows, and which of it is shown.

bats_require_minimum_version 1.5.0
load ../../lib
load ../../upgrade

setup() {
	upgrade_setup
}

teardown() {
	end_keepers
	nclust_teardown
}

start_kept() {
	start_cluster -n 2 --orphans keep --ready notify --stop-signal KILL "$@" \
		-- "$FIXTURES/deaf" --notify
}

# known FILE: all events are there that were in the file, as they were.
known() {
	client events --json "$INSTANCE" >"$DIR/now"
	cmp "$1" <(head -n "$(wc -l <"$1")" "$DIR/now")
	jq -se 'map(.time) | . == sort' "$DIR/now" >/dev/null
}

@test "400 events outlive an upgrade, and an nclust that is killed" {
	start_kept
	while [ "$(client events "$INSTANCE" | wc -l)" -lt 400 ]; do
		client scale "$INSTANCE" 30
		client scale "$INSTANCE" 2
	done
	client events --json "$INSTANCE" >"$DIR/then"
	upgrade
	known "$DIR/then"
	[ "$(tail -n 1 "$DIR/now" | jq -r .event)" = upgraded ]

	cp "$DIR/now" "$DIR/then"
	kill_nclust
	start_kept
	known "$DIR/then"
	[ "$(jq -r .event "$DIR/now" | grep -cx adopted)" -eq 1 ]

	# and once more, with what has happened since
	cp "$DIR/now" "$DIR/then"
	upgrade
	kill_nclust
	start_kept
	known "$DIR/then"
	[ "$(jq -r .event "$DIR/now" | grep -cx adopted)" -eq 2 ]
	[ "$(jq -r .event "$DIR/now" | grep -cx upgraded)" -eq 2 ]
	all_cloexec
}

@test "a new keeper holds them, too" {
	start_kept
	mapfile -t keepers < <(keeper_pids)
	kill -KILL "${keepers[@]}"
	wait_until 10 '[ -n "$(keeper_pids)" ] && [ "$(keeper_pids)" != "$1" ]' \
		"${keepers[*]}"
	client scale "$INSTANCE" 3
	client events --json "$INSTANCE" >"$DIR/then"
	kill_nclust
	start_kept -n 3
	known "$DIR/then"
}

# events OPTION...: their names in one line.
events() {
	client events "$INSTANCE" --json "$@" | jq -r .event | xargs
}

@test "events of some kinds, of a cluster, and since a time" {
	cat >"$DIR/it.ini" <<-INI
	[cluster:web]
	command = $FIXTURES/deaf --notify
	stop-signal = KILL
	workers = 2
	ready = notify
	[cluster:old]
	command = $FIXTURES/deaf --notify
	stop-signal = KILL
	workers = 1
	ready = notify
	INI
	start_cluster -c "$DIR/it.ini"
	[ "$(events --cluster web --kind ready,all-ready)" = \
		"ready ready all-ready" ]
	[ "$(events --kind ready -n 1)" = ready ]
	[ "$(events --kind ready --since 1h)" = "ready ready ready" ]
	[ "$(events --since @4000000000)" = "" ]
	[ "$(events --since "$(date +'%F %T' -d 'last hour')" --kind ready)" = \
		"ready ready ready" ]

	since=$(client events --json "$INSTANCE" -n 1 | jq '.time + 0.001')
	client events -f --json --kind exited,started --cluster web "$INSTANCE" \
		--since "@$since" >"$DIR/follower" 3>&- &
	STARTED+=("$!")
	client events -f --json --kind exited,ready "$INSTANCE" >"$DIR/all" 3>&- &
	STARTED+=("$!")
	poll_until 5 file_has "$DIR/all" '"ready"' 3
	kill -KILL "$(CLUSTER=old worker_pid 0)"
	poll_until 5 file_has "$DIR/all" '"exited"'
	kill -KILL "$(CLUSTER=web worker_pid 1)"
	poll_until 5 file_has "$DIR/all" '"exited"' 2
	poll_until 5 file_has "$DIR/follower" '"started"'
	jq -se 'map([.event, .cluster, .why]) == [["exited", "web", "crash"],
		["started", "web", null]]' "$DIR/follower" >/dev/null

	# of one that is gone
	sed -i '/cluster:old/,$d' "$DIR/it.ini"
	client reload "$INSTANCE"
	[ "$(events --cluster old --kind ready | cut -d' ' -f1)" = ready ]
	run client events "$INSTANCE" --cluster none
	[ "$status" -eq 69 ]
	[[ $output == *"no cluster 'none'"* ]]
}

@test "what no event can be asked for by is told" {
	start_kept
	run -64 client events --kind exit,ready
	[[ $output == *"no event is called 'exit'"* ]]
	[[ $output == *"started, ready, exited,"* ]]
	run -64 client events --since soon
	[[ $output == *"--since: wanted a time such as '10m'"* ]]
	run -64 client events "$INSTANCE/$INSTANCE" --cluster web
	[[ $output == *"'$INSTANCE' is not in the cluster 'web'"* ]]
	run -0 client events "$INSTANCE.1" --cluster "$INSTANCE" --json
	[ "$(jq -c '.slot' <<<"$output" | sort -u)" = 1 ]
}
