# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2154
#
# `nclust logs`: what the workers have written, also before it was asked for, and
# also workers that are gone.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
}

teardown() {
	end_keepers
	nclust_teardown
}

# A worker that says who it is, by both streams, and then reads lines of FIFO.
SAYS='echo "out $NCLUST_WORKER"; echo "err $NCLUST_WORKER" >&2; '
WAITS='while :; do sleep 60; done'

# has_log TEXT [OPTION]...: does `nclust logs` show a line with this text?
has_log() {
	local text=$1

	shift
	nclust logs "$INSTANCE" "$@" | grep -qF -- "$text"
}

wait_log() {
	poll_until 10 has_log "$@" && return 0
	echo "never in the logs: $1"
	nclust logs "$INSTANCE"
	return 1
}

pid_is_not() {
	[ "$(worker_pid 0)" != "$1" ] && [ "$(worker_state 0)" = ready ]
}

# next_worker: SIGKILL for the one in slot 0, and the next one is ready.
next_worker() {
	local old

	old=$(worker_pid 0)
	kill -KILL "$old"
	poll_until 10 pid_is_not "$old"
}

@test "lines from before the call, and of workers that are gone" {
	local log

	for log in off prefix auto; do
		start_cluster -n 2 --log "$log" -- sh -c "$SAYS $WAITS"
		wait_log '.1 | out 2'
		next_worker
		wait_log '.0 | out 3'
		wait_log '.0 | err 1'
		kill "$NCLUST_PID"
		wait_exit
	done
}


@test "what is written after all is ready is kept with -d" {
	mkfifo "$DIR/go"
	run -0 nclust --name "$INSTANCE" -d -n 1 -- sh -c \
		"read -r word <$DIR/go; echo \"said \$word\"; $WAITS" 3>&-
	NCLUST_PID=$(status_json | jq .pid)
	release "$DIR/go"
	wait_log 'said go'
	nclust stop "$INSTANCE"
}

@test "where nothing is kept it says what to set" {
	start_cluster -n 1 --log inherit -- sh -c "$SAYS $WAITS"

	run -1 nclust logs "$INSTANCE"
	[[ $output == *"set 'log = prefix'"* ]]
}

@test "only some of them" {
	local now

	start_cluster -n 2 --log off -- sh -c "$SAYS
		echo 'one two'; echo three; $WAITS"
	wait_log '.0 | three'
	wait_log '.1 | three'

	run -0 nclust logs "$INSTANCE" --stderr
	[ "${#lines[@]}" -eq 2 ]
	run -0 nclust logs "$INSTANCE.1" -n 1
	[[ "${#lines[@]}" -eq 1 && $output == *"$INSTANCE.1 | "* ]]
	run -0 nclust logs "$INSTANCE" --grep '^one|^err 1$'
	[ "${#lines[@]}" -eq 3 ]
	[[ $output != *three* ]]
	run -0 nclust logs "$INSTANCE" --since 1h --grep three
	[ "${#lines[@]}" -eq 2 ]
	run -0 nclust logs "$INSTANCE" --since "@$(($(date +%s) + 60))"
	[ -z "$output" ]
	run -64 nclust logs "$INSTANCE" --grep '('
	[[ $output == *--grep* ]]
	run -69 nclust logs "$INSTANCE.7"

	now=$(date +%s)
	nclust logs "$INSTANCE.0" --json --stderr | jq -e \
		--argjson now "$now" --argjson pid "$(worker_pid 0)" \
		'.message == "err 1" and .slot == 0 and .stream == "stderr" and
		.pid == $pid and (.time - $now | fabs) < 60'
}

@test "bytes are as they were in a pipe, and harmless on a terminal" {
	start_cluster -n 1 --log off -- sh -c \
		"printf 'a\\000b\\377\\033[31mc\\033[2Jd\\n'; $WAITS"
	wait_log 'b'

	nclust logs "$INSTANCE" | sed 's/^.* | //' >"$DIR/raw"
	printf 'a\000b\377\033[31mc\033[2Jd\n' | cmp - "$DIR/raw"
	script -qec "\"$NCLUST\" logs $INSTANCE" /dev/null </dev/null >"$DIR/seen"
	grep -qF 'a\x00b\xFF' "$DIR/seen" || grep -qiF 'a\x00b\xff' "$DIR/seen"
	grep -qF $'\033[31mc' "$DIR/seen"
	run ! grep -qF $'\033[2J' "$DIR/seen"
}

@test "an endless line is shown in pieces, and whole" {
	start_cluster -n 1 --log off -- sh -c \
		"head -c 20000 /dev/zero | tr '\\0' x; echo; $WAITS"
	wait_log '.0 + x'

	[ "$(nclust logs "$INSTANCE" | sed 's/^.*\.0 [|+] //' | tr -d '\n' |
		wc -c)" -eq 20000 ]
}

@test "an upgrade keeps what was written, and -f goes on" {
	start_cluster -n 1 --log off -- sh -c "$SAYS $WAITS"
	wait_log 'out 1'
	nclust logs "$INSTANCE" -f >"$DIR/followed" 3>&- &
	STARTED+=($!)
	poll_until 10 file_has "$DIR/followed" 'out 1'

	nclust upgrade "$INSTANCE"
	wait_log 'out 1'
	next_worker
	poll_until 10 file_has "$DIR/followed" 'out 2'
	[ "$(grep -c 'out 1' "$DIR/followed")" -eq 1 ]
}

