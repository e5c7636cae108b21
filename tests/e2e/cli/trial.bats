# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# nclust doctor -- COMMAND: commands that are odd, and trials that end early.

bats_require_minimum_version 1.5.0
load ../../lib
load ../../life
load ../../trial

@test "trial: one that opens nothing" {
	try 0 -- sleep 1000
	[ "$(told '.sockets | length')" -eq 0 ]
	[[ $(fact copies) == *"share nothing"* ]]
	the_line nclust -n auto -- sleep 1000
}

@test "trial: what has come and gone is no reason to try another way" {
	try 0 -- sh -c 'echo >>"$0"; sleep 0.5; exec sleep 1000' "$DIR/starts"
	[ "$(wc -l <"$DIR/starts")" -eq 2 ]
}

@test "trial: one that ends, and what it has printed" {
	try 1 -- false
	[[ $(fact start) == "bad it ends with exit 1"* ]]
	run --separate-stderr nclust doctor -- \
		sh -c 'echo one; echo "two \033[2J" >&2; exit 3'
	[ "$status" -eq 1 ]
	[[ $output == *"exit 3"*"last output: two"* ]]
	[[ $stderr == *"one"*"two"* ]]
	[[ $output$stderr != *$'\e'* ]]
	nothing_is_left
}

@test "trial: what cannot be run has the status that a shell gives it" {
	run -127 nclust doctor -- "$DIR/nosuchcommand"
	[[ $output == *"nosuchcommand"* ]]
	run -126 nclust doctor -- "$DIR"
	run -64 nclust doctor -l nonsense -- true
	[[ $output == *"nonsense"* ]]
	nothing_is_left
}

@test "trial: a path is taken away by the second copy" {
	try 1 -- sh -c "rm -f '$DIR/s'; exec '$FIXTURES/binder' unix \
		'bind=$DIR/s' listen=5 serve"
	[ "$(told '.sockets[0].address')" = "unix:$DIR/s" ]
	[ "$(told '.sockets[0].shared')" = stolen ]
	[ "$(told .ready.sign)" = listen ]
	[[ $(told '.run | join(" ")') == "nclust -n 1 -- sh "* ]]
}

@test "trial: at port 0 each has its own" {
	try 1 -- "$FIXTURES/binder" tcp4 bind=127.0.0.1:0 listen=5 serve
	[ "$(told '.sockets[0].how')" = own ]
	[ "$(told '.sockets[0].shared')" = none ]
	[[ $(fact "not shared") == bad*"random port"* ]]
}

@test "trial: UDP" {
	free_port
	try 0 -- "$FIXTURES/binder" udp4 "bind=127.0.0.1:$PORT" pause
	[ "$(told '.sockets[0].address')" = "udp:127.0.0.1:$PORT" ]
	[ "$(told '.sockets[0].shared')" = "one each" ]
	the_line nclust -n auto -- \
		"$FIXTURES/binder" udp4 "bind=127.0.0.1:$PORT" pause
}

@test "trial: the second copy ends, and says why" {
	free_port
	try 1 -- sh -c 'mkdir "$0" || exit 7; exec "$@"' "$DIR/lock" \
		"$FIXTURES/plain" "$PORT" --loopback
	[[ $(fact "second copy") == "bad ends with exit 7"*"mkdir:"* ]]
	[[ $(told '.run | join(" ")') == "nclust -n 1 -- sh "* ]]
}

@test "trial: the first one ends when the second comes" {
	try 1 -- sh -c 'mkfifo "$0" 2>/dev/null || { echo >"$0"; exec sleep 1000; }
		read -r _ <"$0"' "$DIR/fifo"
	[[ $(fact "first copy") == bad* ]]
	[ "$(told .ok)" = false ]
}

@test "trial: one that does not heed SIGTERM" {
	try 0 -- sh -c 'trap "" TERM; sleep 1000; sleep 1000'
	[ "$(told .stop.ended)" = false ]
	[[ $(fact SIGTERM) == "warn does not end it"*"SIGKILL"* ]]
}

