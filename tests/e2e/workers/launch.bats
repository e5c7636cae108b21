# SPDX-License-Identifier: MIT
#
# What happens between the command line and the first worker: commands that
# cannot be run, numbers that make no sense, callers with odd habits.

load ../../lib
bats_require_minimum_version 1.5.0

# refused STATUS ARG...: it ends so within a second or two, says why on one line
# (in $output), and leaves nothing behind.
refused() {
	local want=$1

	shift
	run "-$want" timeout "$((5 * PATIENCE))" "$NCLUST" --name "$INSTANCE" \
		"$@"
	echo "$output"
	[ "${#lines[@]}" -eq 1 ]
	nothing_left
}

nothing_left() {
	local pid

	[ -z "$(ls -A "$NCLUST_RUNTIME_DIR")" ]
	# What looks for them is gone by then.
	for pid in $(ours); do
		is_gone "$pid"
	done
}

# script NAME LINE...: an executable file in our directory.
script() {
	local file=$DIR/$1

	shift
	printf '%s\n' "$@" >"$file"
	chmod 755 "$file"
}

# dump_under WORD...: the fixture leak under nclust under these words; what it
# was given is in $DIR/dump.0 then.
dump_under() {
	TO=${TO:-$DIR}
	"$@" "$NCLUST" --name "$INSTANCE" -n 1 --ready notify -- \
		"$FIXTURES/leak" --notify --to "$TO/dump.{slot}" \
		>>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_until 10 '[ -e "$TO/dump.0" ]'
}

dump() {
	jq -c "$1" "${TO:-$DIR}/dump.0"
}

# --- The command -------------------------------------------------------------

@test "a command that is not there ends with 127 and its name" {
	refused 127 -n 3 -- "$DIR/absent"
	[[ $output == *"$DIR/absent"*"No such file or directory"* ]]

	refused 127 -n 3 -- no-such-command-anywhere
	[[ $output == *no-such-command-anywhere*"No such file"* ]]
}

@test "a file that may not be run, and a directory, end with 126" {
	script plain 'echo hello'
	chmod 644 "$DIR/plain"
	refused 126 -- "$DIR/plain"
	[[ $output == *"$DIR/plain"*"Permission denied"* ]]

	refused 126 -- "$DIR"
	[[ $output == *"$DIR"*directory* ]]
}

@test "a script without #! and a broken program are not given to a shell" {
	script bare "echo ran >'$DIR/ran'"
	refused 126 -- "$DIR/bare"
	[[ $output == *"$DIR/bare"*"Exec format error"*"#!"* ]]
	[ ! -e "$DIR/ran" ]

	printf '\x7fELF garbage' >"$DIR/elf"
	chmod 755 "$DIR/elf"
	refused 126 -- "$DIR/elf"
}

@test "a missing interpreter is named along with the script" {
	script bad '#!/nonexistent/interpreter' 'echo hello'
	refused 126 -- "$DIR/bad"
	[[ $output == *"$DIR/bad"*interpreter*/nonexistent/interpreter* ]]
}

@test "an environment too large to pass on is told, once" {
	local i text

	# ARG_MAX is a quarter of the stack limit, at most 6 MB.
	text=$(head -c 100000 /dev/zero | tr '\0' x)
	for ((i = 0; i < 9; i++)); do
		echo "V$i=$text"
	done >"$DIR/env"
	refused 126 --env-file "$DIR/env" --limit-stack 2M -- /bin/true
	[[ $output == *"Argument list too long"* ]]
}

@test "a loop of links, a file as directory and a busy file are told apart" {
	ln -s loop "$DIR/loop"
	refused 126 -- "$DIR/loop"
	[[ $output == *"Too many levels of symbolic links"* ]]

	refused 127 -- /etc/passwd/x
	[[ $output == *"Not a directory"* ]]

	cp "$FIXTURES/serve" "$DIR/busy"
	exec 8>>"$DIR/busy"
	refused 126 -- "$DIR/busy"
	exec 8>&-
	[[ $output == *"Text file busy"* ]]
}

@test "a program that vanishes later is waited for, and its slot kept" {
	cp "$FIXTURES/serve" "$DIR/serve"
	free_port
	start_cluster -n 1 -l "127.0.0.1:$PORT" --ready notify \
		-- "$DIR/serve" --notify
	mv "$DIR/serve" "$DIR/away"
	kill -KILL "$(worker_pid 0)"
	wait_until 5 '[ "$(worker_state 0)" = backoff ]'
	wait_logged "cannot execute '$DIR/serve': No such file"
	is_alive "$NCLUST_PID"

	mv "$DIR/away" "$DIR/serve"
	wait_ready
	http_get "$PORT"
}

