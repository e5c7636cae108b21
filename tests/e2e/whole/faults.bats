# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2154
#
# System calls that fail while nclust starts, takes over or upgrades: whatever it
# was, the next nclust, undisturbed, has the same workers and no others.
#
# The calls are those that an undisturbed run made on this machine, each with the
# number that it has among those of its name.  A check tries a part of them, each
# STRIDE-th from one that differs by run; FAULTS=all tries all (make faults), and
# FAULTS='read EIO 16' that one.

bats_require_minimum_version 1.5.0
load ../../lib

STRIDE=${STRIDE:-40}

setup() {
	nclust_setup
	need strace
	free_port
	export FIXTURE_LIFE=3600 # all faults of one kind take long
	TRACE=$DIR/trace
	FAILING=$DIR/failing
	SERVER=(--name "$INSTANCE" -n 3 -l "127.0.0.1:$PORT"
		-l "unix:$DIR/socket" --orphans keep --ready notify
		--log prefix --intercept off -- "$FIXTURES/serve" --notify)
}

teardown() {
	end_keepers
	nclust_teardown
}

# traced [STRACE-OPTION]...: nclust as a child of ours, strace beside it.
traced() {
	strace -D -qq "$@" "$NCLUST" "${SERVER[@]}" >"$FAILING" 2>&1 \
		</dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	poll_until 10 answers_or_ended "$NCLUST_PID"
}

start_clean() {
	start_nclust "${SERVER[@]:2}" && wait_ready
}

# What a call fails with, if it is none of those that cannot fail, or that
# nobody could do anything about.
errors='
	accept4 EMFILE access EACCES bind EADDRINUSE bpf EPERM clone EAGAIN
	clone3 EAGAIN connect ECONNREFUSED dup EMFILE dup2 EMFILE dup3 EMFILE
	epoll_create1 EMFILE epoll_ctl ENOMEM epoll_pwait EINTR epoll_wait EINTR
	eventfd2 EMFILE faccessat EACCES faccessat2 EACCES fallocate ENOSPC
	fcntl EMFILE flock ENOLCK fork EAGAIN fstat EIO ftruncate EIO
	getdents64 EIO getrandom EAGAIN inotify_add_watch ENOSPC
	inotify_init1 EMFILE memfd_create EMFILE mkdirat EROFS mmap ENOMEM
	newfstatat EACCES open EMFILE openat EMFILE pidfd_getfd EPERM
	pidfd_open EMFILE pipe2 EMFILE poll ENOMEM prctl EPERM pread64 EIO
	process_vm_readv EPERM pwrite64 EIO read EIO readlink EACCES
	readlinkat EACCES recvmsg EIO renameat ENOSPC seccomp EPERM sendmsg EPIPE
	setsockopt EPERM signalfd4 EMFILE socket EMFILE socketpair EMFILE
	timerfd_create EMFILE unlinkat EPERM vfork EAGAIN write EIO
'
never='
	arch_prctl brk close execve exit_group futex getegid geteuid getgid
	getpgid getpgrp getpid getppid getresgid getresuid getsid gettid getuid
	kill madvise mprotect munmap restart_syscall rseq rt_sigaction
	rt_sigprocmask rt_sigreturn set_robust_list set_tid_address umask exit
	clock_nanosleep getpriority
'
# a sanitizer gets its own memory by it, and ends without
[ -z "${REPORTS:-}" ] || never+=" mmap"

# calls [all]: of a trace on stdin "NAME ERROR N", from main() on.
calls() {
	awk -F'(' -v errors="$errors" -v never="$never" -v begun="${1:+1}" '
		BEGIN {
			n = split(errors, word, " ")
			for (i = 1; i < n; i += 2)
				fails[word[i]] = word[i + 1]
			n = split(never, word, " ")
			for (i = 1; i <= n; i++)
				skipped[word[i]] = 1
		}
		$1 !~ /^[a-z0-9_]+$/ { next }
		{ count[$1]++ }
		$1 == "geteuid" { begun = 1 }
		begun && !($1 in skipped) {
			error = $1 in fails ? fails[$1] : "EINVAL"
			print $1, error, count[$1]
		}'
}