@test "trial: the port is in use" {
	free_port
	"$FIXTURES/plain" "$PORT" --loopback 3>&- &
	STARTED+=("$!")
	poll_until 5 port_is_taken "$PORT"
	try 1 -- "$FIXTURES/plain" "$PORT" --loopback
	[[ $(fact socket) == "bad cannot bind tcp:127.0.0.1:$PORT: in use"* ]]
}

@test "trial: with an address, which is taken, or is not" {
	free_port
	try 0 -l "127.0.0.1:$PORT" -- "$FIXTURES/plain" "$PORT" --loopback
	[ "$(told '.sockets[0].named')" = true ]
	[ "$(told '.sockets[0].how')" = "taken over" ]
	the_line nclust -n auto -l "127.0.0.1:$PORT" -- \
		"$FIXTURES/plain" "$PORT" --loopback
	try 0 -l "unix:$DIR/s" -- "$FIXTURES/serve"
	[ "$(told '.sockets[0].how')" = passed ]
	the_line nclust -n auto -l "unix:$DIR/s" -- "$FIXTURES/serve"
	[ ! -e "$DIR/s" ]
	try 0 -l "unix:$DIR/s" -- "$FIXTURES/plain" "$PORT" --loopback
	[[ $(fact socket) == note*"--listen does not name it"* ]]
	the_line nclust -n auto -- "$FIXTURES/plain" "$PORT" --loopback
}

@test "trial: words of the command are quoted as a shell needs it" {
	run -0 nclust doctor -- sh -c 'exec sleep "$@"' '*' 1000
	[ "${lines[-1]}" = "nclust -n auto -- sh -c 'exec sleep \"\$@\"' '*' 1000" ]
}

@test "trial: where ports cannot be taken over, one copy is what works" {
	free_port
	run --separate-stderr "$FIXTURES/confine" gvisor -- "$NCLUST" doctor \
		--json -- "$FIXTURES/plain" "$PORT" --loopback
	echo "$output $stderr"
	[ "$status" -eq 1 ]
	[[ $(fact "taking over ports") == "warn "*"cannot be taken over"* ]]
	[[ $(fact "second copy") == "bad ends with"* ]]
	[ "$(told '.sockets[0].how')" = own ]
	the_line nclust -n 1 -- "$FIXTURES/plain" "$PORT" --loopback
	run -0 --separate-stderr "$FIXTURES/confine" gvisor -- "$NCLUST" \
		doctor --json -- "$FIXTURES/serve"
	nothing_is_left
}

@test "trial: under Docker's profile" {
	need_root
	free_port
	run -0 --separate-stderr "$FIXTURES/confine" docker -- "$NCLUST" \
		doctor --json -- "$FIXTURES/plain" "$PORT" --loopback
	[ "$(told '.sockets[0].shared')" = same ]
	the_line nclust -n auto -- "$FIXTURES/plain" "$PORT" --loopback
	nothing_is_left
}

@test "trial: as an ordinary user, in /tmp where there is no better place" {
	need_root
	need setpriv
	free_port
	mkdir "$DIR/bin"
	cp "$NCLUST" "$FIXTURES/plain" "$DIR/bin"
	run -0 --separate-stderr setpriv --reuid 65534 --regid 65534 \
		--clear-groups env NCLUST_RUNTIME_DIR="$DIR/none" \
		"$DIR/bin/nclust" doctor --json -- \
		"$DIR/bin/plain" "$PORT" --loopback
	[ "$(told '.sockets[0].shared')" = same ]
	[ ! -e "$DIR/none" ]
	poll_until 10 no_directory_of 65534
	nothing_is_left
}

# no_directory_of UID: of a trial; another run of these tests may have one yet.
no_directory_of() {
	[ -z "$(find /tmp -maxdepth 1 -name 'nclust-doctor-*' -user "$1")" ]
}

