# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# One worker of Node, and one of the JVM, killed under 400 connections/s, with and
# without a spare, for scripts/bench: what the slowest of a hundred clients sees.
# SPARE_ROUNDS is how many times; the best one counts.

SPARE_ROUNDS=${SPARE_ROUNDS:-3}

# killed_with SPARES NAME COMMAND...: sets P99 (ms) and LOST.
killed_with() {
	local spares=$1 name=$2 port load

	port=$(free_port)
	./nclust -n 1 --spare "$spares" --name "$name" --log inherit \
		-- "${@:3}" "$port" >/dev/null 2>&1 &
	started+=($!)
	wait_ready "$name" || return
	until_holds 30 "'$name' has no spare" spares_are "$name" "$spares" ||
		return
	# what is compiled at first use is, by then
	build/fixtures/openload "$port" --rate 400 --for 3000 >/dev/null
	build/fixtures/openload "$port" --rate 400 --for 6000 \
		>"$BENCH_DIR/$name.load" &
	load=$!
	sleep 2
	kill -KILL "$(./nclust status "$name" --json | jq '.clusters[0].workers[] |
		select(.state == "ready").pid')"
	wait "$load"
	read -r P99 LOST < <(tail -n 1 "$BENCH_DIR/$name.load" | jq -r \
		'"\(.p99 / 1000) \(.lost)"')
	stop_last
}

spares_are() {
	[ "$(./nclust status "$1" --json | jq '[.clusters[0].workers[] |
		select(.state == "spare")] | length')" -eq "$2" ]
}

killed_both_ways() {
	local name=$1 bound=$2 round with=() without=()

	for ((round = 0; round < SPARE_ROUNDS; round++)); do
		killed_with 1 "$name" "${@:3}" || return
		with+=("$P99")
		note "with a spare: p99 $P99 ms, lost $LOST"
		killed_with 0 "$name" "${@:3}" || return
		without+=("$P99")
		note "without: p99 $P99 ms, lost $LOST"
	done
	most "SIGKILL of the only $name, with a spare: p99" \
		"$(best "${with[@]}")" "$bound" ms
	beside "without" "$(best "${without[@]}")"
}

figure_spare() {
	killed_both_ways node 1.5 node "$ROOT/tests/e2e/servers/plain.js" ||
		return
	if ! javac -d "$BENCH_DIR" "$ROOT/tests/e2e/servers/Slow.java"; then
		note "no JDK here"
		return
	fi
	killed_both_ways java 1.5 java -cp "$BENCH_DIR" Slow
}
