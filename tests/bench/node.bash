# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench has the rest
#
# nclust as the primary of Node programs, beside Node's own, for scripts/bench:
# the same worker script, in turns,
#
#   shared      nclust, all workers accept from one socket (the default)
#   rr          nclust, which accepts and hands out by turns
#   node_rr     Node's cluster with SCHED_RR, its default
#   node_none   Node's cluster with SCHED_NONE
#
# Ratios are medians of those of each round; NODE_ROUNDS is how many.

NODE_ROUNDS=${NODE_ROUNDS:-7}
NODE_WAYS=(shared rr node_rr node_none)

# node_command WAY PORT WORKERS: sets COMMAND.
node_command() {
	case $1 in
	shared | rr)
		COMMAND=(./nclust -n "$3" --name nodes --log inherit)
		[ "$1" = shared ] || COMMAND+=(--balance rr)
		COMMAND+=(-- node "$PLAIN_JS" "$2")
		;;
	node_*)
		COMMAND=(env NODE_CLUSTER_SCHED_POLICY="${1#node_}"
			node tests/bench/roll.js "$PLAIN_JS" "$2" "$3")
		;;
	esac
}

# A process and all below it.
family() {
	local pid

	echo "$1"
	for pid in $(pgrep -P "$1"); do
		family "$pid"
	done
}

# CPU time of all threads of these processes, in nanoseconds.
threads_ns() {
	local pid

	for pid; do
		cat "/proc/$pid/task/"*/schedstat 2>/dev/null
	done | awk '{ n += $1 } END { printf "%.0f", n }'
}

rss() {
	awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"
}

# requests PORT [OPTION]...: one second of them, as fast as they are answered;
# sets COUNT, and COST and MIDDLE, the CPU time for each, of all processes
# and of the primary, in microseconds.
requests() {
	local all primary pids

	# shellcheck disable=SC2046 # a list of pids
	pids=$(family "$PRIMARY")
	# shellcheck disable=SC2086
	all=$(threads_ns $pids) primary=$(threads_ns "$PRIMARY")
	COUNT=$(wrk -t 1 -c 32 -d 1 "${@:2}" "http://127.0.0.1:$1/" |
		awk '/requests in/ { print $1 }')
	[ "${COUNT:-0}" -gt 0 ] || return
	# shellcheck disable=SC2086
	COST=$(per "$COUNT" $(($(threads_ns $pids) - all)))
	MIDDLE=$(per "$COUNT" $(($(threads_ns "$PRIMARY") - primary)))
}

per() {
	awk -v n="$1" -v ns="$2" 'BEGIN { printf "%.2f", ns / n / 1000 }'
}

# One life of two workers: start, both kinds of load, memory.
node_round() {
	local way=$1 port

	port=$(free_port)
	node_command "$way" "$port" 2
	open_watch -q -n 2 "${COMMAND[@]}"
	ask first "$port"
	[ "$ANSWER" -gt 0 ] || return
	PRIMARY=$(pgrep -P "$watch_pid" | head -n 1)
	STARTS[$way]+=" $ANSWER"
	# warm: what follows is not its compiler's
	requests "$port" && requests "$port" -H "Connection: close" || return
	SHORT[$way]+=" $COST" MIDDLES[$way]+=" $MIDDLE" SHORTS[$way]+=" $COUNT"
	requests "$port" || return
	KEEP[$way]+=" $COST" KEEPS[$way]+=" $COUNT"
	RSS[$way]+=" $(rss "$PRIMARY")" PRIVATE[$way]+=" $(private "$PRIMARY")"
	close_watch
}

# ratios "LIST" "LIST": the median of the ratios of each round.
ratios() {
	local -a mine base
	local i all=()

	read -ra mine <<<"$1"
	read -ra base <<<"$2"
	for i in "${!mine[@]}"; do
		all+=("$(over "${mine[i]}" "${base[i]}")")
	done
	AS=%.3f median "${all[@]}"
}

middle() {
	AS=${AS:-%.1f} median "$1"
}

# node_row WHAT MINE BASE BOUND: lists of rounds.
node_row() {
	local ratio

	ratio=$(ratios "$2" "$3")
	print_row "$1" "$(middle "$2")" "$(middle "$3")" "$ratio" "≤ $4" \
		"$(judge "$ratio" "$4")"
}

