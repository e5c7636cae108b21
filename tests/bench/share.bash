# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# The figures of what workers share, for scripts/bench: memory (`shm`) and the
# CPUs (`threads`).

# has_lines COUNT FILE
has_lines() {
	[ "$(wc -l 2>/dev/null <"$2")" = "$1" ]
}

# The segment beside memory that the same process has for itself.
figure_shm() {
	local out=$BENCH_DIR/shm name segment own

	: >"$out"
	begin ./nclust -n 1 --name shm --log inherit --ready alive:0 \
		--shared-memory 64M -- "$ROOT/build/bench/shm" "$out"
	until_holds 60 "no result in $out" has_lines 3 "$out"
	stop_last
	while read -r name segment own; do
		case $name in
		add) name="shared memory: an atomic addition" unit=ns ;;
		stride) name="shared memory: a write, all over 64M" unit=ns ;;
		copy) name="shared memory: a copy of 1 MB" unit=µs ;;
		esac
		row "$name" "$segment" "$own" 1.10 "$unit"
	done <"$out"
	[ -s "$out" ]
}

# crunched WAY...: workers that compute for a while; sets JOBS (a second, all
# together), P50 and P99 (ms, of the worst) and SWITCHES (of a job).
crunched() {
	local out=$BENCH_DIR/crunched cpus

	cpus=$(nproc)
	: >"$out"
	begin ./nclust -n "$cpus" --name crunch --log inherit --ready alive:0 \
		"$@" -- "$BENCH_DIR/crunch" "$CRUNCH_SECONDS" "$out"
	until_holds $((CRUNCH_SECONDS + 20)) "no result in $out" \
		has_lines "$cpus" "$out"
	stop_last
	read -r JOBS P50 P99 SWITCHES THREADS < <(awk \
		-v seconds="$CRUNCH_SECONDS" '
		{ jobs += $1; switches += $4; threads = $5 }
		$2 > p50 { p50 = $2 }
		$3 > p99 { p99 = $3 }
		END { printf "%.1f %.2f %.2f %.2f %d\n", jobs / seconds, p50,
			p99, switches / jobs, threads }' "$out")
}

# The example of nclust-threads(7) on all CPUs, with the budget and without, in
# turns.
figure_threads() {
	local turn way
	local -A jobs p50 p99 switches threads

	CRUNCH_SECONDS=${CRUNCH_SECONDS:-6}
	gcc -O2 -fopenmp -o "$BENCH_DIR/crunch" etc/examples/threads/crunch.c ||
		return
	for ((turn = 0; turn < 3; turn++)); do
		for way in off auto spread; do
			if [ "$way" = spread ]; then
				crunched --threads auto --cpu spread
			else
				crunched --threads "$way"
			fi || return
			jobs[$way]="${jobs[$way]-} $JOBS"
			p50[$way]="${p50[$way]-} $P50"
			p99[$way]="${p99[$way]-} $P99"
			switches[$way]="${switches[$way]-} $SWITCHES"
			threads[$way]=$THREADS
		done
	done
	best_each jobs highest
	best_each p50
	best_each p99
	best_each switches
	note "$(nproc) workers of ${threads[off]} threads each, with" \
		"'threads = auto' of ${threads[auto]}"
	least "threads = auto: jobs" "${jobs[auto]}" "${jobs[off]}" 1.0 1/s
	row "threads = auto: a job, p99" "${p99[auto]}" "${p99[off]}" 0.9 ms
	row "threads = auto: context switches a job" "${switches[auto]}" \
		"${switches[off]}" 0.5 count
	# one that finds the CPUs free has more of them without a budget
	beside "threads = auto: a job, median, ms" "${p50[auto]}" \
		"${p50[off]}"
	beside "and cpu = spread: jobs, 1/s" "${jobs[spread]}" "${jobs[off]}"
	beside "and cpu = spread: a job, p99, ms" "${p99[spread]}" \
		"${p99[off]}"
	beside "and cpu = spread: context switches a job" \
		"${switches[spread]}" "${switches[off]}"
}
