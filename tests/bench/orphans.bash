# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# What it costs that nclust is killed, for scripts/bench.

ORPHAN_ROUNDS=5

# start_orphans NAME WORKERS PORT: nclust with them, and its pid last of those
# started.
start_orphans() {
	begin ./nclust -n "$2" --name "$1" --listen "127.0.0.1:$3" \
		--orphans keep --intercept off --ready notify --log inherit \
		-- "$SERVE" --notify --quick-start
	wait_ready "$1"
}

# adopted NAME WORKERS PORT: killed and started again, so many times; sets TOOK,
# in milliseconds, as it says itself.
adopted() {
	local round

	TOOK=()
	: >"$BENCH_DIR/err"
	start_orphans "$@" || return
	for ((round = 0; round < ORPHAN_ROUNDS; round++)); do
		stop_last KILL
		start_orphans "$@" || return
	done
	mapfile -t TOOK < <(sed -n \
		"s/.*took over $2 workers .* in \(.*\) ms/\1/p" "$BENCH_DIR/err")
	[ ${#TOOK[@]} -eq "$ORPHAN_ROUNDS" ]
}

figure_orphans() {
	adopted few 20 "$(free_port)" || return
	stop_last
	most "SIGKILL: 20 workers taken over" \
		"$(best "${TOOK[@]}")" 5 ms
	adopted many 1000 "$(free_port)" || return
	./nclust stop many --now >/dev/null
	stop_last
	most "SIGKILL: 1,000 workers taken over" \
		"$(best "${TOOK[@]}")" 50 ms
	note "of $ORPHAN_ROUNDS each the best; all of the latter: ${TOOK[*]}"
}

