# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench has the rest
#
# A process per connection, for scripts/bench: how many connections a second are
# answered by a program that only says "ok", beside the least loop that accepts,
# forks and executes (build/bench/accept_bare), and beside those who do it for a
# living.  In turns, 16 connections at once, at most 64 processes; the best turn
# counts.  Nobody looks up names.

REPLY_PROGRAM=$ROOT/build/bench/reply
CALLS=$ROOT/build/bench/calls

# in_background COMMAND...
in_background() {
	"$@" >/dev/null 2>>"$BENCH_DIR/err" </dev/null &
	started+=($!)
}

serve_bare() {
	in_background "$ROOT/build/bench/accept_bare" "$1" "$REPLY_PROGRAM"
}

serve_nclust() {
	in_background ./nclust --name accept -l "127.0.0.1:$1" -n 64 --accept \
		--log inherit -- "$REPLY_PROGRAM"
}

# With all that costs something.
serve_limited() {
	in_background ./nclust --name limited -l "127.0.0.1:$1" -n 64 --accept \
		--accept-per-address 64 --accept-timeout 1m --log prefix \
		-- "$REPLY_PROGRAM"
}

serve_tcpserver() {
	in_background tcpserver -HRDl0 -b 4096 -c 64 127.0.0.1 "$1" "$REPLY_PROGRAM"
}

serve_s6() {
	in_background s6-tcpserver -c 64 127.0.0.1 "$1" "$REPLY_PROGRAM"
}

serve_tcpsvd() {
	in_background tcpsvd -l localhost -b 4096 -c 64 127.0.0.1 "$1" "$REPLY_PROGRAM"
}

serve_inetd() {
	echo "127.0.0.1:$1 stream tcp nowait.1000000 $(id -un) $(:
		)$REPLY_PROGRAM reply" >"$BENCH_DIR/inetd.conf"
	in_background inetd -d "$BENCH_DIR/inetd.conf"
}

# What is nearest to Accept=yes where systemd is not the one who runs all.
serve_systemd() {
	in_background systemd-socket-activate --accept --inetd \
		-l "127.0.0.1:$1" "$REPLY_PROGRAM"
}

declare -A ACCEPT_NAME=([limited]="nclust, limits on, output captured"
	[tcpserver]="tcpserver (ucspi-tcp)" [s6]="s6-tcpserver"
	[tcpsvd]="tcpsvd (ipsvd)" [inetd]="inetd (openbsd-inetd)"
	[systemd]="systemd-socket-activate --accept")
declare -A ACCEPT_PROGRAM=([bare]=true [nclust]=true [limited]=true
	[tcpserver]=tcpserver [s6]=s6-tcpserver [tcpsvd]=tcpsvd
	[inetd]=inetd [systemd]=systemd-socket-activate)

accept_answers() {
	case $("$CALLS" "$1" 1 20 2>/dev/null) in
	"" | "0 "*) return 1 ;;
	esac
}

figure_accept() {
	local who round answer failed=0 begun=${#started[@]} there=()
	local -A port rate

	for who in bare nclust limited tcpserver s6 tcpsvd inetd systemd; do
		if ! command -v "${ACCEPT_PROGRAM[$who]}" >/dev/null; then
			note "no ${ACCEPT_PROGRAM[$who]} here"
			continue
		fi
		port[$who]=$(free_port)
		"serve_$who" "${port[$who]}"
		if until_holds 10 "no answer" accept_answers "${port[$who]}"; then
			there+=("$who")
		else
			note "${ACCEPT_NAME[$who]-$who} does not answer here"
		fi
	done
	for ((round = 0; round < ${ROUNDS:-7}; round++)); do
		for who in "${there[@]}"; do
			answer=$("$CALLS" "${port[$who]}" 16 700)
			rate[$who]+=" ${answer% *}"
			[ "$who" != nclust ] || failed=$((failed + ${answer#* }))
		done
	done
	while [ "${#started[@]}" -gt "$begun" ]; do
		stop_last
	done
	for who in "${there[@]}"; do
		# shellcheck disable=SC2086 # a list of numbers
		rate[$who]=$(highest ${rate[$who]})
	done
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
