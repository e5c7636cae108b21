# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# HTTP: what it answers and refuses, and that it is nobody else's trouble.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	SOCKET=$DIR/http
}

# ask PATH [CURL-ARG]...
ask() {
	local path=$1

	shift
	curl -sS --max-time $((10 * PATIENCE)) --unix-socket "$SOCKET" "$@" \
		"http://localhost$path"
}

# code PATH [CURL-ARG]...: the status alone.
code() {
	ask "$@" -o /dev/null -w '%{http_code}\n'
}

# start_web ARG...: two workers, and HTTP on a unix socket.
start_web() {
	start_cluster --http "unix:$SOCKET" -n 2 --ready alive:0s "$@" \
		-- sleep 1000
}

web_pid() {
	pgrep -P "$NCLUST_PID" -x nclust-web
}

@test "it says whether nclust lives, and is ready, and its status" {
	start_web
	[ "$(ask /healthz)" = ok ]
	[ "$(ask /readyz)" = ok ]
	ask /status >"$DIR/status"
	[ "$(jq .pid "$DIR/status")" -eq "$NCLUST_PID" ]
	[ "$(jq -c '[.clusters[0].workers[].pid]' "$DIR/status")" = \
		"$(status_json | jq -c '[.clusters[0].workers[].pid]')" ]
	ask /status -i | grep -qi '^content-type: application/json'
	run ask /status -I
	[[ ${lines[0]} == *"200 OK"* ]]
}

@test "a cluster without a ready worker: 503 with the reason" {
	printf '[cluster:%s]\ncommand = sleep 1000\nworkers = %s\nready = %s\n' \
		good 1 alive:0s bad 1 notify idle 1 notify >"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini" --http "unix:$SOCKET"
	nclust scale idle 0
	wait_until 10 '[ "$(CLUSTER=good cluster .ready)" = 1 ]'
	run ask /readyz -w '%{http_code}'
	[ "${lines[0]}" = "bad: 0 of 1 workers ready (starting)" ]
	[ "${lines[1]}" = 503 ]
	[ "$(code /healthz)" = 200 ]
}

@test "what it does not understand it refuses" {
	start_web
	[ "$(code /other)" = 404 ]
	[ "$(code /status -X DELETE)" = 405 ]
	[ "$(code /status -X ODD)" = 405 ]
	ask /status -i -d x=y | grep -qi '^allow: GET, HEAD'
	[ "$(code /status -X GET -d x=y)" = 400 ]
	printf -v long '%08000d' 0
	[ "$(code /healthz -H "X: $long")" = 200 ]
	[ "$(code /healthz -H "X: $long$long")" = 431 ]
	[ "$(code /healthz -H "X: $long" -H "Y: $long")" = 431 ]
	[ "$(code "/$long$long")" = 414 ]
	run socat -t 5 - "UNIX:$SOCKET" <<<$'no request\r\n\r'
	[[ $output == *"400 Bad Request"* ]]
	[ "$(code /healthz)" = 200 ]
}

