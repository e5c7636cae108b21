# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# nclust is root, its workers are not, nor are those who may look at it: nothing
# that these do uses nclust's rights, or keeps root from using nclust.

bats_require_minimum_version 1.5.0
load ../../lib
load ../../life
load ../../node

setup() {
	nclust_setup
	need_root
}

# asks ARG...: a worker of Node that asks for one socket, as nobody.
asks() {
	must_have node
	start_nclust -n 1 --user nobody --balance "${BALANCE:-auto}" --ready alive:0 \
		--log inherit -- node "$NODE_SCRIPTS/asks.js" "$@"
}

# as_reader COMMAND...: as nobody, who is in control-group.
as_reader() {
	setpriv --reuid 65534 --regid 65534 --groups 4711 "$@"
}

# --- On a worker's behalf ----------------------------------------------------------

@test "no link of a worker's leads root to another user's socket" {
	mkdir -m 755 "$DIR/theirs" "$DIR/roots"
	chown nobody "$DIR/theirs"
	asks path "$DIR/theirs/s"
	wait_logged "answer given"
	[ "$(stat -c %U "$DIR/theirs/s")" = nobody ]
	# one file, so that nclust must take it for what the worker has bound
	ln "$DIR/theirs/s" "$DIR/roots/s"
	mv "$DIR/theirs" "$DIR/away"
	ln -s "$DIR/roots" "$DIR/theirs"
	nclust stop it
	[ -S "$DIR/roots/s" ]
}

@test "a worker's socket file is removed at the end, after an upgrade too" {
	mkdir -m 755 "$DIR/theirs"
	chown nobody "$DIR/theirs"
	asks path "$DIR/theirs/s"
	wait_logged "answer given"
	nclust upgrade it
	[ -S "$DIR/theirs/s" ]
	nclust stop it
	[ ! -e "$DIR/theirs/s" ]
}

# listens_as_worker PATH: who connects there is told that the worker listens.
listens_as_worker() {
	python3 -c '
import socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1].replace("@", "\0"))
peer = s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
assert struct.unpack("3i", peer)[1:] == (int(sys.argv[2]), int(sys.argv[3]))
' "$1" "$(id -u nobody)" "$(id -g nobody)"
}

@test "what nclust listens on for a worker is the worker's to who connects" {
	mkdir -m 755 "$DIR/theirs"
	chown nobody "$DIR/theirs"
	BALANCE=rr asks path "$DIR/theirs/s"
	wait_logged "answer given"
	listens_as_worker "$DIR/theirs/s"
	nclust upgrade it
	listens_as_worker "$DIR/theirs/s"
}

@test "so it is with an abstract socket" {
	BALANCE=rr asks path "@$DIR/s"
	wait_logged "answer given"
	listens_as_worker "@$DIR/s"
}

@test "a directory of root's group is closed to a worker that is not in it" {
	need setpriv
	mkdir -m 770 "$DIR/groups"
	chown root:4711 "$DIR/groups"
	nclust_under setpriv --groups=0,4711
	asks path "$DIR/groups/s"
	wait_logged "answer -13"
	[ ! -e "$DIR/groups/s" ]
}

@test "a worker's socket joins no SO_REUSEPORT group of root's" {
	free_port
	python3 -c '
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
print("bound", flush=True)
time.sleep(600)' "$PORT" >"$DIR/root" 3>&- &
	STARTED+=($!)
	poll_until 10 file_has "$DIR/root" bound
	asks udp "$PORT" 8
	wait_logged "answer -98"
}

# left_out COUNT: so many messages were, in all.
left_out() {
	awk -v least="$1" '/messages about/ {
			sub(/ messages about.*/, "")
			sum += $NF
		}
		END { exit sum < least }' "$LOG"
}

