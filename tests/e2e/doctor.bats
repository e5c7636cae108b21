# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# nclust doctor: what this machine allows, and what nclust makes of it; with a
# command, how that will do.

bats_require_minimum_version 1.5.0
load ../lib
load ../life

SERVERS=$ROOT/tests/e2e/servers

@test "doctor tells of kernel, CPUs, limits, privileges and directory" {
	run -0 nclust doctor
	[[ $output == *"$(uname -r)"* ]]
	[[ $output == *"CPU"* ]]
	[[ $output == *"accept queue"*"$(cat /proc/sys/net/core/somaxconn)"* ]]
	[[ $output == *"$NCLUST_RUNTIME_DIR"* ]]
	# a program that reads it gets no escape sequences
	[[ $output != *$'\e'* ]]
}

@test "doctor --json is one line of valid JSON" {
	run -0 nclust doctor --json
	[ "${#lines[@]}" -eq 1 ]
	jq -e 'type == "object" and length > 0' <<<"$output"
	[ "$(jq -r '.. | strings | select(contains("'"$(uname -r)"'"))' \
		<<<"$output" | wc -l)" -ge 1 ]
}

@test "doctor sees the CPUs that it may use" {
	need taskset
	cpu=$(taskset -cp $$ | sed 's/.*: \([0-9]*\).*/\1/')
	all=$(nclust doctor --json)
	one=$(taskset -c "$cpu" "$NCLUST" doctor --json)
	jq -e . <<<"$one" >/dev/null
	[ "$(nproc)" -eq 1 ] || [ "$all" != "$one" ]
}

@test "doctor runs as an ordinary user, and without /proc" {
	need_root
	need setpriv
	cp "$NCLUST" "$DIR/nclust-copy"
	mkdir -m 700 "$DIR/theirs"
	chown 65534 "$DIR/theirs"
	run -0 setpriv --reuid 65534 --regid 65534 --clear-groups \
		env NCLUST_RUNTIME_DIR="$DIR/theirs" "$DIR/nclust-copy" doctor
	run -0 setpriv --reuid 65534 --regid 65534 --clear-groups \
		env NCLUST_RUNTIME_DIR="$DIR/theirs" \
		"$DIR/nclust-copy" doctor --json
	jq -e . <<<"$output"
	need unshare
	run unshare -m --propagation private sh -c \
		'mount -t tmpfs none /proc && exec "$0" doctor --json' "$NCLUST"
	[ "$status" -le 1 ]
	jq -e . <<<"$output"
}

@test "doctor exits 1 where nclust could not run, and says why" {
	chmod 777 "$NCLUST_RUNTIME_DIR"
	run nclust doctor
	[ "$status" -eq 1 ]
	[[ $output == *"others may write"* ]]
}

@test "doctor takes no other words" {
	run nclust doctor --nothing
	[ "$status" -eq 64 ]
	run nclust doctor -l 8000
	[ "$status" -eq 64 ]
	[[ $output == *"a command"* ]]
}

# --- How ports can be taken over here --------------------------------------------

# fact NAME: its mark and what was found, of `doctor --json` in $output.
fact() {
	jq -r --arg name "$1" \
		'.facts[] | select(.name == $name) | "\(.mark) \(.found); \(.does)"' \
		<<<"$output"
}

@test "doctor tells how ports can be taken over" {
	run -0 nclust doctor --json
	[[ $(fact "taking over ports") == "ok by their own sockets"* ]]
	[[ $(fact "seccomp notify") == "ok works"* ]]
	[[ $(fact pidfd_getfd) == "ok works"* ]]
	[[ $(fact process_vm_readv) == "ok works"* ]]
	[ -n "$(fact ptrace_scope)" ]
	[ -n "$(fact CAP_SYS_PTRACE)" ]
	[[ $output != *"looks into no other process"* ]]
}

@test "doctor under Docker's profile: sockets of nclust's, and what to do" {
	need_root
	run -0 "$FIXTURES/confine" docker -- "$NCLUST" doctor --json
	[[ $(fact "taking over ports") == "note by sockets of nclust's"* ]]
	[[ $(fact pidfd_getfd) == "note refused"*"--cap-add SYS_PTRACE"* ]]
	[[ $(fact CAP_SYS_PTRACE) == *"not held"* ]]
	[[ $(fact "seccomp notify") == "ok works, with no_new_privs"* ]]
}

