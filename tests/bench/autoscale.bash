# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# A burst of clients, and the workers that it starts, for scripts/bench.  The workers
# take START ms for their start, and WORK ms for a request.

START=300
WORK=20

# burst_begin SPARES: sets PORT, of 2 to 16 workers that are ready.
burst_begin() {
	PORT=$(free_port)
	./nclust -n 2..16 --spare "$1" --name burst -l "127.0.0.1:$PORT" \
		-- "$SERVE" --notify --delay "$START" 2>"$BENCH_DIR/burst.log" &
	started+=($!)
	wait_ready burst && until_holds 20 "no spare" spares_are burst "$1"
}

serving() {
	./nclust status burst --json | jq '.clusters[0].workers[] |
		select(.state == "ready").pid'
}

# From the first client to the first answer of a worker that was added.
autoscale_burst() {
	local spares turn took
	local -A best=([0]= [1]=)

	for turn in 1 2 3 4 5; do
		for spares in 0 1; do
			burst_begin "$spares" || return
			# shellcheck disable=SC2046 # a list of numbers
			took=$(python3 tests/bench/burst.py "$PORT" \
				"/sleep/$WORK" 100 $(serving)) || return
			best[$spares]+=" $took"
			stop_last
		done
	done
	# shellcheck disable=SC2086 # lists of numbers
	row "a burst: first answer of an added worker, to its own start" \
		"$(($(best ${best[0]}) - WORK * 1000))" "$((START * 1000))" 1.2 µs
	# shellcheck disable=SC2086
	most "    with a spare" "$(($(best ${best[1]}) - WORK * 1000))" 5000 µs
}

# Up and down, and nobody notices.
autoscale_steps() {
	local i load lost steps=${STEPS:-1000}

	PORT=$(free_port)
	./nclust -n 2..4 --name burst -l "127.0.0.1:$PORT" -- "$SERVE" --notify \
		2>"$BENCH_DIR/burst.log" &
	started+=($!)
	wait_ready burst || return
	build/fixtures/openload "$PORT" --rate 300 --for 600000 \
		>"$BENCH_DIR/burst.load" &
	load=$!
	for ((i = 0; i < steps; i++)); do
		./nclust scale burst "$((2 + (i + 1) % 2))" >/dev/null || return
	done
	kill -TERM "$load"
	wait "$load"
	read -r answered lost < <(tail -n 1 "$BENCH_DIR/burst.load" |
		jq -r '"\(.answered) \(.lost)"')
	note "$steps steps, $answered requests"
	most "$steps steps up and down under load: lost" "$lost" 0
	stop_last
}

figure_autoscale() {
	autoscale_burst && autoscale_steps
}