# each_fault COMMAND: for the calls on stdin, those that are wanted.
each_fault() {
	local first each tried=0 list

	mapfile -t list
	[ "${#list[@]}" -gt 50 ]
	case ${FAULTS:-} in
	all) STRIDE=1 ;;
	?*) list=("$FAULTS") STRIDE=1 ;;
	esac
	first=$((${SEED:-$RANDOM} % STRIDE))
	for ((each = first; each < ${#list[@]}; each += STRIDE)); do
		tried=$((tried + 1))
		# shellcheck disable=SC2086
		"$1" ${list[each]} || {
			echo "to repeat: FAULTS='${list[each]}'"
			cat "$FAILING"
			tail -n 5 "$LOG"
			return 1
		}
	done
	echo "# ${1//_/ }: $tried of ${#list[@]} calls" >&3
}

worker_pids() {
	cluster '[.workers[].pid] | sort | join(" ")'
}

same_workers() {
	[ "$(worker_pids)" = "$pids" ] && [ -S "$DIR/socket" ] && return 0
	echo "not workers $pids and the socket any more"
	nclust status "$INSTANCE"
	return 1
}

# The next one, undisturbed, has them; then it is killed, too.
next_has_them() {
	start_clean && same_workers && kill_nclust
}

# ended_or_killed: one that went on is killed; one that ended said why.
ended_or_killed() {
	if is_alive "$NCLUST_PID"; then
		kill_nclust
	elif [ ! -s "$FAILING" ]; then
		echo "ended without a word"
		return 1
	fi
}

inject() {
	printf '%s\n' -e "trace=$1" -e "inject=$1:error=$2:when=$3"
}

# --- While nothing else happens -----------------------------------------------

wakes() {
	grep voluntary "/proc/$NCLUST_PID/status"
}

# For a second it had nothing to do.
is_idle() {
	local before

	before=$(wakes)
	sleep 1
	[ "$(wakes)" = "$before" ]
}

@test "a client that cannot be watched is not left waiting" {
	start_clean
	poll_until 20 is_idle
	strace -qq -o "$TRACE" -p "$NCLUST_PID" -e trace=epoll_ctl \
		-e inject=epoll_ctl:error=ENOMEM:when=1 \
		</dev/null 3>&- 2>/dev/null &
	STARTED+=("$!")
	poll_until 10 is_traced "$NCLUST_PID"
	run timeout $((20 * PATIENCE)) "$NCLUST" status "$INSTANCE"
	[ "$status" -ne 124 ]
	grep -q INJECTED "$TRACE"
	nclust status "$INSTANCE"
}

# --- Taking over --------------------------------------------------------------

fault_in_take_over() {
	# shellcheck disable=SC2046
	traced -o /dev/null $(inject "$@")
	ended_or_killed && next_has_them
}

@test "whatever call fails while it takes over, the next one takes over" {
	start_clean
	pids=$(worker_pids)
	kill_nclust
	traced -o "$TRACE"
	kill_nclust
	next_has_them
	each_fault fault_in_take_over < <(calls <"$TRACE")
	[ "$(fixtures_alive)" -eq 3 ]
}

# --- Starting -------------------------------------------------------------------

only_three_serve() {
	[ "$(fixtures_alive)" -eq 3 ]
}

fault_in_start() {
	# shellcheck disable=SC2046
	traced -o /dev/null $(inject "$@")
	ended_or_killed && start_clean && poll_until 10 only_three_serve &&
		nclust stop "$INSTANCE" --now && wait_exit
}

@test "whatever call fails while it starts, the next one starts" {
	traced -o "$TRACE"
	kill_nclust
	start_clean
	nclust stop "$INSTANCE" --now
	wait_exit
	each_fault fault_in_start < <(calls <"$TRACE")
}

# --- An upgrade -----------------------------------------------------------------

is_traced() {
	! grep -q '^TracerPid:[^1-9]*$' "/proc/$1/status"
}

# upgrade_under STRACE-OPTION...
upgrade_under() {
	local strace

	start_clean && same_workers || return 1
	strace -qq "$@" -p "$NCLUST_PID" </dev/null >"$FAILING" 2>&1 3>&- &
	strace=$!
	STARTED+=("$strace")
	poll_until 10 is_traced "$NCLUST_PID" || return 1
	timeout $((20 * PATIENCE)) "$NCLUST" upgrade "$INSTANCE" \
		>>"$FAILING" 2>&1 || true
	# where it ended the verb may be told before that can be seen
	poll_until 10 answers_or_ended "$NCLUST_PID" || return 1
	if is_alive "$NCLUST_PID"; then
		kill "$strace"
		wait "$strace" || true
		same_workers && kill_nclust
	fi
}

fault_in_upgrade() {
	# shellcheck disable=SC2046
	upgrade_under -o /dev/null $(inject "$@") && next_has_them
}

@test "whatever call fails in an upgrade, the workers are there after it" {
	start_clean
	pids=$(worker_pids)
	kill_nclust
	upgrade_under -o "$TRACE"
	# who is ready is known without the file that says so
	fault_in_upgrade openat EMFILE "$(awk -F'(' '
		$1 == "openat" { n++ } /"state", O_RDONLY/ { print n; exit }
		' "$TRACE")"
	each_fault fault_in_upgrade < <(calls all <"$TRACE")
	[ "$(fixtures_alive)" -eq 3 ]
}
