# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# nclust is root, its workers are not, and one of them has a file server that never
# answers: whatever nclust looks at of that worker, it goes on with all others.
# takes long

bats_require_minimum_version 1.5.0
load ../../lib
load ../../life

setup() {
	nclust_setup
	need_root
	need setpriv
	free_port
	HUNG=$DIR/hung
	mkdir -m 1777 "$HUNG"
	mkdir -m 755 "$HUNG/mnt"
	mknod -m 666 "$HUNG/fuse" c 10 229 2>/dev/null || skip "no device here"
	{ : <>"$HUNG/fuse"; } 2>/dev/null || skip "no FUSE here"
	setpriv --reuid 65534 --regid 65534 --clear-groups \
		unshare -Um true || skip "no user namespaces here"
}

# Where nclust and what it has started wait.  (A process that is kept in exec keeps
# who reads its stat or wchan, as ps(1) does.)
show_waits() {
	local pid

	for pid in "$NCLUST_PID" \
		$(cat "/proc/$NCLUST_PID/task/$NCLUST_PID/children"); do
		grep -sE '^(Name|State)' "/proc/$pid/status" || true
		timeout -s KILL 1 cat "/proc/$pid/stack" || true
	done
}

end_servers() {
	local file

	for file in "$HUNG"/server.*; do
		! grep -qsaF "$HUNG" "/proc/${file##*.}/cmdline" ||
			kill -KILL "${file##*.}"
	done
}

# First of all: what hangs would also keep who looks for what is left.
teardown() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || [ -z "$NCLUST_PID" ] || show_waits
	umount -l "$HUNG/mnt" 2>/dev/null || true
	end_servers
	nclust_teardown
}

# Nothing here waits for nclust without a bound.
nclust() {
	timeout $((2 * PATIENCE)) "$NCLUST" "$@"
}

# start_beside LINE...: an innocent cluster beside `bad`, of which these are settings.
start_beside() {
	{
		printf '%s\n' '[cluster:good]' "command = sleep 1000" \
			'workers = 1' 'user = nobody' 'ready = alive:0' '[cluster:bad]' \
			"workers = ${WORKERS:-1}" 'user = nobody' \
			'stop-timeout = 1s' "$@"
	} >"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
}

# start_hung HOW [LINE...]: it owes an answer now.
start_hung() {
	start_beside "command = python3 $SCRIPTS/servers/hung.py $1 $HUNG $PORT" \
		'ready = notify' 'log = prefix' "${@:2}"
	wait_ready
	BAD=$(CLUSTER=bad worker_pid 0)
	printf '%s\n' "$NCLUST_RUNTIME_DIR" "$DIR"/{pids,sockets} >"$HUNG/list"
	touch "$HUNG/go"
	wait_hung
}

wait_hung() {
	poll_until 10 test -e "$HUNG/asked"
}

# ask VERB...: without waiting for what comes of it.
ask() {
	"$NCLUST" "$@" >"$DIR/asked" 2>&1 3>&- &
	STARTED+=("$!")
}

answers() {
	local got

	for _ in {1..20}; do
		got=0
		nclust status it --json >/dev/null || got=$?
		[ "$got" -lt 3 ] || return 1
		sleep 0.1
	done
}

# goes_on [WORDS]: nclust goes on with the others, says that, and ends when it is told
# to.  (It would wait 10 s for what hangs: LASTS is not empty if that is to be seen.)
goes_on() {
	local pid

	answers
	pid=$(CLUSTER=good worker_pid 0)
	kill -KILL "$pid"
	CLUSTER=good wait_until 10 \
		'[ "$(worker_pid 0)" != "'"$pid"'" ] && [ -n "$(worker_pid 0)" ]'
	[ -z "${1:-}" ] || poll_until 10 grep -qE "$1" "$LOG"
	kill -TERM "$NCLUST_PID"
	[ -n "${LASTS:-}" ] || end_servers
	wait_exit 30
}

@test "a worker that waits for its own file server, and outlives nclust" {
	local pid server

	start_hung read
	pid=$(CLUSTER=bad worker_pid 0)
	server=$(cd "$HUNG" && echo server.*)
	LASTS=1 goes_on
	is_alive "$pid"
	logged "bad.0: worker $pid is still there after SIGKILL: unkillable, because it waits in the kernel ("
	logged "bad.0: worker $pid (python3) is still there: it waits in the kernel ("
	logged "bad.0: its process ${server#*.} (python3) is still there: it is in "
	[ "$(grep -c 'nclust ends without it' "$LOG")" -eq 2 ]
}

