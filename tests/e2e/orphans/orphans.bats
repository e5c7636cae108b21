# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2119,SC2120,SC2154
#
# The death of nclust: `orphans = stop` and `keep`, and the next one of that
# name.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	free_port
	PLACE=$NCLUST_RUNTIME_DIR/$INSTANCE
}

# The keeper ends by itself, but not before it has waited for the next one.
teardown() {
	end_keepers
	nclust_teardown
}

# start_kept [OPTION]... [-- COMMAND...]: all ready, with `orphans = keep`.
start_kept() {
	local options=()

	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	[ $# -gt 0 ] || set -- -- "$FIXTURES/serve" --notify
	start_cluster -n 3 -l "127.0.0.1:$PORT" --orphans keep --ready notify \
		"${options[@]}" "$@"
}

# kill_nclust: SIGKILL, and it is gone.
worker_pids() {
	cluster '[.workers[].pid] | sort | join(" ")'
}

all_alive() {
	local pid

	for pid in "$@"; do
		is_alive "$pid" || return 1
	done
}

all_gone() {
	local pid

	for pid in "$@"; do
		is_gone "$pid" || return 1
	done
}

# start_openload [OPTION]...: open-loop load in the background, answered once.
start_openload() {
	wait_listened "$PORT"
	: >"$DIR/open"
	"$FIXTURES/openload" "$PORT" --rate 100 "$@" >"$DIR/open" 3>&- &
	OPEN_PID=$!
	STARTED+=("$OPEN_PID")
	poll_until 10 file_has "$DIR/open" ready
}

# end_openload: nothing was lost of what was asked.
end_openload() {
	kill -TERM "$OPEN_PID"
	poll_until 20 is_gone "$OPEN_PID"
	wait "$OPEN_PID" || true
	tail -n 1 "$DIR/open"
	[ "$(tail -n 1 "$DIR/open" | jq '.lost + .late')" -eq 0 ]
	[ "$(tail -n 1 "$DIR/open" | jq .answered)" -gt 0 ]
}

@test "workers serve on when nclust is killed, and the next one takes them over" {
	start_kept
	were=$(worker_pids)
	before=$(worker 1 .uptime)
	start_openload
	kill_nclust

	read -ra pids <<<"$were"
	all_alive "${pids[@]}"
	start_kept
	[ "$(worker_pids)" = "$were" ]
	logged "took over 3 workers"
	jq -en --argjson a "$before" --argjson b "$(worker 1 .uptime)" '$b > $a'
	[ "$(cluster .state)" = running ]
	[ "$(cluster .generation)" -eq 1 ]
	end_openload
}

@test "workers that were taken over are restarted, scaled, signalled and stopped" {
	start_kept
	read -ra pids < <(worker_pids)
	kill_nclust
	start_kept
	old=$(worker_pid 0)

	# one dies: its end is told as of any other, and it is replaced
	kill -SEGV "$old"
	wait_until 10 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready
	[ "$(worker 0 .last_exit.text)" != null ]
	nclust signal "$INSTANCE" USR1 --all
	nclust scale "$INSTANCE" 2
	poll_until 10 is_gone "$(printf '%s\n' "${pids[@]}" | tail -n 1)" ||
		true
	[ "$(cluster .ready)" -eq 2 ]
	start_openload
	nclust restart "$INSTANCE"
	end_openload
	poll_until 10 all_gone "${pids[@]}"
	[ "$(cluster .ready)" -eq 2 ]
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	[ ! -e "$PLACE" ]
	poll_until 10 no_keeper
}

no_keeper() {
	[ -z "$(keeper_pids)" ]
}

# start_bound [OPTION]...: servers that bind the port by themselves.
start_bound() {
	start_cluster -n 3 --orphans keep "$@" -- "$FIXTURES/plain" "$PORT"
}

kill_keeper() {
	local pid

	for pid in $(keeper_pids); do
		[ "$pid" = "$NCLUST_PID" ] || kill -KILL "$pid"
	done
	poll_until 10 no_keeper
}

# edit_state PYTHON: `d` is the table, `e(i)` where entry i begins.
edit_state() {
	python3 - "$PLACE/state" <<PY
import struct, sys
path = sys.argv[1]
d = bytearray(open(path, "rb").read())
def e(i): return 128 + 128 * i
$1
open(path, "wb").write(d)
PY
}

# refuses WORDS [OPTION]...: it ends with that sentence, and nobody is harmed.
refuses() {
	local words=$1

	shift
	run timeout 20 "$NCLUST" --name "$INSTANCE" -n 3 \
		-l "127.0.0.1:$PORT" --orphans keep --ready notify "$@" \
		-- "$FIXTURES/serve" --notify 3>&-
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"$words"* ]]
}

