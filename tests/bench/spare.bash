# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# One worker of Node, and one of the JVM, killed under 400 connections/s, with and
# without a spare, for scripts/bench: what the slowest of a hundred clients sees.
# A spare that has not answered anything yet compiles and loads for its first answers,
# which takes time: so it does by hand, too.  One with a check is asked before.
# SPARE_ROUNDS is how many times; the best one counts.

SPARE_ROUNDS=${SPARE_ROUNDS:-3}

# killed_with SPARES NAME COMMAND...: sets P99 (ms) and LOST.  `asked` has more options.
killed_with() {
	local spares=$1 name=$2 port load

	port=$(free_port)
	begin ./nclust -n 1 --spare "$spares" --name "$name" --log inherit \
		"${asked[@]}" -- "${@:3}" "$port"
	wait_ready "$name" || return
	until_holds 30 "'$name' has no spare" spares_are "$name" "$spares" ||
		return
	# what is compiled at first use is, by then
	"$OPENLOAD" "$port" --rate 400 --for 3000 >/dev/null
	"$OPENLOAD" "$port" --rate 400 --for 6000 \
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

# cold_by_hand COMMAND...: the floor.  Two by hand; one is asked as above for 2 s, and
# for the rest of the time the other one, which was never asked before.  Sets P99.
cold_by_hand() {
	local ports=("$(free_port)" "$(free_port)") port record=$BENCH_DIR/cold

	for port in "${ports[@]}"; do
		begin "$@" "$port"
	done
	for port in "${ports[@]}"; do
		until_holds 30 "'$1' does not listen" listens "$port" || return
	done
	sleep 1
	"$OPENLOAD" "${ports[0]}" --rate 400 --for 3000 >/dev/null
	"$OPENLOAD" "${ports[0]}" --rate 400 --for 2000 \
		--record "$record.0" >/dev/null
	"$OPENLOAD" "${ports[1]}" --rate 400 --for 4000 \
		--record "$record.1" >/dev/null
	stop_last
	stop_last
	P99=$(cut -d' ' -f4 "$record".? | sort -n | awk '{ took[NR] = $1 }
		END { print took[int(NR * 0.99)] / 1000 }')
}

# warm_by_hand COMMAND...: one by hand that is never killed, under the same load.  What a
# machine with a worker that does not die would show.  Sets P99.
warm_by_hand() {
	local port

	port=$(free_port)
	begin "$@" "$port"
	until_holds 30 "'$1' does not listen" listens "$port" || return
	"$OPENLOAD" "$port" --rate 400 --for 3000 >/dev/null
	"$OPENLOAD" "$port" --rate 400 --for 6000 \
		>"$BENCH_DIR/warm"
	stop_last
	P99=$(tail -n 1 "$BENCH_DIR/warm" | jq '.p99 / 1000')
}

listens() {
	ss -Htln "sport = :$1" | grep -q .
}

spares_are() {
	[ "$(./nclust status "$1" --json | jq '[.clusters[0].workers[] |
		select(.state == "spare")] | length')" -eq "$2" ]
}

killed_both_ways() {
	local name=$1 bound=$2 round with=() without=() cold=() asked_with=()
	local warm=()
	local asked=()

	for ((round = 0; round < SPARE_ROUNDS; round++)); do
		killed_with 1 "$name" "${@:3}" || return
		with+=("$P99")
		note "with a spare: p99 $P99 ms, lost $LOST"
		if [ "$name" != node ]; then # Node's are not asked
			asked=(--check http:/)
			killed_with 1 "$name" "${@:3}" || return
			asked_with+=("$P99")
			note "with one that is asked: p99 $P99 ms, lost $LOST"
			asked=()
		fi
		killed_with 0 "$name" "${@:3}" || return
		without+=("$P99")
		note "without: p99 $P99 ms, lost $LOST"
		cold_by_hand "${@:3}" || return
		cold+=("$P99")
		warm_by_hand "${@:3}" || return
		warm+=("$P99")
	done
	most "SIGKILL of the only $name, with a spare: p99" \
		"$(best "${with[@]}")" "$bound" ms
	[ "$name" = node ] ||
		most "the same, with a spare that is asked before: p99" \
			"$(best "${asked_with[@]}")" "$bound" ms
	beside "without" "$(best "${without[@]}")"
	beside "by hand, one that was never asked, no kill" "$(best "${cold[@]}")"
	beside "by hand, one that was asked, no kill" "$(best "${warm[@]}")"
}

figure_spare() {
	killed_both_ways node 1.5 node "$PLAIN_JS" ||
		return
	if ! javac -d "$BENCH_DIR" "$ROOT/tests/e2e/servers/Slow.java"; then
		note "no JDK here"
		return
	fi
	killed_both_ways java 1.5 java -cp "$BENCH_DIR" Slow
}