@test "doctor where there are no notifications, or somebody else has them" {
	run -0 "$FIXTURES/confine" gvisor -- "$NCLUST" doctor --json
	[[ $(fact "taking over ports") == "warn not possible"*"LISTEN_FDS"* ]]
	[[ $(fact "seccomp notify") == "note missing"*"gVisor"* ]]
	run -0 "$FIXTURES/confine" stacked -- "$NCLUST" doctor --json
	[[ $(fact "taking over ports") == "warn not by this nclust"* ]]
	[[ $(fact "seccomp notify") == "note taken"* ]]
}

# --- A command on trial --------------------------------------------------------------

# try STATUS ARG...: `doctor --json ARG...`, which has to end so; $output is an
# object then, and of the trial nothing is left.
try() {
	local wanted=$1

	shift
	run --separate-stderr nclust doctor --json "$@"
	echo "$output${stderr:+ stderr: $stderr}"
	[ "$status" -eq "$wanted" ]
	jq -e 'type == "object"' <<<"$output" >/dev/null
	nothing_is_left
}

nothing_is_left() {
	local pid

	[ -z "$(ls -A "$NCLUST_RUNTIME_DIR")" ]
	for pid in $(ours_that_stay); do
		echo "left: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")"
		[[ " ${STARTED[*]} " == *" $pid "* ]]
	done
}

# told FILTER: of the object.
told() {
	jq -r "$1" <<<"$output"
}

# the_line WORD...: the command line that it says to use.
the_line() {
	[ "$(told '.run | join(" ")')" = "$*" ]
}

@test "trial: a server that binds by itself" {
	free_port
	run --separate-stderr nclust doctor -- \
		python3 -m http.server --bind 127.0.0.1 "$PORT"
	echo "$output $stderr"
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	[[ ${lines[0]} == "ok    socket "*"tcp:127.0.0.1:$PORT"*"binds itself"*"backlog 5"*"takes it over" ]]
	[[ $output == *"passed sockets "*"left alone"* ]]
	[[ $output == *"ready "*"when it calls listen"* ]]
	[[ $output == *"second copy "*"ready after"* ]]
	[[ $output == *"shared "*"tcp:127.0.0.1:$PORT, one socket"* ]]
	[[ $output == *"copies "*"will work"* ]]
	[[ $output == *"SIGTERM "*"killed by SIGTERM"* ]]
	[[ $output == *"request in flight "*"lost"* ]]
	[[ ${lines[-1]} == "nclust -n auto -- python3 -m http.server --bind 127.0.0.1 $PORT" ]]
	# what it prints is no news
	[[ $output != *"Serving HTTP"* ]]
	nothing_is_left
}

@test "trial: the same as one JSON object" {
	free_port
	try 0 -- "$FIXTURES/plain" "$PORT" --loopback
	[ "$(told .ok)" = true ]
	[ "$(told '.sockets | length')" -eq 1 ]
	[ "$(told '.sockets[0].address')" = "tcp:127.0.0.1:$PORT" ]
	[ "$(told '.sockets[0].how')" = "taken over" ]
	[ "$(told '.sockets[0].shared')" = same ]
	[ "$(told .ready.sign)" = listen ]
	[ "$(told .stop.exit)" = "killed by SIGTERM" ]
	[ "$(told .stop_in_request.request)" = lost ]
	the_line nclust -n auto -- "$FIXTURES/plain" "$PORT" --loopback
}

@test "trial: a server that takes its socket from LISTEN_FDS" {
	try 0 -- "$FIXTURES/serve"
	[ "$(told '.sockets[0].how')" = passed ]
	[ "$(told .ready.sign)" = alive ]
	[ "$(told .stop.exit)" = "exit 0" ]
	[ "$(told .stop_in_request.request)" = answered ]
	the_line nclust -n auto -l 8000 -- "$FIXTURES/serve"
}

