# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# What becomes of nclust and its workers when something runs out: memory,
# processes, descriptors, or any one system call fails (FAULTS.md, S09, S16 to
# S21, S24, S43 and section 1).

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	GROUPS_MADE=()
}

teardown() {
	local group

	for group in "${GROUPS_MADE[@]}"; do
		echo THAWED 2>/dev/null >"$group/freezer.state" || true
	done
	nclust_teardown
	for group in "${GROUPS_MADE[@]}"; do
		poll_until 5 rmdir "$group" 2>/dev/null || true
	done
}

# make_group CONTROLLER: a cgroup (v1) for this test, in GROUP.
make_group() {
	need_root
	GROUP=/sys/fs/cgroup/$1/${DIR##*/}
	mkdir "$GROUP" 2>/dev/null || skip "needs cgroup v1 '$1', writable"
	GROUPS_MADE+=("$GROUP")
}

# From now on nclust starts in this cgroup.
start_in_group() {
	printf '%s\n' '#!/bin/sh' "echo \$\$ >$GROUP/cgroup.procs" \
		"exec $NCLUST \"\$@\"" >"$DIR/in-group"
	chmod +x "$DIR/in-group"
	NCLUST=$DIR/in-group
}

restarts() {
	worker "$1" .restarts
}

all_restarts() {
	cluster '[.workers[].restarts] | add'
}

descriptors() {
	find "/proc/$NCLUST_PID/fd" -mindepth 1 | wc -l
}

# KiB of private memory that it has written to.  (Clean pages are those of
# libraries that nobody else happens to use just now.)
private_memory() {
	awk '/^Private_Dirty/ { sum += $2 } END { print sum }' \
		"/proc/$NCLUST_PID/smaps_rollup"
}

# Clock ticks of CPU time that nclust has used.
cpu_ticks() {
	awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$NCLUST_PID/stat"
}

# --- Memory ---------------------------------------------------------------------

@test "a worker that the kernel killed for memory is told so, and comes back" {
	make_group memory
	echo 33554432 >"$GROUP/memory.limit_in_bytes"
	start_in_group
	launch_nclust -n 1 --ready notify --log inherit --stable-after 1h \
		--backoff-min 1h --backoff-max 1h \
		-- "$FIXTURES/eat-memory" 200 --notify
	# who asks must not be in the full group: what it takes while the dead
	# worker's memory is being freed would end nclust, the biggest left
	NCLUST=${NCLUST_PLAIN:-$ROOT/nclust}

	# the first time it comes back after a moment, the second after an hour
	wait_until 20 '[ "$(restarts 0)" -eq 2 ]'
	[ "$(worker_state 0)" = backoff ]
	[ "$(worker 0 .last_exit.text)" = "SIGKILL, out of memory" ]
	wait_logged 'SIGKILL, out of memory'
}

@test "a SIGKILL by hand is not told as out of memory" {
	start_cluster -n 1 --ready notify -- "$FIXTURES/hear" --notify
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(restarts 0)" -eq 1 ]'
	[ "$(worker 0 .last_exit.text)" = "killed by SIGKILL" ]
}

# --- Processes --------------------------------------------------------------------

@test "no process can be made: it stays, waits, tells why, and recovers" {
	make_group pids
	start_in_group
	start_cluster -n 3 --ready notify --log inherit --backoff-min 20ms \
		--backoff-max 50ms -- "$FIXTURES/hear" --notify
	NCLUST=${NCLUST_PLAIN:-$ROOT/nclust}
	echo 1 >"$GROUP/pids.max"
	kill -KILL "$(worker_pid 0)" "$(worker_pid 1)"
	wait_logged 'Resource temporarily unavailable' 4
	nclust status "$INSTANCE" || [ $? -eq 1 ]
	[ "$(worker_state 2)" = ready ]
	[ "$(worker 0 .last_exit.text)" = "Resource temporarily unavailable" ]

	echo max >"$GROUP/pids.max"
	wait_ready
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
}

@test "a worker that cannot be killed is told, and stop ends all the same" {
	make_group freezer
	start_cluster -n 1 --ready notify --stop-timeout 50ms \
		-- "$FIXTURES/hear" --notify
	pid=$(worker_pid 0)
	echo "$pid" >"$GROUP/cgroup.procs"
	echo FROZEN >"$GROUP/freezer.state"
	wait_until 10 '[ "$(cat "$1/freezer.state")" = FROZEN ]' "$GROUP"

	nclust stop --no-wait "$INSTANCE"
	nclust status "$INSTANCE" || true
	wait_logged 'unkillable' 1 30
	wait_exit 20
	logged "worker $pid is still there after SIGKILL"

	echo THAWED >"$GROUP/freezer.state"
	wait_until 10 'is_gone "$1"' "$pid"
}

# --- Descriptors ----------------------------------------------------------------------

# start_with_limit N ARG...: nclust with so many descriptors at most.
start_with_limit() {
	bash -c 'ulimit -n "$1" && shift && exec "$@"' - "$1" "$NCLUST" \
		--name "$INSTANCE" "${@:2}" >>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
}

# many_clients N: connections to the control socket that say nothing.
many_clients() {
	perl -MIO::Socket::UNIX -e '
		for (1 .. $ARGV[1]) {
			my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]);
			push @all, $s if $s;
		}
		open(F, ">$ARGV[2]"); close(F);
		sleep 600' "$NCLUST_RUNTIME_DIR/$INSTANCE/control" "$1" \
		"$DIR/connected" 3>&- &
	STARTED+=($!)
	poll_until 10 holds '[ -e "$DIR/connected" ]'
}

