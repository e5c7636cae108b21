# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# The figures of servers that bind for themselves, for scripts/bench.

ANSWER_C=build/bench/answer
ANSWER_NODE=(node "$PLAIN_JS")

# Whoever answers at a port, when somebody does.
answerer() {
	local pid

	until_holds 10 "nobody answers at $1" who_answers "$1" &&
		echo "${pid#pid=}"
}

who_answers() {
	pid=$(curl -s --max-time 2 "http://127.0.0.1:$1/")
}

# Until two have answered.
two_answer() {
	local first second i

	first=$(answerer "$1") || return
	for ((i = 0; i < 500; i++)); do
		second=$(answerer "$1") || return
		[ "$second" = "$first" ] || return 0
	done
	echo "bench: only $first answers at $1" >&2
	return 1
}

# --- Memory ------------------------------------------------------------------

# Sets GROWN: the private memory of nclust after its two workers have answered,
# a restart and a death.
grown_nclust() {
	local port dead

	GROWN=
	port=$(free_port)
	begin ./nclust -n 2 --name grown --log inherit --intercept "$1" \
		-- "${@:2}" "$port"
	wait_ready grown && two_answer "$port" &&
		./nclust restart grown >/dev/null 2>&1 &&
		dead=$(answerer "$port") && kill -KILL "$dead" &&
		wait_ready grown && two_answer "$port" && sleep 0.3 &&
		GROWN=$(private "${started[-1]}")
	stop_last
	[ -n "$GROWN" ]
}

# The same workers: with -r they share the port without help, too.
figure_intercept_memory() {
	local round port with without more all_with=() all_without=()

	for ((round = 0; round < 3; round++)); do
		grown_nclust on "$ANSWER_C" -r && all_with+=("$GROWN")
		grown_nclust off "$ANSWER_C" -r && all_without+=("$GROWN")
	done
	[ ${#all_with[@]} -gt 0 ] && [ ${#all_without[@]} -gt 0 ] || return
	with=$(best "${all_with[@]}")
	without=$(best "${all_without[@]}")
	printf -v more '%+d' $((with - without))
	print_row "intercepting: private memory (KiB)" "$with" "$without" \
		"$more" "≤ +64" "$(judge "$more" 64)"
	grown_nclust on "${ANSWER_NODE[@]}"
	beside "nclust above 2 Node servers" "$GROWN" "$without"
	port=$(free_port)
	begin node tests/bench/roll.js "$PLAIN_JS" "$port" 2
	two_answer "$port" && beside "Node's own cluster: its primary" \
		"$(private "${started[-1]}")" "$without"
	stop_last
}

# --- Start -------------------------------------------------------------------

figure_intercept_start() {
	local who round port
	local -A took

	for ((round = 0; round < 9; round++)); do
		for who in nclust cluster; do
			port=$(free_port)
			if [ "$who" = nclust ]; then
				open_watch -q -n 2 ./nclust -n 2 --name nodes \
					--log inherit -- "${ANSWER_NODE[@]}" \
					"$port"
			else
				open_watch -q -n 2 node tests/bench/roll.js \
					"$PLAIN_JS" "$port" 2
			fi
			ask first "$port"
			close_watch
			[ "$ANSWER" -gt 0 ] || return
			took[$who]+=" $ANSWER"
		done
	done
	row "2 Node servers up, against Node's cluster" \
		"$(best "${took[nclust]}")" "$(best "${took[cluster]}")" 0.6 µs
}

# --- Requests ----------------------------------------------------------------

# In another order each time, as it does matter who comes after whom.
lanes=(hand nclust again allow)

start_lanes() {
	local i who port

	ports=() order=()
	for i in 0 1 2 3; do
		who=${lanes[($1 + (($1 & 4) ? 4 - i : i)) % 4]}
		port=$(free_port)
		# A worker has a session, and so a share of the CPU, of its own:
		# by hand too.
		case $who in
		nclust) begin ./nclust -n 1 --name weighed --log inherit \
			-- "${@:2}" "$port" ;;
		allow) begin build/bench/allow "${@:2}" "$port" ;;
		*) begin setsid "${@:2}" "$port" ;;
		esac
		order+=("$who")
		ports+=("$port:$(answerer "$port")")
	done
}