@test "a port in use ends it at once, and no worker was started" {
	free_port
	start_cluster -n 1 -l "127.0.0.1:$PORT" --ready notify \
		-- "$FIXTURES/serve" --notify

	run timeout $((10 * PATIENCE)) "$NCLUST" --name other -l "127.0.0.1:$PORT" \
		-l "unix:$DIR/other.sock" -- touch "$DIR/ran"
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == *"127.0.0.1:$PORT"*"Address already in use"* ]]
	[ ! -e "$DIR/ran" ]
	[ ! -e "$DIR/other.sock" ]
	http_get "$PORT"

	# Also when it is the second listener that cannot be had.
	run timeout $((10 * PATIENCE)) "$NCLUST" --name other -l "unix:$DIR/other.sock" \
		-l "127.0.0.1:$PORT" -- touch "$DIR/ran"
	[ "$status" -eq 1 ]
	[ ! -e "$DIR/ran" ]
	[ ! -e "$DIR/other.sock" ]
}

@test "a privileged port names the reason and the ways out" {
	need_root
	mkdir -m 755 "$DIR/nobody"
	chown 65534 "$DIR/nobody"
	run timeout 5 setpriv --reuid 65534 --regid 65534 --clear-groups \
		unshare -Un "$NCLUST" --runtime-directory "$DIR/nobody" \
		-l 127.0.0.1:80 -- touch "$DIR/ran"
	echo "$output"
	[ "$status" -eq 77 ] || [ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == *"127.0.0.1:80"*"ermission denied"* ]]
	[[ $output == *ip_unprivileged_port_start* ]]
	[ ! -e "$DIR/ran" ]
}

@test "numbers of workers that make no sense are refused" {
	local n

	for n in 0 -1 10001 1e9 4q '' 99999999999999999999 auto/0 auto-x; do
		run -64 "$NCLUST" -n "$n" -- touch "$DIR/ran"
		[[ $output == *"wanted a number from 1 to 10000"*"'$n'"* ]]
		[ "${#lines[@]}" -eq 1 ]
	done
	[ ! -e "$DIR/ran" ]
}

@test "a word that is no verb shows the right command line" {
	run "$NCLUST" node server.js
	[ "$status" -eq 64 ]
	[[ $output == *"nclust -n auto -- node server.js"* ]]
}

# --- The caller --------------------------------------------------------------

@test "blocked and ignored signals of the caller do not reach the workers" {
	dump_under python3 -c '
import os, signal, sys
every = set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}
for s in every:
    signal.signal(s, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, every)
os.execv(sys.argv[1], sys.argv[1:])'
	[ "$(dump .blocked)" = '[]' ]
	[ "$(dump .ignored)" = '[]' ]
	[ "$(dump .caught)" = '[]' ]

	# And nclust itself hears: of its worker's death, and of being stopped.
	local old
	old=$(worker_pid 0)
	kill -KILL "$old"
	wait_until 5 '[ "$(worker 0 .restarts)" -eq 1 ]'
	kill -TERM "$NCLUST_PID"
	wait_exit
	[ "$status" -eq 0 ]
}

@test "descriptors that the caller left open do not reach the workers" {
	exec 7</etc/passwd 9<"$DIR" 200>"$DIR/leaked"
	dump_under env
	exec 7<&- 9<&- 200>&-
	[ "$(dump '[.fds[].fd]')" = '[0,1,2]' ]
	# nor does nclust keep them
	run ls -l "/proc/$NCLUST_PID/fd"
	[[ $output == */dev/null* ]]
	[[ $output != *"$DIR/leaked"* ]]
}

@test "nothing of nclust's own leaks, after respawn, scale and restart either" {
	local i

	free_port
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready notify --pidfile \
		"$DIR/pid" --log prefix -- "$FIXTURES/leak" --notify \
		--to "$DIR/dump.{slot}"
	kill -KILL "$(worker_pid 0)"
	wait_until 5 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready
	nclust scale "$INSTANCE" 3
	for i in 0 1 2; do
		jq -e '[.fds[].fd] == [0,1,2,3]' "$DIR/dump.$i"
	done
	nclust scale "$INSTANCE" 150
	for i in 3 50 100 149; do
		jq -e '[.fds[].fd] == [0,1,2,3]' "$DIR/dump.$i"
	done
	rm "$DIR/dump.149"
	kill -KILL "$(worker_pid 149)"
	wait_until 20 '[ -e "$DIR/dump.149" ]'
	jq -e '[.fds[].fd] == [0,1,2,3]' "$DIR/dump.149"
	nclust scale "$INSTANCE" 3
	nclust restart "$INSTANCE"
	for i in 0 1 2; do
		jq -e '[.fds[].fd] == [0,1,2,3] and
			([.fds[] | select(.cloexec)] == [])' "$DIR/dump.$i"
	done
}

