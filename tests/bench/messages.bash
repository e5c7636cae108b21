# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# Messages from one worker to another, for scripts/bench: the same two workers
# under nclust and under a primary of Node's, in turns.

MESSAGES=500000
MESSAGES_ROUNDS=5

# chat COMMAND...: run the two under this, and say how many came a second, and
# the CPU time of who relayed them, in ns each.
chat() {
	local file=$BENCH_DIR/chat cpu

	rm -f "$file"
	begin "$@" build/bench/chat "$MESSAGES" "$file"
	until_holds 60 "no messages came through" test -s "$file" || return
	cpu=$(cpu_ns "${started[-1]}")
	stop_last
	echo "$(cat "$file") $((cpu / MESSAGES))"
}

figure_messages() {
	local round got ours=() theirs=() our_cpu=() their_cpu=()

	for ((round = 0; round < MESSAGES_ROUNDS; round++)); do
		got=$(chat ./nclust -n 2 --name chat --ipc on \
			--relay others --ready alive:1ms --) || return
		ours+=("${got% *}") our_cpu+=("${got#* }")
		got=$(chat node tests/bench/relay.js) || return
		theirs+=("${got% *}") their_cpu+=("${got#* }")
	done
	# so many at least, whoever else could relay more
	least "small messages relayed" "$(highest "${ours[@]}")" 100000 1 \
		"a second"
	beside "beside Node's primary" "$(highest "${ours[@]}")" \
		"$(highest "${theirs[@]}")"
	beside "CPU time of the relay, each (ns)" "$(best "${our_cpu[@]}")" \
		"$(best "${their_cpu[@]}")"
	note "27 bytes or so, a write each; best of $MESSAGES_ROUNDS"
}
