# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench has the rest
#
# What restarts cost clients whose connections are kept, and busy all the time, for scripts/bench:
# 20 restarts under each kind of client (tests/e2e/drain/clients), which repeats nothing.
#
#   HAND_ON="python:http.client:30:4:/length ..."  these alone, as SERVER:CLIENT:COUNT:WORKERS:PATH[,PATH]
#   HAND_ON_RESTARTS=20                            how many
#   HAND_ON_OLD=PROGRAM|COMMIT                     another nclust, in turns with this one: the baseline
#
# A client is wrk, fetch or http.client, with -post or without, behind unix/ (a unix socket) or a
# proxy that does not try again: nginx/, nginx+unix/, haproxy/, haproxy+unix/.  Each request has an id,
# which the servers write down.

HAND_ON_RESTARTS=${HAND_ON_RESTARTS:-20}
# shellcheck disable=SC2054 # the commas are in braces
HAND_ON_CELLS=(
	{python,gthread,node,accept,poll,epoll}:{wrk,fetch,fetch-post,http.client}:30:4:/length
	{python,node,epoll}:http.client:{3,300}:{4,2}:/length
	{python,node}:fetch-post:{3,300}:{4,2}:/length
	{python,node,epoll}:{nginx,nginx+unix,haproxy,haproxy+unix}/http.client-post:30:4:/length
	{python,node,epoll}:wrk:300:4:/length
	{python,gthread,node,epoll}:http.client:30:4:{/empty,/long,/chunked}
	{python,node,epoll}:http.client:20:2:/length,/length,/length,/wait/10000
)
KEPT_CLIENTS=$ROOT/tests/e2e/drain/clients

# --- Programs ------------------------------------------------------------------------------

# another_nclust WHICH: sets OLD_NCLUST.
another_nclust() {
	OLD_NCLUST=$1
	[ -n "$1" ] && [ ! -x "$1" ] || return 0
	mkdir -p "$BENCH_DIR/old"
	git archive "$1" | tar -x -C "$BENCH_DIR/old" &&
		make -s -C "$BENCH_DIR/old" nclust || return
	OLD_NCLUST=$BENCH_DIR/old/nclust
}

# kept_server NAME PORT|PATH: sets SERVER, the options of nclust and the command.
kept_server() {
	SERVER=()
	[ "${2:0:1}" != / ] || SERVER=(-l "unix:$2")
	case $1 in
	python) SERVER+=(-- /usr/bin/python3 "$SERVERS_DIR/kinds.py" "$2") ;;
	node) SERVER+=(-- node "$SERVERS_DIR/kinds.js" "$2") ;;
	gthread)
		SERVER+=(-- gunicorn --chdir "$SERVERS_DIR" -w 1 -k gthread --threads 4
			--keep-alive 60 --worker-tmp-dir "$BENCH_DIR")
		[ "${2:0:1}" = / ] || SERVER+=(-b "127.0.0.1:$2")
		SERVER+=(kinds:app)
		;;
	*) SERVER+=(-- "$ROOT/build/fixtures/keeps" "$1" "$2") ;;
	esac
}

# begin_proxy NAME PORT SERVER: the server is a port or a path.
begin_proxy() {
	local to=127.0.0.1:$3 user='' file=nginx.conf at=unix:

	if [ "$1" = haproxy ]; then
		file=haproxy.cfg at=unix@
	fi
	[ "${3:0:1}" != / ] || to=$at$3
	[ "$(id -u)" != 0 ] || user="user root;"
	sed -e "s|@DIR@|$BENCH_DIR|g; s|@USER@|$user|; s|@AT@|$2|; s|@TO@|$to|" \
		-e 's|@TIME@|60s|; s|@CONNECT@|10s|' "$KEPT_CLIENTS/$file" >"$BENCH_DIR/$file"
	if [ "$1" = nginx ]; then
		begin nginx -p "$BENCH_DIR" -c "$BENCH_DIR/$file"
	else
		begin haproxy -db -f "$BENCH_DIR/$file"
	fi
	until_holds 10 "$1 does not listen" listens_at "$2"
}

