# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# The life of two workers that share a port though each binds it for itself.
# `load ../../lib` and `load ../../life` in a file; then, in a test,
#
#	start_cluster -n 2 -- SERVER... "$PORT"
#	lead_a_life
#
# What a server is like is said by variables, which life_setup sets anew:
#
#   VISIT       options of the fixture `visit` for this server's protocol
#   AT_ONCE     how many requests one worker may have accepted at a time; no
#               more are lost by its death
#   DRAINS      "yes": it answers what it has accepted before it dies of its
#               stop signal, so a restart loses nothing.  Other servers die at
#               once and lose what they had accepted, never what was queued.
#   SHUTS       "yes": it calls shutdown(2) on its listener when it stops, which
#               takes it from all who share it until nclust has healed it: who
#               connects in that moment is refused
#   ADDRESSES   how many addresses it binds
#   SOCKETS     how many sockets, if it binds some address more than once
#
# and who_answered() may be replaced: of an answer on stdin, the process.

CLIENTS=3

life_setup() {
	nclust_setup
	free_port
	VISIT=()
	AT_ONCE=1
	DRAINS=no
	SHUTS=no
	ADDRESSES=1
	SOCKETS=
	VISIT_PID=
}

# Programs must be there (scripts/setup): no test is skipped for their want.
must_have() {
	command -v "$1" >/dev/null || {
		echo "no $1 here; try scripts/setup ${SETUP_LEVEL:-test}"
		return 1
	}
}

# --- Who answers ---------------------------------------------------------------

who_answered() {
	sed -n 's/.*pid=\([0-9][0-9]*\).*/\1/p' | head -n 1
}

