# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034 # what life.bash reads
#
# Where the port of servers that bind for themselves is taken over: as root and
# as an ordinary user, in containers of several kinds, and inside another
# nclust.  Where it is refused, that is said once, and one worker serves.

load ../../lib
load ../../life
bats_require_minimum_version 1.5.0

SERVERS=$SCRIPTS/servers

setup() {
	life_setup
}

# From now on all is done as an ordinary user, who can read what is needed.
be_ordinary() {
	mkdir "$DIR/bin"
	cp "$NCLUST" "$FIXTURES/plain" "$DIR/bin"
	cp "$SERVERS/plain-asyncio.py" "$SERVERS/plain.js" "$DIR/bin"
	[ "$(id -u)" -eq 0 ] || return 0
	NCLUST=$DIR/bin/nclust
	SERVERS=$DIR/bin
	chown 65534 "$NCLUST_RUNTIME_DIR"
	nclust_under setpriv --reuid 65534 --regid 65534 --clear-groups
}

# What is done everywhere.
lead_a_short_life() {
	both_answer
	port_is_learned
	queue_survives_all
	death_under_load
	restart_under_load
	nothing_stays
}

# One worker serves, the other meets its port taken, and why is
# said once.
one_serves() {
	wait_until 10 '[ "$(cluster .ready)" -eq 1 ]'
	wait_until 10 '[ -n "$(who_answers)" ]'
	wait_logged "cannot be taken over"
	[ "$(grep -c "cannot be taken over" "$LOG")" -eq 1 ]
	run ! logged "taken over from"
}

# --- Who ------------------------------------------------------------------------

@test "an ordinary user: a C program; no_new_privs is told once" {
	be_ordinary
	start_cluster -n 2 -- "$DIR/bin/plain" "$PORT"
	lead_a_short_life
	[ "$(grep -c no_new_privs "$LOG")" -eq 1 ]
}

@test "an ordinary user: asyncio, on IPv4 and IPv6" {
	must_have python3
	be_ordinary
	AT_ONCE=$CLIENTS
	ADDRESSES=2
	start_cluster -n 2 -- python3 "$SERVERS/plain-asyncio.py" "$PORT"
	lead_a_short_life
}

@test "an ordinary user: Node" {
	must_have node
	be_ordinary
	AT_ONCE=$CLIENTS
	start_cluster -n 2 --ipc off -- node "$SERVERS/plain.js" "$PORT"
	lead_a_short_life
}

@test "root, with workers under another user" {
	need_root
	mkdir "$DIR/bin"
	cp "$FIXTURES/plain" "$DIR/bin"
	start_cluster -n 2 --user '#65534' --group '#65534' -- \
		"$DIR/bin/plain" "$PORT"
	[ "$(stat -c %u "/proc/$(worker_pid 0)")" = 65534 ]
	lead_a_short_life
	# who may do without it, does
	run ! logged no_new_privs
}

@test "root, with workers under another user: Node" {
	need_root
	must_have node
	AT_ONCE=$CLIENTS
	mkdir "$DIR/bin"
	cp "$SERVERS/plain.js" "$DIR/bin"
	start_cluster -n 2 --ipc off --user '#65534' \
		--group '#65534' -- node "$DIR/bin/plain.js" "$PORT"
	lead_a_short_life
}

# --- Where ------------------------------------------------------------------------

@test "as in Docker: a C program" {
	need_root
	nclust_under "$FIXTURES/confine" docker --
	start_cluster -n 2 -- "$FIXTURES/plain" "$PORT"
	lead_a_short_life
}

@test "as in Docker: asyncio, on IPv4 and IPv6" {
	need_root
	must_have python3
	AT_ONCE=$CLIENTS
	ADDRESSES=2
	nclust_under "$FIXTURES/confine" docker --
	start_cluster -n 2 -- python3 "$SERVERS/plain-asyncio.py" "$PORT"
	lead_a_short_life
}

@test "as in Docker: Node" {
	need_root
	must_have node
	AT_ONCE=$CLIENTS
	nclust_under "$FIXTURES/confine" docker --
	start_cluster -n 2 --ipc off -- node "$SERVERS/plain.js" "$PORT"
	lead_a_short_life
}