node_beside() {
	printf '    %-42s %10s %10s %7s\n' "$1" "$(middle "$2")" \
		"$(middle "$3")" "$(ratios "$2" "$3")" |
		tee -a "$results"
}

node_turns() {
	local round i way
	local -A STARTS SHORT SHORTS KEEP KEEPS MIDDLES RSS PRIVATE

	for ((round = 0; round < NODE_ROUNDS; round++)); do
		for i in 0 1 2 3; do
			node_round "${NODE_WAYS[(round + i) % 4]}" || {
				close_watch
				return 1
			}
		done
	done
	node_row "Node's primary: memory (RSS, KiB)" "${RSS[shared]}" \
		"${RSS[node_rr]}" 0.05
	node_beside "private" "${PRIVATE[shared]}" "${PRIVATE[node_rr]}"
	node_beside "rr" "${RSS[rr]}" "${RSS[node_rr]}"
	node_row "start to the answers of both (µs)" "${STARTS[shared]}" \
		"${STARTS[node_rr]}" 0.6
	node_row "    against SCHED_NONE" "${STARTS[shared]}" \
		"${STARTS[node_none]}" 0.6
	node_beside "rr" "${STARTS[rr]}" "${STARTS[node_rr]}"
	node_row "CPU a request, short, to SCHED_RR (µs)" "${SHORT[shared]}" \
		"${SHORT[node_rr]}" 0.5
	node_row "CPU a request, short, to SCHED_NONE (µs)" "${SHORT[shared]}" \
		"${SHORT[node_none]}" 1.0
	node_beside "rr to SCHED_RR" "${SHORT[rr]}" "${SHORT[node_rr]}"
	node_beside "requests/s, shared to SCHED_RR" "${SHORTS[shared]}" \
		"${SHORTS[node_rr]}"
	node_beside "requests/s, rr to SCHED_RR" "${SHORTS[rr]}" \
		"${SHORTS[node_rr]}"
	node_beside "kept connections: CPU, shared to SCHED_RR" \
		"${KEEP[shared]}" "${KEEP[node_rr]}"
	node_beside "kept connections: CPU, shared to NONE" \
		"${KEEP[shared]}" "${KEEP[node_none]}"
	node_beside "kept connections: CPU, rr to SCHED_RR" \
		"${KEEP[rr]}" "${KEEP[node_rr]}"
	most "shared: primary's CPU a connection" \
		"$(AS=%.1f middle "${MIDDLES[shared]}")" 0 µs
	node_row "rr: primary's CPU a connection (µs)" "${MIDDLES[rr]}" \
		"${MIDDLES[node_rr]}" 0.4
}

# Over 8 workers; and with 8 clients at a time, where it depends on who is quick
# to take what it is given.
node_spread() {
	local way port
	local -A CV CROWD

	for way in rr node_rr rr node_rr rr node_rr; do
		port=$(free_port)
		node_command "$way" "$port" 8
		open_watch -q -n 8 "${COMMAND[@]}"
		ask first "$port"
		[ "$ANSWER" -gt 0 ] || return
		CV[$way]+=" $(unevenness "$port" 800 1)"
		CROWD[$way]+=" $(unevenness "$port" 800 8)"
		close_watch
	done
	most "rr: unevenness over 8 workers (CV)" \
		"$(AS=%.4f middle "${CV[rr]}")" 0.02 ""
	beside "SCHED_RR" "$(AS=%.4f middle "${CV[node_rr]}")"
	beside "rr, 8 clients at a time" "$(AS=%.3f middle "${CROWD[rr]}")" \
		"$(AS=%.3f middle "${CROWD[node_rr]}")"
}

# unevenness PORT COUNT CLIENTS: 1 if not all workers have answered.
unevenness() {
	local cv count rest

	read -r cv count rest < <(node tests/bench/spread.js "$@")
	[ "$count" -eq 8 ] && echo "$cv" || echo 1
}

figure_node() {
	local part

	for part in ${NODE_PARTS:-turns spread}; do
		"node_$part" || return
	done
}
