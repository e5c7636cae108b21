# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
#
# Where the workers' output goes, and that neither they nor nclust wait for
# who reads it.

bats_require_minimum_version 1.5.0
load ../../lib

# on_terminal TTY-COMMAND ARG...: nclust on a terminal of its own; what is
# written there goes to $DIR/screen.
on_terminal() {
	local setup=$1

	shift
	python3 - "$DIR/screen" "$setup" "$NCLUST" --name "$INSTANCE" "$@" \
		>>"$LOG" 2>&1 3>&- <<-'E' &
	import os, pty, subprocess, sys
	out = open(sys.argv[1], "wb", buffering=0)
	pid, master = pty.fork()
	if pid == 0:
	    if sys.argv[2]:
	        subprocess.run(["stty"] + sys.argv[2].split())
	    os.execv(sys.argv[3], sys.argv[3:])
	while True:
	    try:
	        data = os.read(master, 65536)
	    except OSError:
	        break
	    if not data:
	        break
	    out.write(data)
	E
	STARTED+=($!)
	poll_until 10 answers
}

answers() {
	[ -S "$NCLUST_RUNTIME_DIR/$INSTANCE/control" ] && nclust_pid
}

nclust_pid() {
	NCLUST_PID=$(status_json 2>/dev/null | jq .pid 2>/dev/null)
	[ -n "$NCLUST_PID" ]
}

# with_output FILE ARG...: as launch_nclust, stdout and stderr in this file.
with_output() {
	LOG=$1
	: >"$LOG"
	shift
	launch_nclust "$@"
}

# The log of a failed test is told; not as much of it as these tests write.
show_log() {
	tail -c 2000 "$LOG" | tail -n 20 | tr -d '\000-\010\016-\037\177-\377'
}

cpu_ticks() {
	awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"
}

# --- On a terminal -----------------------------------------------------------------

@test "on a terminal each line has its worker before it, in colour" {
	on_terminal "" -n 2 --ready notify --stop-signal KILL -- \
		sh -c 'echo "hello from $NCLUST_SLOT"; echo bad >&2
		exec "$0" --notify' "$FIXTURES/deaf"
	wait_ready
	poll_until 5 file_has "$DIR/screen" "hello from 1"
	poll_until 5 file_has "$DIR/screen" "bad" 2
	grep -qE $'^\e\\[[0-9]+mit\\.0 \\|\e\\[0m hello from 0\r$' "$DIR/screen"
	grep -qE $'^\e\\[[0-9]+mit\\.1 \\|\e\\[0m hello from 1\r$' "$DIR/screen"
	# different workers look different
	[ "$(grep -oE $'^\e\\[[0-9]+mit' "$DIR/screen" | sort -u | wc -l)" \
		-eq 2 ]
}

@test "NO_COLOR is obeyed" {
	NO_COLOR=1 on_terminal "" -n 1 --ready notify --stop-signal KILL -- \
		sh -c 'echo hello; exec "$0" --notify' "$FIXTURES/deaf"
	poll_until 5 file_has "$DIR/screen" "it.0 | hello"
	run ! grep -q $'\e' "$DIR/screen"
}

@test "on a terminal lines of several workers are never mixed" {
	on_terminal "" -n 4 --ready notify --stop-signal KILL -- \
		python3 -c '
import os, socket, sys, time
slot = os.environ["NCLUST_SLOT"]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
for i in range(100):
    os.write(1, b"begin" + slot.encode())
    os.write(2, b"")
    os.write(1, b" middle" + slot.encode())
    os.write(1, b" end" + slot.encode() + b" %d\n" % i)
time.sleep(600)'
	wait_ready
	poll_until 10 file_has "$DIR/screen" " 99" 4
	NO=$(sed 's/\x1b\[[0-9;]*m//g; s/\r$//' "$DIR/screen" | grep '^it\.' |
		grep -vcE '^it\.([0-9]) \| begin\1 middle\1 end\1 [0-9]+$') ||
		true
	[ "$NO" -eq 0 ]
}

@test "control bytes of a worker do not reach the terminal" {
	on_terminal "" -n 1 --ready notify --stop-signal KILL -- sh -c \
		'printf "\033]0;owned\007\033[2Jclear\200\n"; exec "$0" --notify' \
		"$FIXTURES/deaf"
	poll_until 5 file_has "$DIR/screen" 'clear'
	grep -qF '\x1b]0;owned\x07\x1b[2Jclear\x80' "$DIR/screen"
}

