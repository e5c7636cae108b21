# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench has the rest
#
# A process per connection, for scripts/bench: how many connections a second are
# answered by a program that only says "ok", beside the least loop that accepts,
# forks and executes (build/bench/accept_bare), and beside those who do it for a
# living.  In turns, 16 connections at once, at most 64 processes; the best turn
# counts.  Nobody looks up names.

REPLY_PROGRAM=$ROOT/build/bench/reply

serve_bare() {
	begin "$ROOT/build/bench/accept_bare" "$1" "$REPLY_PROGRAM"
}

serve_nclust() {
	begin ./nclust --name accept -l "127.0.0.1:$1" -n 64 --accept \
		--log inherit -- "$REPLY_PROGRAM"
}

# With all that costs something.
serve_limited() {
	begin ./nclust --name limited -l "127.0.0.1:$1" -n 64 --accept \
		--accept-per-address 64 --accept-timeout 1m --log prefix \
		-- "$REPLY_PROGRAM"
}

serve_tcpserver() {
	begin tcpserver -HRDl0 -b 4096 -c 64 127.0.0.1 "$1" "$REPLY_PROGRAM"
}

serve_s6() {
	begin s6-tcpserver -c 64 127.0.0.1 "$1" "$REPLY_PROGRAM"
}

serve_tcpsvd() {
	begin tcpsvd -l localhost -b 4096 -c 64 127.0.0.1 "$1" "$REPLY_PROGRAM"
}

serve_inetd() {
	echo "127.0.0.1:$1 stream tcp nowait.1000000 $(id -un) $(:
		)$REPLY_PROGRAM reply" >"$BENCH_DIR/inetd.conf"
	begin inetd -d "$BENCH_DIR/inetd.conf"
}

# What is nearest to Accept=yes where systemd is not the one who runs all.
serve_systemd() {
	begin systemd-socket-activate --accept --inetd \
		-l "127.0.0.1:$1" "$REPLY_PROGRAM"
}

declare -A ACCEPT_NAME=([limited]="nclust, limits on, output captured"
	[tcpserver]="tcpserver (ucspi-tcp)" [s6]="s6-tcpserver"
	[tcpsvd]="tcpsvd (ipsvd)" [inetd]="inetd (openbsd-inetd)"
	[systemd]="systemd-socket-activate --accept")
declare -A ACCEPT_PROGRAM=([bare]=true [nclust]=true [limited]=true
	[tcpserver]=tcpserver [s6]=s6-tcpserver [tcpsvd]=tcpsvd
	[inetd]=inetd [systemd]=systemd-socket-activate)

# accept_load PORT: for a second; sets RATE and UNANSWERED.
accept_load() {
	read -r RATE UNANSWERED < <(wrk -t 1 -c 16 -d 1 "http://127.0.0.1:$1/" |
		awk '/Socket errors:/ { gsub(",", "")
				failed = $4 + $6 + $8 + $10 }
			/^Requests\/sec/ { print int($2), failed + 0 }')
}

figure_accept() {
	local who round failed=0 begun=${#started[@]} there=()
	local -A port rate

	for who in bare nclust limited tcpserver s6 tcpsvd inetd systemd; do
		if ! command -v "${ACCEPT_PROGRAM[$who]}" >/dev/null; then
			note "no ${ACCEPT_PROGRAM[$who]} here"
			continue
		fi
		port[$who]=$(free_port)
		"serve_$who" "${port[$who]}"
		if until_holds 10 "no answer" curl -fso /dev/null \
			"http://127.0.0.1:${port[$who]}/"; then
			there+=("$who")
		else
			note "${ACCEPT_NAME[$who]-$who} does not answer here"
		fi
	done
	for ((round = 0; round < ${ROUNDS:-7}; round++)); do
		for who in "${there[@]}"; do
			accept_load "${port[$who]}"
			rate[$who]+=" $RATE"
			[ "$who" != nclust ] || failed=$((failed + UNANSWERED))
		done
	done
	while [ "${#started[@]}" -gt "$begun" ]; do
		stop_last
	done
	best_each rate highest
	least "a process per connection" "${rate[nclust]:-0}" \
		"${rate[bare]:-1}" 0.9 "connections/s"
	most "    of them without an answer" "$failed" 0 ""
	for who in "${there[@]}"; do
		case $who in
		bare | nclust) ;;
		*) beside "${ACCEPT_NAME[$who]}" "${rate[$who]}" "${rate[bare]}" ;;
		esac
	done
}