@test "trial: the service manager of who asks is not told" {
	export NOTIFY_SOCKET=$DIR/notify LISTEN_FDS=1
	python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
print(s.recv(100), flush=True)' "$NOTIFY_SOCKET" >"$DIR/heard" 3>&- &
	STARTED+=("$!")
	poll_until 5 file_has "$DIR/heard" bound
	run -0 nclust doctor -- sleep 1000
	[ "$(cat "$DIR/heard")" = bound ]
}

# interrupt SIGNAL STATUS: while the worker is waited for.
interrupt() {
	rm -f "$DIR/said"
	"$NCLUST" doctor -- sh -c 'trap "" TERM; echo up >"$0"
		sleep 1000; sleep 1000' "$DIR/said" >"$DIR/out" 2>&1 3>&- &
	STARTED+=("$!")
	poll_until 10 file_has "$DIR/said" up
	kill -"$1" "$!"
	status=0
	wait "$!" || status=$?
	[ "$status" -eq "$2" ]
	nothing_is_left
}

@test "trial: a signal ends it, and leaves nothing behind" {
	interrupt TERM 143
	interrupt HUP 129
}

@test "trial: nobody reads it any more" {
	nclust doctor -- "$FIXTURES/serve" | true
	nothing_is_left
}

@test "trial: a worker that prints without end does not hold it up" {
	free_port
	try 0 -- sh -c 'yes "$(printf %0200d 1)" & exec "$@"' - \
		"$FIXTURES/plain" "$PORT" --loopback
}

# late PATH PORT... PORT: listens on a private path, then on the ports, and 1.2 s
# later on the last.
late() {
	python3 -c '
import os, socket, sys, time
own = socket.socket(socket.AF_UNIX)
own.bind(sys.argv[1] % os.getpid())
own.listen()
time.sleep(0.7)
kept = []
for port in sys.argv[2:]:
    if port == sys.argv[-1]:
        time.sleep(1.2)
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", int(port)))
    s.listen()
    kept.append(s)
while True:
    time.sleep(100)' "$@"
}

@test "trial: a late port, and a path that each copy has for itself" {
	for _ in 1 2 3 4 5; do
		free_port
	done
	try 0 -- bash -c "$(declare -f late); late $DIR/%d.pipe ${PORTS[*]}"
	# told in the order in which it has opened them
	[ "$(told '[.sockets[].address | select(startswith("tcp:"))]
		| join(" ")')" = "$(printf 'tcp:127.0.0.1:%s\n' "${PORTS[@]}" |
		paste -sd ' ')" ]
	[[ $(fact private) == "ok unix:$DIR/"*".pipe; each copy has one"* ]]
	[ -z "$(fact "not shared")" ]
}

@test "trial: a path that differs only by chance is private as well" {
	try 0 -- python3 -c '
import socket, sys, tempfile, time
s = socket.socket(socket.AF_UNIX)
s.bind(tempfile.mkdtemp(dir=sys.argv[1]) + "/ipc")
s.listen()
time.sleep(1000)' "$DIR"
	[[ $(fact private) == "ok unix:$DIR/"*"/ipc; "* ]]
	[ -z "$(fact "not shared")" ]
}

@test "trial: a program that keeps its state in itself" {
	need sqlite3
	free_port
	sqlite3 "$DIR/app.data" 'create table t (a)'
	run nclust doctor --json -- python3 -c '
import socket, sqlite3, sys, time
db = sqlite3.connect(sys.argv[2])
db.execute("select * from t").fetchall()
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(1000)' "$PORT" "$DIR/app.data"
	[[ $(fact state) == "warn it keeps its state in the file $DIR/app.data; "*"separate stores"* ]]

	# by its name
	cp "$FIXTURES/plain" "$DIR/redis-server"
	run nclust doctor --json -- "$DIR/redis-server" "$PORT" --loopback
	[[ $(fact state) == "warn redis-server keeps its state in itself; copies are separate stores"* ]]

	run nclust doctor --json -- "$FIXTURES/plain" "$PORT" --loopback
	[ -z "$(fact state)" ]
}
