# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench has the rest
#
# What replacing workers costs those who ask them, for scripts/bench: under
# open-loop load (build/fixtures/openload) and beside those who can do as much.
# REPLACE="p99 quiet" takes but these of: lost p99 quiet doubt many beside.
# REPLACE_LOST="node unix" takes but these of what `lost` restarts.

. tests/servers.bash
OPENLOAD=$ROOT/build/fixtures/openload
DIR=$BENCH_DIR
RESTARTS=${RESTARTS:-20}
PM2=${XDG_CACHE_HOME:-$HOME/.cache}/nclust/pm2/node_modules/.bin/pm2

# --- Loads ---------------------------------------------------------------------

# open_load NAME ADDRESS OPTION...: in the background, and one answer has come.
open_load() {
	: >"$BENCH_DIR/$1.load"
	timeout --foreground 200 "$OPENLOAD" "${@:2}" --patience 10000 --jitter \
		>"$BENCH_DIR/$1.load" 2>>"$BENCH_DIR/err" &
	LOAD[$1]=$!
	await_word "$BENCH_DIR/$1.load" ready
}
declare -A LOAD

# end_load NAME: sets REPORT.
end_load() {
	# timeout(1) hands it on.
	kill -TERM "${LOAD[$1]}" 2>/dev/null
	wait "${LOAD[$1]}" 2>/dev/null
	unset "LOAD[$1]"
	REPORT=$(tail -n 1 "$BENCH_DIR/$1.load")
}

told() {
	jq -r "$1" <<<"$REPORT"
}

# --- Restarts --------------------------------------------------------------------

# begin_two NAME OPTION...: nclust with what server_NAME says, all ready.
begin_two() {
	local name=$1

	PORT=$(free_port)
	"server_$name" || return
	begin ./nclust -n 2 --name roll --log off "${@:2}" "${SERVER[@]}"
	wait_ready roll
}

# roll [SECONDS]: rolling restarts, RESTARTS of them or for that long; sets
# ROLLED and, in microseconds, EACH.
roll() {
	local start=${EPOCHREALTIME/./} end

	end=$((start + ${1:-30} * 1000000))
	for ((ROLLED = 0; ROLLED < RESTARTS; ROLLED++)); do
		[ "${EPOCHREALTIME/./}" -lt "$end" ] || break
		timeout 60 ./nclust restart roll >/dev/null 2>>"$BENCH_DIR/err" ||
			{ echo "bench: a restart failed" >&2 && return 1; }
	done
	EACH=$(((${EPOCHREALTIME/./} - start) / (ROLLED > 0 ? ROLLED : 1)))
}

# lost_row WHO: of REPORT.
lost_row() {
	most "$1: lost of $(told .sent)" "$(told .lost)" 0 ""
	[ "$(told .lost)" -eq 0 ] || note "$(told '"refused \(.refused), reset " +
		"\(.reset), unanswered \(.unanswered), wrong \(.wrong)"')"
	case $1 in
	*keep* | *idle*)
		most "    races of 1,000" "$(told '.races * 1000 / .sent * 100 |
			round / 100')" 1 ""
		;;
	esac
}

# lost NAME WORDS: RESTARTS rolling restarts of it in all its modes at once.
lost() {
	local mode

	begin_two "$1" || { stop_last && return 1; }
	for mode in $MODES; do
		open_load "$mode" "$AT" --rate "$RATE" --mode "$mode" \
			--connections 16 "${MIX[@]}"
	done
	roll 25
	for mode in $MODES; do
		end_load "$mode"
		lost_row "$2, ${mode/keep/keep-alive}"
	done
	note "$ROLLED restarts of 2, $((EACH / 1000)) ms each"
	./nclust stop roll >/dev/null 2>&1
	stop_last
	forget_helpers
}

# What a server has begun for itself.
forget_helpers() {
	while [ "${#started[@]}" -gt "$begun_before" ]; do
		stop_last
	done
}

replace_lost() {
	local begun_before=${#started[@]} name words

	while IFS=: read -r name words; do
		case " ${REPLACE_LOST:-$name} " in
		*" $name "*) lost "$name" "$words" ;;
		esac
	done <<-END
		blocking:C, blocking
		events:C, event loop, 10 % slow
		stream:C, streams
		late:C, header at once, body later
		copies:C, processes with each other's sockets
		chat:C, idle two-way
		python:python3 -m http.server
		node:Node
		gunicorn:gunicorn
		nginx:nginx
		compiled:Go or Java
		inherited:inherited socket: C, event loop
		lingering:C, event loop, ends late
		lingering_accept:C, blocking, ends late
		unix:unix socket: C, event loop
		unix_slow:unix socket: C, half of 400 ms
		unix_kept:unix socket: C, event loop, none slow
	END
}

# --- Times -------------------------------------------------------------------------

