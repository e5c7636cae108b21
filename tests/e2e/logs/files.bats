# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
#
# log = file:PATH: every byte gets there, whatever happens to the file, to the
# logger, or to nclust.

bats_require_minimum_version 1.5.0
load ../../lib

teardown() {
	if mountpoint -q "$DIR/disk"; then
		fsfreeze -u "$DIR/disk" 2>/dev/null || true
		umount -l "$DIR/disk"
	fi
	if mountpoint -q "$DIR/small"; then
		umount -l "$DIR/small"
	fi
	nclust_teardown
}

# ini LINE...: the file of one cluster 'it', whose workers stay.
ini() {
	{
		echo "[cluster:it]"
		printf '%s\n' "$@"
	} >"$DIR/it.ini"
}

# has_lines COUNT: of a flood, in $DIR/web and what it was before.
has_lines() {
	[ "$(cat "$DIR"/web* | wc -l)" -ge "$1" ]
}

# Each worker's lines are there once, and in their order.  The oldest file first.
in_order() {
	python3 - "$@" <<-'E'
	import gzip, sys
	next_of = {}
	for name in sys.argv[2:]:
	    f = gzip.open(name) if name.endswith(".gz") else open(name, "rb")
	    for line in f:
	        words = line.split()
	        assert words[0] == b"line", line[:80]
	        who, n = words[1], int(words[2])
	        assert next_of.get(who, 0) == n, (name, who, n, next_of.get(who))
	        next_of[who] = n + 1
	assert all(n == int(sys.argv[1]) for n in next_of.values()), next_of
	E
}

# flood COUNT: a worker that writes so many lines of 100 bytes, "line SLOT N".
flood() {
	cat >"$DIR/flood" <<-'E'
	import os, sys, time
	slot = os.environ["NCLUST_SLOT"]
	count = int(sys.argv[1])
	pad = "x" * 80
	for i in range(0, count, 500):
	    data = "".join("line %s %d %s\n" % (slot, k, pad)
	        for k in range(i, min(i + 500, count))).encode()
	    while data:
	        data = data[os.write(1, data):]
	while True:
	    time.sleep(1000)
	E
	FLOOD="python3 $DIR/flood $1"
}

@test "each slot has its file, beside one for all and JSON on stdout" {
	ini "command = sh -c 'echo line \$NCLUST_SLOT; echo bad >&2; exec sleep 1000'" \
		"workers = 2" "stop-signal = KILL" \
		"log = file:$DIR/{cluster}-{slot}.log file:$DIR/all json"
	start_nclust -c "$DIR/it.ini"
	wait_ready
	poll_until 5 file_has "$DIR/all" line 2
	poll_until 5 file_has "$DIR/it-1.log" bad
	grep -qx 'line 0' "$DIR/it-0.log"
	grep -qx 'line 1' "$DIR/it-1.log"
	[ "$(stat -c %a "$DIR/all")" = 640 ]
	poll_until 5 file_has "$LOG" '"message":"bad"' 2
	grep '^{' "$LOG" | jq -es 'map(select(.slot == 1 and .stream == "stdout"
		and .cluster == "it" and .message == "line 1" and .pid > 1
		and (.time | test("^20.*T.*\\.[0-9]{3}Z$")))) | length == 1'
	# one more slot, one more file
	nclust scale it 3
	poll_until 5 file_has "$DIR/it-2.log" 'line 2'
}

@test "rotation under a flood of 100 MB loses no line, and keeps their order" {
	flood 500000
	ini "command = $FLOOD" "workers = 2" "stop-signal = KILL" \
		"log = file:$DIR/web" "log-size = 4M" "log-keep = 100" \
		"ready = alive:1ms"
	start_nclust -c "$DIR/it.ini"
	poll_until 60 has_lines 1000000
	# a busy machine lets some go on into the old file
	[ -e "$DIR/web.5" ]
	# shellcheck disable=SC2046,SC2012
	in_order 500000 $(ls -rv "$DIR"/web*)
	run ! grep -q dropped "$LOG"
}