# Each worker has a session of its own: a child's is its worker's pid.
session_of() {
	local line fields

	{ read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
	read -ra fields <<<"${line##*) }"
	echo "${fields[3]}"
}

# One request: the worker that answers it.
who_answers() {
	local pid

	pid=$("$FIXTURES/visit" "$PORT" "${VISIT[@]}" --show 2>&1 |
		who_answered) && [ -n "$pid" ] && session_of "$pid"
}

all_of() {
	ps -o pid= -s "$1" 2>/dev/null || true
}

worker_pids() {
	cluster '[.workers[].pid] | join(" ")'
}

# answers_alone PID: with all others stopped, this one answers.
answers_alone() {
	local pid others=() who

	for pid in $(worker_pids); do
		[ "$pid" = "$1" ] || others+=("$pid")
	done
	freeze "${others[@]}"
	who=$(who_answers) || who=nobody
	thaw "${others[@]}"
	[ "$who" = "$1" ] || {
		echo "wanted an answer of $1, got one of $who"
		return 1
	}
}

# --- Requests all the time -------------------------------------------------------

start_visits() {
	: >"$DIR/visits"
	"$FIXTURES/visit" "$PORT" --clients "$CLIENTS" "${VISIT[@]}" "$@" \
		>"$DIR/visits" 3>&- &
	VISIT_PID=$!
	STARTED+=("$VISIT_PID")
}

# The number of the answered is on the last line, every ten.
answered_more_than() {
	local now

	now=$(tail -n 1 "$DIR/visits")
	[ "${now:-0}" -gt "$1" ]
}

# some_more: more requests are answered.
some_more() {
	local now

	now=$(tail -n 1 "$DIR/visits")
	poll_until 20 answered_more_than "${now:-0}"
}

# end_visits: sets ANSWERED, REFUSED, LOST and LATE.
end_visits() {
	kill -TERM "$VISIT_PID" 2>/dev/null || true
	read_visits
}

# wait_visits: the same for those that end by themselves.
read_visits() {
	local line

	poll_until 30 is_gone "$VISIT_PID"
	wait "$VISIT_PID" || true
	line=$(tail -n 1 "$DIR/visits")
	echo "$line"
	read -r ANSWERED REFUSED LOST LATE <<<"${line//[a-z=]/}"
	[ -n "$LATE" ]
}

# How many connections wait at the port to be accepted.
queued() {
	ss -Hltn "sport = :$PORT" | awk '{ n += $2 } END { print n + 0 }'
}

# --- The life ----------------------------------------------------------------------

lead_a_life() {
	both_answer
	port_is_learned
	queue_survives_all
	death_under_load
	restart_under_load
	more_and_fewer
	nothing_stays
}

both_answer() {
	local pid

	[ "$(cluster .ready)" -eq 2 ]
	wait_listened "$PORT"
	for pid in $(worker_pids); do
		answers_alone "$pid"
	done
}

port_is_learned() {
	local learned

	learned=$(cluster '[.listeners[] | select(.learned) | .address]')
	echo "learned: $learned"
	[ "$(jq -r --arg port ":$PORT" '.[] | select(endswith($port))' \
		<<<"$learned" | sort -u | wc -l)" -eq "$ADDRESSES" ]
	[ "$(jq length <<<"$learned")" -eq "${SOCKETS:-$ADDRESSES}" ]
	# once, however many workers there are; of Node's cluster they ask for it
	[ "$(grep -cE "listening on tcp:.*:$PORT${TAKEN:-, taken over from} $INSTANCE" \
		"$LOG")" -eq "${SOCKETS:-$ADDRESSES}" ]
}

# Both are killed while connections wait that none has accepted: their
# successors answer all of them.
queue_survives_all() {
	local pids pid

	read -ra pids < <(worker_pids)
	freeze "${pids[@]}"
	start_visits --clients 6 --count 1
	wait_until 10 '[ "$(queued)" -ge 6 ]'
	for pid in "${pids[@]}"; do
		kill -KILL "$pid"
	done
	read_visits
	[ "$ANSWERED $REFUSED $LOST $LATE" = "6 0 0 0" ]
	wait_until 20 '[ "$(worker 0 .restarts)" -ge 1 ] &&
		[ "$(worker 1 .restarts)" -ge 1 ]'
	wait_ready 20
}

death_under_load() {
	local old restarts

	restarts=$(worker 0 .restarts)
	old=$(worker_pid 0)
	start_visits
	some_more
	kill -KILL "$old"
	wait_until 20 '[ "$(worker 0 .restarts)" -gt "$1" ]' "$restarts"
	wait_ready 20
	some_more
	end_visits
	[ "$(worker_pid 0)" != "$old" ]
	[ "$REFUSED $LATE" = "0 0" ]
	[ "$LOST" -le "$AT_ONCE" ]
	# what it leaves behind goes with it
	poll_until 5 none_of_session "$old"
}

none_of_session() {
	local pid

	for pid in $(all_of "$1"); do
		is_gone "$pid" || return 1
	done
}

restart_under_load() {
	local generation allowed=0

	[ "$DRAINS" = yes ] || allowed=$((2 * AT_ONCE))
	generation=$(cluster .generation)
	start_visits
	some_more
	nclust restart "$INSTANCE"
	some_more
	end_visits
	[ "$(cluster .generation)" -gt "$generation" ]
	[ "$(cluster .ready)" -eq 2 ]
	[ "$LATE" -eq 0 ]
	[ "$SHUTS" = no ] || return 0
	[ "$REFUSED" -eq 0 ]
	[ "$LOST" -le "$allowed" ]
}

more_and_fewer() {
	local first second third

	first=$(worker_pid 0)
	second=$(worker_pid 1)
	nclust scale "$INSTANCE" 3
	[ "$(cluster .ready)" -eq 3 ]
	third=$(worker_pid 2)
	answers_alone "$third"

	nclust scale "$INSTANCE" 1
	[ "$(worker_pids)" = "$first" ]
	[ "$(who_answers)" = "$first" ]
	is_gone "$second"
	is_gone "$third"
}

nothing_stays() {
	local pid

	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	[ -z "$(ours_that_stay)" ]
	# the port is anybody's again
	"$FIXTURES/plain" "$PORT" --try
	"$FIXTURES/plain" "$PORT" --six --try
}

# Processes of this test that outlive who looks for them.
ours_that_stay() {
	local pid

	for pid in $(ours); do
		is_gone "$pid" || echo "$pid"
	done
}