# --- Who hands over --------------------------------------------------------------

@test "servers that bind for themselves are taken over, with their ports" {
	start_bound
	were=$(worker_pids)
	start_openload
	kill_nclust
	start_bound
	[ "$(worker_pids)" = "$were" ]
	# their calls are heard again: the next one gets the same socket
	nclust scale "$INSTANCE" 4
	[ "$(cluster .ready)" -eq 4 ]
	[ "$(cluster '.listeners | length')" -eq 1 ]
	end_openload
	[ "$(cluster .generation)" -eq 1 ]
}

@test "without the keeper the sockets come back from the workers" {
	start_kept --intercept off
	were=$(worker_pids)
	start_openload
	kill -STOP "$NCLUST_PID" # so that it starts no other one
	kill_keeper
	kill_nclust
	start_kept --intercept off
	[ "$(worker_pids)" = "$were" ]
	end_openload
	[ "$(cluster .generation)" -eq 1 ]
}

@test "without the keeper those whose calls were trapped are replaced one by one" {
	start_bound
	read -ra pids < <(worker_pids)
	start_openload
	kill -STOP "$NCLUST_PID" # so that it starts no other one
	kill_keeper
	kill_nclust
	start_bound
	wait_until 20 '[ "$(cluster .generation)" -eq 2 ] &&
		[ "$(cluster .rollout)" = null ]'
	all_gone "${pids[@]}"
	[ "$(cluster .ready)" -eq 3 ]
	end_openload
}

@test "when all workers die as well, who waits in the queue is answered" {
	start_kept
	read -ra pids < <(worker_pids)
	freeze "${pids[@]}"
	for i in 1 2 3; do
		curl -sS --max-time 20 "http://127.0.0.1:$PORT/" \
			>"$DIR/answer.$i" 3>&- &
		STARTED+=("$!")
	done
	wait_until 10 '[ "$(ss -Hltn "sport = :$PORT" |
		awk "{ print \$2 }")" -eq 3 ]'
	kill_nclust
	kill -KILL "${pids[@]}"
	poll_until 10 all_gone "${pids[@]}"
	start_kept
	for i in 1 2 3; do
		poll_until 10 file_has "$DIR/answer.$i" pid=
	done
	logged "ended while no nclust was there (killed by SIGKILL)" 3
}

@test "nclust is killed while no worker lives: the next one listens at once" {
	start_nclust -n 1 -l "127.0.0.1:$PORT" --orphans keep -- sh -c 'exit 1'
	wait_until 10 '[ "$(cluster ".workers[0].state")" = backoff ] &&
		[ "$(cluster ".workers[0].restarts")" -ge 4 ]'
	curl -sS --max-time 20 "http://127.0.0.1:$PORT/" >"$DIR/answer" 3>&- &
	STARTED+=("$!")
	wait_until 10 '[ "$(ss -Hltn "sport = :$PORT" |
		awk "{ print \$2 }")" -eq 1 ]'
	kill_nclust
	start_kept
	poll_until 10 file_has "$DIR/answer" pid=
}

@test "nclust, the keeper and a worker are killed at once" {
	start_kept --intercept off
	read -ra pids < <(worker_pids)
	mapfile -t keepers < <(keeper_pids)
	kill -KILL "$NCLUST_PID" "${pids[1]}" "${keepers[@]}"
	poll_until 10 is_gone "$NCLUST_PID"
	start_kept --intercept off
	wait_until 10 '[ "$(cluster .ready)" -eq 3 ]'
	[[ " $(worker_pids) " == *" ${pids[0]} "* ]]
	[[ " $(worker_pids) " == *" ${pids[2]} "* ]]
}