@test "a new file begins between two lines, however long they are" {
	ini "command = python3 $DIR/long" "workers = 1" "stop-signal = KILL" \
		"log = file:$DIR/web" "log-size = 1M" "log-keep = 100" \
		"ready = alive:1ms"
	cat >"$DIR/long" <<-'E'
	import os, time
	for i in range(50):
	    data = b"line 0 %d %s\n" % (i, b"x" * 900000)
	    while data:
	        data = data[os.write(1, data):]
	time.sleep(1000)
	E
	start_nclust -c "$DIR/it.ini"
	poll_until 20 has_lines 50
	poll_until 10 test -e "$DIR/web.1"
	# the last rotation may still be under way
	poll_until 10 all_in_order
}

# It may be that the last line is in an old file, too.
has_last_line() {
	zcat -f "$DIR/web" "$DIR"/web.[12]* 2>/dev/null | grep -q "$1"
}

@test "log-keep and log-compress: old files are compressed, the oldest go" {
	flood 60000
	ini "command = $FLOOD" "workers = 1" "stop-signal = KILL" \
		"log = file:$DIR/web" "log-size = 1M" "log-keep = 2" \
		"log-compress = gzip" "ready = alive:1ms"
	echo mine >"$DIR/web.20240101"
	echo mine >"$DIR/web.3.mine"
	start_nclust -c "$DIR/it.ini"
	poll_until 20 has_last_line "line 0 59999"
	poll_until 10 test -e "$DIR/web.2.gz"
	poll_until 10 test ! -e "$DIR/web.1"
	zcat "$DIR/web.1.gz" | grep -q line
	[ ! -e "$DIR/web.3.gz" ]
	# nothing else is touched
	[ -e "$DIR/web.20240101" ] && [ -e "$DIR/web.3.mine" ]
}

# A command as gzip, which waits for $DIR/go between its two halves.
slow_gzip() {
	cat >"$DIR/pack" <<-E
	#!/bin/bash
	exec 9<"\$1"
	echo "\$1" >>"$DIR/packing"
	until [ -e "$DIR/go" ]; do sleep 0.05; done
	gzip <&9 >"\$1.gz" && rm "\$1"
	E
	chmod 755 "$DIR/pack"
}

# A file is too old after one second, and 50 more lines are two.
has_grown() {
	[ "$(wc -l <"$1")" -ge $(($2 + 50)) ]
}

# tick NAME LOG: the file of a cluster that says a line each 40 ms.
tick() {
	cat >"$DIR/tick" <<-'E'
	while :; do echo "line 0 $((i++))"; sleep 0.04; done
	E
	ini "command = bash $DIR/tick" "workers = 1" "stop-signal = KILL" \
		"log-age = 1s" "log-keep = 50" "ready = alive:1ms" \
		"log-compress = $DIR/pack" "log = $2"
	sed -i "s/cluster:it/cluster:$1/" "$DIR/it.ini"
}

# compressed_while COMMAND...: it is run while log-compress works.
compressed_while() {
	slow_gzip
	tick it "prefix file:$DIR/web"
	start_nclust -c "$DIR/it.ini"
	poll_until 10 file_has "$DIR/packing" "$DIR/web.1"
	"$@"
	poll_until 20 has_grown "$DIR/web" "$(wc -l <"$DIR/web")"
	[ ! -e "$DIR/web.2" ]
	touch "$DIR/go"
	poll_until 10 test -e "$DIR/web.2.gz"
	kill -STOP "$(worker_pid 0)"
	poll_until 10 all_in_order
}

all_in_order() {
	# shellcheck disable=SC2046,SC2012
	in_order "$(zcat -f "$DIR"/web* | wc -l)" $(ls -rv "$DIR"/web*)
}

@test "an old file that is being compressed is left alone through an upgrade" {
	compressed_while nclust upgrade
}

reordered() {
	tick it "file:$DIR/web prefix"
	nclust reload
}

@test "… where the places of output change their order" {
	compressed_while reordered
}