@test "TOSTOP does not stop workers that write" {
	on_terminal tostop -n 1 --ready notify --stop-signal KILL -- sh -c \
		'echo one; "$0" READY=1 --barrier --exit 0; echo two
		exec sleep 1000' "$FIXTURES/notify"
	poll_until 5 file_has "$DIR/screen" "two"
	[ "$(process_state "$(worker_pid 0)")" = S ]
	# inherited as well: a session of its own has no terminal that stops it
	nclust stop it --now
	on_terminal tostop -n 1 --ready notify --stop-signal KILL \
		--log inherit -- sh -c \
		'echo three; "$0" READY=1 --barrier --exit 0; echo four
		exec sleep 1000' "$FIXTURES/notify"
	poll_until 5 file_has "$DIR/screen" "four"
	[ "$(process_state "$(worker_pid 0)")" = S ]
}

# --- Not on a terminal -------------------------------------------------------------

@test "log = inherit: the workers have nclust's own output" {
	mkdir "$DIR/out"
	with_output "$DIR/text" -n 1 --ready notify --stop-signal KILL \
		--log inherit -- "$FIXTURES/leak" --to "$DIR/out/leak" --notify
	wait_ready
	jq -e --arg log "$DIR/text" '[.fds[] | select(.fd == 1 or .fd == 2)
		| .target] == [$log, $log]' "$DIR/out/leak"
	# no logger runs then
	run ! logger_pid
}

# says HOW: a worker that writes 3 MB of bytes of every kind to stdout ("out"), or
# to stdout and stderr by turns ("both").
says() {
	cat >"$DIR/says" <<-'E'
	import os, random, sys
	def bytes_of(n):
	    return random.Random(n).randbytes(3000000)
	def put(fd, data):
	    data = memoryview(data)
	    while data:
	        data = data[os.write(fd, data[:4096]):]
	if sys.argv[1] == "wanted":
	    sys.stdout.buffer.write(bytes_of(int(sys.argv[2])))
	elif sys.argv[1] == "out":
	    put(1, bytes_of(1))
	else:
	    out, err = bytes_of(1), bytes_of(2)
	    for i in range(0, 3000000, 5000):
	        put(1, out[i:i + 5000])
	        put(2, err[i:i + 5000])
	E
	SAYS=(-n 1 --restart never --ready alive:1ms --log-level error
		-- python3 "$DIR/says" "$1")
}

@test "elsewhere every byte passes as it is, from both pipes" {
	says both
	"$NCLUST" --name it "${SAYS[@]}" >"$DIR/1" 2>"$DIR/2" </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_exit 60
	cmp "$DIR/1" <(python3 "$DIR/says" wanted 1)
	cmp "$DIR/2" <(python3 "$DIR/says" wanted 2)
}

@test "elsewhere what goes to one place keeps its order" {
	with_output "$DIR/text" -n 1 --restart never --ready alive:1ms \
		--log-level error -- python3 -c '
import os
for i in range(3000):
    os.write(1 + i % 2, b"%d " % i)'
	wait_exit
	[ "$(cat "$DIR/text")" = "$(seq 0 2999 | tr '\n' ' ')" ]
}

# A reader of $DIR/fifo that takes nothing until $DIR/go says so, and then
# writes it to $DIR/got.
lazy_reader() {
	mkfifo "$DIR/fifo" "$DIR/go"
	python3 - "$DIR/fifo" "$DIR/go" "$DIR/got" 3>&- <<-'E' &
	import os, sys
	fifo = os.open(sys.argv[1], os.O_RDONLY)
	out = open(sys.argv[3], "wb", buffering=0)
	open(sys.argv[2]).readline()
	while data := os.read(fifo, 5000):
	    out.write(data)
	E
	READER=$!
	STARTED+=("$READER")
}