listens_at() {
	{ true <>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null
}

# begin_asking_kept CLIENT COUNT PORT|PATH PATH[,PATH]: one has been answered.
begin_asking_kept() {
	local method=GET name=${1%-post} paths

	IFS=, read -r -a paths <<<"$4"
	[ "$name" = "$1" ] || method=POST
	: >"$BENCH_DIR/clients"
	case $name in
	http.client)
		begin_said /usr/bin/python3 "$KEPT_CLIENTS/asks.py" "$method" "$2" "$3" "${paths[@]}"
		;;
	fetch) begin_said node "$KEPT_CLIENTS/asks.mjs" "$method" "$2" "$3" "${paths[@]}" ;;
	wrk)
		METHOD=$method begin_said wrk -t 1 -c "$2" -d 600 --timeout 60 \
			-s "$KEPT_CLIENTS/asks.lua" "http://127.0.0.1:$3${paths[0]}"
		until_holds 60 "wrk got no answer" test -s "$BENCH_DIR/asked"
		return
		;;
	esac
	until_holds 60 "not all clients were answered" grep -qs ready "$BENCH_DIR/clients"
}

begin_said() {
	"$@" >"$BENCH_DIR/clients" 2>>"$BENCH_DIR/err" </dev/null &
	started+=($!)
}

# --- Turns ---------------------------------------------------------------------------------

# One turn of a cell with that nclust: adds to what `got` has of that side.
# kept_turn SIDE PROGRAM RESTARTS SERVER CLIENT COUNT WORKERS PATHS
kept_turn() {
	local side=$1 nclust=$2 client=$5 via='' at port begun_before=${#started[@]} i follower
	local events=$BENCH_DIR/kept.events asked

	rm -f "$BENCH_DIR/asked" "$BENCH_DIR/kept"
	[ "$client" = "${client#*/}" ] || via=${client%%/*} client=${client#*/}
	at=$(free_port)
	[[ $via != *unix ]] || at=$BENCH_DIR/kept
	kept_server "$4" "$at"
	ASKED=$BENCH_DIR/asked begin "$nclust" -n "$7" --name kept --log off "${SERVER[@]}"
	until_holds 60 "'kept' is not ready" kept_ready "$nclust" || { forget_helpers && return 1; }
	"$nclust" events kept -f --json >"$events" 2>/dev/null &
	follower=$!
	case $via in
	nginx* | haproxy*)
		port=$(free_port)
		begin_proxy "${via%+unix}" "$port" "$at"
		at=$port
		;;
	esac
	begin_asking_kept "$client" "$6" "$at" "$8" || { forget_helpers && return 1; }
	for ((i = 0; i < $3; i++)); do
		timeout 120 "$nclust" restart kept >/dev/null 2>>"$BENCH_DIR/err" ||
			note "a restart failed ($side)"
	done
	case $client in
	wrk*) stop_last INT ;;
	*) stop_last ;;
	esac
	REPORT=$(tail -n 1 "$BENCH_DIR/clients")
	forget_helpers
	wait "$follower"
	asked=$(sort "$BENCH_DIR/asked" | uniq -c | awk '$1 > 1 { twice++ } END { print NR, twice + 0 }')
	add_turn "$side" "$events" "$asked"
}

kept_ready() {
	"$1" status kept >/dev/null 2>&1
}