@test "a port alone is on loopback, for who asks by an address" {
	free_port
	start_cluster --http "$PORT" -n 1 --ready alive:0s -- sleep 1000
	logged "http: listening on tcp:127.0.0.1:$PORT"
	[ "$(http_get "$PORT" /healthz)" = ok ]
	run curl -sS --max-time 5 -H 'Host: rebound.example' \
		"http://127.0.0.1:$PORT/status"
	[[ $output == "ask by an IP address"* ]]
	[ "$(curl -sS --max-time 5 -H "Host: localhost:$PORT" \
		"http://127.0.0.1:$PORT/healthz")" = ok ]
}

@test "other machines are let in with a token, or by an explicit word" {
	local token=0123456789abcdef0123456789abcdef

	run timeout 20 "$NCLUST" --name it --http 0.0.0.0:1 -- touch "$DIR/ran"
	[ "$status" -eq 64 ]
	[[ $output == *http-token*http-open* ]]
	echo short >"$DIR/token"
	run timeout 20 "$NCLUST" --name it --http "unix:$SOCKET" \
		--http-token "$DIR/token" -- touch "$DIR/ran"
	[ "$status" -eq 78 ]
	[[ $output == *"http-token '$DIR/token': wanted one line of 16"* ]]
	[ ! -e "$DIR/ran" ]

	echo "$token" >"$DIR/token"
	free_port
	start_cluster --http "0.0.0.0:$PORT" --http-token "$DIR/token" -n 1 \
		--ready alive:0s -- sleep 1000
	at=http://127.0.0.1:$PORT/healthz
	run curl -sS -i --max-time 5 "$at"
	[[ ${lines[0]} == *"401 Unauthorized"* ]]
	[[ $output == *"WWW-Authenticate: Bearer"* ]]
	for wrong in "${token}0" "${token%f}" "${token%f}e" ''; do
		run curl -sS --max-time 5 -H "Authorization: Bearer $wrong" "$at"
		[ "$output" != ok ]
	done
	[ "$(curl -sS --max-time 5 -H "Authorization: Bearer $token" \
		-H 'Host: any.example' "$at")" = ok ]
	# it is on no command line and in no environment
	run ! grep -qa "$token" "/proc/$(web_pid)/"{cmdline,environ} \
		"/proc/$NCLUST_PID/"{cmdline,environ}
}

@test "the process that answers can do nothing else" {
	need_root
	[ -z "${REPORTS:-}" ] || skip "a sanitizer's end passes no filter"
	start_web
	[ "$(ask /healthz)" = ok ] # it has given up its rights by then
	pid=$(web_pid)
	status=$(tr -s '\t ' ' ' <"/proc/$pid/status")
	[[ $status == *"Seccomp: 2"* && $status == *"NoNewPrivs: 1"* ]]
	[[ $status == *"CapPrm: 0000000000000000"* ]]
	[[ $status == *"Uid: 65532 65532 65532 65532"* ]]
	# nor does the supervisor pay for the library
	grep -q microhttpd "/proc/$pid/maps"
	run ! grep -qE 'microhttpd|gnutls' "/proc/$NCLUST_PID/maps"
	# without memory it is worth no more than a worker
	[ "$(cat "/proc/$pid/oom_score_adj")" = \
		"$(cat "/proc/$(worker_pid 0)/oom_score_adj")" ]
	nclust stop "$INSTANCE"
	wait_exit
	# nor has it the user of a worker, or of another role
	start_web --user '#65532' --group '#65532'
	[ "$(awk '/^Uid/ { print $2 }' "/proc/$(worker_pid 0)/status")" = 65532 ]
	[ "$(ask /healthz)" = ok ]
	[ "$(awk '/^Uid/ { print $2 }' "/proc/$(web_pid)/status")" = 65528 ]
}

@test "killed, it is back at once, and nobody else has noticed" {
	start_web
	before=$(cluster '[.workers[].pid] | join(" ")')
	for _ in 1 2; do
		pid=$(web_pid)
		kill -KILL "$pid"
		[ "$(ask /healthz)" = ok ] # it waited in the queue
		[ "$(web_pid)" != "$pid" ]
	done
	logged 'the web server ended (signal 9), starting it again'
	# nor does the end of one end the next one
	nclust status "$INSTANCE" >/dev/null
	[ "$(ask /healthz)" = ok ]
	[ "$(grep -c 'the web server ended' "$LOG")" -eq 2 ]
	[ "$(cluster '[.workers[].pid] | join(" ")')" = "$before" ]
	[ "$(cluster '[.workers[].restarts] | add')" -eq 0 ]
}

@test "clients of the control socket, however many, do not push it out" {
	start_web
	pid=$(web_pid)
	python3 - "$NCLUST_RUNTIME_DIR/$INSTANCE/control" <<-'E'
	import socket, sys
	held = []
	for _ in range(80):
	    s = socket.socket(socket.AF_UNIX)
	    s.connect(sys.argv[1])
	    s.recv(4096)
	    held.append(s)
	E
	[ "$(ask /readyz)" = ok ]
	[ "$(web_pid)" = "$pid" ]
}

@test "it goes through an upgrade" {
	start_web
	pid=$(web_pid)
	nclust upgrade "$INSTANCE"
	[ "$(ask /readyz)" = ok ]
	[ "$(web_pid)" = "$pid" ]
	kill -KILL "$pid"
	[ "$(ask /healthz)" = ok ]
	nclust stop "$INSTANCE"
	wait_exit
	[ ! -e "$SOCKET" ]
}

# write_ini HTTP...: the settings of [nclust].
write_ini() {
	printf '%s\n' '[nclust]' "$@" '[cluster:web]' 'workers = 1' \
		'ready = alive:0s' 'command = sleep 1000' >"$DIR/it.ini"
}

@test "a reload moves it; where that cannot be, all stays" {
	free_port
	write_ini "http = unix:$SOCKET"
	start_cluster -c "$DIR/it.ini"
	worker=$(worker_pid 0)
	pid=$(web_pid)
	nclust reload "$INSTANCE"
	[ "$(web_pid)" = "$pid" ]

	socat -u "TCP-LISTEN:$PORT,bind=127.0.0.1" - >/dev/null 3>&- &
	STARTED+=("$!")
	wait_until 5 'port_is_taken "$PORT"'
	write_ini "http = $PORT" 'log-level = debug'
	poll_until 20 refused 78 "Address already in use; in use by " \
		nclust reload "$INSTANCE"
	[[ $output == *"http: cannot "* ]]
	[ "$(ask /healthz)" = ok ]
	[ "$(web_pid)" = "$pid" ]

	write_ini "http = unix:$DIR/other"
	nclust reload "$INSTANCE"
	wait_until 5 '[ ! -e "$SOCKET" ]'
	SOCKET=$DIR/other
	[ "$(ask /healthz)" = ok ]
	write_ini
	nclust reload "$INSTANCE"
	wait_until 5 '[ ! -e "$SOCKET" ]'
	poll_until 5 eval '! web_pid'
	write_ini "http = unix:$SOCKET"
	nclust reload "$INSTANCE"
	[ "$(ask /healthz)" = ok ]
	echo aaaaaaaaaaaaaaaaaaaa >"$DIR/token"
	write_ini "http = unix:$SOCKET" "http-token = $DIR/token"
	nclust reload "$INSTANCE"
	wait_until 5 '[ "$(code /healthz)" = 401 ]'
	[ "$(worker_pid 0)" = "$worker" ]
}

@test "what it cannot have is an error before anything starts" {
	free_port
	start_cluster --http "$PORT" -n 1 --ready alive:0s -- sleep 1000
	poll_until 20 refused 78 "Address already in use; in use by nclust" \
		timeout 20 "$NCLUST" --name other --http "$PORT" -- \
		touch "$DIR/ran"
	[ ! -e "$DIR/ran" ]
}

@test "without the library: an error that names its package" {
	local library

	need_root
	library=$(sed -n 's,.* \(/.*/libmicrohttpd.so.12\)$,\1,p' \
		<(ldconfig -p) | head -n 1)
	unshare -m true || skip "cannot unshare"
	nclust_under unshare -m sh -c \
		"mount --bind /dev/null $library; exec \"\$@\"" -
	run timeout 20 "$NCLUST" --name it --http "unix:$SOCKET" \
		-- touch "$DIR/ran"
	[ "$status" -eq 78 ]
	[[ $output == *"install the package libmicrohttpd12"* ]]
	[ ! -e "$DIR/ran" ]
}

@test "200 clients that say nothing harm nobody, and the slow get 408" {
	start_web
	python3 "$BATS_TEST_DIRNAME/slow.py" "$SOCKET" 200 >"$DIR/slow" 3>&- &
	STARTED+=("$!")
	poll_until 10 grep -q begun "$DIR/slow"
	begun=$(microseconds)
	for _ in 1 2 3 4 5; do
		nclust status "$INSTANCE" >/dev/null
	done
	[ $(($(microseconds) - begun)) -lt $((2000000 * PATIENCE)) ]
	# who has said nothing for a second makes room
	wait_until 10 '[ "$(code /healthz)" = 200 ]'
	poll_until 30 grep -q ended "$DIR/slow"
	[ "$(sed -n 's/ended: //p' "$DIR/slow")" = 408 ]
	[ "$(code /healthz)" = 200 ]
}

# shut_down PID: what listens in this process accepts nobody any more.
shut_down() {
	python3 - "$1" <<-'E'
	import ctypes, os, socket, sys
	pidfd = os.pidfd_open(int(sys.argv[1]))
	done = 0
	for fd in os.listdir(f"/proc/{sys.argv[1]}/fd"):
	    got = ctypes.CDLL(None).syscall(438, pidfd, int(fd), 0)
	    try:
	        s = socket.socket(fileno=got)
	        if s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
	            s.shutdown(socket.SHUT_RDWR)
	            done += 1
	    except OSError:
	        pass
	assert done == 1, done
	E
}

@test "one that was taken over cannot shut the address down for good" {
	need_root
	start_web
	for at in "unix:$SOCKET" tcp; do
		pid=$(web_pid)
		shut_down "$pid"
		run ask /healthz
		[ "$status" -ne 0 ]
		kill -KILL "$pid"
		wait_until 10 '[ "$(ask /healthz 2>/dev/null)" = ok ]'
		[ "$at" = tcp ] || {
			nclust stop "$INSTANCE"
			wait_exit
			free_port
			ask() {
				http_get "$PORT" "$1"
			}
			start_cluster --http "$PORT" -n 2 --ready alive:0s \
				-- sleep 1000
		}
	done
}

@test "one that cannot give up root's rights answers nobody" {
	need_root
	[ -z "${REPORTS:-}" ] || skip "a sanitizer's end passes no filter"
	nclust_under setpriv --bounding-set=-setuid
	run timeout 20 "$NCLUST" --name it --http "unix:$SOCKET" \
		-- touch "$DIR/ran"
	[ "$status" -eq 78 ]
	[[ $output == *"cannot give up its rights, for which it needs"* ]]
	[ ! -e "$DIR/ran" ]
}

@test "after a crash a port that is taken keeps no nclust from its workers" {
	free_port
	start_cluster --http "$PORT" -n 2 --orphans keep --ready alive:0s \
		-- sleep 1000
	were=$(cluster '[.workers[].pid] | join(" ")')
	web=$(web_pid)
	kill_nclust
	poll_until 10 is_gone "$web"
	socat -u "TCP-LISTEN:$PORT,bind=127.0.0.1,reuseaddr" - >/dev/null 3>&- &
	STARTED+=("$!")
	wait_until 5 'port_is_taken "$PORT"'
	start_cluster --http "$PORT" -n 2 --orphans keep --ready alive:0s \
		-- sleep 1000
	[ "$(cluster '[.workers[].pid] | join(" ")')" = "$were" ]
	logged 'Address already in use; in use by'
	logged 'trying again in a minute'
	end_keepers
}

@test "64 who do not read their answers make room" {
	local long

	# a status that no socket's buffer holds
	printf -v long '%090000d' 0
	start_cluster --http "unix:$SOCKET" -n 1 --ready alive:0s -- \
		sh -c 'sleep 1000' "$long" "$long" "$long" "$long" "$long"
	python3 - "$SOCKET" >"$DIR/held" 3>&- <<-'E' &
	import socket, sys, time
	def ask(path):
	    s = socket.socket(socket.AF_UNIX)
	    s.connect(sys.argv[1])
	    try:
	        s.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
	    except BrokenPipeError:
	        pass # it is one too many already
	    return s
	held = [ask(b"/status") for _ in range(64)]
	# at once, before any of them has to make room; who has made room has a successor
	for _ in range(200):
	    try:
	        answer = ask(b"/healthz").recv(65536)
	    except ConnectionResetError:
	        continue # with an answer that it has not read
	    if b"64 others" in answer:
	        break
	    held.append(ask(b"/status"))
	    time.sleep(0.05)
	print(answer.decode(), flush=True)
	time.sleep(1000)
	E
	STARTED+=("$!")
	poll_until 20 file_has "$DIR/held" "64 others are being answered"
	wait_until 20 '[ "$(ask /healthz)" = ok ]'
}

@test "a client that sends what cannot be closed keeps no other waiting" {
	start_web
	python3 "$SCRIPTS/servers/unclosable.py" client "$SOCKET" \
		>"$DIR/client" 3>&- &
	STARTED+=("$!")
	poll_until 20 file_has "$DIR/client" sent
	[ "$(ask /healthz)" = ok ]
}