@test "elsewhere a worker waits for the reader, and nothing is lost meanwhile" {
	lazy_reader
	says out
	"$NCLUST" --name it "${SAYS[@]}" >"$DIR/fifo" 2>>"$LOG" </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	poll_until 10 answers
	pid=$(worker_pid 0)
	# as much as one of the two pipes holds
	wait_until 60 '[ "$(awk "/^wchar/ { print \$2 }" "/proc/$1/io")" \
		-gt 60000 ]' "$pid"
	# whoever comes and goes between them
	old=$(logger_pid)
	kill -KILL "$old"
	poll_until 5 another_logger "$old"
	nclust upgrade it
	[ "$(worker_pid 0)" = "$pid" ]
	[ "$(worker_state 0)" = ready ]
	# one that is busy with waiting is never seen asleep
	asleep() {
		[ "$(process_state "$new")" = S ]
	}
	for i in 1 2 3 4 5; do
		poll_until 10 asleep
	done

	release "$DIR/go"
	wait_exit 60
	poll_until 10 is_gone "$READER"
	cmp "$DIR/got" <(python3 "$DIR/says" wanted 1)
}

@test "elsewhere a reader that has gone stops nobody" {
	mkfifo "$DIR/fifo"
	head -c 1 "$DIR/fifo" >/dev/null 3>&- &
	local reader=$!
	"$NCLUST" --name it -n 1 --ready notify --stop-signal KILL \
		-- "$FIXTURES/log-flood" --notify --lines 100000 --stay \
		>"$DIR/fifo" 2>>"$LOG" </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait "$reader"
	wait_ready
	wait_logged "nobody reads the workers' output: it is dropped"
	kill -KILL "$(worker_pid 0)"
	wait_until 5 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready
}

@test "elsewhere a terminal on stderr stays one" {
	poll_until 10 script -qec "'$NCLUST' --name it -n 1 --restart never \
		--ready alive:1ms -- sh -c 'test -t 2 && ! test -t 1 &&
		echo yes' >'$DIR/text'" /dev/null
	[ "$(cat "$DIR/text")" = yes ]
}

@test "elsewhere a worker of another user may open /dev/stderr" {
	need_root
	with_output "$DIR/text" -n 1 --user nobody --restart never \
		--ready alive:1ms -- sh -c 'echo opened >/dev/stderr'
	wait_exit
	grep -qx opened "$DIR/text"
}

# stdout_of CLUSTER: what the stdout of its worker is.
stdout_of() {
	local CLUSTER=$1

	readlink "/proc/$(worker_pid 0)/fd/1"
}

# replace CLUSTER: its worker is another one.
replace() {
	local CLUSTER=$1 pid

	pid=$(worker_pid 0)
	kill -KILL "$pid"
	another_is_ready() {
		local new

		new=$(worker 0 'select(.state == "ready") | .pid')
		[ -n "$new" ] && [ "$new" != "$1" ]
	}
	poll_until 10 another_is_ready "$pid"
}

@test "elsewhere: the logger of an earlier nclust is asked for nothing new" {
	cp "$VARIANTS/nclust-next" "$DIR/nclust"
	NCLUST=$DIR/nclust
	cat >"$DIR/it.ini" <<-END
	[cluster:a]
	log = prefix
	command = sleep 1000
	workers = 1
	ready = alive:10ms
	[cluster:b]
	command = sleep 1000
	workers = 1
	ready = alive:10ms
	END
	with_output "$DIR/text" -c "$DIR/it.ini"
	wait_ready
	[ "$(stdout_of b)" = "$DIR/text" ]
	NCLUST=$PROGRAM
	cp "$NCLUST" "$DIR/.new"
	mv -f "$DIR/.new" "$DIR/nclust"
	nclust upgrade it
	replace b
	[ "$(stdout_of b)" = "$DIR/text" ]
	old=$(logger_pid)
	kill -KILL "$old"
	poll_until 5 another_logger "$old"
	replace b
	[[ $(stdout_of b) == pipe:* ]]
}

@test "log = inherit on a terminal, and off anywhere" {
	on_terminal "" -n 1 --log inherit --ready notify --stop-signal KILL -- \
		sh -c 'echo plain; exec "$0" --notify' "$FIXTURES/deaf"
	wait_ready
	poll_until 5 file_has "$DIR/screen" plain
	run ! grep -q 'it.0 |' "$DIR/screen"
	nclust stop it --now

	with_output "$DIR/text" -n 1 --log off --ready notify \
		--stop-signal KILL -- \
		sh -c 'echo plain; echo bad >&2; exec "$0" --notify' \
		"$FIXTURES/deaf"
	wait_ready
	nclust stop it
	wait_exit
	run ! grep -qE 'plain|bad' "$DIR/text"
}