@test "log-compress that is no program is not a shell's, and its status is told" {
	mkdir "$DIR/bin"
	echo "touch $DIR/ran" >"$DIR/bin/pack"
	chmod 755 "$DIR/bin/pack"
	tick it "file:$DIR/web"
	sed -i "s|^log-compress = .*|log-compress = pack|" "$DIR/it.ini"
	PATH="$DIR/bin:$PATH" start_nclust -c "$DIR/it.ini"
	wait_logged "log-compress: cannot execute '$DIR/bin/pack': Exec format"
	[ ! -e "$DIR/ran" ]
	sed -i "s|^log-compress = .*|log-compress = sh -c 'exit 3'|" "$DIR/it.ini"
	nclust reload
	wait_logged "log-compress: '$DIR/web.1': failed (exit 3)"
}

@test "who reads an old file, or outlives log-compress, does not stop rotation" {
	printf '#!/bin/sh\nsetsid sleep 1000 &\necho $! >>%s\n' \
		"$DIR/left" >"$DIR/pack"
	chmod 755 "$DIR/pack"
	tick it "file:$DIR/web"
	start_nclust -c "$DIR/it.ini"
	poll_until 10 test -s "$DIR/left"
	STARTED+=("$(head -n 1 "$DIR/left")")
	python3 - "$DIR/web.1" 3>&- <<-'E' &
	import fcntl, os, sys, time
	held = os.open(sys.argv[1], os.O_RDONLY)
	fcntl.flock(held, fcntl.LOCK_EX)
	open(os.path.dirname(sys.argv[1]) + "/locked", "w")
	time.sleep(1000)
	E
	STARTED+=("$!")
	poll_until 10 test -e "$DIR/locked"
	poll_until 10 test -e "$DIR/web.3"
}

@test "log-compress has nclust's environment, and nothing of its workers'" {
	need_root
	mkdir "$DIR/good" "$DIR/bad" "$DIR/logs"
	printf '#!/bin/sh\n{ env; umask; ulimit -c; nice; id -u; } >%s\n' \
		"$DIR/said.new; mv $DIR/said.new $DIR/said" >"$DIR/good/pack"
	printf '#!/bin/sh\necho bad >%s\n' "$DIR/said" >"$DIR/bad/pack"
	chmod 755 "$DIR" "$DIR"/{good,bad} "$DIR"/{good,bad}/pack
	printf '%s\n' "PATH=$DIR/bad:/usr/bin:/bin" LEAK=1 NCLUST_NAME=bad \
		>"$DIR/env"
	chown nobody "$DIR/env"
	ini "command = sh -c 'while :; do echo \$LEAK; sleep 0.1; done'" \
		"workers = 1" "stop-signal = KILL" "ready = alive:1ms" \
		"user = nobody" "env-file = $DIR/env" "env = LEAK_TOO=1" \
		"umask = 0123" "nice = 7" "limit-core = 4096" \
		"log = file:$DIR/logs/web" "log-age = 1s" "log-compress = pack"
	umask 022
	ulimit -S -c 0
	OURS=1 PATH="$DIR/good:$PATH" start_nclust -c "$DIR/it.ini"
	poll_until 10 test -s "$DIR/said"
	cat "$DIR/said"
	grep -qx OURS=1 "$DIR/said"
	grep -qx NCLUST_CLUSTER=it "$DIR/said"
	run ! grep -q 'LEAK\|bad\|HOME=/nonexistent\|USER=nobody' "$DIR/said"
	[ "$(tail -n 4 "$DIR/said" | tr '\n' ' ')" = "0022 0 $(nice) 0 " ]
}

@test "external rotation: renamed, and opened anew at the signal, no line lost" {
	flood 300000
	ini "command = $FLOOD" "workers = 1" "stop-signal = KILL" \
		"log = file:$DIR/web" "log-size = never" \
		"signal-USR1 = reopen-logs" "ready = alive:1ms"
	start_nclust -c "$DIR/it.ini"
	for i in 4 3 2 1; do
		poll_until 10 test -e "$DIR/web"
		mv "$DIR/web" "$DIR/web-old.$i"
		kill -USR1 "$NCLUST_PID"
		poll_until 10 test -e "$DIR/web"
	done
	poll_until 60 has_lines 300000
	in_order 300000 "$DIR"/web-old.{4,3,2,1} "$DIR/web"
}

@test "log-age: an old file makes room for a new one at the next line" {
	ini "command = sh -c 'while :; do echo line; sleep 0.2; done'" \
		"workers = 1" "stop-signal = KILL" \
		"log = file:$DIR/web" "log-age = 1s" "ready = alive:1ms"
	start_nclust -c "$DIR/it.ini"
	poll_until 10 test -e "$DIR/web.2"
}