@test "an address to bind in memory that cannot be read" {
	start_hung address 'intercept = on'
	goes_on 'bad\.0: process [0-9]+ cannot be looked at in time'
}

@test "a descriptor to bind that cannot be closed is not even taken" {
	start_beside "command = python3 $SCRIPTS/servers/hung.py file $HUNG $PORT" \
		'ready = notify' 'intercept = on'
	wait_ready
	touch "$HUNG/go"
	poll_until 10 test -e "$HUNG/refused"
	[ ! -e "$HUNG/asked" ]
	goes_on
}

@test "one that takes the place of the socket just before nclust does" {
	WORKERS=2 start_hung swap 'intercept = on' 'limit-nofile = 5000'
	# it is there when nclust looks, or when it puts its own socket there
	LASTS=1 goes_on 'bad\.1: (killing worker [0-9]+: it replaced the socket|process [0-9]+ cannot be looked at in time)'
}

@test "a descriptor with READY=1 that cannot be closed" {
	start_hung notify 'intercept = off'
	goes_on "bad\.0: .*worker $BAD"
}

@test "as many with READY=1 as a message can bring, again and again" {
	start_hung many 'intercept = off'
	goes_on "bad\.0: .*worker $BAD"
}

@test "a descriptor to keep that cannot be closed" {
	start_hung fdstore 'intercept = off'
	goes_on "bad\.0: .*worker $BAD"
}

@test "an epoll set that is held for ever, and a restart" {
	start_hung epoll 'intercept = on'
	ask restart it/bad
	LASTS=1 goes_on "bad\.0: .*worker $BAD"
}

@test "a listener that is held for ever, a restart, a reload and a new worker" {
	start_hung options 'intercept = on'
	ask scale it/bad 2
	answers
	ask restart it/bad
	answers
	echo 'backlog = 77' >>"$DIR/it.ini"
	ask reload it
	goes_on
}

@test "a listener that is held for ever, and checks of it" {
	start_hung options 'intercept = on' 'check = tcp' 'check-interval = 100ms'
	goes_on
}

@test "a listener that is held for ever, and a restart that steers" {
	WORKERS=2 start_hung closed 'intercept = on' 'drain = quiet'
	ask restart it/bad
	goes_on
}

@test "a listener that is held for ever, from which nclust accepts" {
	must_have node
	start_beside 'ready = listen' 'intercept = on' 'balance = rr' \
		"command = node $SCRIPTS/servers/hung_rr.js $PORT python3 $(
		)$SCRIPTS/servers/hung.py options $HUNG $PORT"
	wait_ready
	touch "$HUNG/go"
	wait_hung
	{ : <>"/dev/tcp/127.0.0.1/$PORT"; } 2>/dev/null
	goes_on "a worker holds its socket"
}

@test "a listener that is held for ever, and the next nclust" {
	start_hung options 'intercept = on' 'orphans = keep'
	kill -KILL "$NCLUST_PID"
	poll_until 10 is_gone "$NCLUST_PID"
	start_nclust -c "$DIR/it.ini"
	goes_on
}

@test "nclust is killed meanwhile: what hangs does not keep the ports of others" {
	local other=$PORT

	free_port
	start_hung options 'intercept = on' '[cluster:other]' 'workers = 1' \
		'command = sleep 1000' 'ready = alive:0' 'user = nobody' \
		"listen = 127.0.0.1:$other"
	ask scale it/bad 2
	answers
	kill -KILL "$NCLUST_PID"
	poll_until 10 not_listened "$other"
}

not_listened() {
	! is_listened "$1"
}

# asks_as_node HOW: a worker that nclust takes for one of Node's cluster.
asks_as_node() {
	OTHER=$PORT
	free_port
	ln -s "$(PATH=/usr/bin:/bin command -v python3)" "$HUNG/node"
	start_beside "command = $HUNG/node $SCRIPTS/servers/hung.py $1 $HUNG" \
		'ready = notify' 'ipc = on' "${@:2}" '[cluster:other]' \
		'workers = 1' 'command = sleep 1000' 'ready = alive:0' \
		'user = nobody' "listen = 127.0.0.1:$OTHER"
	wait_ready
	touch "$HUNG/go"
	wait_hung
}

@test "very many unix sockets of Node's where nobody answers" {
	asks_as_node node
	LASTS=1 goes_on 'bad\.0: cannot bind .*: Connection timed out'
	[ "$(grep -c 'cannot bind' "$LOG")" -eq 1 ]
	poll_until 10 not_listened "$OTHER"
}