@test "one worker that asks for ports all the time does not fill log and events" {
	must_have node
	start_nclust -n 1 --user nobody --balance rr --ready alive:0 \
		--log inherit -- node "$NODE_SCRIPTS/asks.js" often
	wait_logged "messages about worker" 2
	# a slow nclust hears less of it in a second
	poll_until 20 left_out 100
	run -0 nclust events it
	[[ $output == *"messages about worker"* ]]
	# 8 in the first second and 8 in the next two, and what else is told
	[ "$(wc -l <"$LOG")" -le 40 ]
}

# left_at_restart DRAIN [NAME=VALUE [COMMAND...]]: with that environment, and it is
# that command.
left_at_restart() {
	local hold=("${@:3}")

	[ $# -gt 2 ] || hold=(sleep 1000)
	printf '%s\n' '#!/bin/sh' 'echo $$ >>"$1"' "exec ${hold[*]}" >"$DIR/holds"
	chmod 755 "$DIR/holds"
	free_port
	cat >"$DIR/leaves" <<-'END'
		#!/bin/sh
		left=${0%/*}/left/$NCLUST_GENERATION
		(setsid env -i NAME "${0%/*}/holds" "$left" &)
		exec "$@"
	END
	sed -i "s/ NAME / ${2:-} /" "$DIR/leaves"
	chmod 755 "$DIR/leaves"
	mkdir -m 777 "$DIR/left"
	# worker 1, then 2 and 3, and 4 and 5 after the restart
	printf '%s\n' '[cluster:first]' 'command = sleep 1000' 'workers = 1' \
		'user = nobody' 'ready = alive:0' '[cluster:web]' 'workers = 2' \
		'user = nobody' "listen = $AT" 'ready = notify' "drain = $1" \
		"command = $DIR/leaves $FIXTURES/serve --notify" >"$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	wait_until 10 '[ "$(wc -l <"$DIR/left/1")" -eq 2 ]'
	mapfile -t old <"$DIR/left/1"
	nclust restart it/web
	STARTED+=("${old[@]}")
	for pid in "${old[@]}"; do
		poll_until 10 is_gone "$pid"
	done
	# those of who lives do
	mapfile -t new <"$DIR/left/2"
	STARTED+=("${new[@]}")
	is_alive "${new[0]}"
	is_alive "${new[1]}"
	kill -KILL "${new[@]}"
}

@test "what old workers left without a name goes with them at a restart" {
	need setsid
	left_at_restart off
}

@test "so it does if it has a socket that nclust has closed" {
	need setsid
	left_at_restart quiet
}

@test "so it does if it has the name of a worker that comes later" {
	need setsid
	left_at_restart off NCLUST_WORKER=4
}

@test "so it does if it has very many other descriptors" {
	need setsid
	cat >"$DIR/many.py" <<-'END'
		import os, time
		os.dup2(3, 7000)
		os.closerange(3, 7000)
		for i in range(6000):
		    os.open("/dev/null", os.O_RDONLY)
		time.sleep(1000)
	END
	left_at_restart off '' python3 "$DIR/many.py"
}

@test "so it does if it has the name of a worker of another cluster" {
	need setsid
	left_at_restart off NCLUST_WORKER=1
}

# --- Who may only read ---------------------------------------------------------------

@test "who may only read is not told the values of env" {
	need setpriv
	cp "$NCLUST" "$DIR/nclust-copy"
	start_nclust -n 1 --control-group '#4711' --env PASSWORD=hunter2 \
		--ready alive:0 -- sleep 600
	run -0 as_reader "$DIR/nclust-copy" config it
	[[ $output == *'env = PASSWORD=***'* && $output != *hunter2* ]]
	run -0 as_reader "$DIR/nclust-copy" config it --json
	[[ $output == *'PASSWORD=***'* && $output != *hunter2* ]]
	run as_reader "$DIR/nclust-copy" status it --json
	[[ $output != *hunter2* ]]
	run -0 nclust config it
	[[ $output == *'env = PASSWORD=hunter2'* ]]
}

@test "no number of readers keeps root from asking and changing" {
	start_nclust -n 1 --control-group '#4711' --ready alive:0 -- sleep 600
	python3 "$ROOT/tests/e2e/control/followers.py" \
		"$NCLUST_RUNTIME_DIR/it/control" 4711 >"$DIR/followers" 3>&- &
	STARTED+=($!)
	poll_until 10 file_has "$DIR/followers" following
	for _ in {1..50}; do
		run -0 nclust status it
	done
	for _ in {1..5}; do
		run -0 nclust scale it 2
		run -0 nclust restart it
		run -0 nclust scale it 1
	done
	# those who read are served as well, as far as there is room
	[ "$(find "/proc/$NCLUST_PID/fd" -lname 'socket:*' | wc -l)" -ge 40 ]
	nclust stop it
	wait_exit
	[ "$status" -eq 0 ]
}

# --- Whose settings -----------------------------------------------------------------

# refused_for_root WHO: with the settings as they are now nothing is started, and
# what runs is not changed.
refused_for_root() {
	local words="'$1' $2, refused for root" told

	run timeout 20 "$NCLUST" --name other -c "$DIR/own/it.ini"
	[ "$status" -eq 78 ]
	[[ $output == *"$words"* ]]
	run "$NCLUST" config --check -c "$DIR/own/it.ini"
	[ "$status" -eq 78 ]
	run nclust reload it
	[ "$status" -eq 78 ]
	[[ $output == *"$words"* ]]
	told=$(grep -cF "$words" "$LOG")
	kill -HUP "$NCLUST_PID"
	wait_logged "$words" "$((told + 1))"
	nclust upgrade it
	[ ! -e "$DIR/ran" ]
	[ "$(cluster .wanted)" -eq 1 ]
}

@test "root obeys no settings that another user could change" {
	mkdir "$DIR/own"
	printf '[cluster]\nworkers = 1\ncommand = sleep 600\nready = alive:0\n' \
		>"$DIR/own/it.ini"
	start_cluster -c "$DIR/own/it.ini"
	# as it would be if the one who may write there had done it
	printf '[cluster]\ncommand = touch %s/ran\nready = alive:0\n' "$DIR" \
		>"$DIR/own/it.ini"
	chown nobody "$DIR/own/it.ini"
	refused_for_root "$DIR/own/it.ini" "belongs to user 65534"
	chown root "$DIR/own/it.ini"
	chown nobody "$DIR/own"
	refused_for_root "$DIR/own" "belongs to user 65534"
	chown root "$DIR/own"
	chmod 777 "$DIR/own"
	refused_for_root "$DIR/own" "is writable by others than its owner"
	chmod 755 "$DIR/own"
	mv "$DIR/own/it.ini" "$DIR/own/real.ini"
	ln -s real.ini "$DIR/own/it.ini"
	chown -h nobody "$DIR/own/it.ini"
	refused_for_root "$DIR/own/it.ini" "belongs to user 65534"
}

@test "another user obeys its own settings, and so does root of its namespace" {
	need setpriv
	mkdir -m 700 "$DIR/theirs"
	cp "$NCLUST" "$DIR/nclust-copy"
	printf '[cluster]\ncommand = true\nrestart = never\nready = alive:0\n' \
		>"$DIR/theirs/it.ini"
	chmod 666 "$DIR/theirs/it.ini"
	chown -R 65534 "$DIR/theirs"
	run -0 setpriv --reuid 65534 --regid 65534 --clear-groups \
		env NCLUST_RUNTIME_DIR="$DIR/theirs" \
		"$DIR/nclust-copy" -c "$DIR/theirs/it.ini"
	chmod 644 "$DIR/theirs/it.ini"
	setpriv --reuid 65534 --regid 65534 --clear-groups \
		unshare -r true || skip "no user namespaces here"
	run -0 setpriv --reuid 65534 --regid 65534 --clear-groups \
		unshare -r env NCLUST_RUNTIME_DIR="$DIR/theirs" \
		"$DIR/nclust-copy" config --check -c "$DIR/theirs/it.ini"
}
