#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154,SC2314
#
# Hooks and `exec:` probes that run, or wait, while nclust replaces itself: they
# are watched on, and heard.

bats_require_minimum_version 1.5.0
# takes long
load ../../lib
load ../../upgrade

setup() {
	upgrade_setup
	# Says that it runs, waits until it may go on, ends as it is told to.
	cat >"$DIR/wait" <<-'END'
		#!/bin/sh
		dir=${0%/*}
		echo "$$ $NCLUST_SLOT" >>"$dir/begun"
		while [ ! -e "$dir/go" ]; do sleep 0.05; done
		echo "$$ $NCLUST_SLOT" >>"$dir/ended"
		read -r status <"$dir/go"
		exit "$status"
	END
	chmod 755 "$DIR/wait"
	: >"$DIR/begun"
	: >"$DIR/ended"
}

# go STATUS: all may end, so.
go() {
	echo "$1" >"$DIR/.go"
	mv "$DIR/.go" "$DIR/go"
}

# has FILE COUNT: so many lines.
has() {
	[ "$(wc -l <"$DIR/$1")" -eq "$2" ]
}

@test "the end of a hook that ran through an upgrade is heard" {
	start_cluster -n 1 --ready alive:10ms --on-ready "$DIR/wait" \
		--on-scale "$DIR/wait" -- "$FIXTURES/hear"
	wait_until 10 'has begun 1'
	upgrade
	upgrade
	go 5
	wait_logged "the hook on-ready ('$DIR/wait') failed: exit 5"

	# … also that it goes well, in another one
	rm "$DIR/go"
	client scale "$INSTANCE" 2
	wait_until 10 'has begun 3'
	upgrade
	go 0
	wait_until 10 'has ended 3'
	run ! logged "on-scale"
	wait_until 10 '[ "$(pgrep -c -r Z -P "$NCLUST_PID")" -eq 0 ]'
}

@test "a hook that ran through an upgrade is killed when its minute is over" {
	start_cluster -n 1 --ready alive:10ms \
		--on-ready "sh -c '$NAP & $NAP'" \
		-- "$FIXTURES/hear"
	wait_until 10 '[ "$(pgrep -fc "^$NAP")" -eq 2 ]'
	upgrade
	[ "$(pgrep -fc "^$NAP")" -eq 2 ]
	wait_until 80 'logged "killed because it ran for more than a minute"'
	wait_until 10 '[ -z "$(pgrep -f "^$NAP")" ]'
}

@test "hooks that wait for a place run after an upgrade, each once" {
	start_cluster -n 20 --ready alive:10ms --on-ready "$DIR/wait" \
		-- "$FIXTURES/hear"
	wait_until 20 'has begun 16'
	upgrade
	has begun 16
	go 0
	wait_until 20 'has ended 20'
	[ "$(cut -d" " -f2 "$DIR/begun" | sort -un | wc -l)" -eq 20 ]
	has begun 20
}

@test "ready = exec: the answer of a command that ran through it counts" {
	start_nclust -n 1 --ready "exec:$DIR/wait" --check-timeout 1m \
		-- "$FIXTURES/hear"
	wait_until 10 'has begun 1'
	upgrade
	[ "$(worker_state 0)" = starting ]
	go 0
	wait_ready
	has begun 1
}

@test "check = exec: the answer of a command that ran through it counts" {
	start_cluster -n 1 --ready alive:10ms --check "exec:$DIR/wait" \
		--check-interval 1h --check-timeout 1m --check-failures 1 \
		-- "$FIXTURES/hear"
	pid=$(worker_pid 0)
	wait_until 10 'has begun 1'
	upgrade
	go 9
	wait_logged "worker $pid failed 1 check, '$DIR/wait': exit 9"
	wait_until 10 '[ "$(worker_pid 0)" != "$1" ]' "$pid"
}

@test "check = exec: one that ran through it has the time that it had" {
	start_cluster -n 1 --ready alive:10ms --check-interval 1h \
		--check "exec:$NAP" --check-timeout 8s \
		--check-failures 100 --log-level info -- "$FIXTURES/hear"
	wait_until 10 '[ "$(pgrep -fc "^$1")" -eq 1 ]' "$NAP"
	pid=$(pgrep -f "^$NAP")
	upgrade
	[ "$(pgrep -f "^$NAP")" = "$pid" ]
	wait_logged "failed a check, '$NAP': no answer in time" 1 20
	is_gone "$pid"
	[ "$(worker 0 .checks.failed)" -eq 1 ]
}

@test "any one call fails meanwhile: workers and commands run on" {
	need strace
	serve_two --on-ready "$NAP" --check "exec:$NAP" \
		--check-interval 1h --check-timeout 10m
	wait_until 10 '[ "$(pgrep -fc "^$1")" -ge 3 ]' "$NAP"
	commands=$(pgrep -f "^$NAP")
	fails_once fcntl EBADF 40
	fails_once memfd_create ENOMEM 3
	fails_once waitid ECHILD 12
	for pid in $commands; do
		is_alive "$pid"
	done
	upgrade
}