@test "very many unix sockets of Node's where each answer takes its time" {
	asks_as_node slow
	goes_on 'bad\.0: worker [0-9]+ sends messages so much'
}

# start_listing [LINE...]: a worker holds the directories of nclust's own, of its pid
# file and of a socket of `good`.
start_listing() {
	mkdir -m 755 "$DIR/pids" "$DIR/sockets"
	start_hung list "$@" '[cluster:named]' 'command = sleep 1000' \
		'workers = 1' 'user = nobody' 'ready = alive:0' \
		"listen = unix:$DIR/sockets/s" '[nclust]' "pidfile = $DIR/pids/pid"
	poll_until 10 test -e "$HUNG/listed"
}

@test "directories that are held for ever, at the end" {
	start_listing
	LASTS=1 goes_on
	logged "'$DIR/pids/pid' could not be removed"
	logged "'$DIR/sockets/s' could not be removed"
	logged "'$NCLUST_RUNTIME_DIR/it' could not be removed"
}

@test "directories that are held for ever, a reload and a lost control socket" {
	start_listing
	sed -i "s,sockets/s,sockets/t," "$DIR/it.ini"
	run -1 nclust reload it
	[[ $output == *"another process holds it"* ]]
	rm "$NCLUST_RUNTIME_DIR/it/control"
	poll_until 10 test -e "$NCLUST_RUNTIME_DIR/it/control"
	sed -i "/sockets/d" "$DIR/it.ini"
	run -0 nclust reload it
	poll_until 10 logged "'$DIR/sockets/s' could not be removed"
	goes_on
}

# start_hung_output HOW: with an innocent cluster that says something.
start_hung_output() {
	start_beside "command = python3 $SCRIPTS/servers/hung.py $1 $HUNG" \
		'ready = notify' 'log = prefix' 'intercept = off' \
		"${ORPHANS:-restart = always}" \
		'[cluster:says]' 'workers = 1' 'user = nobody' \
		'ready = alive:0' 'log = prefix' "${ORPHANS:-restart = always}" \
		"command = sh -c 'while :; do echo \$((i += 1))${SAYS:-}; sleep 0.05; done'"
	wait_ready
	BAD=$(CLUSTER=bad worker_pid 0)
}

# owe_answers NUMBER: so many servers do.
owe_answers() {
	local asked=("$HUNG"/asked.*)

	[ "${#asked[@]}" -eq "$1" ] && [ -e "${asked[0]}" ]
}

# The lock is kept when there is something to read.
keep_output() {
	start_hung_output write
	LOGGER=$(logger_pid)
	kill -STOP "$LOGGER"
	touch "$HUNG/go"
	poll_until 10 owe_answers "${WORKERS:-1}"
	kill -CONT "$LOGGER"
	wait_logged ': a process keeps its output from being read'
}

says_more() {
	local so_far

	so_far=$(grep -c '^says.0 |' "$LOG") || true
	poll_until 10 file_has "$LOG" 'says.0 |' $((so_far + 10))
}

@test "output that is kept locked: that of all others goes on" {
	keep_output
	says_more
	answers
	end_servers
	# and then none of it is lost
	poll_until 10 file_has "$LOG" 'bad.0  | first'
	poll_until 10 file_has "$LOG" 'bad.0  | kept'
	kill -TERM "$NCLUST_PID"
	wait_exit 30
	# nor of the others
	grep -o '^says.0 | [0-9]*' "$LOG" | cut -c 10- >"$DIR/numbers"
	cmp "$DIR/numbers" <(seq "$(wc -l <"$DIR/numbers")")
}

@test "so much output of one cluster is kept that no more of it is read" {
	WORKERS=10 keep_output
	wait_logged 'bad: its output is not read until that ends'
	says_more
	end_servers
	poll_until 10 file_has "$LOG" '| first' 10
	poll_until 10 file_has "$LOG" '| kept' 10
	goes_on
}

@test "output that is kept locked until the end, and the logger is killed" {
	keep_output
	kill -KILL "$LOGGER"
	poll_until 20 another_logger "$LOGGER"
	says_more
	LASTS=1 goes_on
}

@test "output that is kept locked, and nclust and the logger are killed" {
	ORPHANS='orphans = keep' keep_output
	kill -KILL "$NCLUST_PID" "$LOGGER"
	poll_until 10 is_gone "$NCLUST_PID"
	start_nclust -c "$DIR/it.ini"
	[ "$(CLUSTER=bad worker_pid 0)" = "$BAD" ]
	says_more
	goes_on
}

