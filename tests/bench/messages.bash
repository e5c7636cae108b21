# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# Messages from one worker to another, for scripts/bench: the same two workers
# under nclust and under a primary of Node's, in turns.

MESSAGES=300000
MESSAGES_ROUNDS=5

# chat COMMAND...: run the two under this, and say how many came a second.
chat() {
	local file=$BENCH_DIR/chat

	rm -f "$file"
	"$@" build/bench/chat "$MESSAGES" "$file" 2>>"$BENCH_DIR/err" &
	started+=($!)
	await_rate "$file"
	stop_last
	cat "$file"
}

await_rate() {
	local i

	for ((i = 0; i < 3000; i++)); do
		[ ! -s "$1" ] || return 0
		sleep 0.02
	done
	echo "bench: no messages came through" >&2
	return 1
}

messages() {
	local round ours=() theirs=()

	for ((round = 0; round < MESSAGES_ROUNDS; round++)); do
		ours+=("$(chat ./nclust -n 2 --name chat --ipc on \
			--relay others --ready alive:1ms --)") || return
		theirs+=("$(chat node tests/bench/relay.js)") || return
	done
	least "small messages relayed" "$(highest "${ours[@]}")" \
		"$(highest "${theirs[@]}")" 3 "a second"
	note "one write each, 27 bytes; best of $MESSAGES_ROUNDS"
}
