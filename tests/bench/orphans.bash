# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# What it costs that nclust is killed, for scripts/bench.

ORPHAN_ROUNDS=5

# start_orphans NAME WORKERS PORT: nclust with them, and its pid last of those
# started.
start_orphans() {
	./nclust -n "$2" --name "$1" --listen "127.0.0.1:$3" --orphans keep \
		--intercept off --ready notify --log inherit \
		-- "$SERVE" --notify --quick-start >/dev/null \
		2>>"$BENCH_DIR/$1" &
	started+=($!)
	wait_ready "$1"
}

kill_last() {
	kill -KILL "${started[-1]}"
	wait "${started[-1]}" 2>/dev/null
	unset 'started[-1]'
}

# adopted NAME WORKERS PORT: killed and started again, so many times; sets TOOK,
# in milliseconds, as it says itself.
adopted() {
	local round

	TOOK=()
	: >"$BENCH_DIR/$1"
	start_orphans "$@" || return
	for ((round = 0; round < ORPHAN_ROUNDS; round++)); do
		kill_last
		start_orphans "$@" || return
	done
	mapfile -t TOOK < <(sed -n \
		"s/.*took over $2 workers .* in \(.*\) ms/\1/p" "$BENCH_DIR/$1")
	[ ${#TOOK[@]} -eq "$ORPHAN_ROUNDS" ]
}

orphans_adopted() {
	adopted few 20 "$(free_port)" || return
	stop_last
	most "SIGKILL: 20 workers taken over" \
		"$(printf '%s\n' "${TOOK[@]}" | sort -n | head -n 1)" 5 ms
	adopted many 1000 "$(free_port)" || return
	./nclust stop many --now >/dev/null
	stop_last
	most "SIGKILL: 1,000 workers taken over" \
		"$(printf '%s\n' "${TOOK[@]}" | sort -n | head -n 1)" 50 ms
	note "of $ORPHAN_ROUNDS each the best; all of the latter: ${TOOK[*]}"
}

# All workers go on, and so does what waits in the kernel's queue.
orphans_under_load() {
	local port load round pids

	port=$(free_port)
	start_orphans load 4 "$port" || return
	pids=$(./nclust status load --json | jq -c '[.clusters[].workers[].pid]')
	build/fixtures/openload "$port" --rate 1000 >"$BENCH_DIR/open" &
	load=$!
	await_word "$BENCH_DIR/open" ready || return
	for ((round = 0; round < 20; round++)); do
		kill_last
		sleep 0.1
		start_orphans load 4 "$port" || return
	done
	kill -TERM "$load"
	wait "$load"
	[ "$pids" = "$(./nclust status load --json |
		jq -c '[.clusters[].workers[].pid]')" ] ||
		note "not the same workers"
	stop_last
	load=$(tail -n 1 "$BENCH_DIR/open")
	most "SIGKILL of nclust, 20 times: requests lost" \
		"$(jq .lost <<<"$load")" 0 "of $(jq .sent <<<"$load")"
	note "p99 $(jq .p99 <<<"$load") µs, the longest" \
		"$(jq .max <<<"$load") µs"
}

figure_orphans() {
	orphans_adopted && orphans_under_load
}