@test "every byte: NULs, no UTF-8, lines of 1 MB, an endless one" {
	cat >"$DIR/bytes" <<-'E'
	import os, random, sys
	data = random.Random(1).randbytes(2000000) + b"\n" + b"y" * 1000000 + \
	    b"\nshort\n" + b"z" * 1048576 + b"\n\0\n\xff\n" + b"e" * 3000000
	if len(sys.argv) > 1:
	    sys.stdout.buffer.write(data)
	else:
	    while data:
	        data = data[os.write(1, data[:50000]):]
	E
	launch_nclust -n 1 --restart never --ready alive:1ms \
		--log "file:$DIR/web" -- python3 "$DIR/bytes"
	wait_exit 30
	cmp "$DIR/web" <(python3 "$DIR/bytes" wanted)
}

@test "lines of several workers are never mixed" {
	start_nclust -n 4 --ready alive:1ms --stop-signal KILL \
		--log "file:$DIR/web" -- python3 -c '
import os, time
slot = os.environ["NCLUST_SLOT"]
for i in range(100):
    os.write(1, b"line " + slot.encode() + b" begin ")
    os.write(1, slot.encode() * 100000)
    os.write(1, b" end\n")
time.sleep(600)'
	poll_until 30 file_has "$DIR/web" end 400
	python3 - "$DIR/web" <<-'E'
	import sys
	for line in open(sys.argv[1]):
	    slot = line.split()[1]
	    assert line == "line %s begin %s end\n" % (slot, slot * 100000)
	E
}

@test "the last words of a worker that dies are in the file, without a newline too" {
	launch_nclust -n 1 --restart never --ready alive:1ms \
		--log "file:$DIR/web prefix" -- sh -c 'printf "oh no"; kill -9 $$'
	wait_exit
	cat "$DIR/web"
	[ "$(cat "$DIR/web")" = "oh no" ]
	file_has "$LOG" "it.0 | oh no"
}

ends_with_a_line() {
	[[ $(tail -n 1 "$1") == line* ]]
}

@test "a disk that is full: the other sinks go on, and so does it when there is room" {
	need_root
	mkdir "$DIR/small"
	mount -t tmpfs -o size=1M,mode=755 none "$DIR/small"
	dd if=/dev/zero of="$DIR/small/fill" bs=1k count=900 status=none
	start_nclust -n 1 --ready alive:1ms --stop-signal KILL \
		--log "file:$DIR/small/log file:$DIR/big" -- \
		python3 -c '
import os, sys, time
for i in range(100000):
    os.write(1, b"line %d %s\n" % (i, b"x" * 80))
while True:
    i += 1
    os.write(1, b"line %d\n" % i)
    time.sleep(0.05)'
	wait_logged "No space left on device"
	poll_until 20 file_has "$DIR/big" "line 99999"
	rm "$DIR/small/fill"
	poll_until 10 file_has "$DIR/small/log" "lines of output were dropped"
	poll_until 10 ends_with_a_line "$DIR/small/log"
	nclust stop it --now
	grep -qE '^nclust: [0-9]+ lines of output were dropped, No space left' \
		"$DIR/small/log"
	# all lines are there or counted
	dropped=$(sed -n 's/^nclust: \([0-9]*\) lines.*/\1/p' "$DIR/small/log" |
		paste -sd+ | bc)
	last=$(tail -n 1 "$DIR/small/log" | awk '/^line/ { print $2 }')
	[ "$(tail -n 1 "$DIR/big")" = "line $last" ]
	[ $((dropped + $(grep -c '^line' "$DIR/small/log"))) -eq \
		$((last + 1)) ]
}

# $DIR/disk: one that fsfreeze makes hang.
mount_disk() {
	need_root
	mkdir "$DIR/disk"
	truncate -s 20M "$DIR/image"
	mkfs.ext4 -q "$DIR/image"
	mount -o loop "$DIR/image" "$DIR/disk" || skip "no loop devices here"
	chmod 755 "$DIR/disk"
}