@test "standard descriptors closed by the caller are /dev/null" {
	free_port
	"$NCLUST" --name "$INSTANCE" -n 1 -l "127.0.0.1:$PORT" --ready notify \
		--log inherit -- "$FIXTURES/leak" --notify --to "$DIR/dump.{slot}" \
		<&- >&- 2>&- 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
	[ "$(dump '[.fds[] | [.fd, .target]][0:3]')" = \
		'[[0,"/dev/null"],[1,"/dev/null"],[2,"/dev/null"]]' ]
	[ "$(dump '[.fds[].fd]')" = '[0,1,2,3]' ]
	[[ $(dump '.fds[3].target') == *socket:* ]]
}

@test "standard descriptors closed: a file is read all the same" {
	cat >"$DIR/$INSTANCE.ini" <<-END
		[cluster]
		command = $FIXTURES/leak --notify --to $DIR/dump.{slot}
		workers = 1
		ready = notify
		log = inherit
	END
	"$NCLUST" -c "$DIR/$INSTANCE.ini" <&- >&- 2>&- 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
	[ "$(dump '[.fds[] | [.fd, .target]]')" = \
		'[[0,"/dev/null"],[1,"/dev/null"],[2,"/dev/null"]]' ]
}

@test "an empty argument list is a usage error" {
	run python3 -c '
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
nothing = (ctypes.c_char_p * 1)(None)
libc.execve(sys.argv[1].encode(), nothing, nothing)
sys.exit(99)' "$NCLUST"
	echo "$output"
	[ "$status" -eq 64 ]
}

@test "LISTEN_*, NOTIFY_SOCKET and WATCHDOG_* of others stay out" {
	dump_under env LISTEN_FDS=2 LISTEN_PID=1 LISTEN_FDNAMES=a:b \
		NOTIFY_SOCKET="$DIR/absent" WATCHDOG_USEC=1000000 \
		WATCHDOG_PID=1 NCLUST_SLOT=77 NCLUST_CHANNEL_FD=9 \
		SERVER_STARTER_PORT=80=5 EINHORN_FD_0=5 INVOCATION_ID=abc \
		KEPT=yes
	[ "$(dump .env.KEPT)" = '"yes"' ]
	[ "$(dump .env.NCLUST_SLOT)" = '"0"' ]
	[ "$(dump .env.NOTIFY_SOCKET)" != "\"$DIR/absent\"" ]
	[ "$(dump '[.env | keys[] | select(test("LISTEN_|WATCHDOG_|STARTER|EINHORN|CHANNEL|INVOCATION"))]')" = '[]' ]
	[ "$(dump '[.fds[].fd]')" = '[0,1,2]' ]
}

@test "auto is the CPUs that affinity allows" {
	local cpus first

	cpus=$(nproc)
	first=$(taskset -cp $$ | sed 's/.*: \([0-9]*\).*/\1/')
	taskset -c "$first" "$NCLUST" --name "$INSTANCE" -n auto \
		--ready notify -- "$FIXTURES/slow-ready" 0 \
		>>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
	[ "$(cluster .wanted)" -eq 1 ]
	nclust stop "$INSTANCE"

	start_cluster -n 2x --ready notify -- "$FIXTURES/slow-ready" 0
	[ "$(cluster .wanted)" -eq $((2 * cpus)) ]
	nclust stop "$INSTANCE"
	start_cluster -n auto-9999 --ready notify -- "$FIXTURES/slow-ready" 0
	[ "$(cluster .wanted)" -eq 1 ]
}

@test "auto heeds the quota of its control group" {
	need_root
	make_cpu_group 150000 # 1.5 CPUs
	start_in_group -n auto --ready notify -- "$FIXTURES/slow-ready" 0
	[ "$(nproc)" -lt 2 ] || [ "$(cluster .wanted)" -eq 2 ]
	one_cpu
	kill -HUP "$NCLUST_PID" # there is no event for this
	wait_until 10 '[ "$(cluster .wanted)" -eq 1 ]'
	nclust stop "$INSTANCE"
	wait_exit
	set_cpu_quota 50000
	start_in_group -n auto --ready notify -- "$FIXTURES/slow-ready" 0
	[ "$(cluster .wanted)" -eq 1 ]
	nclust stop "$INSTANCE"
	wait_exit
}

