# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
#
# `essential = yes`: nclust ends with that cluster, and with its exit status.

bats_require_minimum_version 1.5.0
load ../../lib

# write_ini [LINE]...: a helper cluster, and the essential one, which becomes ready
# and ends when there is a file `end`: with the status that is in it.
write_ini() {
	printf '%s\n' 'while [ ! -s "$1/end" ]; do sleep 0.05; done' \
		'exit "$(cat "$1/end")"' >"$DIR/main.sh"
	printf '%s\n' '[cluster:side]' "command = $FIXTURES/hear --notify" \
		'ready = notify' 'workers = 1' \
		'[cluster:main]' "command = sh $DIR/main.sh $DIR" \
		'ready = alive:50ms' 'workers = 1' 'restart = never' \
		'intercept = off' 'essential = yes' "$@" >"$DIR/it.ini"
}

@test "nclust ends with the status of its essential cluster, the others gracefully" {
	write_ini
	start_cluster -c "$DIR/it.ini"
	echo 7 >"$DIR/end.new"
	mv "$DIR/end.new" "$DIR/end"
	wait_exit
	[ "$status" -eq 7 ]
	logged 'main: has ended, and is essential: nclust ends with status 7'
	grep -q '^slot=0 pid=[0-9]* TERM' "$LOG"
	run ! logged SIGKILL
}

@test "one that ends with success ends nclust with success" {
	write_ini
	start_cluster -c "$DIR/it.ini"
	echo 0 >"$DIR/end.new"
	mv "$DIR/end.new" "$DIR/end"
	wait_exit
	[ "$status" -eq 0 ]
}

@test "one that gives up ends nclust with 1" {
	write_ini 'give-up = 1/1m'
	sed -i 's/restart = never/restart = always/' "$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	echo 3 >"$DIR/end.new"
	mv "$DIR/end.new" "$DIR/end"
	wait_exit
	[ "$status" -eq 1 ]
	logged 'main: has failed, and is essential: nclust ends with status 1'
}

@test "one that the operator stops or a reload removes ends nothing else" {
	write_ini
	start_cluster -c "$DIR/it.ini"
	nclust stop "$INSTANCE/main"
	CLUSTER=side
	[ "$(cluster .ready)" -eq 1 ]
	nclust restart "$INSTANCE/main"
	sed -i '/^.cluster:main/,$d' "$DIR/it.ini"
	nclust reload "$INSTANCE"
	[ "$(cluster .ready)" -eq 1 ]
	[ "$(status_json | jq '.clusters | length')" -eq 1 ]
}

@test "a reload makes one essential, and an upgrade keeps that" {
	write_ini
	sed -i '/^essential/d' "$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	echo 'essential = yes' >>"$DIR/it.ini"
	nclust reload "$INSTANCE"
	nclust upgrade "$INSTANCE"
	echo 9 >"$DIR/end.new"
	mv "$DIR/end.new" "$DIR/end"
	wait_exit
	[ "$status" -eq 9 ]
}
