#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The examples of etc/examples run as they are, from the top of the sources,
# and do what they say.
#
# shellcheck disable=SC2034 # what the loaded files read

load ../../lib
load ../../life
bats_require_minimum_version 1.5.0

setup() {
	life_setup
	cd "$ROOT" || return
}

# example NAME: a copy of it, with another port, and two workers of what has as many
# as there are CPUs.
example() {
	nclust config -c "etc/examples/$1/$1.ini" --check
	cp -r "etc/examples/$1" "$DIR/$1"
	sed -e "s/8080/$PORT/g" -e "s/workers = auto/workers = 2/" \
		"etc/examples/$1/$1.ini" >"$DIR/$1/$INSTANCE.ini"
	start_cluster -c "$DIR/$1/$INSTANCE.ini"
}

ask() {
	curl -sS --max-time "$((20 * PATIENCE))" "http://127.0.0.1:$PORT$1"
}

# Ten at once, some at each of the two workers that compute.
ask_ten() {
	local i asking=()

	for ((i = 0; i < 10; i++)); do
		ask "/primes?below=1000" >>"$DIR/answers" 3>&- &
		asking+=("$!")
	done
	wait "${asking[@]}"
}

# As ask_ten, but nobody waits for the answers.
begin_ten() {
	local i

	: >"$DIR/answers"
	for ((i = 0; i < 10; i++)); do
		ask "/primes?below=1000" >>"$DIR/answers" 3>&- &
	done
}

@test "compute: a web server hands what takes long to a cluster of its own" {
	local workers pid

	must_have node
	example compute
	[ "$(ask /)" = "ask for /primes?below=N" ]
	[ "$(ask '/primes?below=1000000' | jq .primes)" -eq 78498 ]
	[ "$(ask '/nothing')" = \
		"wanted /primes?below=N, with N up to 100000000" ]

	# who answers does not compute, and all who compute are asked
	ask_ten
	[ "$(grep -c '"primes":168,' "$DIR/answers")" -eq 10 ]
	CLUSTER=compute
	workers=$(worker_pids | tr ' ' '\n' | sort)
	[ "$(jq .pid "$DIR/answers" | sort -u)" = "$workers" ]

	# who computes is busy: the web is not, and who asks has to wait
	# shellcheck disable=SC2086 # a list of pids
	freeze $workers
	begin_ten
	[ "$(ask /)" = "ask for /primes?below=N" ]
	[ ! -s "$DIR/answers" ]

	# and if they die of it, the question does not
	for pid in $workers; do
		kill -KILL "$pid"
	done
	wait_until 20 '[ "$(grep -c "primes.:168," "$DIR/answers")" -eq 10 ]'
}