# p99 of what is asked within a rolling restart, from the command to its end,
# against spans as long between two of them, of answers that take 2 ms (KERNEL.md,
# section 3).  Where answers take no time each start of a process on one of the CPUs
# is seen, whoever starts it: there, against what it does that a shell starts as many
# of the program.  Beside them, what a restart of another cluster does to one that is
# left alone, and restarts without a pause against no restart.
replace_p99() {
	p99 brief "p99 in a restart, answers of 2 ms" || return 1
	p99 inherited "the same, of no time, against bare starts"
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

p99() {
	local during=() without=() round begun_before=${#started[@]} other
	local restart calm
	local load=(--rate 500 --for 2000 --path /)

	begin_two "$1" || { stop_last && return 1; }
	PORT=$(free_port)
	other=$AT
	"server_$1"
	begin ./nclust -n 2 --name other --log off "${SERVER[@]}"
	wait_ready other
	AT=$other
	spaced "    in a restart, against between" roll 4
	restart=$INSIDE calm=$OUTSIDE
	spaced "    another cluster is restarted" other 2
	[ -p "$BENCH_DIR/nobody" ] || mkfifo "$BENCH_DIR/nobody"
	BARE=$(free_port)
	spaced "    the same starts, without nclust" none 4
	if [ "$1" = brief ]; then
		row "$2" "$restart" "$calm" 1.5 µs
	else
		row "$2" "$restart" "$INSIDE" 1.5 µs
	fi
	for round in 1 2 3; do
		open_load calm "$AT" "${load[@]}"
		wait "${LOAD[calm]}"
		end_load calm
		without+=("$(told .p99)")
		open_load rolling "$AT" "${load[@]}"
		RESTARTS=1000 roll 2
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
	local what=$1 bound=$2 part=$3 rate=$4 mix=() times round follower
	local calm=() rolling=() sent=0 lost=0 begun_before=${#started[@]}

	shift 4
	while [ "$1" != -- ]; do
		mix+=("$1")
		shift
	done
	shift
	PORT=$(free_port)
	begin ./nclust -n 4 --name roll --log off --drain quiet \
		-l "127.0.0.1:$PORT" "$@"
	wait_ready roll || { stop_last && return 1; }
	./nclust events roll -f --json >"$BENCH_DIR/events" 2>/dev/null &
	follower=$!
	for round in 1 2 3; do
		open_load calm "$PORT" --rate "$rate" --for 2000 "${mix[@]}"
		wait "${LOAD[calm]}"
		end_load calm
		calm+=("$(told .paths[0].p999)")
		open_load rolling "$PORT" --rate "$rate" "${mix[@]}"
		RESTARTS=1000 roll 2
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

# --- In doubt, busy --------------------------------------------------------------------

# Clients from 40 ms away, who have the server's last word but one in a handshake.
doubt_tls() {
	local pid end answered lost

	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
		-nodes -subj /CN=localhost -keyout "$BENCH_DIR/key" \
		-out "$BENCH_DIR/cert" 2>>"$BENCH_DIR/err" || return
	PORT=$(free_port)
	begin ./nclust -n 2 --name roll --log off -- "$PYTHON" \
		"$SERVERS_DIR/tls.py" "$PORT" "$BENCH_DIR/cert" "$BENCH_DIR/key"
	wait_ready roll || { stop_last && return 1; }
	mkfifo "$BENCH_DIR/end"
	"$PYTHON" tests/e2e/drain/handshakes.py "$PORT" 12 40 <"$BENCH_DIR/end" \
		>"$BENCH_DIR/asked" 2>>"$BENCH_DIR/err" &
	pid=$!
	exec {end}>"$BENCH_DIR/end"
	await_word "$BENCH_DIR/asked" ready
	roll 60
	exec {end}>&-
	wait "$pid"
	IFS='= ' read -r _ answered _ lost _ < <(tail -n 1 "$BENCH_DIR/asked")
	most "TLS handshakes over 40 ms: lost of $((answered + lost))" \
		"$lost" 0 ""
	note "$ROLLED restarts of 2, $((EACH / 1000)) ms each"
	./nclust stop roll >/dev/null 2>&1
	stop_last
}

# poll_on PORT FILE: two requests over one connection, the second at once after the
# first answer and worked on for long, until $BENCH_DIR/polled is there; a line for
# each pair: 1 if one worker has answered both.
poll_on() {
	until [ -e "$BENCH_DIR/polled" ]; do
		curl -sS "http://127.0.0.1:$1/" "http://127.0.0.1:$1/slow" \
			2>>"$BENCH_DIR/err" |
			awk '{ n[$1]++ } END { print n[$1] == 2 }'
	done >>"$2"
}

# Each restart takes as long as the longest of them: in several clusters at a time.
doubt_poll() {
	local i k port pids=() restarts=()

	for i in 1 2 3 4 5; do
		port=$(free_port)
		begin ./nclust -n 2 --name "roll$i" --log off \
			-l "127.0.0.1:$port" -- "$RUDE" --slow 6000
		wait_ready "roll$i" || return 1
		for k in 1 2 3 4; do
			poll_on "$port" "$BENCH_DIR/polls$i.$k" &
			pids+=("$!")
		done
		for ((k = 0; k < RESTARTS; k += 5)); do
			timeout 60 ./nclust restart "roll$i" >/dev/null \
				2>>"$BENCH_DIR/err"
		done &
		restarts+=("$!")
	done
	wait "${restarts[@]}"
	: >"$BENCH_DIR/polled"
	wait "${pids[@]}"
	most "asked again at once, 6 s: lost of $(cat "$BENCH_DIR"/polls* |
		wc -l)" "$(cat "$BENCH_DIR"/polls* | grep -c 0)" 0 ""
	forget_helpers
}

# A parent that would see its child stopped, as its connections are ended one by one.
doubt_jobs() {
	local begun_before=${#started[@]} follower

	PORT=$(free_port)
	begin ./nclust -n 2 --name roll --log off -l "127.0.0.1:$PORT" -- \
		"$PYTHON" "$SERVERS_DIR/jobs.py" "$BENCH_DIR/stopped" "$RUDE"
	wait_ready roll || { stop_last && return 1; }
	./nclust events roll -f --json >"$BENCH_DIR/events" 2>/dev/null &
	follower=$!
	open_load chat "$PORT" --mode chat --connections 64 --rate 100
	roll 60
	end_load chat
	kill "$follower"
	wait "$follower" 2>/dev/null
	: >>"$BENCH_DIR/stopped"
	most "a parent sees its child stopped, of $(jq -s \
		'[.[] | select(.event == "drained") | .freezes] | add' \
		"$BENCH_DIR/events")" "$(wc -l <"$BENCH_DIR/stopped")" 0 ""
	most "    lost of $(told .sent)" "$(told .lost)" 0 ""
	forget_helpers
}

replace_doubt() {
	local begun_before=${#started[@]}

	doubt_tls
	doubt_poll
	doubt_jobs
}

# Most of very many workers go at once.
replace_many() {
	local scaling began times=() alone=()

	PORT=$(free_port)
	begin ./nclust -n 1600 --name many --log off -l "127.0.0.1:$PORT" \
		-- "$RUDE" --mute
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
	note "${#times[@]} times, median $(printf '%s\n' "${times[@]}" |
		sort -n | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }')" \
		"µs; alone $(best "${alone[@]}") to $(highest "${alone[@]}") µs"
	./nclust stop many --now >/dev/null 2>&1
	stop_last
}

# --- Neighbours ----------------------------------------------------------------------

# neighbour WHO ADDRESS MODES RELOAD...: five reloads of its own.
neighbour() {
	local who=$1 at=$2 modes=$3 mode i

	shift 3
	for mode in $modes; do
		open_load "$mode" "$at" --rate 100 --mode "$mode" \
			--connections 16 "${SOME_SLOW[@]}" || return
	done
	for i in 1 2 3 4 5; do
		"$@" || break
	done
	for mode in $modes; do
		end_load "$mode"
		beside "$who, ${mode/keep/keep-alive}: lost of $(told .sent)" \
			"$(told .lost)"
		[ "$mode" != keep ] || beside "    races of 1,000" \
			"$(told '.races * 1000 / .sent * 100 | round / 100')"
	done
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
	begin start_server --port="127.0.0.1:$port" --interval=1 -- \
		"$RUDE" --slow 100
	neighbour "Server::Starter, C, event loop" "$port" "short keep" \
		reload_by HUP "${started[-1]}" 1
	forget_helpers
	port=$(free_port)
	begin gunicorn --chdir "$SERVERS_DIR" -w 2 --threads 4 \
		--worker-tmp-dir "$DIR" -b "127.0.0.1:$port" slow:app
	neighbour "gunicorn's own reload" "$port" "short keep" \
		reload_by HUP "${started[-1]}" 2
	forget_helpers
	port=$(free_port)
	begin node tests/bench/roll.js "$SERVERS_DIR/slow.js" "$port" 2
	neighbour "Node's own cluster" "$port" "short keep" \
		reload_by USR2 "${started[-1]}" 2
	forget_helpers
	[ -x "$PM2" ] || return 0
	port=$(free_port)
	pm2 start "$SERVERS_DIR/slow.js" -i 2 --name slow -- "$port" &&
		neighbour "pm2 reload, Node" "$port" "short keep" \
			pm2 reload slow
	pm2 kill
}

replace() {
	local NCLUST_RUNTIME_DIR=$BENCH_DIR/roll part

	mkdir -m 755 "$NCLUST_RUNTIME_DIR"
	for part in ${REPLACE:-lost p99 quiet doubt many beside}; do
		"replace_$part"
	done
	for part in "${parts[@]}"; do
		! declare -F "figure_$part" >/dev/null || "figure_$part"
	done
}