@test "as in Docker, as an ordinary user" {
	need_root
	be_ordinary
	nclust_under "$FIXTURES/confine" docker --
	start_cluster -n 2 -- "$DIR/bin/plain" "$PORT"
	lead_a_short_life
}

@test "as in Docker, root with workers under another user" {
	need_root
	mkdir "$DIR/bin"
	cp "$FIXTURES/plain" "$DIR/bin"
	nclust_under "$FIXTURES/confine" docker --
	start_cluster -n 2 --user '#65534' --group '#65534' -- \
		"$DIR/bin/plain" "$PORT"
	[ "$(stat -c %u "/proc/$(worker_pid 0)")" = 65534 ]
	lead_a_short_life
}

@test "as in gVisor: it is off, told once, and one worker serves" {
	nclust_under "$FIXTURES/confine" gvisor --
	start_nclust -n 2 -- "$FIXTURES/plain" "$PORT"
	one_serves
	nothing_stays
}

@test "under somebody else's listener: the same" {
	nclust_under "$FIXTURES/confine" stacked --
	start_nclust -n 2 -- "$FIXTURES/plain" "$PORT"
	one_serves
	nothing_stays
}

@test "one worker needs nothing of it, and is not troubled where it is refused" {
	nclust_under "$FIXTURES/confine" gvisor --
	start_cluster -n 1 -- "$FIXTURES/plain" "$PORT"
	[ "$(who_answers)" = "$(worker_pid 0)" ]
	nclust restart "$INSTANCE" || true # the port is taken meanwhile
	wait_ready 20
	[ -n "$(who_answers)" ]
	nothing_stays
}

# --- nclust inside nclust ---------------------------------------------------------

# Whose child a process is.
parent_of() {
	local line fields

	{ read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
	read -ra fields <<<"${line##*) }"
	echo "${fields[1]}"
}

servers() {
	local pid

	for pid in $(ours); do
		[ "$(cat "/proc/$pid/comm" 2>/dev/null)" != plain ] || echo "$pid"
	done
}

two_servers() {
	[ "$(servers | wc -l)" -eq 2 ]
}

# answers_without PID OTHER: the one answers while the other one is stopped.
answers_without() {
	local who

	kill -STOP "$2"
	wait_until 10 '[ "$(process_state "$1")" = T ]' "$2"
	who=$("$FIXTURES/visit" "$PORT" --show | who_answered)
	kill -CONT "$2"
	[ "$who" = "$1" ]
}

@test "nclust inside nclust: the outer one takes over for all" {
	start_cluster -n 2 -- env NCLUST_RUNTIME_DIR="$NCLUST_RUNTIME_DIR" \
		"$NCLUST" --name 'in-{slot}' -n 1 -- "$FIXTURES/plain" "$PORT"
	wait_until 10 two_servers
	read -ra inner < <(servers | xargs)
	for pid in "${inner[@]}"; do
		[[ " $(worker_pids) " == *" $(parent_of "$pid") "* ]]
	done

	answers_without "${inner[1]}" "${inner[0]}"
	answers_without "${inner[0]}" "${inner[1]}"
	port_is_learned

	# a server dies, and its own nclust replaces it
	start_visits
	some_more
	kill -KILL "${inner[0]}"
	wait_until 20 'is_gone "$1" && two_servers' "${inner[0]}"
	some_more
	end_visits
	[ "$REFUSED $LATE" = "0 0" ]
	[ "$LOST" -le 1 ]

	nothing_stays
}

@test "nclust inside nclust: both are replaced by the outer one" {
	# two of one name cannot be: each generation has its own
	start_cluster -n 2 -- env NCLUST_RUNTIME_DIR="$NCLUST_RUNTIME_DIR" \
		sh -c 'exec "$0" --name "in-$$" "$@"' "$NCLUST" -n 1 -- \
		"$FIXTURES/plain" "$PORT"
	wait_until 10 two_servers
	restart_under_load
	wait_until 10 two_servers
	nothing_stays
}
