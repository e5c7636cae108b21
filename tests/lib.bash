# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2119,SC2120
#
# What the end-to-end tests share.  `load ../../lib` is all a file needs: every
# test then has a directory, a runtime directory, an instance name and a log of
# its own, may run beside any other, and leaves nothing behind.  The log is
# printed only when the test fails.
#
# Overridable: NCLUST (the program), VARIANTS (the directory of its variants),
# PATIENCE (a factor on all bounds, for slow builds), in a file: setup() and
# teardown(), which should call ours.

# A version manager's python3 is a script, which takes ten times as long to start as
# the one of the system.
PATH=/usr/bin:$PATH
ROOT=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
NCLUST=${NCLUST:-$ROOT/nclust}
PROGRAM=$NCLUST # for tests that put another one in its place
VARIANTS=${VARIANTS:-$ROOT/build/plain/variants}
PATIENCE=${PATIENCE:-1}
FIXTURES=$ROOT/build/fixtures
SCRIPTS=$ROOT/tests/e2e # servers, and those of node

# Before each command of a test and of all it calls, bats notes where that is (a trap
# on DEBUG): a third of what the tests cost.  bash 5 still knows when one has failed.
if [ -n "${BATS_TEST_NAME:-}" ]; then
	set +T
	bats_error_trap() {
		bats_check_status_from_trap
		[ -n "${BATS_DEBUG_LAST_STACK_TRACE_IS_VALID:-}" ] ||
			bats_capture_stack_trace
		BATS_DEBUG_LAST_STACK_TRACE_IS_VALID=1
	}
fi

# scripts/bound ends a test that takes too long.
if [ -n "${BATS_TEST_NAME:-}" ] && [ -n "${TEST_FILE:-}" ]; then
	echo "$$ $BATS_TEST_NAME" >"$TEST_FILE"
fi