@test "prefix: stdout to stdout, stderr to stderr" {
	"$NCLUST" --name it -n 1 --log prefix --ready notify \
		--stop-signal KILL -- \
		sh -c 'echo good; echo bad >&2; exec "$0" --notify' \
		"$FIXTURES/deaf" >"$DIR/1" 2>"$DIR/2" </dev/null 3>&- &
	STARTED+=($!)
	poll_until 10 file_has "$DIR/1" good
	poll_until 10 file_has "$DIR/2" bad
	[ "$(cat "$DIR/1")" = "it.0 | good" ]
	grep -qx "it.0 | bad" "$DIR/2"
	run ! grep -q good "$DIR/2"
}

# --- All that programs do with it ----------------------------------------------------

@test "prefix: every byte is carried, of binary data and endless lines" {
	with_output "$DIR/text" -n 1 --log prefix --restart never \
		--ready alive:1ms --success-exit 0 -- "$FIXTURES/log-flood" \
		--binary 200000 --endless 3000000 --partial
	wait_exit
	[ "$status" -eq 0 ]
	python3 - "$DIR/text" <<-'E'
	import sys
	said = b""
	for line in open(sys.argv[1], "rb").read().split(b"\n"):
	    if line.startswith(b"it.0 | "):
	        said += (b"\n" if said else b"") + line[7:]
	    elif line.startswith(b"it.0 + "): # a long line goes on
	        said += line[7:]
	wanted = bytes(i & 255 for i in range(200000)) + b"y" * 3000000 + b"no end"
	assert said == wanted, (len(said), len(wanted))
	E
}

@test "prefix: an endless line costs no memory" {
	free_port
	with_output /dev/null -n 1 --log prefix --ready notify \
		--stop-signal KILL -- "$FIXTURES/log-flood" \
		--endless 30000000 --notify --stay
	wait_ready 20
	logger=$(logger_pid)
	rss=$(awk '/^RssAnon:/ { print $2 }' "/proc/$logger/status")
	[ "$rss" -lt 4000 ]
}

@test "a worker that closes its output does not make anybody spin" {
	with_output "$DIR/text" -n 1 --log prefix --ready notify \
		--stop-signal KILL -- sh -c \
		'echo last; exec >&- 2>&-; exec "$0" --notify' "$FIXTURES/deaf"
	wait_ready
	poll_until 5 file_has "$DIR/text" "it.0 | last"
	logger=$(logger_pid)
	before=$(($(cpu_ticks "$logger") + $(cpu_ticks "$NCLUST_PID")))
	# nothing to wait for: that nothing happens takes its time
	read -r -t 0.5 <> <(:) || true
	after=$(($(cpu_ticks "$logger") + $(cpu_ticks "$NCLUST_PID")))
	[ $((after - before)) -le 5 ]
}

@test "a grandchild that holds the pipe delays neither news nor successor" {
	mkfifo "$DIR/go"
	with_output "$DIR/text" -n 1 --log prefix --ready notify \
		--stop-signal KILL -- sh -c \
		'setsid sleep 1000 & "$0" READY=1 --barrier --exit 0
		until read -r go <"$1"; do :; done
		echo the last word; exit 3' \
		"$FIXTURES/notify" "$DIR/go"
	wait_ready
	release "$DIR/go"
	wait_until 5 '[ "$(worker 0 .restarts)" -eq 1 ]'
	poll_until 5 file_has "$DIR/text" "exit 3"
	grep -q "exit 3.*last output: .*the last word" "$DIR/text"
	# the word itself stands before the news of the death
	grep -n 'the last word' "$DIR/text" | head -n 1 | grep -q 'it.0 |'
}

@test "last words are told, also without a line end, from both pipes" {
	with_output "$DIR/text" -n 1 --log prefix --ready notify \
		--restart never -- sh -c \
		'"$0" READY=1 --barrier --exit 0; printf "on stdout\n"
		printf "on stderr" >&2; exit 3' "$FIXTURES/notify"
	wait_exit
	[ "$status" -eq 3 ]
	grep -q "exit 3.*last output: .*on stderr" "$DIR/text"
	grep -qx "it.0 | on stderr" "$DIR/text"
}

# --- Slow readers ------------------------------------------------------------------------