@test "auto follows a quota that changes, through an upgrade, too" {
	need_root
	[ "$(nproc)" -ge 2 ] || skip "needs 2 CPUs"
	make_cpu_group 100000
	cat >"$DIR/two.ini" <<-END
		[defaults]
		command = $FIXTURES/slow-ready 0
		ready = notify
		[cluster:web]
		workers = 2x
		[cluster:job]
		workers = auto
		[cluster:load]
		workers = 1..auto*3
	END
	start_in_group -c "$DIR/two.ini"
	[ "$(wanted_of web)" -eq 2 ]
	nclust scale job 3
	set_cpu_quota 200000
	wait_until 10 '[ "$(wanted_of web)" -eq 4 ]'
	[ "$(wanted_of job)" -eq 3 ] # a number by hand stays
	wait_until 10 '[ "$(status_json |
		jq ".clusters[2].autoscale.max")" -eq 6 ]'
	logged "web: scaled to 4 workers: the CPUs to use have changed (now 2)"
	nclust events "$INSTANCE" --json | jq -se '
		any(.event == "scaled" and .reason == "cpus" and .measure == 2)'

	one_cpu
	nclust reload "$INSTANCE"
	[ "$(wanted_of web)" -eq 2 ]
	taskset -cp "0-$(nproc --all)" "$NCLUST_PID"
	nclust upgrade "$INSTANCE" # counts, too
	wait_until 10 '[ "$(wanted_of web)" -eq 4 ]'
	set_cpu_quota 50000
	wait_until 10 '[ "$(wanted_of web)" -eq 2 ]'
	wait_until 10 '[ "$(wanted_of load)" -eq 1 ]'
	nclust stop "$INSTANCE"
	wait_exit
}

# Leave nclust one CPU.
one_cpu() {
	taskset -cp "$(taskset -cp "$NCLUST_PID" |
		sed 's/.*: \([0-9]*\).*/\1/')" "$NCLUST_PID"
}

wanted_of() {
	status_json | jq ".clusters[] | select(.name == \"$1\").wanted"
}

# A control group of our own, in $group, with this quota of each 100 ms.
make_cpu_group() {
	local root

	for root in /sys/fs/cgroup/cpu /sys/fs/cgroup/cpu,cpuacct \
		/sys/fs/cgroup; do
		group=$root/nclust-test.$$.$RANDOM
		[ -d "$root" ] || continue
		mkdir "$group" 2>/dev/null || continue
		set_cpu_quota "$1" 2>/dev/null && return 0
		rmdir "$group"
	done
	skip "no control group with a CPU quota can be made here"
}

set_cpu_quota() {
	if [ -e "$group/cpu.cfs_quota_us" ]; then
		echo 100000 >"$group/cpu.cfs_period_us"
		echo "$1" >"$group/cpu.cfs_quota_us"
	else
		[ -e "$group/cpu.max" ] && echo "$1 100000" >"$group/cpu.max"
	fi
}

start_in_group() {
	sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" \
		"$NCLUST" --name "$INSTANCE" "$@" \
		>>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
}

teardown() {
	nclust_teardown
	# the last of its processes may not be reaped yet
	[ -z "${group-}" ] || poll_until 5 rmdir "$group" || true
}

@test "umask, limits, niceness and oom_score_adj of the caller are passed on" {
	dump_under sh -c 'umask 0137; ulimit -c 0; ulimit -Sn 777
		ulimit -Hn 4321; ulimit -Ss 4096; echo 321 >/proc/$$/oom_score_adj
		exec nice -n 7 "$@"' sh
	[ "$(dump .umask)" = '"0137"' ]
	[ "$(dump .nice)" -eq "$(nice -n 7 nice)" ]
	[ "$(dump .limits.core)" = '[0,0]' ]
	[ "$(dump .limits.nofile)" = '[777,4321]' ]
	[ "$(dump '.limits.stack[0]')" -eq $((4096 * 1024)) ]
	[ "$(cat "/proc/$(dump .pid)/oom_score_adj")" -eq 321 ]
	# it could be lowered again for nclust alone, as it had been raised
	[ "$(cat "/proc/$NCLUST_PID/oom_score_adj")" -eq 71 ]
	# nclust has raised its own, for it holds a descriptor a worker
	[ "$(awk '/Max open files/ { print $4 }' \
		"/proc/$NCLUST_PID/limits")" -eq 4321 ]
}