# is_closed DIRECTORY: may other users not get to what is in it?
is_closed() {
	local dir=$1 list=()

	while [ -n "$dir" ]; do
		list+=("$dir")
		dir=${dir%/*}
	done
	stat -Lc %A "${list[@]}" | grep -q '[^xt]$'
}

# What tests run as other users is brought to where these may go, if they may
# not go here (a clone below /root): once for each run of bats, which removes it.
bring_to_others() {
	local place=${BATS_RUN_TMPDIR:-}

	# a process takes 10 ms to start on some machines, and this is for each test
	if [ "$EUID" -ne 0 ] || [ -z "$place" ] || [ -e "$place/open" ]; then
		return 0
	fi
	if [ ! -d "$place/fixtures" ]; then
		if ! is_closed "$ROOT"; then
			: >"$place/open"
			return 0
		fi
		chmod 755 "$place"
		# links are enough: it is the folder above that is closed
		cp -rl "$FIXTURES" "$place/fixtures.new" 2>/dev/null ||
			cp -r "$FIXTURES" "$place/fixtures.new"
		cp "$NCLUST" "$place/nclust"
		chmod -R go=rX "$place/fixtures.new"
		mkdir "$place/scripts"
		cp -r "$SCRIPTS/servers" "$SCRIPTS/node" "$place/scripts"
		chmod -R go=rX "$place/scripts"
		mv "$place/fixtures.new" "$place/fixtures"
	fi
	FIXTURES=$place/fixtures
	SCRIPTS=$place/scripts
	case $NCLUST in
	"$ROOT"/tests/*) ;; # runs another one, from where it stands
	"$ROOT"/*) NCLUST=$place/nclust ;;
	esac
}

bring_to_others

# shellcheck source=sanitized.bash
[ -z "${REPORTS:-}" ] || . "$ROOT/tests/sanitized.bash"

setup() {
	nclust_setup
}

teardown() {
	nclust_teardown
}

nclust_setup() {
	# World may search it: workers under another user need their sockets.
	for DIR in "${TMPDIR:-/tmp}/nt.$$."{1..100}; do
		! mkdir -m 755 "$DIR" "$DIR/run" 2>/dev/null || break
	done
	export NCLUST_RUNTIME_DIR=$DIR/run
	export COLUMNS=2000 # a sentence is looked for in one line
	INSTANCE=it
	LOG=$DIR/log
	NCLUST_PID=
	STARTED=()
	PORTS=()
	NAP="sleep 1000.$(printf %07d $$)" # this test's own, for pgrep
	: >"$LOG"
	# What the caller of the tests has must not reach nclust.
	unset NOTIFY_SOCKET LISTEN_FDS LISTEN_PID LISTEN_FDNAMES WATCHDOG_USEC \
		WATCHDOG_PID NCLUST_SOCKET
	[ -z "${REPORTS:-}" ] || sanitized_setup
}

nclust_teardown() {
	local pid port

	if [ -z "${BATS_TEST_COMPLETED:-}" ]; then
		show_log
	fi
	for pid in "${STARTED[@]}"; do
		! is_ours "$pid" || stop_process "$pid" 3
	done
	# Whoever of ours is left knows our directory from its environment.
	for pid in $(ours); do
		kill -KILL "$pid" 2>/dev/null || true
	done
	for port in "${PORTS[@]}"; do
		rm -f "$(port_mark "$port")"
	done
	[ -z "${REPORTS:-}" ] || sanitized_teardown
	rm -rf "$DIR"
}

# is_ours PID: the number of one that has ended may be somebody else's by now.
is_ours() {
	grep -qsaF "$DIR/" "/proc/$1/environ" ||
		grep -qsx "PPid:[[:space:]]*$BASHPID" "/proc/$1/status"
}

# The pids of all living processes that belong to this test.
ours() {
	grep -slaF "$DIR/" /proc/[0-9]*/environ 2>/dev/null |
		while IFS=/ read -r _ _ pid _; do
			[ "$pid" = "$$" ] || [ "$pid" = "$BASHPID" ] ||
				is_test_shell "$pid" || echo "$pid"
		done || true
}

# The shells that run the test have inherited its variables, too.
is_test_shell() {
	local up=$BASHPID line

	while [ "${up:-0}" -gt 1 ]; do
		[ "$up" != "$1" ] || return 0
		line=
		{ read -r line <"/proc/$up/stat"; } 2>/dev/null
		line=${line##*) }
		read -r _ up _ <<<"$line"
	done
	return 1
}

show_log() {
	echo "--- log"
	tail -n 80 "$LOG"
	echo "---"
}

# --- Processes -------------------------------------------------------------

# R, S, D, T, Z …, or "gone".  (kill -0 takes a zombie for alive.)
process_state() {
	local line

	{ read -r line <"/proc/$1/stat"; } 2>/dev/null || {
		echo gone
		return
	}
	line=${line##*) }
	echo "${line%% *}"
}

is_alive() {
	case $(process_state "$1") in
	gone | Z | X) return 1 ;;
	esac
}

is_gone() {
	! is_alive "$1"
}

# How many workers there are that run the fixture `serve`, whoever knows them.
fixtures_alive() {
	local pid n=0

	for pid in $(ours); do
		[ "$(readlink "/proc/$pid/exe")" != "$FIXTURES/serve" ] ||
			is_gone "$pid" || n=$((n + 1))
	done
	echo "$n"
}

# stop_process PID SECONDS: SIGTERM, and after that time SIGKILL.
stop_process() {
	is_alive "$1" || return 0
	kill -TERM "$1" 2>/dev/null || true
	kill -CONT "$1" 2>/dev/null || true
	poll_until "$2" is_gone "$1" || kill -KILL "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

# --- Waiting: always for something, never for a while ------------------------

microseconds() {
	echo "${EPOCHREALTIME/[.,]/}"
}

# a_moment SECONDS: a sleep that starts no process, of which tests would need thousands.
# Nothing ever comes from that socket.
a_moment() {
	local fd ignored

	if { exec {fd}<>/dev/udp/127.0.0.1/9; } 2>/dev/null; then
		read -rt "$1" -u "$fd" ignored || true
		exec {fd}>&-
	else
		sleep "$1"
	fi
}

# poll_until SECONDS COMMAND...: 0 as soon as it succeeds, 1 when it never did.  On
# a machine that lets us look less than ten times a second it is not yet over then.
# What has not come after some looks takes long: looks cost what others need.
poll_until() {
	local end looks=$(($1 * 10)) n=0 pause=0.02

	end=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000 * PATIENCE))
	shift
	until "$@"; do
		[ $((looks--)) -gt 0 ] || [ "${EPOCHREALTIME/[.,]/}" -lt "$end" ] ||
			return 1
		[ $((++n)) -ne 25 ] || pause=0.06
		a_moment "$pause"
	done
}

all_stopped() {
	local states

	for pid in "$@"; do
		states=$(ps -L -o state= -s "$pid") || return 1
		[[ ! $states =~ [^TZ[:space:]] ]] || return 1
	done
}

# freeze PID...: stop these workers with all that is theirs.
freeze() {
	local pid

	for pid in "$@"; do
		kill -STOP -- "-$pid"
	done
	poll_until 10 all_stopped "$@"
}

thaw() {
	local pid

	for pid in "$@"; do
		kill -CONT -- "-$pid"
	done
}

# As a crash does; nobody is told.
kill_nclust() {
	kill -KILL "$NCLUST_PID"
	poll_until 10 is_gone "$NCLUST_PID"
	wait "$NCLUST_PID" 2>/dev/null || true
}

# The loggers that hold the directory of this instance.
keeper_pids() {
	local pid

	find /proc/[0-9]*/fd -lname "$NCLUST_RUNTIME_DIR/$INSTANCE" \
		2>/dev/null | cut -d/ -f3 | sort -u | while read -r pid; do
		grep -qsa '^nclust-logger' "/proc/$pid/cmdline" && echo "$pid"
	done || true
}

# logger_pid [PID]: of nclust, or of that one.
logger_pid() {
	pgrep -P "${1:-$NCLUST_PID}" -f -- '--role logger'
}

# another_logger OLD: sets `new`.
another_logger() {
	new=$(logger_pid) && [ "$new" != "$1" ]
}

end_keepers() {
	local pid

	for pid in $(keeper_pids); do
		kill -KILL "$pid" 2>/dev/null || true
	done
}

holds() {
	local condition=$1

	shift
	eval "$condition"
}

# wait_until SECONDS 'shell words' [ARG]...: the words see the arguments as $1…
wait_until() {
	local bound=$1

	shift
	poll_until "$bound" holds "$@" && return 0
	echo "not within $bound s: $*"
	nclust status "$INSTANCE" 2>&1 || true
	return 1
}

# refused STATUS TEXT COMMAND...: it says that.  For poll_until: on a busy machine nclust
# may not find out at the first try who has a port.
refused() {
	run "-$1" "${@:3}"
	[[ $output == *"$2"* ]]
}

# release FIFO: let the one who waits there for a line (`read`) go on.
release() {
	timeout $((10 * PATIENCE)) sh -c 'echo go >"$1"' - "$1"
}

# --- nclust ------------------------------------------------------------------

nclust() {
	"$NCLUST" "$@"
}

# Start it in the background and return when its control socket answers, or it
# has ended (then 1; see wait_exit).
start_nclust() {
	launch_nclust "$@"
	poll_until 10 answers_or_ended "$NCLUST_PID" || return 1
	is_alive "$NCLUST_PID"
}

# The same without waiting.  Descriptor 3 is the one that bats waits for.
launch_nclust() {
	"$NCLUST" --name "$INSTANCE" "$@" >>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
}

answers_or_ended() {
	local status=0

	is_alive "$1" || return 0
	nclust status "$INSTANCE" --json >/dev/null 2>&1 || status=$?
	[ "$status" -le 2 ]
}

# nclust_under COMMAND...: run nclust under this command from now on.
nclust_under() {
	local wrapper=$DIR/under-${1##*/}

	printf '#!/bin/sh\nexec %s "$@"\n' "$(printf '%q ' "$@" "$NCLUST")" \
		>"$wrapper"
	chmod 755 "$wrapper"
	NCLUST=$wrapper
}

# start_cluster ARG...: start_nclust, and all workers are ready.
start_cluster() {
	start_nclust "$@" && wait_ready
}

wait_ready() {
	wait_until "${1:-10}" 'nclust status "$INSTANCE" >/dev/null 2>&1'
}

# wait_begun: nclust has all that it opens once.  The count of OOM kills comes last, a
# moment after the first workers.
wait_begun() {
	poll_until 10 counts_oom_kills
}

counts_oom_kills() {
	find "/proc/$NCLUST_PID/fd" -mindepth 1 -printf '%l\n' 2>/dev/null |
		grep -qE '/(memory\.events|memory\.oom_control|vmstat)$'
}

# wait_exit [SECONDS]: wait for its end; its exit status is in $status then.
# Not in $(…): only the shell that started it can tell.
wait_exit() {
	status=0
	poll_until "${1:-10}" is_gone "$NCLUST_PID" || {
		echo "still running after ${1:-10} s"
		return 1
	}
	wait "$NCLUST_PID" || status=$?
}

status_json() {
	nclust status "$INSTANCE" --json || true
}

# These are asked over and over: gojq is there in a sixth of the time that jq takes to
# start.
# worker SLOT FILTER: a field of a worker, of the first cluster or of $CLUSTER.
worker() {
	status_json | gojq -r --argjson slot "$1" --arg cluster "${CLUSTER:-}" "
		[.clusters[] | select(\$cluster == \"\" or .name == \$cluster)][0]
		| .workers[] | select(.slot == \$slot) | $2"
}

worker_pid() {
	worker "$1" '.pid // ""'
}

worker_state() {
	worker "$1" .state
}

# cluster FILTER: a field of the first cluster, or of $CLUSTER.
cluster() {
	status_json | gojq -r --arg cluster "${CLUSTER:-}" "
		[.clusters[] | select(\$cluster == \"\" or .name == \$cluster)][0]
		| $1"
}

# --- The network -------------------------------------------------------------

port_mark() {
	echo "/tmp/nclust-test-port.$1" # shared by all who run tests
}

port_is_taken() {
	local hex

	printf -v hex ':%04X ' "$1"
	grep -qF "$hex" /proc/net/tcp /proc/net/tcp6 /proc/net/udp 2>/dev/null
}

# free_port: sets PORT, and AT, where it listens.  Below the ephemeral ports, so that nobody's client
# gets it meanwhile; a link keeps other tests from taking it.
free_port() {
	local try

	for ((try = 0; try < 200; try++)); do
		PORT=$((20000 + RANDOM % 10000))
		port_is_taken "$PORT" && continue
		ln -sT "$DIR" "$(port_mark "$PORT")" 2>/dev/null || continue
		PORTS+=("$PORT")
		AT=127.0.0.1:$PORT
		return 0
	done
	echo "no free port"
	return 1
}

# http_get PORT [PATH]: the body.
http_get() {
	curl -sS --max-time "$((5 * PATIENCE))" "http://127.0.0.1:$1${2:-/}"
}

# idle_and_dripping COUNT: until the fixture `unwell` has sent an answer in COUNT
# pieces, beside a connection that says nothing.
idle_and_dripping() {
	exec 4<>"/dev/tcp/127.0.0.1/$PORT"
	curl -s --max-time 60 "http://127.0.0.1:$PORT/drip/$1" \
		>"$DIR/drip" 3>&- 4>&- &
	STARTED+=("$!")
	wait_until 30 '[ "$(grep -o x "$DIR/drip" | wc -l)" -ge "$1" ]' "$1"
	exec 4>&-
}

# seen_slots PORT COUNT: the slots that answered COUNT requests, once each.
seen_slots() {
	local i

	for ((i = 0; i < $2; i++)); do
		http_get "$1"
	done | sed -n 's/.*slot=\([^ ]*\).*/\1/p' | sort -nu | tr '\n' ' '
}

# --- Needs -------------------------------------------------------------------

need() {
	command -v "$1" >/dev/null || skip "needs $1"
}

need_root() {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
}

# --- What is told, and when --------------------------------------------------

# logged TEXT [TIMES]: is it in the log (so often at least)?
logged() {
	[ "$(grep -cF -- "$1" "$LOG")" -ge "${2:-1}" ]
}

wait_logged() {
	poll_until "${3:-10}" logged "$1" "${2:-1}" && return 0
	echo "never logged: $1"
	return 1
}

# gaps_in FILE: how often numbers, the last words of its lines, skip some.  A line
# that comes twice, or too late, is a failure.
gaps_in() {
	awk '$NF != next_one && $NF < next_one { bad = 1 }
		$NF != next_one { n++ }
		{ next_one = $NF + 1 }
		END { print n + 0; exit bad }' "$1"
}

# file_has FILE TEXT [TIMES]
file_has() {
	[ "$(grep -csF -- "$2" "$1")" -ge "${3:-1}" ]
}

# --- Load ----------------------------------------------------------------------

# is_listened ADDRESS: PORT, HOST:PORT, /PATH or @ABSTRACT.
is_listened() {
	case $1 in
	/* | @*) grep -qF " $1" /proc/net/unix ;;
	*) [ -n "$(ss -Hltn "sport = :${1##*:}")" ] ;;
	esac
}

# wait_listened ADDRESS: a worker that starts slowly is taken for ready before it
# listens, unless another has been seen to do so (ready = auto).
wait_listened() {
	poll_until 20 is_listened "$1" && return 0
	echo "nobody listens at $1"
	return 1
}

# start_load PORT [OPTION]...: the fixture `load` in the background, serving.
start_load() {
	wait_listened "$1"
	: >"$DIR/load"
	"$FIXTURES/load" "$@" >"$DIR/load" 3>&- &
	LOAD_PID=$!
	STARTED+=("$LOAD_PID")
	poll_until 10 file_has "$DIR/load" started
}

# end_load: sets ANSWERED, REFUSED, LOST and LATE.
end_load() {
	local line

	kill -TERM "$LOAD_PID"
	wait "$LOAD_PID"
	line=$(tail -n 1 "$DIR/load")
	echo "$line"
	read -r ANSWERED REFUSED LOST LATE <<<"${line//[a-z=]/}"
}

# start_open ADDRESS --rate N [OPTION]...: the fixture `openload` in the
# background, and its first answer has come.
start_open() {
	wait_listened "$1"
	: >"$DIR/open"
	"$FIXTURES/openload" "$@" >"$DIR/open" 3>&- &
	OPEN_PID=$!
	STARTED+=("$OPEN_PID")
	poll_until 20 file_has "$DIR/open" ready && return 0
	echo "no answer under load"
	return 1
}

# lost_after_reading MARK: how many of those that start_open --lost "$DIR/lost" has
# lost stand in MARK, as their server had read them.
lost_after_reading() {
	comm -12 <(sort -u "$DIR/lost") <(sort -u "$1") | wc -l
}

# end_open: sets REPORT, and LOST and RACES of it.
end_open() {
	kill -TERM "$OPEN_PID"
	wait "$OPEN_PID"
	REPORT=$(tail -n 1 "$DIR/open")
	echo "$REPORT"
	LOST=$(jq .lost <<<"$REPORT")
	RACES=$(jq .races <<<"$REPORT")
}