# add_turn SIDE EVENTS "ASKED TWICE"
add_turn() {
	local side=$1 answered errors strange handed

	read -r answered errors strange handed < <(told '"\(.answered) \(.errors | map(.) | add + 0) " +
		"\(.strange) \(.handed[0])"')
	got[$side.answered]=$((${got[$side.answered]-0} + answered))
	got[$side.errors]=$((${got[$side.errors]-0} + errors))
	got[$side.kinds]+=" $(told '.errors | with_entries(select(.value > 0)) | tostring' | sed 's/^{}$//')"
	got[$side.wrong]=$((${got[$side.wrong]-0} + strange + ${3#* }))
	got[$side.handed]=$((${got[$side.handed]-0} + handed))
	got[$side.p99_handed]+=" $(told '.handed[2] // empty')"
	got[$side.p99_others]+=" $(told '.others[2] // empty')"
	# not those of the stop, before which the clients have left
	got[$side.times]+=" $(jq -rs '(map(.event) | rindex("rollout-done")) as $last |
		.[:$last][] | select(.event == "drained") | .took_ms' "$2" | tr '\n' ' ')"
	got[$side.forced]=$((${got[$side.forced]-0} + $(jq -s \
		'[.[] | select(.event == "drained" and .forced > 0)] | length' "$2")))
}

# part_of PART NUMBER...: the one that so many parts of them do not pass.
part_of() {
	in_order "${@:2}" | awk -v part="$1" '{ v[NR] = $1 }
		END { i = int(NR * part + 0.999999); print v[i < 1 ? 1 : i] }'
}

# kept_side SIDE: a line of build/bench/hand-on.tsv.
kept_side() {
	local what

	printf '%s\t%s\t%s' "$cell" "$1" "$(cut -d' ' -f1 /proc/loadavg)"
	for what in answered errors wrong handed forced; do
		printf '\t%s' "${got[$1.$what]-}"
	done
	printf '\t%s\t%s\t%s\t%s\t%s\n' "$(whole "${got[$1.times]-0}")" "$(part_of 0.9 "${got[$1.times]-0}")" \
		"$(median "${got[$1.p99_handed]:-0}")" "$(median "${got[$1.p99_others]:-0}")" \
		"${got[$1.kinds]-}"
}

kept_cell() {
	local cell=$1 server client count workers paths turn side
	local -A got=()

	IFS=: read -r server client count workers paths <<<"$cell"
	for turn in 1 2; do
		for side in ${OLD_NCLUST:+old} new; do
			kept_turn "$side" "$([ "$side" = old ] && echo "$OLD_NCLUST" || echo ./nclust)" \
				$((HAND_ON_RESTARTS / 2)) "$server" "$client" "$count" "$workers" \
				"$paths" || return
		done
	done
	for side in ${OLD_NCLUST:+old} new; do
		kept_side "$side" >>build/bench/hand-on.tsv
	done
	note "$workers of $server, $count of $client, $paths: of ${got[new.answered]} requests" \
		"${got[new.handed]} were handed on; load $(cut -d' ' -f1-2 /proc/loadavg)"
	print_row "    errors" "${got[new.errors]}" "${got[old.errors]--}" - "≤ 0" \
		"$(judge "${got[new.errors]}" 0)"
	[ "${got[new.errors]}" = 0 ] || note "${got[new.kinds]}"
	most "    asked twice, or another's answer" "${got[new.wrong]}" 0 ""
	if [[ $paths != *wait* ]]; then
		kept_time median 0.5 150
		kept_time "nine of ten" 0.9 500
	fi
	[ "$client" = "${client#*wrk}" ] && [ "${got[new.handed]}" -ge 20 ] || return 0
	row "    p99: those handed on, the others" "$(median "${got[new.p99_handed]}")" \
		"$(median "${got[new.p99_others]}")" 3 ms
}

# kept_time WHAT PART BOUND: of the drains, in ms.
kept_time() {
	local now before=-

	now=$(part_of "$2" "${got[new.times]}")
	[ -z "${got[old.times]-}" ] || before=$(part_of "$2" "${got[old.times]}")
	print_row "    a worker's drain: $1 (ms)" "$now" "$before" - "≤ $3" "$(judge "$now" "$3")"
}

figure_hand_on() {
	local NCLUST_RUNTIME_DIR=$BENCH_DIR/kept.run cell

	mkdir -m 755 "$NCLUST_RUNTIME_DIR"
	another_nclust "${HAND_ON_OLD-}" || return
	: >build/bench/hand-on.tsv
	for cell in ${HAND_ON:-${HAND_ON_CELLS[@]}}; do
		kept_cell "$cell" || {
			note "$cell was not measured to its end"
			missed=$((missed + 1))
		}
	done
}