@test "prefix: a flood and a reader that sleeps: nobody waits, drops are told" {
	mkfifo "$DIR/fifo" "$DIR/go"
	: >"$DIR/got"
	# the reader takes nothing until it may
	python3 - "$DIR/fifo" "$DIR/go" "$DIR/got" 3>&- <<-'E' &
	import os, sys
	fifo = os.open(sys.argv[1], os.O_RDONLY)
	out = open(sys.argv[3], "wb", buffering=0)
	open(sys.argv[2]).readline()
	while data := os.read(fifo, 1 << 16):
	    out.write(data)
	E
	STARTED+=($!)
	"$NCLUST" --name it -n 2 --log prefix --ready notify \
		--stop-signal KILL -- sh -c \
		'"$0" --width 200 --lines 50000 --notify --stay' \
		"$FIXTURES/log-flood" >"$DIR/fifo" 2>>"$LOG" </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	# ready means that 10 MB have been written by each
	wait_ready 20
	logger=$(logger_pid)
	rss=$(awk '/^RssAnon:/ { print $2 }' "/proc/$logger/status")
	[ "$rss" -lt 8000 ]

	release "$DIR/go"
	poll_until 10 file_has "$DIR/got" "dropped"
	nclust stop it
	poll_until 10 is_gone "${STARTED[0]}"
	# what came and what was dropped is all there was
	python3 - "$DIR/got" <<-'E'
	import re, sys
	text = open(sys.argv[1], "rb").read()
	came = len(re.findall(rb"^it\.[01] \| line \d+x*$", text, re.M))
	lost = sum(int(n) for n in
	           re.findall(rb"^nclust: (\d+) lines? of output", text, re.M))
	assert lost > 0 and came + lost == 100000, (came, lost)
	E
}

@test "prefix: a flood and a reader that reads: nothing is lost" {
	"$NCLUST" --name it -n 2 --log prefix --restart never -- \
		"$FIXTURES/log-flood" --width 200 --lines 50000 2>>"$LOG" \
		</dev/null 3>&- | cat >"$DIR/got"
	[ "$(grep -c '^it.[01] | line [0-9]*x*$' "$DIR/got")" -eq 100000 ]
	run ! grep dropped "$DIR/got"
}

@test "prefix: a cluster that logs to a file does not wait for a reader" {
	cat >"$DIR/it.ini" <<-END
	[cluster:shown]
	log = prefix
	command = $FIXTURES/log-flood --width 200 --lines 1000000000
	workers = 1
	stop-signal = KILL
	[cluster:filed]
	log = file:$DIR/filed
	command = sh -c 'until [ -e $DIR/begin ]; do sleep 0.05; done; \
		exec $FIXTURES/log-flood --width 200 --lines 100000'
	workers = 1
	restart = never
	END
	mkfifo "$DIR/fifo"
	# it takes 2 MiB a second
	python3 -c '
import sys, time
got = 0
with open(sys.argv[1], "rb", 0) as f:
    while data := f.read(1 << 16):
        got += len(data)
        with open(sys.argv[2], "w") as n:
            n.write(str(got))
        time.sleep(len(data) / (2 << 20))' "$DIR/fifo" "$DIR/got" 3>&- &
	STARTED+=("$!")
	"$NCLUST" --name it -c "$DIR/it.ini" >"$DIR/fifo" 2>>"$LOG" </dev/null \
		3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_until 10 '[ -s "$DIR/got" ]'
	: >"$DIR/begin"
	# which is more than the reader takes meanwhile, and nothing is lost there
	wait_until 30 '[ "$(wc -l <"$DIR/filed")" -eq 100000 ]'
}

@test "prefix: who floods costs no line of another cluster" {
	need_root
	chmod 755 "$DIR"
	lazy_reader
	cat >"$DIR/it.ini" <<-END
	[cluster:flood]
	user = nobody
	log = prefix
	command = sh -c 'while :; do echo a line that floods; done'
	workers = 2
	ready = alive:10ms
	[cluster:quiet]
	user = nobody
	log = prefix
	command = sh -c 'while [ ! -e $DIR/begin ]; do sleep 0.1; done; \
		seq 280; touch $DIR/said/all; exec sleep 1000'
	workers = 1
	ready = alive:10ms
	END
	mkdir -m 777 "$DIR/said"
	"$NCLUST" -c "$DIR/it.ini" >"$DIR/fifo" 2>>"$LOG" </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
	# much more than all queues hold
	wait_until 30 '[ "$(awk "/^rchar/ { print \$2 }" "/proc/$1/io")" \
		-gt 1000000 ]' "$(logger_pid)"
	touch "$DIR/begin"
	poll_until 20 test -e "$DIR/said/all"
	sleep 0.5
	release "$DIR/go"
	poll_until 20 file_has "$DIR/got" "quiet.0 | 280"
	nclust stop it --now
	wait_exit
	[ "$(grep -c '^quiet.0 | [0-9]*$' "$DIR/got")" -eq 280 ]
	grep -q '^nclust: [0-9]* lines of output were dropped' "$DIR/got"
}

