# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench has the rest
#
# What replacing workers costs those who ask them, for scripts/bench: under
# open-loop load (build/fixtures/openload) and beside those who can do as much.
# REPLACE="p99 quiet" takes but these of: p99 quiet many beside.  That nothing is lost,
# tests/e2e/drain has.

SERVERS_DIR=$ROOT/tests/e2e/servers
SOME_SLOW=(--path /:9 --path /slow:1)

# --- Restarts --------------------------------------------------------------------

# begin_two NAME PORT OPTION...: two that answer there (build/fixtures/rude), both ready.
begin_two() {
	begin ./nclust -n 2 --name "$1" --log off -l "127.0.0.1:$2" -- "$RUDE" "${@:3}"
	wait_ready "$1"
}

# roll SECONDS: rolling restarts, one after the other; sets ROLLED and, in
# microseconds, EACH.
roll() {
	local start=${EPOCHREALTIME/./} end

	end=$((start + $1 * 1000000))
	for ((ROLLED = 0; ${EPOCHREALTIME/./} < end; ROLLED++)); do
		timeout 60 ./nclust restart roll >/dev/null 2>>"$BENCH_DIR/err" ||
			{ echo "bench: a restart failed" >&2 && return 1; }
	done
	EACH=$(((${EPOCHREALTIME/./} - start) / (ROLLED > 0 ? ROLLED : 1)))
}

# What a server has begun for itself.
forget_helpers() {
	while [ "${#started[@]}" -gt "$begun_before" ]; do
		stop_last
	done
}

# --- Times -------------------------------------------------------------------------

# p99 of what is asked within a rolling restart, from the command to its end,
# against spans as long between two of them, of answers that take 2 ms.
# Where answers take no time each start of a process on one of the CPUs
# is seen, whoever starts it: there, against what it does that a shell starts as many
# of the program.  Beside them, what a restart of another cluster does to one that is
# left alone, and restarts without a pause against no restart.
replace_p99() {
	p99 "p99 in a restart, answers of 2 ms" --work 2 || return 1
	p99 "the same, of no time, against bare starts"
}

# What no supervisor can do without: two programs start at $BARE, one by one, and end.
start_two() {
	local i

	for i in 1 2; do
		"$RUDE" "$BARE" --mute &
		read -r -t 0.002 <>"$BENCH_DIR/nobody"
		kill -KILL "$!" # which a shell between fork and exec cannot lose
		wait "$!" 2>/dev/null
	done
	return 0
}

# Restarts of $1 (`none`: this shell starts its program), one each 200 ms, for SPACED
# s (a turn); RESTARTED has how many, SPAN_US how long.
SPACED=${SPACED:-8}
spaced_restarts() {
	local start=${EPOCHREALTIME/./} from to due

	RESTARTED=0 SPAN_US=()
	: >"$BENCH_DIR/spans"
	for ((due = start; due < start + SPACED * 1000000; due += 200000)); do
		to=$((due - ${EPOCHREALTIME/./}))
		[ "$to" -le 0 ] ||
			sleep "$(printf '0.%06d' "$to")"
		from=${EPOCHREALTIME/./}
		if [ "$1" = none ]; then
			start_two
		else
			timeout 60 ./nclust restart "$1" >/dev/null \
				2>>"$BENCH_DIR/err" || return 1
		fi
		to=${EPOCHREALTIME/./}
		echo "$from $to" >>"$BENCH_DIR/spans"
		SPAN_US+=($((to - from)))
		RESTARTED=$((RESTARTED + 1))
	done
}

# p99_within SHIFT: of the answers that were due within the spans, shifted by that
# many µs; and how many there are.
p99_within() {
	awk -v shift="$1" '
		FILENAME ~ /spans$/ {
			from[++n] = $1 + shift
			to[n] = $2 + shift
			next
		}
		{
			while (at < n && (at == 0 || $1 > to[at])) at++
			if ($1 >= from[at] && $1 <= to[at]) print $4
		}' "$BENCH_DIR/spans" <(sort -n "$BENCH_DIR/record") |
		sort -n | awk '{ all[NR] = $1 }
			END { print all[int(NR * 0.99) + (NR < 100)], NR }'
}

