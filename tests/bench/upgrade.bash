# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# What it costs that nclust replaces itself, for scripts/bench.

UPGRADE_ROUNDS=15

# Until FILE says so.
await_word() {
	local i

	for ((i = 0; i < 500; i++)); do
		! grep -qs "$2" "$1" || return 0
		sleep 0.02
	done
	echo "bench: never '$2' in $1" >&2
	return 1
}

# The longest time without an answer of the control socket, in one upgrade each:
# sets SILENCES (in microseconds) and TOOK (in milliseconds, of the verb).
silences() {
	local round began asker

	SILENCES=() TOOK=()
	for ((round = 0; round < UPGRADE_ROUNDS; round++)); do
		: >"$BENCH_DIR/silence"
		build/bench/silence "$NCLUST_RUNTIME_DIR/$1/control" \
			>"$BENCH_DIR/silence" &
		asker=$!
		await_word "$BENCH_DIR/silence" ready || return
		began=${EPOCHREALTIME/[.,]/}
		./nclust upgrade "$1" >/dev/null || return
		TOOK+=($((${EPOCHREALTIME/[.,]/} - began)))
		kill -TERM "$asker"
		wait "$asker" || return
		SILENCES+=("$(tail -n 1 "$BENCH_DIR/silence" | cut -d' ' -f1)")
	done
}

upgrade_of_many() {
	./nclust -n 1000 --name many --listen "127.0.0.1:$(free_port)" \
		--ready alive:1ms --log inherit \
		-- "$SERVE" --quick-start >/dev/null 2>>"$BENCH_DIR/err" &
	started+=($!)
	wait_ready many && silences many
	stop_last
	[ ${#SILENCES[@]} -eq "$UPGRADE_ROUNDS" ] || return
	most "upgrade, 1,000 workers: longest silence" \
		"$(milliseconds "$(best "${SILENCES[@]}")")" 20 ms
	note "of $UPGRADE_ROUNDS upgrades the best; the worst" \
		"$(milliseconds "$(highest "${SILENCES[@]}")") ms; the verb" \
		"took $(milliseconds "$(best "${TOOK[@]}")") ms at best"
}

milliseconds() {
	awk -v us="$1" 'BEGIN { printf "%.1f", us / 1000 }'
}

# Under load: nothing lost, and nobody waits longer for it.
upgrade_under_load() {
	local port with without kind round

	port=$(free_port)
	./nclust -n 4 --name load --listen "127.0.0.1:$port" --ready notify \
		--log inherit -- "$SERVE" --notify >/dev/null \
		2>>"$BENCH_DIR/err" &
	started+=($!)
	wait_ready load || return
	for kind in without with; do
		build/fixtures/openload "$port" --rate 400 \
			>"$BENCH_DIR/$kind" &
		with=$!
		await_word "$BENCH_DIR/$kind" ready || return
		for ((round = 0; round < 20; round++)); do
			[ "$kind" = without ] ||
				./nclust upgrade load >/dev/null || return
			sleep 0.1
		done
		kill -TERM "$with"
		wait "$with"
	done
	stop_last
	with=$(tail -n 1 "$BENCH_DIR/with")
	without=$(tail -n 1 "$BENCH_DIR/without")
	most "20 upgrades under load: requests lost" \
		"$(jq .lost <<<"$with")" 0 "of $(jq .sent <<<"$with")"
	row "20 upgrades under load: p99" "$(jq .p99 <<<"$with")" \
		"$(jq .p99 <<<"$without")" 1.5 µs
}

figure_upgrade() {
	upgrade_of_many && upgrade_under_load
}