has_no_pipe() {
	[ -L "$HUNG/stdout" ] &&
		! readlink "/proc/$1/fd/"* | grep -qxF "$(readlink "$HUNG/stdout")"
}

@test "output that is locked when nclust closes it" {
	start_hung_output reopen
	touch "$HUNG/go"
	poll_until 10 has_no_pipe "$(logger_pid)"
	touch "$HUNG/shut"
	poll_until 10 test -e "$HUNG/asked"
	kill -KILL "$BAD"
	says_more
	LASTS=1 goes_on
}

# start_hung_terminal HOW: the output of all is a terminal each.
start_hung_terminal() {
	ORPHANS='pty = yes' start_hung_output "$1"
	sed -i "s/^\[cluster:bad\]/&\npty = yes/" "$DIR/it.ini"
	touch "$HUNG/go"
	wait_hung
}

@test "a terminal that is locked when nclust and the logger close it" {
	start_hung_terminal terminal
	says_more
	# the last one to close it is the next logger, or nclust
	kill -KILL "$BAD"
	poll_until 10 another_bad
	kill -KILL "$(logger_pid)"
	says_more
	LASTS=1 goes_on
}

another_bad() {
	[ "$(CLUSTER=bad worker_pid 0)" != "$BAD" ]
}

# Each worker's terminal is to get the size of ours, and one of them is locked.
@test "a terminal whose size is locked: those of others change" {
	cat >"$DIR/terminal.py" <<-'E'
		import fcntl, os, pty, signal, struct, sys, termios
		def size(rows):
		    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", rows, 99, 0, 0))
		if "-c" not in sys.argv:
		    os.execv(sys.argv[3], sys.argv[3:])
		ours, nclusts = pty.openpty()
		size(20)
		pid = os.getpid()
		if os.fork() == 0:
		    os.close(nclusts)
		    os.setsid()
		    def larger(*_):
		        size(33)
		        os.kill(pid, signal.SIGWINCH)
		    signal.signal(signal.SIGUSR1, larger)
		    with open(sys.argv[1], "w") as f:
		        f.write(str(os.getpid()))
		    with open(sys.argv[2], "ab", 0) as log:
		        while True:
		            try:
		                log.write(os.read(ours, 65536))
		            except OSError:
		                sys.exit()
		os.dup2(nclusts, 1)
		os.dup2(nclusts, 2)
		os.execv(sys.argv[3], sys.argv[3:])
	E
	SAYS=' $(stty size <&2)'
	export NO_COLOR=1
	local plain=$NCLUST
	nclust_under python3 "$DIR/terminal.py" "$DIR/sizer" "$LOG"
	start_hung_terminal size
	NCLUST=$plain # the verbs need no terminal
	says_more
	kill -USR1 "$(cat "$DIR/sizer")"
	poll_until 10 grep -q 'says.0 | [0-9]* 33 90' "$LOG"
	grep -qF ': a process keeps its output from being read' "$LOG"
	says_more
	goes_on
}

@test "a process that is kept in exec, and a restart" {
	start_hung exec 'intercept = on'
	ask restart it/bad
	goes_on
}

@test "a directory that does not answer" {
	python3 "$SCRIPTS/servers/hung.py" directory "$HUNG" 3>&-
	start_beside "command = sleep 1000" "directory = $HUNG/mnt" \
		'ready = alive:0'
	wait_ready
	touch "$HUNG/hang"
	kill -KILL "$(CLUSTER=bad worker_pid 0)"
	wait_hung
	goes_on "bad\.0: .*directory"
}

@test "an env-file that does not answer, and a restart" {
	local pid

	python3 "$SCRIPTS/servers/hung.py" directory "$HUNG" 3>&-
	start_beside "command = sleep 1000" "env-file = $HUNG/mnt/env" \
		'ready = alive:0'
	wait_ready
	pid=$(CLUSTER=bad worker_pid 0)
	tr '\0' '\n' <"/proc/$pid/environ" | grep -qx 'A=1'
	touch "$HUNG/hang"
	run nclust restart it/bad
	[ "$status" -ne 0 ]
	[[ $output == *"cannot read env-file '$HUNG/mnt/env': "*"does its file server answer"* ]]
	[ "$(CLUSTER=bad worker_pid 0)" = "$pid" ]
	ask reload it
	LASTS=1 goes_on
}
