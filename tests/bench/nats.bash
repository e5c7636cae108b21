# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# Messages from a worker under one nclust to one under another, through a broker of
# NATS, for scripts/bench: beside a publisher and a subscriber by libnats alone, with
# the same broker and the same window, in turns.

NATS_ROUNDS=7

# natsload_two PORT COUNT SIZE: between two workers, in bytes a second.
natsload_two() {
	local file=$BENCH_DIR/natsload side work

	rm -f "$file"
	for side in take send; do
		work="$ROOT/build/bench/natsload $side $2 $3"
		[ "$side" = take ] || work="$work $file"
		printf '[cluster:bench]\ncommand = %s\nworkers = 1\nipc = on\n' \
			"$work" >"$BENCH_DIR/nats-$side.ini"
		printf 'ready = alive:1ms\nlog = inherit\nrelay = nats://%s\n' \
			"127.0.0.1:$1" >>"$BENCH_DIR/nats-$side.ini"
		begin ./nclust -c "$BENCH_DIR/nats-$side.ini"
	done
	until_holds 60 "no messages came through" test -s "$file" || return
	stop_last
	stop_last
	cat "$file"
}

# natsload SIZE COUNT: sets `ours` and `theirs`, the best of each, in MB a second.
natsload() {
	local round got ours_=() theirs_=()

	for ((round = 0; round < NATS_ROUNDS; round++)); do
		got=$(build/bench/natsload bare "$nats_port" "$2" "$1") || return
		theirs_+=($((got / 1000000)))
		got=$(natsload_two "$nats_port" "$2" "$1") || return
		ours_+=($((got / 1000000)))
	done
	ours=$(highest "${ours_[@]}")
	theirs=$(highest "${theirs_[@]}")
}

figure_relay_nats() {
	local nats_port ours theirs

	nats_port=$(free_port)
	nats-server -a 127.0.0.1 -p "$nats_port" >"$BENCH_DIR/nats.log" 2>&1 &
	started+=($!)
	await_word "$BENCH_DIR/nats.log" "Server is ready" || return
	natsload 16384 8000 || return
	least "16 KiB messages through NATS, beside libnats" "$ours" \
		"$theirs" 0.7 "MB/s"
	natsload 1024 60000 || return
	least "1 KiB messages, so too" "$ours" "$theirs" 0.7 "MB/s"
	natsload 65536 2000 || return
	beside "messages of 64 KiB" "$ours" "$theirs"
	stop_last
	note "one sender, one receiver, 512 KiB on the way; best of $NATS_ROUNDS"
}
