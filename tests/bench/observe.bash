# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# What it costs to look at nclust by HTTP, for scripts/bench: a page that is open, and
# a scrape of /metrics each second.

OBSERVED=10 # seconds

# The CPU time of a process, its threads and the children that it has waited for, µs.
cpu_all() {
	cat /proc/"$1"/task/*/schedstat "/proc/$1/stat" | awk \
		-v hz="$(getconf CLK_TCK)" 'NF == 3 { us += $1 / 1000 }
		NF > 3 { sub(/.*\) /, ""); us += ($14 + $15) / hz * 1e6 }
		END { printf "%.0f", us }'
}

# The wake-ups of these processes so far.
wakeups() {
	local pid

	for pid; do
		cat "/proc/$pid/status"
	done | awk '/^voluntary_ctxt_switches:/ { n += $2 } END { print n }'
}

get() {
	curl -sS -o /dev/null -w '%{time_total}\n' "http://127.0.0.1:$1/$2" \
		2>>"$BENCH_DIR/err"
}

# As web/page.html asks: each PACE seconds.  Sets PERCENT (of one CPU) and SCRAPED
# (median, ms).
observe_page() {
	local port=$1 pace=$2 began cpu second page times=()

	curl -sSN "http://127.0.0.1:$port/events" >/dev/null \
		2>>"$BENCH_DIR/err" &
	page=$!
	get "$port" history >/dev/null
	began=${EPOCHREALTIME/[.,]/}
	cpu=$(($(cpu_all "$SUP") + $(cpu_all "$WEB")))
	for ((second = 0; second < OBSERVED; second++)); do
		((second % pace)) || get "$port" status >/dev/null
		sleep 0.2 # so soon after each other the second one waits
		times+=("$(get "$port" metrics)")
		sleep "$(awk -v us=$((began + (second + 1) * 1000000 - \
			${EPOCHREALTIME/[.,]/})) 'BEGIN {
			print (us > 0 ? us / 1e6 : 0) }')"
	done
	cpu=$(($(cpu_all "$SUP") + $(cpu_all "$WEB") - cpu))
	PERCENT=$(awk -v cpu="$cpu" -v us=$((${EPOCHREALTIME/[.,]/} - began)) \
		'BEGIN { printf "%.2f", 100 * cpu / us }')
	SCRAPED=$(AS=%.4f median "${times[@]}" | awk '{ print $1 * 1000 }')
	kill -TERM "$page"
	wait "$page" 2>/dev/null
}

# The longest turn of its loop, since its start or its last upgrade.
longest_turn() {
	curl -sS "http://127.0.0.1:$1/status" |
		jq '.process.longest_turn_seconds * 1000'
}

# observe_of WORKERS PACE BOUND
observe_of() {
	local port before

	port=$(free_port)
	on_nclust "$1" --http "127.0.0.1:$port" || return
	WEB=$(pgrep -x -P "$SUP" nclust-web)
	if [ -z "$WEB" ] || ! until_holds 10 "no answer" get "$port" healthz \
		>/dev/null; then
		close_watch
		return 1
	fi
	# a birth waits for the CPU that its child gets among all that start
	note "the longest turn of the loop at the start:" \
		"$(longest_turn "$port") ms"
	./nclust upgrade bench >/dev/null || return
	WEB=$(pgrep -x -P "$SUP" nclust-web)
	until_holds 10 "no answer" get "$port" healthz >/dev/null || return
	observe_page "$port" "$2"
	most "$1 workers: a page and a scrape each second" "$PERCENT" "$3" \
		"% of a CPU"
	if [ "$1" -ge 1000 ]; then
		most "/metrics with $1 workers, median" "$SCRAPED" 50 ms
	else
		note "/metrics with $1 workers: $SCRAPED ms (median)"
	fi
	# a status is written in one turn
	most "    the longest turn of its loop since an upgrade" \
		"$(longest_turn "$port")" $(($1 >= 1000 ? 30 : 5)) ms
	sleep 2
	before=$(wakeups "$SUP" "$WEB")
	sleep "$OBSERVED"
	most "$1 workers, no longer observed: wake-ups" \
		$(($(wakeups "$SUP" "$WEB") - before)) 0 ""
	most "    private memory of the process that answers" \
		"$(private "$WEB")" 4096 KiB
	close_watch
}

figure_observe() {
	observe_of 16 1 0.99 && observe_of 1000 5 4.99
}