# weigh_in ROUNDS OPTIONS SERVER...: so many times four of that server are
# started: two by hand, one intercepted, and one by hand under a filter that
# allows all; and weighed against each other.  Sets, of rate and cost,
#   mine hand    the medians of the intercepted one and of those by hand
#   ratio        the median of their ratios
#   allow        the same of the one under that filter
#   noise        the inner three quarters of the ratios of by hand to by hand
weigh_in() {
	local round ports order who r c rate cost
	local -A rates costs

	mine_rate=() hand_rate=() ratio_rate=() allow_rate=() noise_rate=()
	mine_cost=() hand_cost=() ratio_cost=() allow_cost=() noise_cost=()
	for ((round = 0; round < $1; round++)); do
		start_lanes "$round" "${@:3}"
		# shellcheck disable=SC2086 # a list of options
		build/bench/weigh $2 "${ports[@]}" >"$BENCH_DIR/weighed"
		for who in "${order[@]}"; do
			stop_last
		done
		for who in "${order[@]}"; do
			read -r r c rate cost || return
			rates[$who]=$rate
			costs[$who]=$cost
			case $who in
			hand) hand_rate+=("$r") hand_cost+=("$c") ;;
			nclust) mine_rate+=("$r") mine_cost+=("$c") ;;
			esac
		done <"$BENCH_DIR/weighed"
		noise_rate+=("$(over "${rates[again]}" "${rates[hand]}")")
		noise_cost+=("$(over "${costs[again]}" "${costs[hand]}")")
		ratio_rate+=("$(over "${rates[nclust]}" "${rates[hand]}" \
			"${rates[again]}")")
		ratio_cost+=("$(over "${costs[nclust]}" "${costs[hand]}" \
			"${costs[again]}")")
		allow_rate+=("$(over "${rates[allow]}" "${rates[hand]}" \
			"${rates[again]}")")
		allow_cost+=("$(over "${costs[allow]}" "${costs[hand]}" \
			"${costs[again]}")")
	done
	ratio_rate=$(median "${ratio_rate[@]}")
	ratio_cost=$(median "${ratio_cost[@]}")
	allow_rate=$(median "${allow_rate[@]}")
	allow_cost=$(median "${allow_cost[@]}")
	mapfile -t noise_rate < <(inner "${noise_rate[@]}")
	mapfile -t noise_cost < <(inner "${noise_cost[@]}")
}

# over A B [C]: A to B, or to the mean of B and C.
over() {
	awk -v a="$1" -v b="$2" -v c="${3:-$2}" 'BEGIN {
		printf "%.4f", 2 * a / (b + c) }'
}

inner() {
	printf '%s\n' "$@" | sort -n |
		sed -n "$(($# / 8 + 1)),$(($# - $# / 8))p"
}

# How far by hand was from by hand, in either direction.
width() {
	printf '%s\n' "$@" | awk '{ d = $1 > 1 ? $1 - 1 : 1 - $1
		if (d > most) most = d } END { printf "%.4f", most }'
}

# A ratio of 0.99, or the inverse of that, but for what by hand differs from by
# hand.
tell_weighed() {
	local least most

	least=$(awk -v w="$(width "${noise_rate[@]}")" 'BEGIN {
		printf "%.3f", 0.99 - w }')
	most=$(awk -v w="$(width "${noise_cost[@]}")" 'BEGIN {
		printf "%.3f", 1 / 0.99 + w }')
	print_row "$1 (requests/s)" "$(whole "${mine_rate[@]}")" \
		"$(whole "${hand_rate[@]}")" "$ratio_rate" "≥ $least" \
		"$(judge "$least" "$ratio_rate")"
	print_row "$1 (ns of CPU a request)" "$(whole "${mine_cost[@]}")" \
		"$(whole "${hand_cost[@]}")" "$ratio_cost" "≤ $most" \
		"$(judge "$ratio_cost" "$most")"
	tell_noise
}

tell_noise() {
	note "by hand to by hand: requests/s ${noise_rate[0]} to" \
		"${noise_rate[-1]}, CPU ${noise_cost[0]} to ${noise_cost[-1]}"
	note "under a filter that allows all: requests/s $allow_rate," \
		"CPU $allow_cost"
}

figure_intercept_throughput() {
	# No Node is like another: more of them, for a shorter time.
	weigh_in 16 "-k -n 1000 -t 16" "${ANSWER_NODE[@]}" || return
	tell_weighed "Node, to by hand"
	weigh_in 8 "-n 500 -t 40" "$ANSWER_C" || return
	tell_weighed "C, to by hand"
	# The kernel asks a filter, whatever is in it, at each system call, which
	# takes 30 ns.  This server does nothing but three of them for a request.
	weigh_in 8 "-k -n 1500 -t 40" "$ANSWER_C" -k || return
	note "C, connections kept: requests/s $ratio_rate, CPU" \
		"$(whole "${mine_cost[@]}") ns to" \
		"$(whole "${hand_cost[@]}") ns, $ratio_cost"
	tell_noise
}

# --- Deaths ------------------------------------------------------------------

# At 80 % of what four workers can do that take 10 ms for each request.
figure_intercept_kill() {
	local port

	port=$(free_port)
	slay "C, kills at 80 % load" "$port" 315 /sleep/10 -- "$ANSWER_C" -g \
		"$port" || return
	port=$(free_port)
	slay "Node, kills at 80 % load" "$port" 315 /sleep/10 \
		-- node tests/bench/one.js "$port"
}