@test "prefix: a logger that is killed is replaced, and reads on where it was" {
	with_output "$DIR/text" -n 1 --log prefix --ready notify \
		--stop-signal KILL -- "$FIXTURES/log-flood" --notify \
		--pause 2 --lines 1500 --stay
	wait_ready
	for i in 1 2 3; do
		poll_until 10 file_has "$DIR/text" "line ${i}0"
		old=$(logger_pid)
		kill -KILL "$old"
		poll_until 5 another_logger "$old"
	done
	poll_until 20 file_has "$DIR/text" "line 1499"
	grep '^it.0 | line' "$DIR/text" >"$DIR/lines"
	# what it had read and not yet written went with it, each time
	[ "$(gaps_in "$DIR/lines")" -le 3 ]
	[ "$(worker 0 .restarts)" -eq 0 ]
}

@test "no worker can stop the logger, whoever it is" {
	need_root
	local uid

	cat >"$DIR/stops.py" <<-'E'
	import os, resource, signal, sys, time
	while not os.path.exists(sys.argv[1]):
	    time.sleep(0.01)
	logger = int(open(sys.argv[1]).read())
	for name, what in (
	        ("stop", lambda: os.kill(logger, signal.SIGSTOP)),
	        ("limit", lambda: resource.prlimit(
	            logger, resource.RLIMIT_FSIZE, (0, 0)))):
	    try:
	        what()
	        print(name, "done", flush=True)
	    except PermissionError:
	        print(name, "refused", flush=True)
	time.sleep(1000)
	E
	chmod 755 "$DIR"
	# the second has the uid that the logger would have
	for uid in nobody '#65533'; do
		rm -f "$DIR/logger"
		with_output "$DIR/text" -n 1 --user "$uid" \
			--group '#65534' --log prefix --ready alive:1ms -- \
			python3 "$DIR/stops.py" "$DIR/logger"
		wait_ready
		logger_pid >"$DIR/.logger"
		chmod 644 "$DIR/.logger"
		mv "$DIR/.logger" "$DIR/logger"
		poll_until 10 file_has "$DIR/text" "it.0 | limit refused"
		grep -qx 'it.0 | stop refused' "$DIR/text"
		nclust stop it --now
		wait_exit
	done
}

@test "a reload that gives workers the logger's user moves the logger" {
	need_root
	local old uid

	printf '%s\n' '[cluster:web]' 'workers = 1' 'log = prefix' \
		"command = $FIXTURES/hear --notify" 'ready = notify' \
		>"$DIR/it.ini"
	with_output "$DIR/text" -c "$DIR/it.ini"
	wait_ready
	old=$(logger_pid)
	uid=$(stat -c %u "/proc/$old")
	nclust reload "$INSTANCE"
	[ "$(logger_pid)" = "$old" ]

	printf '%s\n' "user = #$uid" 'group = #65534' >>"$DIR/it.ini"
	nclust reload "$INSTANCE"
	[ "$(stat -c %u "/proc/$(worker_pid 0)")" = "$uid" ]
	poll_until 10 another_logger "$old"
	poll_until 10 is_of_another_user "$new" "$uid"
	poll_until 10 file_has "$DIR/text" "web.0 | slot=0 pid=$(worker_pid 0)"
}

# is_of_another_user PID UID: and not of root, either.
is_of_another_user() {
	local uid

	uid=$(stat -c %u "/proc/$1") && [ "$uid" -ne "$2" ] && [ "$uid" -ne 0 ]
}