@test "who follows sees slots that come later" {
	start_cluster -n 1 --log prefix -- sh -c "$SAYS $WAITS"
	nclust logs "$INSTANCE" -f >"$DIR/followed" 3>&- &
	STARTED+=($!)
	poll_until 10 file_has "$DIR/followed" 'out 1'

	nclust scale "$INSTANCE" 3
	poll_until 10 file_has "$DIR/followed" '.2 | out'
	poll_until 10 file_has "$DIR/followed" '.1 | out'
}

@test "a logger that is killed costs nothing of it" {
	local old

	start_cluster -n 1 --log off -- sh -c "$SAYS $WAITS"
	wait_log 'out 1'
	old=$(logger_pid)
	kill -KILL "$old"
	poll_until 10 another_logger "$old"

	next_worker
	wait_log 'out 2'
	has_log 'out 1'
}

@test "orphans = keep: the next nclust has what was written before" {
	start_cluster -n 1 --log off --orphans keep -- sh -c "$SAYS $WAITS"
	wait_log 'out 1'
	next_worker
	wait_log 'out 2'
	kill_nclust

	start_cluster -n 1 --log off --orphans keep -- sh -c "$SAYS $WAITS"
	wait_log 'out 1'
	has_log 'out 2'
	next_worker
	wait_log 'out 3'
	nclust stop "$INSTANCE"
}

@test "a flood: the last lines are there, and it is told how many are not" {
	seq 1 2000000 >"$DIR/lines"
	start_cluster -n 1 --log off -- sh -c "cat $DIR/lines; $WAITS"
	wait_log ' | 2000000'

	nclust logs "$INSTANCE" >"$DIR/all"
	grep -q 'lines are not kept' "$DIR/all"
	[ "$(wc -c <"$DIR/all")" -lt 500000 ]
	# the last ones are whole, in their order
	tail -n 100 "$DIR/all" | sed 's/^.* | //' | cmp - <(seq 1999901 2000000)
}

@test "who does not read on harms nobody, nor who follows under load" {
	start_cluster -n 2 --log off -- sh -c \
		'while :; do seq 1 1000; sleep 0.05; done'
	# it stops reading, so that its pipe is full
	nclust logs "$INSTANCE" -f 3>&- | python3 -c "import time; time.sleep(300)" 3>&- &
	STARTED+=($!)
	nclust logs "$INSTANCE" -f >"$DIR/followed" 3>&- &
	STARTED+=($!)
	poll_until 10 file_has "$DIR/followed" ' | 1000' 50
	nclust restart "$INSTANCE" --bake 0
	next_worker
	poll_until 10 file_has "$DIR/followed" "$INSTANCE.1 | 1000" 60
	# only whole lines
	run ! grep -vE "^[-0-9]+ [:0-9]+  $INSTANCE\.[01] ([|] [0-9]+|~ [0-9]+ lines.*)$" \
		"$DIR/followed"
}

@test "members of control-group may read it, and cannot write to it" {
	need_root
	start_cluster -n 1 --log off --control-group '#4711' -- \
		sh -c "$SAYS $WAITS"
	wait_log 'out 1'
	chmod 711 "$DIR" "$NCLUST_RUNTIME_DIR"

	run -0 python3 - "$NCLUST_RUNTIME_DIR/$INSTANCE/control" <<-'E'
	import array, json, os, socket, sys
	s = socket.socket(socket.AF_UNIX)
	os.setgroups([4711]); os.setgid(4711); os.setuid(4711)
	s.connect(sys.argv[1])
	s.recv(65536)
	def ask(**params):
	    s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "logs",
	        "params": params}).encode() + b"\n")
	ask()
	data, control, flags, _ = s.recvmsg(65536, 4096)
	answer = json.loads(data)["result"]
	assert answer["logs"] == [{"cluster": answer["logs"][0]["cluster"], "slot": 0}]
	fd = array.array("i", control[0][2])[0]
	assert b"out 1" in os.pread(fd, 65536, 0)
	for attempt in (lambda: os.pwrite(fd, b"x", 0),
	        lambda: os.open("/proc/self/fd/%d" % fd, os.O_RDWR)):
	    try:
	        attempt()
	        sys.exit("it could be written to")
	    except OSError:
	        pass
	# who asks and does not read gets no descriptors
	for _ in range(50):
	    ask()
	s.settimeout(5)
	got = passed = 0
	while got < 50:
	    data, control, flags, _ = s.recvmsg(65536, 65536)
	    got += data.count(b"\n")
	    passed += sum(len(c[2]) // 4 for c in control)
	assert passed < 50, passed
	E
}

# some_dropped [N]: were more lines lost?
some_dropped() {
	[ "$(cluster .counters.log_lines_dropped)" -gt "${1:-0}" ]
}

@test "lines that are lost are counted, and an event" {
	local sink

	mkfifo "$DIR/out"
	exec 9<>"$DIR/out" # nobody reads it
	for sink in "$DIR/out" /dev/full; do
		"$NCLUST" --name "$INSTANCE" -n 1 --log prefix -- \
			sh -c "seq 1 200000; sleep 1.5; seq 1 200000; $WAITS" \
			>"$sink" 2>>"$LOG" </dev/null 3>&- 9>&- &
		NCLUST_PID=$!
		STARTED+=("$NCLUST_PID")
		poll_until 10 answers_or_ended "$NCLUST_PID"
		# of the second time, too, which is reported apart
		poll_until 10 some_dropped 250000

		run -0 nclust events "$INSTANCE" --kind drop
		[[ $output == *"lines of output dropped"* ]]
		# not one for each second
		[ "${#lines[@]}" -eq 1 ]
		# what is lost on the way is kept all the same
		wait_log ' | 200000'
		nclust upgrade "$INSTANCE"
		some_dropped 1000
		nclust stop "$INSTANCE"
		wait_exit
	done
	exec 9>&-
}