# openers_wait COUNT: so many that open files wait for a disk.
openers_wait() {
	[ "$(ps -o stat= --ppid "$NCLUST_PID" | awk '/^D/ { n++ } END { print n + 0 }')" \
		-eq "$1" ]
}

@test "a disk that hangs at the start: nclust says so, and ends" {
	mount_disk
	fsfreeze -f "$DIR/disk"
	run -69 timeout 20 "$NCLUST" -n 1 --log "file:$DIR/disk/web" -- sleep 1000
	[[ $output == *"the places of 'log' could not be opened within 5 s"* ]]
	fsfreeze -u "$DIR/disk"
}

@test "many files on a disk that hangs: other clusters open theirs" {
	mount_disk
	ini "command = sleep 1000" "workers = 1" "stop-signal = KILL" \
		"log = $(printf "file:$DIR/disk/%s " a b c d)" \
		"signal-USR1 = reopen-logs" ""
	cat >>"$DIR/it.ini" <<-E
	[cluster:two]
	command = sh -c 'echo two; exec sleep 1000'
	workers = 1
	stop-signal = KILL
	log = file:$DIR/two-{slot}
	E
	start_nclust -c "$DIR/it.ini"
	wait_ready
	poll_until 10 test -s "$DIR/two-0"
	rm "$DIR/disk"/[a-d]
	fsfreeze -f "$DIR/disk"
	kill -USR1 "$NCLUST_PID"
	poll_until 10 openers_wait 4
	# which not even SIGKILL ends
	timeout 5 "$NCLUST" scale two 2
	poll_until 10 file_has "$DIR/two-1" two
	fsfreeze -u "$DIR/disk"
}

@test "a disk that hangs: the other sinks and clusters go on, and so does it later" {
	mount_disk
	cat >"$DIR/it.ini" <<-E
	[cluster:it]
	command = sh -c 'while :; do i=\$((i + 1)); echo line \$i; sleep 0.01; done'
	workers = 1
	stop-signal = KILL
	log = file:$DIR/disk/web file:$DIR/other
	[cluster:two]
	command = sh -c 'while :; do echo two; sleep 0.1; done'
	workers = 1
	stop-signal = KILL
	log = file:$DIR/two
	E
	start_nclust -c "$DIR/it.ini"
	wait_ready
	poll_until 10 test -s "$DIR/disk/web"
	fsfreeze -f "$DIR/disk"
	wait_logged "its disk does not answer"
	size=$(stat -c %s "$DIR/two")
	poll_until 5 grows "$DIR/two" "$size"
	size=$(stat -c %s "$DIR/other")
	poll_until 5 grows "$DIR/other" "$size"
	# nclust itself answers, also if it is asked to open that file
	timeout 5 "$NCLUST" reload it
	fsfreeze -u "$DIR/disk"
	poll_until 10 file_has "$DIR/disk/web" "were dropped, its disk does not answer"
	poll_until 10 ends_with_a_line "$DIR/disk/web"
	# each line is there, or counted
	nclust stop it --now
	last=$(tail -n 1 "$DIR/disk/web" | awk '{ print $2 }')
	dropped=$(sed -n 's/^nclust: \([0-9]*\) lines.*/\1/p' "$DIR/disk/web" |
		paste -sd+ | bc)
	[ $((dropped + $(grep -c '^line' "$DIR/disk/web"))) -eq "$last" ]
}

@test "a FIFO that nobody reads stops nobody; its reader is told what is missing" {
	mkfifo "$DIR/fifo"
	start_nclust -n 1 --ready alive:1ms --stop-signal KILL \
		--log "file:$DIR/fifo file:$DIR/web" -- python3 -c '
import os, time
for i in range(20000):
    os.write(1, b"line %d %s\n" % (i, b"x" * 80))
while True:
    os.write(1, b"late\n")
    time.sleep(0.1)'
	poll_until 20 file_has "$DIR/web" late
	wait_logged "lines for '$DIR/fifo' are dropped"
	timeout 5 cat "$DIR/fifo" >"$DIR/got" || true
	grep -q 'lines of output were dropped, it was too slow' "$DIR/got"
	grep -q late "$DIR/got"
}