@test "out of descriptors: status answers, workers come back, nothing spins" {
	need perl
	start_with_limit 48 -n 3 --ready notify --log inherit \
		--backoff-max 200ms -- "$FIXTURES/hear" --notify
	wait_ready
	many_clients 60
	nclust status "$INSTANCE"

	for slot in 0 1 2; do
		kill -KILL "$(worker_pid "$slot")"
		wait_until 10 '[ "$(restarts "$1")" -ge 1 ]' "$slot"
	done
	wait_ready
	before=$(cpu_ticks)
	poll_until 1 false || true
	# of 100 in that second
	[ $(($(cpu_ticks) - before)) -lt 30 ]
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
}

@test "no descriptor left for another worker: told, and tried again" {
	start_with_limit 60 -n 20 --ready notify --log inherit \
		--backoff-max 200ms -- "$FIXTURES/hear" --notify
	wait_logged 'Too many open files'
	wait_until 10 '[ "$(cluster ".ready")" -ge 5 ]'
	nclust scale "$INSTANCE" 3
	[ "$(cluster '"\(.ready) \(.workers | length)"')" = "3 3" ]
	kill -KILL "$(worker_pid 1)"
	wait_until 10 '[ "$(restarts 1)" -ge 1 ]'
	wait_ready
	nclust stop "$INSTANCE"
	wait_exit
}

# --- Any one system call fails ----------------------------------------------------------

# inject CALL ERROR N: the Nth such call of nclust will fail, once.
inject() {
	strace -qq -o /dev/null -p "$NCLUST_PID" -e "trace=$1" \
		-e "inject=$1:error=$2:when=$3" 3>&- 2>"$DIR/strace" &
	STRACE=$!
	poll_until 10 holds 'grep -q "TracerPid:.*[1-9]" \
		"/proc/$NCLUST_PID/status"' && return 0
	cat "$DIR/strace"
	skip "strace cannot attach"
}

end_inject() {
	kill -TERM "$STRACE" 2>/dev/null || true
	wait "$STRACE" || true
}

# After each: nclust lives, the worker is restored.
survives() {
	local n old

	for n in 1 2 3; do
		old=$(worker_pid 0)
		inject "$1" "$2" "$n"
		kill -KILL "$old"
		wait_until 20 'is_alive "$NCLUST_PID" &&
			[ "$(worker_pid 0)" != "$1" ] &&
			[ "$(worker_state 0)" = ready ]' "$old" || {
			echo "after $1 number $n: $2"
			end_inject
			return 1
		}
		end_inject
	done
}

start_to_suffer() {
	need strace
	start_cluster -n 1 --ready notify --log inherit --start-timeout 500ms \
		--backoff-min 1ms --backoff-max 20ms --backoff-jitter 0% \
		-- "$FIXTURES/hear" --notify
	wait_begun
	FDS=$(descriptors)
}

ends_well() {
	# the client that looked last may still be on its way out
	wait_until 10 '[ "$(descriptors)" -eq "$1" ]' "$FDS"
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
}

