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
	begin ./nclust -n 2..16 --spare "$1" --name burst \
		-l "127.0.0.1:$PORT" -- "$SERVE" --notify --delay "$START"
	wait_ready burst && until_holds 20 "no spare" spares_are burst "$1"
}

serving() {
	./nclust status burst --json | jq '.clusters[0].workers[] |
		select(.state == "ready").pid'
}

# From the first client to the first answer of a worker that was added.
figure_autoscale() {
	local spares turn took
	local -A burst

	for turn in 1 2 3 4 5; do
		for spares in 0 1; do
			burst_begin "$spares" || return
			# shellcheck disable=SC2046 # a list of numbers
			took=$(python3 tests/bench/burst.py "$PORT" \
				"/sleep/$WORK" 100 $(serving)) || return
			burst[$spares]+=" $took"
			stop_last
		done
	done
	row "a burst: first answer of an added worker, to its own start" \
		"$(($(best "${burst[0]}") - WORK * 1000))" "$((START * 1000))" 1.2 µs
	most "    with a spare" "$(($(best "${burst[1]}") - WORK * 1000))" 5000 µs
}