@test "a file that cannot be opened: nothing starts, and all is told" {
	ini "command = sleep 1000" "workers = 1" "log = file:$DIR/none/log" ""
	cat >>"$DIR/it.ini" <<-E
	[cluster:two]
	command = sleep 1000
	log = prefix file:$DIR/link
	E
	ln -s /etc/passwd "$DIR/link"
	run -78 "$NCLUST" -c "$DIR/it.ini"
	[[ $output == *"it.ini:4: cluster:it.log: '$DIR/none/log': cannot open: No such file"* ]]
	[[ $output == *"it.ini:8: cluster:two.log: '$DIR/link': it is a symbolic link"* ]]
	run -64 "$NCLUST" -n 1 --log "file:$DIR" -- sleep 1000
	[[ $output == *"--log: '$DIR': "* ]]
	run -64 "$NCLUST" -n 1 --log "journal:$DIR/no" -- sleep 1000
	[[ $output == *"'$DIR/no': cannot open: No such file"* ]]
	: >"$DIR/none"
	run -64 "$NCLUST" -n 1 --log "journal:$DIR/none" -- sleep 1000
	[[ $output == *"'$DIR/none': cannot connect: Connection refused"* ]]
}

@test "one file by two names: refused at the start, and later not rotated" {
	mkdir "$DIR/real"
	ln -s real "$DIR/link"
	for other in "$DIR//real/./a" "$DIR/link/a" "$DIR/real/a"; do
		run -64 "$NCLUST" -n 1 --log "file:$DIR/real/a file:$other" -- \
			sleep 1000
		[[ $output == *"'$other' is a file of cluster "* ]]
	done
	run -64 "$NCLUST" -n 11 --log "file:$DIR/a-{slot} file:$DIR/a-1{slot}" \
		-- sleep 1000
	[[ $output == *"'$DIR/a-1{slot}' is a file of cluster "* ]]
	# nobody has slot 1 yet
	start_nclust -n 1 --ready alive:1ms --stop-signal KILL --log-age 1s \
		--log "file:$DIR/a-{slot} file:$DIR/a-1" -- \
		sh -c 'while :; do echo line; sleep 0.05; done'
	poll_until 10 test -e "$DIR/a-1.1"
	nclust scale it 2
	wait_logged "another place of 'log' is the same file"
	before=$(ls "$DIR"/a-1.*)
	poll_until 20 has_grown "$DIR/a-1" "$(wc -l <"$DIR/a-1")"
	[ "$(ls "$DIR"/a-1.*)" = "$before" ]
}

@test "reload adds and removes a file, without new workers; a bad one changes nothing" {
	local said=("command = sh -c 'while :; do echo line; sleep 0.1; done'"
		"workers = 1" "stop-signal = KILL")
	ini "${said[@]}" "log = file:$DIR/a"
	start_nclust -c "$DIR/it.ini"
	wait_ready
	old=$(worker_pid 0)
	poll_until 5 test -s "$DIR/a"

	ini "${said[@]}" "log = file:$DIR/b file:$DIR/a"
	nclust reload it
	poll_until 5 test -s "$DIR/b"

	ini "${said[@]}" "log = file:$DIR/b file:$DIR/none/c"
	run nclust reload it
	[ "$status" -ne 0 ]
	[[ $output == *"'$DIR/none/c': cannot open"* ]]
	size=$(stat -c %s "$DIR/a")
	poll_until 5 grows "$DIR/a" "$size"

	ini "${said[@]}" "log = file:$DIR/b"
	nclust reload it
	poll_until 5 is_not_open "$DIR/a"
	size=$(stat -c %s "$DIR/b")
	poll_until 5 grows "$DIR/b" "$size"
	[ "$(worker_pid 0)" = "$old" ]
}

@test "a new name of the cluster: files of its old workers are rotated and reopened" {
	cat >"$DIR/old" <<-'E'
	import os, socket, time
	if os.environ["NCLUST_CLUSTER"] == "site":
	    time.sleep(1000)
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
	while True:
	    os.write(1, b"line\n")
	    time.sleep(0.05)
	E
	ini "command = python3 $DIR/old" "workers = 1" "stop-signal = KILL" \
		"ready = notify" "start-timeout = 600s" "log-age = 1s" \
		"log = file:$DIR/all file:$DIR/{cluster}.log"
	start_nclust -c "$DIR/it.ini"
	wait_ready
	poll_until 10 test -s "$DIR/it.log"
	sed -i "s/^.cluster:it/[cluster:site/" "$DIR/it.ini"
	nclust reload --no-wait
	wait_logged "site: renamed from 'it'"
	poll_until 10 file_has "$DIR/site.log" line
	rm "$DIR"/all*
	poll_until 10 test -e "$DIR/all.2"
	is_not_open "$DIR/it.log"
}