@test "a service manager's descriptor store has the sockets, too" {
	python3 "${BATS_TEST_DIRNAME}/keepstore.py" "$DIR/manager" "$DIR/pid" \
		"$NCLUST" --name "$INSTANCE" -n 3 -l "127.0.0.1:$PORT" \
		--orphans keep --ready notify --intercept off \
		-- "$FIXTURES/serve" --notify >>"$LOG" 2>&1 </dev/null 3>&- &
	STARTED+=("$!")
	wait_ready
	read -ra pids < <(worker_pids)
	NCLUST_PID=$(cat "$DIR/pid")
	# all at once: nobody but the manager has the socket
	freeze "${pids[@]}"
	curl -sS --max-time 20 "http://127.0.0.1:$PORT/" >"$DIR/answer" 3>&- &
	STARTED+=("$!")
	wait_until 10 '[ "$(ss -Hltn "sport = :$PORT" |
		awk "{ print \$2 }")" -eq 1 ]'
	mapfile -t keepers < <(keeper_pids)
	# first who would replace the others
	kill -KILL "$NCLUST_PID" "${keepers[@]}" "${pids[@]}"
	poll_until 10 file_has "$DIR/answer" pid=
	wait_ready
	[ "$(cat "$DIR/pid")" != "$NCLUST_PID" ]
	nclust stop "$INSTANCE"
}

# --- What the workers say ----------------------------------------------------------

@test "no line of output is lost, and who writes is not killed" {
	mkfifo "$DIR/go"
	start_cluster -n 1 --orphans keep --log prefix --intercept off -- \
		sh -c 'echo first; read -r x <"$0"; i=0
		while [ $i -lt 20000 ]; do i=$((i+1)); echo "line $i of it"; done
		echo last; exec sleep 1000' "$DIR/go"
	wait_logged "it.0 | first"
	pid=$(worker_pid 0)
	kill_nclust
	release "$DIR/go"
	poll_until 20 logged "line 20000 of it"
	is_alive "$pid"
	start_cluster -n 1 --orphans keep --log prefix --intercept off -- \
		sh -c 'echo first; read -r x <"$0"; i=0
		while [ $i -lt 20000 ]; do i=$((i+1)); echo "line $i of it"; done
		echo last; exec sleep 1000' "$DIR/go"
	wait_logged "it.0 | last"
	[ "$(worker_pid 0)" = "$pid" ]
	[ "$(grep -c 'line [0-9]* of it' "$LOG")" -eq 20000 ]
	[ "$(grep -c 'nclust: .* dropped' "$LOG")" -eq 0 ]
}