@test "a directory that was deleted, no HOME and no passwd entry do no harm" {
	need_root
	mkdir "$DIR/gone" "$DIR/theirs"
	chmod 755 "$DIR/theirs"
	chown 54321:54321 "$DIR/theirs"
	unset HOME XDG_RUNTIME_DIR
	TO=$DIR/theirs
	dump_under sh -c 'cd "$0/gone" && rmdir "$0/gone" && exec setpriv \
		--reuid 54321 --regid 54321 --clear-groups \
		env NCLUST_RUNTIME_DIR="$0/theirs" "$@"' "$DIR"
	wait_until 5 'grep -qF "1 of 1 workers ready" "$LOG"'
	[ "$(dump .uid)" -eq 54321 ]
	[ "$(dump .gid)" -eq 54321 ]
	[ "$(dump .cwd)" != '"/"' ]
}

@test "without /sys auto is the CPUs of affinity" {
	need_root
	unshare -m sh -c 'mount -t tmpfs none /sys && exec "$@"' sh \
		"$NCLUST" --name "$INSTANCE" -n auto --ready notify -- \
		"$FIXTURES/slow-ready" 0 >>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
	[ "$(cluster .wanted)" -eq "$(nproc)" ]
}

@test "stdin of the workers is /dev/null, also where ours is a terminal" {
	run timeout 10 script -qec "'$NCLUST' --name it -n 1 --restart never \
		-- '$FIXTURES/leak' --exit --to '$DIR/dump.0'" /dev/null
	echo "$output"
	[ "$(dump '.fds[0].target')" = '"/dev/null"' ]
}

# --- A server that binds for itself ---------------------------------------------

@test "who binds the port itself is told to take his socket from outside" {
	free_port
	# its output is captured: the sentence about its death says it
	run -1 timeout 10 "$NCLUST" -n 1 --name it -l "127.0.0.1:$PORT" \
		--intercept off --restart never --log prefix \
		-- "$FIXTURES/bind-itself"
	[[ $output == *"Address already in use; it binds the port itself"* ]]
	[[ $output == *LISTEN_FDS* ]]

	# it is not: nclust says what to look for, once
	run -1 timeout 10 "$NCLUST" -n 2 --name it -l "127.0.0.1:$PORT" \
		--intercept off --restart never --log inherit \
		-- "$FIXTURES/bind-itself"
	[ "$(grep -c "if it says 'address already in use', it binds" \
		<<<"$output")" -eq 1 ]

	# another failure is no reason to say so where the output is known
	run -1 timeout 10 "$NCLUST" -n 1 --name it -l "127.0.0.1:$PORT" \
		--restart never --log prefix -- sh -c 'echo no disk >&2; exit 1'
	[[ $output == *"last output: no disk"* ]]
	[[ $output != *"binds the port"* ]]
}

@test "without /proc nclust does not start, and says what to do" {
	need_root
	need unshare
	run unshare -m --propagation private sh -c 'umount -l /proc && exec "$@"' \
		- timeout 10 "$NCLUST" -n auto --name it -- sleep 1000
	echo "$output"
	[ "$status" -ne 0 ] && [ "$status" -ne 124 ]
	[[ $output == *"mount /proc"* ]]
	[ "${#lines[@]}" -eq 1 ]
}

# clones_of_start ARG...: start nclust with these, and wait until its workers are
# ready; all processes that it has made are in $DIR/clones.
clones_of_start() {
	local plain=$NCLUST

	need strace
	nclust_under strace -qq -o "$DIR/clones" -e trace=clone
	launch_nclust "$@" --ready alive:0s -- sleep 1000
	NCLUST=$plain
	wait_logged "workers ready"
	cat "$DIR/clones"
}

@test "a start takes one process besides its workers" {
	free_port
	clones_of_start -n 2 -l "127.0.0.1:$PORT" --log inherit
	# to make a directory
	[ "$(sed "/CLONE_PIDFD/,\$d" "$DIR/clones" | wc -l)" -le 1 ]
}

@test "the first worker does not wait for the logger" {
	local first

	clones_of_start -n 1 --log prefix
	first=$(sed -n '/CLONE_PIDFD/{s/.* = //p;q}' "$DIR/clones")
	[ "$(worker_pid 0)" -eq "$first" ]
}
