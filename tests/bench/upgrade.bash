# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# What it costs that nclust replaces itself, for scripts/bench.

UPGRADE_ROUNDS=15

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

# upgrade_step KIND: what is done each 0.1 s.
upgrade_step() {
	case $1 in
	with) ./nclust upgrade load ;;
	starts) ./nclust version && ./nclust version && ./nclust version ;;
	esac >/dev/null
}

# Under load: nothing lost, and nobody waits longer for it than for any programs
# that start beside.
upgrade_under_load() {
	local port with starts without kind round load

	port=$(free_port)
	./nclust -n 4 --name load --listen "127.0.0.1:$port" --ready notify \
		--log inherit -- "$SERVE" --notify >/dev/null \
		2>>"$BENCH_DIR/err" &
	started+=($!)
	wait_ready load || return
	for kind in without starts with without starts with without starts with; do
		build/fixtures/openload "$port" --rate 400 \
			>"$BENCH_DIR/$kind" &
		load=$!
		await_word "$BENCH_DIR/$kind" ready || return
		for ((round = 0; round < 20; round++)); do
			upgrade_step "$kind" || return
			sleep 0.1
		done
		kill -TERM "$load"
		wait "$load"
		tail -n 1 "$BENCH_DIR/$kind" >>"$BENCH_DIR/$kind.all"
	done
	stop_last
	most "20 upgrades under load, three times: requests lost" \
		"$(jq -s 'map(.lost) | add' "$BENCH_DIR/with.all")" 0 \
		"of $(jq -s 'map(.sent) | add' "$BENCH_DIR/with.all")"
	mapfile -t with < <(jq .p99 "$BENCH_DIR/with.all")
	mapfile -t starts < <(jq .p99 "$BENCH_DIR/starts.all")
	mapfile -t without < <(jq .p99 "$BENCH_DIR/without.all")
	beside "20 upgrades under load: p99 in µs" "$(best "${with[@]}")" \
		"$(best "${starts[@]}")"
	note "the baseline starts nclust three times, as an upgrade does" \
		"(the verb, the check, the new image)"
	note "with: ${with[*]}; starts: ${starts[*]}; neither: ${without[*]}"
}

figure_upgrade() {
	upgrade_of_many && upgrade_under_load
}
