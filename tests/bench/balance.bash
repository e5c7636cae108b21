# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench has the rest
#
# How connections are spread over workers, for scripts/bench: by a shared socket, in
# turn, or to the worker that has the least to do.  In turns; beside servers by hand
# with the same kind of socket (build/bench/group).

BALANCE_WAYS=(share rr least)

# balance_begin WAY WORKERS RUDE-OPTION...: sets BALANCE_PORT.
balance_begin() {
	BALANCE_PORT=$(free_port)
	begin ./nclust --name "balance-$1" -n "$2" -l "127.0.0.1:$BALANCE_PORT" \
		--balance "$1" --log inherit --ready notify -- \
		"$RUDE" --blocking --close "${@:3}"
	wait_ready "balance-$1"
}

balance_load() {
	"$OPENLOAD" "127.0.0.1:$BALANCE_PORT" "$@" | tail -n 1
}

# The standard deviation of the workers' shares, of their mean.
balance_cv() {
	awk '{ n[$NF]++ } END {
		for (i in n) { sum += n[i]; squares += n[i] ^ 2; k++ }
		mean = sum / k
		printf "%.3f\n", sqrt((squares / k - mean ^ 2 > 0 ? \
			squares / k - mean ^ 2 : 0)) / mean
	}' "$1"
}

balance_spread() {
	local way record=$BENCH_DIR/record
	local -A most=([rr]=0.02 [least]=0.12 [share]=9)

	for way in "${BALANCE_WAYS[@]}"; do
		balance_begin "$way" 8 || return
		balance_load --rate 500 --for 4000 --record "$record" >/dev/null
		stop_last
		if [ "$way" = share ]; then
			beside "spread of 500/s over 8: share, CV" \
				"$(balance_cv "$record")"
		else
			most "spread of 500/s over 8: $way, CV" \
				"$(balance_cv "$record")" "${most[$way]}" ""
		fi
	done
}

balance_mean() {
	in_order "$@" | awk '{ sum += $1 } END { print int(sum / NR) }'
}

# 60 % of what 8 workers can do, where each tenth request takes 100 times as long.
# p99 is what a few of these wait for if all are busy, so that it depends on the
# schedule: in a simulation of 600 schedules of 6 s nine of ten are below 112 ms with
# one queue, and below 145 ms where each connection stays in the queue that it came
# to, of the worker that has been busy longest; the means are 1.07 to 1.11 apart.
# So each turn has a schedule of its own, the same for all, and the mean counts.
balance_slow() {
	local way turn
	local -A p50 p99

	for ((turn = 0; turn < ${ROUNDS:-10}; turn++)); do
		for way in "${BALANCE_WAYS[@]}"; do
			balance_begin "$way" 8 --work 1 --slow 100 || return
			REPORT=$(balance_load --rate 440 --jitter --path /:9 \
				--path /slow:1 --seed "$turn" --for 6000)
			stop_last
			p50[$way]+=" $(jq .p50 <<<"$REPORT")"
			p99[$way]+=" $(jq .p99 <<<"$REPORT")"
		done
	done
	best_each p50
	best_each p99 balance_mean
	row "60 % load, a tenth slow: least, p99" "${p99[least]}" \
		"${p99[share]}" 1.1 µs
	beside "least, median, µs" "${p50[least]}" "${p50[share]}"
	beside "rr, p99, µs" "${p99[rr]}" "${p99[share]}"
	beside "rr, median, µs" "${p50[rr]}" "${p50[share]}"
}

# One of four hangs for 2 s.
balance_hung() {
	local way pid worst turn

	for way in "${BALANCE_WAYS[@]}"; do
		worst=
		for turn in 1 2 3; do
			balance_begin "$way" 4 --work 1 || return
			pid=$(./nclust status --json "balance-$way" |
				jq '.clusters[0].workers[1].pid')
			(
				sleep 1
				kill -STOP "$pid"
				sleep 2
				kill -CONT "$pid"
			) &
			worst+=" $(balance_load --rate 400 --jitter --for 5000 |
				jq .max)"
			wait $!
			stop_last
		done
		worst=$(best "$worst")
		if [ "$way" = least ]; then
			most "1 of 4 hangs for 2 s: least, slowest answer" \
				"$worst" 150000 µs
		else
			beside "1 of 4 hangs for 2 s: $way, µs" "$worst"
		fi
	done
}

balance_wrk() {
	wrk -t 1 -c 16 -d 1 "http://127.0.0.1:$BALANCE_PORT/" |
		awk '/^Requests\/sec/ { print int($2) }'
}

balance_rate() {
	local way turn
	local -A mine hand

	for ((turn = 0; turn < ${ROUNDS:-7}; turn++)); do
		for way in "${BALANCE_WAYS[@]}"; do
			balance_begin "$way" 4 || return
			mine[$way]+=" $(balance_wrk)"
			stop_last
			BALANCE_PORT=$(free_port)
			begin "$ROOT/build/bench/group" "$way" "$BALANCE_PORT" \
				4 "$RUDE" --blocking --close
			until_holds 10 "nobody listens" curl -fso /dev/null \
				"http://127.0.0.1:$BALANCE_PORT/" || return
			hand[$way]+=" $(balance_wrk)"
			stop_last
		done
	done
	for way in "${BALANCE_WAYS[@]}"; do
		least "$way, to by hand with such sockets" \
			"$(highest "${mine[$way]}")" "$(highest "${hand[$way]}")" \
			0.98 requests/s
	done
}

figure_balance() {
	local part

	for part in ${BALANCE:-spread slow hung rate}; do
		"balance_$part" || return
	done
}