grows() {
	[ "$(stat -c %s "$1")" -gt "$2" ]
}

is_not_open() {
	! find "/proc/$(logger_pid)/fd" -lname "$1" | grep -q .
}

@test "a logger that is killed under load is replaced, and writes to the same files" {
	start_nclust -n 1 --ready notify --stop-signal KILL \
		--log "file:$DIR/web-{slot}" -- "$FIXTURES/log-flood" --notify \
		--pause 2 --lines 1500 --stay
	wait_ready
	for i in 1 2 3; do
		poll_until 10 file_has "$DIR/web-0" "line ${i}0"
		old=$(logger_pid)
		kill -KILL "$old"
		poll_until 5 another_logger "$old"
	done
	poll_until 20 file_has "$DIR/web-0" "line 1499"
	# what it had read and not yet written went with it, each time
	[ "$(gaps_in "$DIR/web-0")" -le 3 ]
	[ "$(worker 0 .restarts)" -eq 0 ]
}

opener_stopped() {
	local pid

	for pid in $(pgrep -P "$NCLUST_PID"); do
		[[ $(ps -o stat= -p "$pid") == T* ]] && OPENER=$pid
	done
	[ -n "$OPENER" ]
}

# stop_opener: reopen files by SIGUSR1; who opens $DIR/web waits at it.
stop_opener() {
	local tracer

	strace -f -o "$DIR/trace" -p "$NCLUST_PID" -P web \
		-e inject=openat:signal=SIGSTOP 2>"$DIR/said" 3>&- &
	tracer=$!
	STARTED+=("$tracer")
	poll_until 10 file_has "$DIR/said" attached || skip "strace cannot attach"
	kill -USR1 "$NCLUST_PID"
	poll_until 10 file_has "$DIR/trace" "stopped by SIGSTOP"
	kill "$tracer"
	poll_until 10 is_gone "$tracer"
	poll_until 10 opener_stopped
	STARTED+=("$OPENER")
}

@test "a file that comes after a reload, by then in another place, is not taken" {
	need strace
	local OPENER=

	ini "command = sh -c 'while :; do echo line; sleep 0.05; done'" \
		"workers = 1" "stop-signal = KILL" "ready = alive:1ms" \
		"signal-USR1 = reopen-logs" "log = file:$DIR/web file:$DIR/other"
	start_nclust -c "$DIR/it.ini"
	poll_until 10 test -s "$DIR/other"
	stop_opener
	sed -i "s|^log = .*|log = file:$DIR/other file:$DIR/web|" "$DIR/it.ini"
	nclust reload
	kill -CONT "$OPENER"
	poll_until 10 is_gone "$OPENER"
	poll_until 5 grows "$DIR/web" "$(stat -c %s "$DIR/web")"
	poll_until 5 grows "$DIR/other" "$(stat -c %s "$DIR/other")"
}

@test "nclust is killed while a file is opened: the logger sees it, nothing is left" {
	need strace
	local logger OPENER=

	start_nclust -n 1 --ready alive:1ms --stop-signal KILL \
		--signal-USR1 reopen-logs --log "file:$DIR/web" -- sleep 1000
	logger=$(logger_pid)
	stop_opener
	kill_nclust
	poll_until 5 is_gone "$OPENER"
	poll_until 5 is_gone "$logger"
}