@test "who writes is not killed when the keeper is, too" {
	mkfifo "$DIR/go"
	command=(sh -c 'echo first; read -r x <"$0"; i=0
		while [ $i -lt 20000 ]; do i=$((i+1)); echo "line $i of it"; done
		echo last; exec sleep 1000' "$DIR/go")
	start_cluster -n 1 --orphans keep --log prefix --intercept off \
		-- "${command[@]}"
	wait_logged "it.0 | first"
	pid=$(worker_pid 0)
	mapfile -t keepers < <(keeper_pids)
	kill -KILL "$NCLUST_PID" "${keepers[@]}"
	poll_until 10 is_gone "$NCLUST_PID"
	poll_until 10 no_keeper
	release "$DIR/go"
	start_cluster -n 1 --orphans keep --log prefix --intercept off \
		-- "${command[@]}"
	wait_logged "it.0 | last"
	[ "$(worker_pid 0)" = "$pid" ]
	[ "$(grep -c 'line [0-9]* of it' "$LOG")" -eq 20000 ]
}

@test "a worker that was starting says READY=1 to the next nclust" {
	start_nclust -n 1 --orphans keep --ready notify \
		-l "127.0.0.1:$PORT" -- "$FIXTURES/serve" --notify --delay 1500
	wait_until 10 '[ "$(worker_state 0)" = starting ]'
	pid=$(worker_pid 0)
	kill_nclust
	start_nclust -n 1 --orphans keep --ready notify \
		-l "127.0.0.1:$PORT" -- "$FIXTURES/serve" --notify --delay 1500
	wait_ready
	[ "$(worker_pid 0)" = "$pid" ]
}

# --- Other settings ------------------------------------------------------------------

@test "workers of other settings are replaced by a rolling restart" {
	start_kept
	read -ra pids < <(worker_pids)
	start_openload
	kill_nclust
	start_kept --env COLOUR=blue
	wait_until 20 '[ "$(cluster .rollout)" = null ] &&
		[ "$(cluster .generation)" -gt 1 ] &&
		[ "$(cluster .ready)" -eq 3 ]'
	poll_until 10 all_gone "${pids[@]}"
	end_openload
	tr '\0' '\n' <"/proc/$(worker_pid 0)/environ" | grep -qx COLOUR=blue
}

@test "a port that is not in the settings any more is closed" {
	start_kept
	kill_nclust
	was=$PORT
	free_port
	start_kept
	wait_until 10 '! is_listened "$1"' "$was"
	http_get "$PORT"
	run -0 nclust restart "$INSTANCE"
	http_get "$PORT"
}

@test "fewer wanted than there are, and more" {
	start_kept
	read -ra pids < <(worker_pids)
	kill_nclust
	start_cluster -n 1 -l "127.0.0.1:$PORT" --orphans keep --ready notify \
		-- "$FIXTURES/serve" --notify
	wait_until 10 '[ "$(cluster ".workers | length")" -eq 1 ]'
	[[ " ${pids[*]} " == *" $(worker_pid 0) "* ]]
	poll_until 10 all_gone "${pids[@]:1}" || all_gone "${pids[@]:0:2}"
	kill_nclust
	start_kept
	[ "$(cluster .ready)" -eq 3 ]
	[[ " $(worker_pids) " == *" $(worker_pid 0) "* ]]
}

@test "what the operator scaled to holds" {
	start_kept
	nclust scale "$INSTANCE" 5
	were=$(worker_pids)
	kill_nclust
	start_kept
	[ "$(worker_pids)" = "$were" ]
	[ "$(cluster .wanted)" -eq 5 ]
}

@test "with 'stop' the next nclust ends what keep had left" {
	start_kept
	read -ra pids < <(worker_pids)
	kill_nclust
	start_cluster -n 1 -l "127.0.0.1:$PORT" --ready notify \
		-- "$FIXTURES/serve" --notify
	all_gone "${pids[@]}"
	logged "ending 3 processes"
	poll_until 10 no_keeper
}

# --- Stop ----------------------------------------------------------------------------

@test "with 'stop' what a worker leaves behind is ended by the next start" {
	start_cluster -n 1 --intercept off -- sh -c \
		'setsid sleep 1000 & echo $! >"$0"; exec sleep 1000' "$DIR/far"
	poll_until 10 test -s "$DIR/far"
	far=$(cat "$DIR/far")
	worker=$(worker_pid 0)
	sleep 1000 3>&- & # nobody's
	STARTED+=("$!")
	stranger=$!
	kill_nclust
	poll_until 10 is_gone "$worker"
	is_alive "$far"

	start_cluster -n 1 --intercept off -- sleep 1000
	is_gone "$far"
	is_alive "$stranger"
	logged "ending 1 process that nclust $NCLUST_PID has left" || true
	nclust stop "$INSTANCE"
	is_alive "$stranger"
}

@test "who runs in a container is no remains, whatever its nclust is called" {
	start_cluster -n 1 --intercept off -- sleep 1000
	mapfile -t facts < <(tr '\0' '\n' <"/proc/$(worker_pid 0)/environ" |
		grep -E '^NCLUST_(SOCKET|WORKER)=')
	[ "${#facts[@]}" -eq 2 ]
	unshare --pid --fork --kill-child env "${facts[@]}" sleep 1000 3>&- &
	outside=$!
	STARTED+=("$outside")
	poll_until 10 pgrep -x -P "$outside" sleep
	inside=$(pgrep -x -P "$outside" sleep)
	kill_nclust

	start_cluster -n 1 --intercept off -- sleep 1000
	is_alive "$inside"
	nclust stop "$INSTANCE"
	is_alive "$inside"
}

@test "what another user says in its environment makes it no remains" {
	need_root
	need setpriv
	start_cluster -n 1 --user nobody --intercept off -- sleep 1000
	mapfile -t facts < <(tr '\0' '\n' <"/proc/$(worker_pid 0)/environ" |
		grep -E '^NCLUST_(SOCKET|WORKER)=')
	[ "${#facts[@]}" -eq 2 ]
	env "${facts[@]}" setpriv --reuid=1 --regid=1 --clear-groups \
		sleep 1000 3>&- &
	stranger=$!
	env "${facts[@]}" setpriv --reuid=nobody --regid=1 --clear-groups \
		sleep 1000 3>&- &
	left=$!
	STARTED+=("$stranger" "$left")
	poll_until 10 file_has "/proc/$stranger/comm" sleep
	poll_until 10 file_has "/proc/$left/comm" sleep
	kill_nclust

	start_cluster -n 1 --user nobody --intercept off -- sleep 1000
	is_alive "$stranger"
	is_gone "$left" # of the same user: it could be the worker's
	nclust stop "$INSTANCE"
	is_alive "$stranger"
}

is_stopped() {
	grep -q "^State:.*T" "/proc/$1/status"
}

@test "all of a worker goes on that was frozen when nclust was killed" {
	command=(sh -c '[ -s "$0" ] || { setsid sleep 1000 & echo $! >"$0"; }
		wait' "$DIR/far")
	start_cluster -n 1 --orphans keep --intercept off -- "${command[@]}"
	poll_until 10 test -s "$DIR/far"
	far=$(cat "$DIR/far")
	pid=$(worker_pid 0)
	kill_nclust
	# in the midst of a drain's look
	kill -STOP "$pid" "$far"
	poll_until 10 is_stopped "$pid"
	poll_until 10 is_stopped "$far"
	edit_state 'struct.pack_into("I", d, e(0), 4)'
	start_cluster -n 1 --orphans keep --intercept off -- "${command[@]}"
	[ "$(worker_pid 0)" = "$pid" ]
	run ! is_stopped "$pid"
	run ! is_stopped "$far"
}

# --- Races -----------------------------------------------------------------------------

@test "of five that take over at once one wins, and nobody starts others" {
	start_kept
	were=$(worker_pids)
	start_openload
	kill_nclust
	for i in 1 2 3 4 5; do
		launch_nclust -n 3 -l "127.0.0.1:$PORT" --orphans keep \
			--ready notify -- "$FIXTURES/serve" --notify
	done
	wait_ready
	poll_until 20 four_refused
	[ "$(worker_pids)" = "$were" ]
	logged "took over 3 workers"
	end_openload
}

four_refused() {
	[ "$(grep -c 'is already running' "$LOG")" -eq 4 ]
}

@test "killed again and again while it takes over: the workers go on" {
	start_kept
	were=$(worker_pids)
	start_openload
	for i in $(seq 20); do
		kill_nclust
		launch_nclust -n 3 -l "127.0.0.1:$PORT" --orphans keep \
			--ready notify -- "$FIXTURES/serve" --notify
		# sooner and later
		poll_until 1 spent "$((i * 2000))" "$(microseconds)" || true
	done
	wait_ready
	[ "$(worker_pids)" = "$were" ]
	end_openload
}

# spent MICROSECONDS SINCE
spent() {
	[ "$(($(microseconds) - $2))" -gt "$1" ]
}

@test "killed in bursts of births, no worker is left that nobody knows" {
	for i in $(seq 25); do
		launch_nclust -n 8 --orphans keep --intercept off \
			--backoff-min 1ms --backoff-max 2ms --stable-after 0s \
			-- "$FIXTURES/die" --after 2
		poll_until 1 spent "$((20000 + i * 1500))" "$(microseconds)" ||
			true
		kill_nclust
	done
	start_cluster -n 2 --orphans keep --intercept off -- sleep 1000
	poll_until 10 only_these
	nclust stop "$INSTANCE"
	wait_exit
	poll_until 10 none_left
}

none_left() {
	local pid

	for pid in $(ours); do
		is_gone "$pid" || return 1
	done
}

# All processes of ours but nclust and the keeper are in the status.
only_these() {
	local pid known

	known=" $(worker_pids) $NCLUST_PID $(keeper_pids | tr '\n' ' ') "
	for pid in $(ours); do
		is_gone "$pid" || [[ $known == *" $pid "* ]] || return 1
	done
}

# --- A state that cannot be believed ------------------------------------------------------

@test "a state that is none is refused while workers run, and told when none does" {
	start_kept
	read -ra pids < <(worker_pids)
	kill_nclust
	cp "$PLACE/state" "$DIR/state"
	for how in 'd[:] = b"garbage" * 200' 'd[:] = d[:100]' 'd[:] = d[:-7]' \
		'd[8] = 77' 'd[e(0)] = 200' 'd[128+20] = 255; d[128+19] = 255'; do
		cp "$DIR/state" "$PLACE/state"
		edit_state "$how"
		refuses "are still running (pid"
		all_alive "${pids[@]}"
	done
	kill -KILL "${pids[@]}"
	poll_until 10 all_gone "${pids[@]}"
	start_kept
	logged "cannot be used"
	[ "$(cluster .ready)" -eq 3 ]
}

@test "a mangled estate is refused while workers run" {
	start_kept
	read -ra pids < <(worker_pids)
	kill_nclust
	cp "$PLACE/estate" "$DIR/estate"
	head -c 40 "$DIR/estate" >"$PLACE/estate"
	refuses "cannot be taken over"
	all_alive "${pids[@]}"
	cp "$DIR/estate" "$PLACE/estate"
	start_kept
	[ "$(worker_pids)" = "${pids[*]}" ]
}

@test "a start that fails leaves no new path behind, and those of before alone" {
	start_kept -l "unix:$DIR/sock"
	before=$(worker_pids)
	kill_nclust
	refuses "cannot open the directory" -l "unix:$DIR/sock" -l "unix:$DIR/new" \
		-l "unix:$DIR/no/such"
	[ ! -e "$DIR/new" ]
	[ -S "$DIR/sock" ]
	start_kept -l "unix:$DIR/sock"
	[ "$(worker_pids)" = "$before" ]
}

@test "a state of an earlier boot is nobody's" {
	start_kept
	read -ra pids < <(worker_pids)
	kill_nclust
	kill_keeper
	kill -KILL "${pids[@]}"
	poll_until 10 all_gone "${pids[@]}"
	sleep 1000 3>&- &
	STARTED+=("$!")
	edit_state "
d[16:24] = b'00000000'
d[e(0)+16:e(0)+20] = struct.pack('i', $!)"
	start_kept
	is_alive "$!"
	[ "$(cluster .ready)" -eq 3 ]
}

@test "a pid that is another's by now is never touched" {
	start_kept
	read -ra pids < <(worker_pids)
	kill_nclust
	kill_keeper
	kill -KILL "${pids[@]}"
	poll_until 10 all_gone "${pids[@]}"
	sleep 1000 3>&- &
	STARTED+=("$!")
	stranger=$!
	edit_state "
d[e(0)+16:e(0)+20] = struct.pack('i', $stranger)
d[e(1)+16:e(1)+20] = struct.pack('i', $stranger)
d[e(1)+8:e(1)+16] = bytes(8)"
	start_kept
	[ "$(cluster .ready)" -eq 3 ]
	[[ " $(worker_pids) " != *" $stranger "* ]]
	nclust stop "$INSTANCE" --now
	is_alive "$stranger"
}

@test "a state that is a link, or others', is not read" {
	start_kept
	read -ra pids < <(worker_pids)
	kill_nclust
	mv "$PLACE/state" "$DIR/state"
	ln -s "$DIR/state" "$PLACE/state"
	refuses "are still running (pid"
	rm "$PLACE/state"
	cp "$DIR/state" "$PLACE/state"
	chmod 666 "$PLACE/state"
	refuses "are still running (pid"
	all_alive "${pids[@]}"
	chmod 600 "$PLACE/state"
	start_kept
	[ "$(worker_pids)" = "${pids[*]}" ]
}

@test "a keeper whose place another one has got ends" {
	start_kept --intercept off
	were=$(worker_pids)
	kill_nclust
	[ -n "$(keeper_pids)" ]
	rm "$PLACE/keeper"
	python3 -c 'import socket as s, sys; s.socket(s.AF_UNIX).bind(sys.argv[1])' \
		"$PLACE/keeper"
	poll_until 20 no_keeper

	start_kept --intercept off
	[ "$(worker_pids)" = "$were" ]
}

@test "the keeper ends with the last worker, or with its place" {
	start_kept --intercept off
	read -ra pids < <(worker_pids)
	kill_nclust
	[ -n "$(keeper_pids)" ]
	kill -KILL "${pids[@]}"
	poll_until 20 no_keeper
}

# --- With the rest of nclust -----------------------------------------------------------

@test "killed in the midst of a rolling restart: one worker a slot in the end" {
	start_kept
	start_openload
	for i in 1 2 3 4 5 6; do
		nclust restart "$INSTANCE" --no-wait
		poll_until 1 spent "$((i * 40000))" "$(microseconds)" || true
		kill_nclust
		start_kept
	done
	wait_until 30 '[ "$(cluster .rollout)" = null ] &&
		[ "$(cluster ".workers | length")" -eq 3 ] &&
		[ "$(cluster .ready)" -eq 3 ]'
	poll_until 10 three_alive
	end_openload
}

three_alive() {
	[ "$(fixtures_alive)" -eq 3 ]
}

@test "upgraded and killed, killed and upgraded" {
	start_kept
	were=$(worker_pids)
	start_openload
	for i in 1 2 3; do
		nclust upgrade "$INSTANCE"
		[ "$(worker_pids)" = "$were" ]
		kill_nclust
		start_kept
		[ "$(worker_pids)" = "$were" ]
	done
	nclust scale "$INSTANCE" 4
	nclust upgrade "$INSTANCE"
	were=$(worker_pids)
	kill_nclust
	start_kept
	[ "$(worker_pids)" = "$were" ]
	nclust restart "$INSTANCE"
	end_openload
	nclust stop "$INSTANCE"
	poll_until 10 no_keeper
}

@test "clusters of a file, unix sockets, other users and one that is not kept" {
	need_root
	cat >"$DIR/$INSTANCE.ini" <<-INI
		[cluster:web]
		command = $FIXTURES/serve --notify
		workers = 2
		listen = 127.0.0.1:$PORT
		ready = notify
		orphans = keep
		user = nobody
		intercept = off
		[cluster:files]
		command = $FIXTURES/serve --notify --unix
		workers = 2
		listen = unix:$DIR/sock, mode=0666
		ready = notify
		orphans = keep
		[cluster:jobs]
		command = sleep 1000
		workers = 1
		ready = alive:1ms
		intercept = off
	INI
	start_cluster -c "$DIR/$INSTANCE.ini"
	kept=$(status_json | jq -c '[.clusters[:2][].workers[].pid]')
	job=$(CLUSTER="jobs" worker_pid 0)
	kill_nclust
	poll_until 10 is_gone "$job"
	curl -sS --max-time 5 --unix-socket "$DIR/sock" http://x/ | grep pid=
	start_cluster -c "$DIR/$INSTANCE.ini"
	[ "$(status_json | jq -c '[.clusters[:2][].workers[].pid]')" = "$kept" ]
	[ "$(CLUSTER="jobs" worker_pid 0)" != "$job" ]
	curl -sS --max-time 5 --unix-socket "$DIR/sock" http://x/ | grep pid=
	nclust stop "$INSTANCE"
	wait_exit
	[ ! -e "$DIR/sock" ]
}

@test "a user's own nclust takes over, too" {
	need_root
	need setpriv
	mkdir -m 755 "$DIR/his"
	chown 65534:65534 "$DIR/his" "$LOG"
	export NCLUST_RUNTIME_DIR=$DIR/his
	PLACE=$NCLUST_RUNTIME_DIR/$INSTANCE
	start_as_nobody
	were=$(worker_pids)
	kill_nclust
	start_as_nobody
	[ "$(worker_pids)" = "$were" ]
	[ "$(cluster .generation)" -eq 1 ]
}

as_nobody() {
	setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

# What nobody is to be asked by his own.
start_as_nobody() {
	as_nobody "$NCLUST" --name "$INSTANCE" -n 2 -l "127.0.0.1:$PORT" \
		--orphans keep --ready notify -- "$FIXTURES/serve" --notify \
		>>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	# shellcheck disable=SC2317 # by those who wait
	nclust() {
		as_nobody "$NCLUST" "$@"
	}
	wait_ready
}

@test "how one ended that was taken over is told" {
	mkfifo "$DIR/go.0" "$DIR/go.1"
	start_cluster -n 2 --orphans keep --ready alive:1ms --intercept off \
		-- sh -c 'read -r x <"$0.$NCLUST_SLOT"; exit 7' "$DIR/go"
	kill_nclust
	start_nclust -n 2 --orphans keep --ready alive:1ms --intercept off \
		-- sh -c 'read -r x <"$0.$NCLUST_SLOT"; exit 7' "$DIR/go"
	logged "took over 2 workers"
	release "$DIR/go.1"
	wait_until 10 '[ "$(worker 1 .restarts)" -ge 1 ]'
	[[ "$(worker 1 .last_exit.text)" =~ ^(exit 7|unknown)$ ]]
}

@test "a reload from 'stop' to 'keep' is enough" {
	cat >"$DIR/$INSTANCE.ini" <<-INI
		[cluster:web]
		command = $FIXTURES/serve --notify
		workers = 2
		listen = 127.0.0.1:$PORT
		ready = notify
	INI
	start_cluster -c "$DIR/$INSTANCE.ini"
	echo "orphans = keep" >>"$DIR/$INSTANCE.ini"
	nclust reload "$INSTANCE"
	wait_ready
	were=$(worker_pids)
	[ -n "$(keeper_pids)" ]
	start_openload
	kill_nclust
	start_cluster -c "$DIR/$INSTANCE.ini"
	[ "$(worker_pids)" = "$were" ]
	end_openload
}

# at_their_own PORT...: the cluster c$PORT, and no other, answers at each.
at_their_own() {
	local port pids

	for port in "$@"; do
		pids=$(CLUSTER=c$port cluster '[.workers[].pid] | join(" ")')
		for _ in 1 2 3 4 5 6; do
			[[ " $pids " == *" $(http_get "$port" | cut -c 5-) "* ]] ||
				return 1
		done
	done
}

@test "clusters that a reload has added have their own ports again" {
	local ports=("$PORT")

	free_port && ports+=("$PORT")
	free_port && ports+=("$PORT")
	add() {
		cat >>"$DIR/$INSTANCE.ini" <<-INI
			[cluster:c$1]
			command = $FIXTURES/plain $1
			workers = 2
			orphans = keep
		INI
	}
	add "${ports[0]}"
	start_cluster -c "$DIR/$INSTANCE.ini"
	add "${ports[1]}"
	add "${ports[2]}"
	nclust reload "$INSTANCE"
	wait_ready
	were=$(status_json | jq -c '[.clusters[].workers[].pid]')
	at_their_own "${ports[@]}"
	kill_nclust
	start_cluster -c "$DIR/$INSTANCE.ini"
	[ "$(status_json | jq -c '[.clusters[].workers[].pid]')" = "$were" ]
	at_their_own "${ports[@]}"
	nclust restart "$INSTANCE"
	at_their_own "${ports[@]}"
}

@test "workers that are kept have no descriptor of nclust's" {
	mkdir -m 777 "$DIR/out"
	start_cluster -n 1 --orphans keep --ready notify --log prefix \
		--stop-signal KILL \
		-- "$FIXTURES/leak" --to "$DIR/out/leak" --notify
	poll_until 10 test -s "$DIR/out/leak"
	jq -c .fds "$DIR/out/leak"
	[ "$(jq '.fds | length' "$DIR/out/leak")" -eq 3 ]
}

@test "a directory that was removed and made anew is all that the next one needs" {
	start_kept
	were=$(worker_pids)
	rm -r "$PLACE"
	poll_until 10 test -S "$PLACE/control"
	[ "$(worker_pids)" = "$were" ]
	kill_nclust
	start_kept
	[ "$(worker_pids)" = "$were" ]
}

# It hands out the sockets, and is the logger from then on.
@test "a keeper that is another user's is not believed" {
	need_root
	start_kept
	mapfile -t keepers < <(keeper_pids)
	kill_nclust
	kill -KILL "${keepers[@]}"
	poll_until 10 no_keeper
	rm -f "$PLACE/keeper"
	python3 - "$PLACE/keeper" 3>&- <<-'EOF' &
		import os, socket, sys, time
		s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		s.bind(sys.argv[1])
		os.setresuid(12345, 12345, 12345)
		s.listen()
		s.accept()
		time.sleep(60)
	EOF
	STARTED+=("$!")
	poll_until 10 test -S "$PLACE/keeper"
	start_kept
	logged 'the keeper did not return everything: Operation not permitted'
}
