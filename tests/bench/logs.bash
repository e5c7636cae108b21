# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# How many MB of lines a second are carried from 4 workers, for scripts/bench: by
# nclust to a file, and with prefixes to a file and to a pipe that cat(1) reads;
# beside cat from one pipe, and from one cat to the other, which are the floors, and
# beside those who log for a living.  In turns: so many MB, or for so long; what has
# been taken by then counts, the best turn.

LOGS_MB=64 # of each worker
LOGS_SECONDS=2

spouts() {
	for _ in 1 2 3 4; do
		"${SPOUT[@]}" &
	done
	wait
}

nclust_logs() {
	./nclust -n 4 --name logs --restart never --log-size never "$@" \
		-- "${SPOUT[@]}"
}

logs_cat() { spouts | cat >"$LOGS/out"; }
logs_cats() { spouts | cat | cat >"$LOGS/out"; }
logs_file() { nclust_logs --log "file:$LOGS/out"; }
logs_prefix() { nclust_logs --log prefix >"$LOGS/out"; }
logs_pipe() { nclust_logs --log prefix | cat >"$LOGS/out"; }
logs_pty() { nclust_logs --log prefix --pty yes >"$LOGS/out"; }
logs_multilog() { spouts | multilog s16777215 n99 "$LOGS/dir"; }
logs_s6() { spouts | s6-log n99 s268435455 "$LOGS/dir"; }

logs_svlogd() {
	mkdir "$LOGS/dir"
	echo s0 >"$LOGS/dir/config"
	spouts | svlogd "$LOGS/dir"
}

logs_supervisord() {
	printf '%s\n' '[supervisord]' nodaemon=true logfile=/dev/null \
		logfile_maxbytes=0 "pidfile=$LOGS/pid" '[program:spout]' \
		"command=${SPOUT[*]}" 'process_name=%(process_num)d' \
		numprocs=4 autorestart=false redirect_stderr=true \
		"stdout_logfile=$LOGS/out.%(process_num)d" \
		stdout_logfile_maxbytes=0 >"$LOGS/conf"
	supervisord -c "$LOGS/conf" &
	until_holds 20 "spouts have not ended" test -e "$LOGS/end"
	kill -TERM $!
	wait $!
}

logs_pm2() {
	pm2 start "$SPOUT" --interpreter none -i 4 --name spout --no-autorestart \
		--merge-logs -o "$LOGS/out" -- "${SPOUT[@]:1}"
	until_holds 20 "spouts have not ended" test -e "$LOGS/end"
	pm2 kill
}

logs_said() {
	[ "$(grep -cs "^$1" "$LOGS/said")" = 4 ]
}

# The private memory of nclust's logger, KiB; 0: there is none.
logs_memory() {
	local pid

	pid=$(./nclust status logs --json 2>/dev/null | jq .pid)
	pid=$(pgrep -P "${pid:-0}" nclust | head -n 1)
	[ -n "$pid" ] && private "$pid" || echo 0
}

# logs_turn WHO WIDTH: sets CARRIED (MB/s), GREW (KiB) and LOST (lines).
logs_turn() {
	local LOGS=$BENCH_DIR/logs before turn
	local SPOUT=("$ROOT/build/bench/spout" "$LOGS" "$LOGS_MB" "$LOGS_SECONDS" "$2")

	CARRIED=0 GREW=0 LOST=0
	rm -rf "$LOGS"
	mkdir "$LOGS"
	"logs_$1" >/dev/null 2>>"$BENCH_DIR/err" </dev/null &
	turn=$!
	until_holds 20 "$1 does not start" logs_said ready || {
		touch "$LOGS/go" "$LOGS/end"
		return 1
	}
	before=$(logs_memory)
	touch "$LOGS/go"
	until_holds 20 "$1 does not end" logs_said '[0-9]' || LOST=1
	GREW=$(($(logs_memory) - before))
	touch "$LOGS/end"
	wait "$turn"
	CARRIED=$(awk '/^[0-9]/ { n += $1; if (!from || $3 < from) from = $3
		if ($4 > to) to = $4 }
		END { printf "%.0f", to ? n * 1000 / (to - from) : 0 }' "$LOGS/said")
	case $1 in
	file | prefix | pipe | pty)
		LOST=$(($(awk '/^[0-9]/ { n += $2 } END { print n + 0 }' \
			"$LOGS/said") - $(grep -vc '^nclust:' "$LOGS/out")))
		;;
	esac
	rm -rf "$LOGS"
}

# logs_bound RATE: 200 MB/s, or 0.7 of what the floor carries, if that is less.
logs_bound() {
	awk -v floor="$1" 'BEGIN { n = 0.7 * floor
		printf "%.0f", n < 200 ? n : 200 }'
}

# logs_row WHAT RATE FLOOR
logs_row() {
	local bound

	bound=$(logs_bound "$3")
	print_row "$1 (MB/s)" "$2" "$3" "$(ratio "$2" "$3")" "≥ $bound" \
		"$(judge "$bound" "$2")"
}

# logs_of WIDTH WHAT
logs_of() {
	local who round grew=0 lost=0
	local -A rate

	for ((round = 0; round < ${ROUNDS:-5}; round++)); do
		for who in cat file prefix cats pipe; do
			logs_turn "$who" "$1" || return
			rate[$who]+=" $CARRIED"
			grew=$(highest "$grew" "$GREW")
			lost=$((lost + LOST))
		done
	done
	best_each rate highest
	logs_row "$2: log = file" "${rate[file]}" "${rate[cat]}"
	logs_row "$2: log = prefix, to a file" "${rate[prefix]}" "${rate[cat]}"
	logs_row "$2: log = prefix, to a pipe" "${rate[pipe]}" "${rate[cats]}"
	most "$2: the logger's memory grows by" "$grew" 1023 KiB
	most "$2: lines lost of them" "$lost" 0 ""
	LOGS_FLOOR=${rate[cat]}
}

figure_logs() {
	local who program

	logs_of 0 "lines of all lengths" && logs_of 100 "lines of 100 bytes" ||
		return
	for who in pty multilog s6 svlogd supervisord pm2; do
		program=$who
		case $who in
		pty) program=true ;;
		s6) program=s6-log ;;
		pm2) program=$PM2 ;;
		esac
		if ! command -v "$program" >/dev/null; then
			note "no $program here"
			continue
		fi
		logs_turn "$who" 100 && beside "${who/pty/prefix, pty = yes}" \
			"$CARRIED" "$LOGS_FLOOR"
	done
}