@test "trial: READY=1, also where it comes late" {
	try 0 -- "$FIXTURES/serve" --notify
	[ "$(told .ready.sign)" = notify ]
	the_line nclust -n auto -l 8000 --ready notify -- \
		"$FIXTURES/serve" --notify
	try 0 -- "$FIXTURES/serve" --notify --delay 1500
	[ "$(told .ready.sign)" = notify ]
	[ "$(told '.ready.after >= 1.5')" = true ]
}

@test "trial: gunicorn takes it too, and has an address of its own" {
	must_have gunicorn
	free_port
	try 0 -- gunicorn --chdir "$SERVERS" --worker-tmp-dir "$DIR" \
		-b "127.0.0.1:$PORT" app:app
	[ "$(told '.sockets[0].how')" = passed ]
	[ "$(told .stop_in_request.request)" = answered ]
	[[ $(told '.run | join(" ")') == "nclust -n auto -l 127.0.0.1:$PORT --ready notify -- gunicorn "* ]]
}

@test "trial: FastCGI on standard input" {
	must_have php-cgi
	try 0 -- php-cgi
	[ "$(told '.sockets[0].how')" = passed ]
	the_line nclust -n auto -l 8000 --pass stdin -- php-cgi
}

@test "trial: a wrapper that forks, and LISTEN_PID" {
	try 0 -- sh -c "'$FIXTURES/serve' --from listen; exit 0"
	[ "$(told '.sockets[0].how')" = passed ]
	the_line nclust -n auto -l 8000 --listen-pid=no -- \
		sh -c "'$FIXTURES/serve' --from listen; exit 0"
}

@test "trial: nginx, on two addresses, and the signal at which it drains" {
	must_have nginx
	free_port
	nginx_conf "daemon off;"
	try 0 -- nginx -c "$DIR/nginx.conf"
	[ "$(told '[.sockets[].shared] | join(" ")')" = "same same" ]
	[[ $(told '[.sockets[].options] | join(" ")') == *"IPv6 only"* ]]
	[ "$(told .stop_in_request.request)" = lost ]
	the_line nclust -n auto --stop-signal QUIT -- nginx -c "$DIR/nginx.conf"
}

nginx_conf() {
	cat >"$DIR/nginx.conf" <<-END
		$1
		worker_processes 1;
		error_log stderr;
		pid $DIR/nginx.pid;
		events {}
		http {
			access_log off;
			client_body_temp_path $DIR/body;
			proxy_temp_path $DIR/proxy;
			fastcgi_temp_path $DIR/fastcgi;
			uwsgi_temp_path $DIR/uwsgi;
			scgi_temp_path $DIR/scgi;
			server {
				listen 127.0.0.1:$PORT;
				listen [::1]:$PORT;
				return 200 "hello";
			}
		}
	END
}

@test "trial: one that goes to the background is told of, and gone" {
	must_have nginx
	free_port
	nginx_conf ""
	try 1 -- nginx -c "$DIR/nginx.conf"
	[[ $(fact start) == "bad it ends with exit 0"*"foreground"* ]]
	[ "$(told .run)" = null ]
	poll_until 5 port_is_free
}

port_is_free() {
	! port_is_taken "$PORT"
}

@test "trial: redis, which speaks no HTTP" {
	must_have redis-server
	free_port
	try 0 -- redis-server --port "$PORT" --save "" --bind 127.0.0.1
	[ "$(told .stop_in_request.request)" = "no HTTP" ]
	the_line nclust -n auto -- \
		redis-server --port "$PORT" --save "" --bind 127.0.0.1
}

@test "trial: Node, and options of its socket" {
	must_have node
	free_port
	try 0 -- node "$SERVERS/plain.js" "$PORT"
	[[ $(told '.sockets[0].options') == *"backlog 511"* ]]
	the_line nclust -n auto -- node "$SERVERS/plain.js" "$PORT"
	try 0 -- "$FIXTURES/binder" tcp4 reuseport "bind=127.0.0.1:$PORT" \
		listen=5 serve
	[[ $(told '.sockets[0].options') == *"SO_REUSEPORT"* ]]
}

@test "trial: a server of files, which answers at the first line" {
	must_have busybox
	free_port
	try 0 -- busybox httpd -f -p "127.0.0.1:$PORT" -h "$DIR"
	[ "$(told .stop_in_request.request)" = lost ]
}

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
	[[ $(fact "not shared") == bad*"port 0"* ]]
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