@test "prefix: a logger that stands still is replaced, and no line is lost" {
	local as=()

	((EUID != 0)) || as=(--user nobody)
	with_output "$DIR/text" -n 1 "${as[@]}" --log prefix \
		--ready alive:1ms -- \
		sh -c 'i=0; while :; do echo "line $((i += 1))"; sleep 0.1; done'
	wait_ready
	poll_until 10 file_has "$DIR/text" "line 3"
	old=$(logger_pid)
	kill -STOP "$old"
	poll_until 15 another_logger "$old"
	wait_logged "the logger does not answer: replacing it"
	# what was written meanwhile waited in the pipe
	so_far=$(grep -c '^it.0 | line' "$DIR/text")
	more() {
		[ "$(grep -c '^it.0 | line' "$DIR/text")" -gt $((so_far + 40)) ]
	}
	poll_until 20 more
	grep -o 'line [0-9]*' "$DIR/text" | cut -d' ' -f2 >"$DIR/numbers"
	cmp "$DIR/numbers" <(seq "$(wc -l <"$DIR/numbers")")
	[ "$(worker 0 .restarts)" -eq 0 ]
}

@test "a logger that is stopped does not stop nclust" {
	with_output "$DIR/text" -n 2 --log prefix --ready notify \
		--stop-signal KILL -- "$FIXTURES/deaf" --notify
	wait_ready
	kill -STOP "$(logger_pid)"
	for i in 1 2 3; do
		wait_ready
		kill -KILL "$(worker_pid 0)"
		wait_until 10 '[ "$(worker 0 .restarts)" -eq "$1" ]' "$i"
	done
	wait_ready
	[ "$(cluster .ready)" -eq 2 ]
	nclust stop it
	wait_exit 15
}

@test "a reader that has gone stops nobody" {
	mkfifo "$DIR/fifo"
	head -c 1 "$DIR/fifo" >/dev/null 3>&- &
	local reader=$!
	"$NCLUST" --name it -n 1 --log prefix --ready notify \
		--stop-signal KILL -- "$FIXTURES/log-flood" --notify \
		--lines 100000 --stay >"$DIR/fifo" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait "$reader"
	wait_ready
	kill -KILL "$(worker_pid 0)"
	wait_until 5 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready
	nclust stop it
	wait_exit
	[ "$status" -eq 0 ]
}

# --- nclust's own words ------------------------------------------------------------------

# talk_to FILE: an nclust that says much there, and a worker that says nothing.
talk_to() {
	"$NCLUST" --name it -n 1 --log off --log-level debug --ready notify \
		--stop-signal KILL -- "$FIXTURES/deaf" --notify \
		2>"$1" >/dev/null </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
}

@test "nclust goes on when its stderr has gone, or was never there" {
	mkfifo "$DIR/fifo"
	head -c 1 "$DIR/fifo" >/dev/null 3>&- &
	local reader=$!
	talk_to "$DIR/fifo"
	wait "$reader"
	nclust restart it
	[ "$(cluster .ready)" -eq 1 ]
	nclust stop it
	wait_exit
	[ "$status" -eq 0 ]

	"$NCLUST" --name it -n 1 --ready notify --stop-signal KILL \
		-- "$FIXTURES/leak" --to "$DIR/leak" --notify \
		0<&- >&- 2>&- 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
	jq -e '[.fds[] | .fd] == [0, 1, 2]' "$DIR/leak"
}

@test "a full stderr never blocks it" {
	mkfifo "$DIR/fifo"
	# a reader that takes nothing
	python3 - "$DIR/fifo" 3>&- <<-'E' &
	import os, signal, sys
	os.open(sys.argv[1], os.O_RDONLY)
	signal.pause()
	E
	STARTED+=($!)
	talk_to "$DIR/fifo"
	# each of them is a line: more than 64 KiB of them
	python3 - "$NCLUST_PID" "$NCLUST_RUNTIME_DIR/it/control" \
		"$ROOT/tests/e2e/control" <<-'E'
	import os, signal, sys
	sys.path.insert(0, sys.argv[3])
	sys.dont_write_bytecode = True
	from peer import Peer
	peer = Peer(sys.argv[2])
	for i in range(1500):
	    os.kill(int(sys.argv[1]), signal.SIGUSR1)
	    peer.result("status")
	E
	nclust restart it
	[ "$(cluster .ready)" -eq 1 ]
	nclust stop it
	wait_exit
	[ "$status" -eq 0 ]
}