# spaced WHAT CLUSTER TURNS: the load is on `roll`, the restarts are of CLUSTER.  The
# row has the best of each kind, INSIDE and OUTSIDE: the machine's own pauses are in
# some turn.
spaced() {
	local within between turn inside=() outside=() lost=0 answers=0

	for ((turn = 0; turn < $3; turn++)); do
		open_load spaced "$AT" --rate 500 --path / \
			--record "$BENCH_DIR/record"
		spaced_restarts "$2" || return 1
		end_load spaced
		read -r -a within <<<"$(p99_within 0)"
		read -r -a between <<<"$(p99_within 100000)"
		inside+=("${within[0]}")
		outside+=("${between[0]}")
		answers=$((answers + within[1]))
		lost=$((lost + $(told .lost)))
	done
	INSIDE=$(best "${inside[@]}") OUTSIDE=$(best "${outside[@]}")
	beside "$1" "$INSIDE" "$OUTSIDE"
	note "in: ${inside[*]}; between: ${outside[*]};" \
		"$((turn * RESTARTED)) restarts of 2, the quickest" \
		"$(best "${SPAN_US[@]}") µs; $answers answers; lost: $lost"
}

# p99 WHAT [OPTION]...: of the server.
p99() {
	local during=() without=() round begun_before=${#started[@]}
	local restart calm
	local load=(--rate 500 --for 2000 --path /)

	AT=$(free_port)
	begin_two roll "$AT" "${@:2}" &&
		begin_two other "$(free_port)" "${@:2}" || return
	spaced "    in a restart, against between" roll 4
	restart=$INSIDE calm=$OUTSIDE
	spaced "    another cluster is restarted" other 2
	[ -p "$BENCH_DIR/nobody" ] || mkfifo "$BENCH_DIR/nobody"
	BARE=$(free_port)
	spaced "    the same starts, without nclust" none 4
	[ $# -gt 1 ] || calm=$INSIDE
	row "$1" "$restart" "$calm" 1.5 µs
	for round in 1 2 3; do
		open_load calm "$AT" "${load[@]}"
		wait "${LOAD[calm]}"
		end_load calm
		without+=("$(told .p99)")
		open_load rolling "$AT" "${load[@]}"
		roll 2
		wait "${LOAD[rolling]}"
		end_load rolling
		during+=("$(told .p99)")
	done
	beside "    restarts without a pause" "$(best "${during[@]}")" \
		"$(best "${without[@]}")"
	note "during: ${during[*]}; without: ${without[*]};" \
		"the last turn: $ROLLED restarts, $((EACH / 1000)) ms each"
	forget_helpers
}

# quiet WHAT BOUND PART RATE MIX... -- SERVER...: how long a stop at a quiet
# moment takes, of 4 workers, restart after restart.
quiet() {
	local what=$1 bound=$2 part=$3 rate=$4 mix=() times round follower port
	local calm=() rolling=() sent=0 lost=0 begun_before=${#started[@]}

	shift 4
	while [ "$1" != -- ]; do
		mix+=("$1")
		shift
	done
	shift
	port=$(free_port)
	begin ./nclust -n 4 --name roll --log off --drain quiet \
		-l "127.0.0.1:$port" "$@"
	wait_ready roll || { stop_last && return 1; }
	./nclust events roll -f --json >"$BENCH_DIR/events" 2>/dev/null &
	follower=$!
	for round in 1 2 3; do
		open_load calm "$port" --rate "$rate" --for 2000 "${mix[@]}"
		wait "${LOAD[calm]}"
		end_load calm
		calm+=("$(told .paths[0].p999)")
		open_load rolling "$port" --rate "$rate" "${mix[@]}"
		roll 2
		end_load rolling
		rolling+=("$(told .paths[0].p999)")
		sent=$((sent + $(told .sent))) lost=$((lost + $(told .lost)))
	done
	kill "$follower"
	wait "$follower" 2>/dev/null
	times=$(jq -s '[.[] | select(.event == "drained")]' "$BENCH_DIR/events")
	most "$what" "$(jq "[.[].took_ms] | sort |
		.[((length - 1) * $part | round)]" <<<"$times")" "$bound" ms
	note "$(jq -r '([.[].took_ms] | sort) as $t |
		"\(length) stops: median \($t[length / 2 | floor]), p90 " +
		"\($t[length * 0.9 | floor]), max \($t[-1]) ms; forced: " +
		"\(map(select(.forced > 0)) | length); longest freeze " +
		"\([.[].frozen_ms] | max) ms"' <<<"$times")"
	most "    lost of $sent" "$lost" 0 ""
	CALM=$(best "${calm[@]}") ROLLING=$(best "${rolling[@]}")
	note "p99.9 of requests: ${rolling[*]} µs in restarts," \
		"${calm[*]} without"
	forget_helpers
}

replace_quiet() {
	quiet "quiet stop, 60 % load, short: median" 5 0.5 1200 \
		--path / -- -- "$RUDE" --blocking --work 2 --close
	most "what freezes add to a request, p99.9" "$(awk -v a="$ROLLING" \
		-v b="$CALM" 'BEGIN { print (a > b ? (a - b) / 1000 : 0) }')" \
		5 ms
	quiet "quiet stop, 60 %, 10 % of 100 ms: p90" 200 0.9 220 \
		--path /:9 --path /slow:1 -- \
		-- "$RUDE" --blocking --work 1 --slow 100 --close
}

# Most of very many workers go at once.
replace_many() {
	local scaling began times=() alone=()

	begin ./nclust -n 1600 --name many --log off \
		-l "127.0.0.1:$(free_port)" -- "$RUDE" --mute
	wait_ready many || { stop_last && return 1; }
	sleep 1
	while [ "${#alone[@]}" -lt 10 ]; do
		began=${EPOCHREALTIME/./}
		./nclust status many --json >/dev/null
		alone+=("$((${EPOCHREALTIME/./} - began))")
	done
	./nclust scale many 10 >/dev/null 2>>"$BENCH_DIR/err" &
	scaling=$!
	while [ -e "/proc/$scaling/exe" ]; do
		began=${EPOCHREALTIME/./}
		./nclust status many --json >/dev/null
		times+=("$((${EPOCHREALTIME/./} - began))")
	done
	wait "$scaling"
	most "status while 1,600 workers are drained" \
		"$(($(highest "${times[@]}") / 1000))" 50 ms
	note "${#times[@]} times, median $(whole "${times[@]}")" \
		"µs; alone $(best "${alone[@]}") to $(highest "${alone[@]}") µs"
	./nclust stop many --now >/dev/null 2>&1
	stop_last
}

# --- Neighbours ----------------------------------------------------------------------

# neighbour WHO ADDRESS RELOAD...: five reloads of its own.
neighbour() {
	local who=$1 mode i

	for mode in short keep; do
		open_load "$mode" "$2" --rate 100 --mode "$mode" \
			--connections 16 "${SOME_SLOW[@]}" || return
	done
	for i in 1 2 3 4 5; do
		"${@:3}" >/dev/null || break
	done
	for mode in short keep; do
		end_load "$mode"
		beside "$who, ${mode/keep/keep-alive}: lost of $(told .sent)" \
			"$(told .lost)"
	done
	beside "    races of 1,000" \
		"$(told '.races * 1000 / .sent * 100 | round / 100')"
}

# are_others PID COUNT: all children of it are others than those in OLD.
are_others() {
	local child

	for child in $OLD; do
		! [ -e "/proc/$child" ] || return
	done
	[ "$(pgrep -c -P "$1")" -ge "$2" ]
}

# reload_by SIGNAL PID COUNT
reload_by() {
	OLD=$(pgrep -P "$2")
	kill -"$1" "$2"
	until_holds 10 "$2 has not reloaded" are_others "$2" "$3"
}

pm2() {
	PM2_HOME=$BENCH_DIR/pm2 timeout 60 "$PM2" "$@" >>"$BENCH_DIR/err" 2>&1
}

replace_beside() {
	local port begun_before=${#started[@]}

	port=$(free_port)
	begin_two roll "$port" --slow 100
	neighbour "nclust, C, event loop" "$port" ./nclust restart roll
	forget_helpers
	port=$(free_port)
	begin start_server --port="127.0.0.1:$port" --interval=1 -- \
		"$RUDE" --slow 100
	neighbour "Server::Starter, C, event loop" "$port" \
		reload_by HUP "${started[-1]}" 1
	forget_helpers
	port=$(free_port)
	begin gunicorn --chdir "$SERVERS_DIR" -w 2 --threads 4 \
		--worker-tmp-dir "$BENCH_DIR" -b "127.0.0.1:$port" slow:app
	neighbour "gunicorn's own reload" "$port" \
		reload_by HUP "${started[-1]}" 2
	forget_helpers
	port=$(free_port)
	begin node tests/bench/roll.js "$SERVERS_DIR/slow.js" "$port" 2
	neighbour "Node's own cluster" "$port" \
		reload_by USR2 "${started[-1]}" 2
	forget_helpers
	[ -x "$PM2" ] || return 0
	port=$(free_port)
	pm2 start "$SERVERS_DIR/slow.js" -i 2 --name slow -- "$port" &&
		neighbour "pm2 reload, Node" "$port" \
			pm2 reload slow
	pm2 kill
}

figure_replace() {
	local NCLUST_RUNTIME_DIR=$BENCH_DIR/roll part

	mkdir -m 755 "$NCLUST_RUNTIME_DIR"
	for part in ${REPLACE:-p99 quiet many beside}; do
		"replace_$part"
	done
}