@test "an upgrade under load, with rotation: no line is lost" {
	flood 300000
	ini "command = $FLOOD" "workers = 1" "stop-signal = KILL" \
		"log = file:$DIR/web" "log-size = 4M" "log-keep = 100" \
		"ready = alive:1ms"
	start_nclust -c "$DIR/it.ini"
	poll_until 10 test -e "$DIR/web.1"
	nclust upgrade it
	nclust upgrade it
	poll_until 60 has_lines 300000
	# shellcheck disable=SC2046,SC2012
	in_order 300000 $(ls -rv "$DIR"/web*)
	# and it goes on to ask for new ones
	before=("$DIR"/web*)
	nclust scale it 2
	poll_until 60 has_lines 600000
	# the last one may still be under way
	wait_until 10 'after=("$DIR"/web*); [ "${#after[@]}" -gt "$1" ]' "${#before[@]}"
}

@test "as root: nothing that a worker's user can change is opened" {
	need_root
	mkdir "$DIR/theirs" "$DIR/sticky" "$DIR/ours"
	chown 1234 "$DIR/theirs"
	chmod 1777 "$DIR/sticky"
	for at in theirs sticky; do
		run -64 "$NCLUST" -n 1 --log "file:$DIR/$at/log" -- sleep 1000
		[[ $output == *"refused for root"* ]]
		[ ! -e "$DIR/$at/log" ]
	done
	python3 -c 'import socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind(sys.argv[1])' \
		"$DIR/ours/socket"
	for at in theirs sticky; do
		ln -s "$DIR/ours/socket" "$DIR/$at/socket"
		for what in journal syslog; do
			run -64 "$NCLUST" -n 1 --log "$what:$DIR/$at/socket" -- sleep 1000
			[[ $output == *"refused for root"* ]]
		done
	done
	# root's own group may write there, and an access list is no group
	mkdir "$DIR/listed"
	chmod 775 "$DIR/listed"
	"$NCLUST" -n 1 --restart never --ready alive:1ms \
		--log "file:$DIR/listed/log" -- true
	if python3 -c 'import os, struct, sys
acl = struct.pack("<I", 2)
for tag, perm, who in (1, 7, -1), (2, 7, 1234), (4, 5, -1), (16, 7, -1), (32, 5, -1):
    acl += struct.pack("<HHi", tag, perm, who)
os.setxattr(sys.argv[1], "system.posix_acl_access", acl)' "$DIR/listed"; then
		run -64 "$NCLUST" -n 1 --restart never --ready alive:1ms \
			--log "file:$DIR/listed/log" -- true
		[[ $output == *"writable by others than its owner, refused"* ]]
	fi
	ln -s socket "$DIR/ours/link"
	run -64 "$NCLUST" -n 1 --log "journal:$DIR/ours/link" -- sleep 1000
	[[ $output == *"it is a symbolic link"* ]]
	ln -s "$DIR/victim" "$DIR/ours/log"
	run -64 "$NCLUST" -n 1 --log "file:$DIR/ours/log" -- sleep 1000
	[[ $output == *"it is a symbolic link"* ]]
	[ ! -e "$DIR/victim" ]
	# planted once it runs: the old file is written, and the link is left
	rm "$DIR/ours/log"
	start_nclust -n 1 --user '#1234' --group '#1234' --ready alive:1ms \
		--stop-signal KILL --signal-USR1 reopen-logs \
		--log "file:$DIR/ours/log" -- \
		sh -c 'while :; do echo line; sleep 0.1; done'
	poll_until 5 test -s "$DIR/ours/log"
	mv "$DIR/ours/log" "$DIR/ours/old"
	ln -s "$DIR/victim" "$DIR/ours/log"
	kill -USR1 "$NCLUST_PID"
	wait_logged "it is a symbolic link"
	size=$(stat -c %s "$DIR/ours/old")
	poll_until 5 grows "$DIR/ours/old" "$size"
	[ ! -e "$DIR/victim" ]
}

@test "idle, with files, nobody wakes up" {
	start_nclust -n 1 --ready alive:1ms --stop-signal KILL \
		--log "file:$DIR/web" -- sh -c 'echo line; exec sleep 1000'
	poll_until 5 test -s "$DIR/web"
	local pid before
	pid=$(logger_pid)
	poll_until 10 is_asleep "$pid"
}

# is_asleep PID: no thread of it runs for a second.
is_asleep() {
	local before after

	before=$(cat /proc/"$1"/task/*/status | grep ctxt)
	sleep 1
	after=$(cat /proc/"$1"/task/*/status | grep ctxt)
	[ "$before" = "$after" ]
}
