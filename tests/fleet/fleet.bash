# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2016
#
# What the tests of a fleet share: hosts of a network, each a network namespace of
# its own with an nclust in it.  `load fleet` is all that a file of tests/fleet needs;
# it has all of tests/lib.bash, too.
#
#   fleet_setup a b c    hosts of these names, and `lb` for who stands before them
#   on a COMMAND...      run a command there; run_on: in the background
#   address a            its address
#   start_host a ARG...  an nclust called `it` there; its log is $DIR/a.log
#   at a VERB...         a verb of that one
#   cut_off a, join_again a, kill_host a
#
# A host's place is by its name, so that files may run one after the other; teardown
# removes all of it.

# shellcheck source=../lib.bash
. "${BASH_SOURCE[0]%/*}/../lib.bash"

FLEET_NET=10.77.0

setup() {
	fleet_setup a b c
}

teardown() {
	fleet_teardown
}

# fleet_setup NAME...: at most 80.
fleet_setup() {
	local name

	[ "$(id -u)" -eq 0 ] || skip "needs root"
	ip netns add "nf$$-net" 2>/dev/null || skip "needs network namespaces"
	nclust_setup
	HOSTS=()
	declare -gA HOST_ADDRESS=() HOST_PID=()
	ip -n "nf$$-net" link add br0 type bridge
	ip -n "nf$$-net" link set br0 up
	add_host lb "$FLEET_NET.1"
	for name in "$@"; do
		add_host "$name" "$FLEET_NET.$((11 + ${#HOSTS[@]}))"
		HOSTS+=("$name")
	done
}

# add_host NAME ADDRESS
add_host() {
	local ns=nf$$-$1

	ip netns add "$ns"
	ip -n "$ns" link set lo up
	ip -n "$ns" link add eth0 type veth peer name "$1" netns "nf$$-net"
	ip -n "nf$$-net" link set dev "$1" master br0 up
	ip -n "$ns" addr add "$2/24" dev eth0
	ip -n "$ns" link set eth0 up
	HOST_ADDRESS[$1]=$2
	mkdir -p "$DIR/$1"
	chmod 755 "$DIR/$1"
}

address() {
	echo "${HOST_ADDRESS[$1]}"
}

on() {
	local host=$1

	shift
	ip netns exec "nf$$-$host" "$@"
}

# run_on HOST LOG COMMAND...: the same in the background; sets PID, which is the
# command's own.
run_on() {
	local host=$1 log=$2

	shift 2
	ip netns exec "nf$$-$host" "$@" >>"$log" 2>&1 </dev/null 3>&- &
	PID=$!
	STARTED+=("$PID")
}

# start_host NAME ARG...
start_host() {
	local host=$1

	shift
	NCLUST_RUNTIME_DIR=$DIR/$host run_on "$host" "$DIR/$host.log" \
		"$NCLUST" --name it "$@"
	HOST_PID[$host]=$PID
	poll_until 20 at "$host" status >/dev/null 2>&1 && return 0
	tail -n 20 "$DIR/$host.log"
	return 1
}

# at NAME VERB...
at() {
	local host=$1

	shift
	"$NCLUST" "$@" --runtime-directory "$DIR/$host"
}

cut_off() {
	ip -n "nf$$-net" link set dev "$1" down
}

join_again() {
	ip -n "nf$$-net" link set dev "$1" up
}

# All that runs on a host ends as it does when the power fails.
kill_host() {
	local pid

	for pid in $(ip netns pids "nf$$-$1"); do
		kill -KILL "$pid" 2>/dev/null || true
	done
	poll_until 10 is_gone "${HOST_PID[$1]}"
}

# run_load NAME ADDRESS ARG...: the fixture `openload` on lb in the background; the
# first answer has come.
run_load() {
	local name=$1

	shift
	: >"$DIR/load.$name"
	run_on lb "$DIR/load.$name" "$FIXTURES/openload" "$@"
	LOADS[$name]=$PID
	poll_until 20 file_has "$DIR/load.$name" ready && return 0
	echo "no answer under load"
	return 1
}
declare -gA LOADS=()

# end_load_of NAME: sets ANSWERED and FAILED; of kept connections those that raced
# with a close of an idle one do not count.
end_load_of() {
	local report

	kill -TERM "${LOADS[$1]}" 2>/dev/null || true
	wait "${LOADS[$1]}" || true
	report=$(tail -n 1 "$DIR/load.$1")
	echo "$1: $report"
	ANSWERED=$(jq .answered <<<"$report")
	FAILED=$(jq '.lost + .late' <<<"$report")
}

# told TEXT: a figure, for people; bats shows it.
told() {
	echo "# $*" >&3
}

fleet_teardown() {
	local ns pid

	[ -n "${DIR:-}" ] || return 0
	if [ -z "${BATS_TEST_COMPLETED:-}" ]; then
		for ns in "$DIR"/*.log; do
			echo "--- ${ns##*/}"
			tail -n 30 "$ns"
		done
	fi
	for pid in "${STARTED[@]}"; do
		! is_ours "$pid" || stop_process "$pid" 5
	done
	for ns in $(ip netns list | grep -o "^nf$$-[a-z0-9-]*"); do
		for pid in $(ip netns pids "$ns"); do
			kill -KILL "$pid" 2>/dev/null || true
		done
		ip netns del "$ns" || true
	done
	nclust_teardown
}