@test "one spawn fails: clone, pipe2, socket, bind, memory" {
	start_to_suffer
	survives clone EAGAIN
	survives clone ENOMEM
	survives pipe2 EMFILE
	survives socket EMFILE
	survives bind EADDRINUSE
	survives mmap ENOMEM
	survives brk ENOMEM
	ends_well
}

@test "one call of the loop fails: epoll_ctl, read, waitid, recvmsg, accept4" {
	start_to_suffer
	survives epoll_ctl ENOMEM
	survives read EIO
	survives waitid EINTR
	survives recvmsg EAGAIN
	survives accept4 EMFILE
	survives accept4 ECONNABORTED
	ends_well
}

@test "one look or word fails: openat, sendto, unlinkat, pidfd_send_signal" {
	start_to_suffer
	survives openat EMFILE
	run ! grep -F 'out of memory' "$LOG"
	survives sendto EPIPE
	survives write ENOSPC
	survives unlinkat ENOENT
	survives pidfd_send_signal EPERM
	survives fcntl EMFILE
	ends_well
}

# starts_or_says CALL ERROR MOST: for N = 1, 2, … nclust starts all the same,
# or ends with a sentence and leaves nobody.
starts_or_says() {
	local n started

	for ((n = 1; n <= $3; n++)); do
		: >"$LOG"
		started=no
		strace -qq -o "$DIR/trace" -e "trace=$1" \
			-e "inject=$1:error=$2:when=$n" "$NCLUST" \
			--name "$INSTANCE" -n 1 --ready notify --log inherit \
			--start-timeout 2s --backoff-min 10ms \
			--backoff-max 50ms -- "$FIXTURES/hear" --notify \
			>>"$LOG" 2>&1 </dev/null 3>&- &
		NCLUST_PID=$!
		STARTED+=("$NCLUST_PID")
		poll_until 20 ready_or_ended || {
			echo "after $1 number $n: $2: neither ready nor ended"
			return 1
		}
		if is_alive "$NCLUST_PID"; then
			started=yes
			kill -TERM "$(tracee)"
			wait_exit || return 1
		else
			wait_exit
			[[ $status -ne 0 && $status -lt 128 && -s $LOG ]] || {
				echo "after $1 number $n: $2: exit $status"
				return 1
			}
		fi
		grep -q INJECTED "$DIR/trace" || {
			[ "$started" = yes ]
			return
		}
	done
}

# nclust itself: NCLUST_PID is strace.
tracee() {
	tr -d ' ' <"/proc/$NCLUST_PID/task/$NCLUST_PID/children"
}

ready_or_ended() {
	is_gone "$NCLUST_PID" ||
		timeout 5 "$NCLUST" status "$INSTANCE" >/dev/null 2>&1
}

@test "any one call fails at the start: it starts, or says why not" {
	need strace
	starts_or_says clone EAGAIN 3
	starts_or_says pipe2 EMFILE 3
	starts_or_says epoll_create1 EMFILE 3
	starts_or_says epoll_ctl ENOMEM 8
	starts_or_says signalfd4 EMFILE 2
	starts_or_says timerfd_create EMFILE 2
	starts_or_says socket EMFILE 4
	starts_or_says bind EACCES 3
	starts_or_says listen EADDRINUSE 2
	starts_or_says mkdirat EROFS 3
	starts_or_says fcntl ENOLCK 6
}

# --- Growth ---------------------------------------------------------------------------

# respawned COUNT: there have been so many; they go on, however slow the machine is.
respawned() {
	local n

	for ((n = $(all_restarts); n < $1; n += 250)); do
		wait_until 60 '[ "$(all_restarts)" -ge "$1" ]' $((n + 250))
	done
}

@test "5000 respawns later: no more memory, no more descriptors" {
	start_nclust -n 50 --backoff-min 1ms --backoff-max 1ms \
		--log-level error --log inherit -- "$FIXTURES/die" --exit 1
	respawned 1000
	kill -STOP "$NCLUST_PID"
	memory=$(private_memory)
	kill -CONT "$NCLUST_PID"
	respawned 6000
	kill -STOP "$NCLUST_PID"
	later=$(private_memory)
	# each worker needs a few
	[ "$(descriptors)" -lt $((20 + 50 * 4)) ]
	kill -CONT "$NCLUST_PID"
	echo "$memory KiB, then $later KiB"
	[ "$later" -le $((memory + memory / 20 + 8)) ]
	nclust stop "$INSTANCE"
}
