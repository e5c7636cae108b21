# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2119,SC2120
#
# fallback = 503 | FILE: what HTTP clients get while no worker is ready.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	free_port
	# a worker that begins when it may: by a file
	printf '#!/bin/sh\nwhile [ ! -e %s/go ]; do sleep 0.05; done\n%s\n' \
		"$DIR" 'exec "$@"' >"$DIR/gated"
	chmod 755 "$DIR/gated"
	SERVE=("$FIXTURES/serve" --notify)
}

teardown() {
	end_keepers
	nclust_teardown
}

# start_fallback [OPTION]...: one worker at $AT that says when it is ready.
start_fallback() {
	start_nclust -n 1 --listen "$AT" --ready notify --fallback 503 \
		--fallback-after 200ms "$@"
}

# ask [OPTION]... [URL]: the whole answer, without the carriage returns.
ask() {
	curl -si --max-time "$((10 * PATIENCE))" "${@:-http://$AT/}" |
		tr -d '\r'
}

is_503() {
	[[ $(ask "$@") == "HTTP/1.1 503 "* ]]
}

is_200() {
	[[ $(ask "$@") == "HTTP/1.0 200 "* ]]
}

responder_pid() {
	pgrep -P "$NCLUST_PID" -f -- '--role fallback'
}

answered() {
	[ "$(cluster .fallback.active)" = "${1:-true}" ]
}

# has_line TEXT: is it one of `output`?
has_line() {
	grep -qxF -- "$1" <<<"$output"
}

@test "fallback = 503: until a worker is ready, and then no more" {
	start_fallback -- "$DIR/gated" "${SERVE[@]}"
	wait_until 10 answered
	output=$(ask)
	[ "${output%%$'\n'*}" = "HTTP/1.1 503 Service Unavailable" ]
	has_line "Retry-After: 1"
	has_line "Connection: close"
	[ "${output##*$'\n'}" = "503 Service Unavailable: starting" ]
	# HEAD has the same head, and no more
	[ "$(curl -s --head "http://$AT/" | tr -d '\r')" = \
		"${output%$'\n\n'*}" ]
	# one who sends much gets it, too
	head -c 3000000 /dev/zero >"$DIR/much"
	[ "$(curl -s -o "$DIR/body" -w '%{http_code}' -H Expect: \
		--data-binary "@$DIR/much" "http://$AT/")" = 503 ]
	logged "no worker was ready for 200ms: HTTP clients get 503 (starting)"
	wait_until 10 '[ "$(cluster .fallback.answers)" -eq 3 ]'
	run nclust status "$INSTANCE"
	[[ $output == *"nclust answers 503 now, 3 times so far"* ]]
	touch "$DIR/go"
	wait_ready
	wait_logged "a worker is ready: clients are its own again"
	for _ in {1..20}; do
		is_200
	done
	[ "$(cluster '.fallback | "\(.active) \(.answers)"')" = "false 3" ]
}

@test "who comes before fallback-after waits for a worker" {
	start_fallback --fallback-after 1h -- "$DIR/gated" "${SERVE[@]}"
	ask >"$DIR/answer" 3>&- &
	STARTED+=("$!")
	wait_until 10 '[ "$(cluster ".listeners[0].queue")" -eq 1 ]'
	touch "$DIR/go"
	wait "$!"
	[[ $(cat "$DIR/answer") == "HTTP/1.0 200 "* ]]
}

@test "a crash loop: the page says when the next try is" {
	start_fallback --backoff-min 20s --backoff-jitter 0% -- \
		"$FIXTURES/die" --exit 3
	wait_until 20 '[[ $(ask) == *"a crash, next try in "* ]]'
	output=$(ask)
	[[ ${output##*$'\n'} =~ ^"503 Service Unavailable: restarting after a crash, next try in "([0-9]+)" s"$ ]]
	[ "${BASH_REMATCH[1]}" -le 20 ]
	[[ $output == *"Retry-After: "[0-9]* ]]
}

@test "killed under load: each client gets 200 or 503, and none has to wait" {
	printf '#!/bin/sh\nsleep 0.6\nexec %s\n' "${SERVE[*]}" >"$DIR/slow"
	chmod 755 "$DIR/slow"
	start_cluster -n 1 --listen "$AT" --ready notify --fallback 503 \
		--fallback-after 100ms -- "$DIR/slow"
	printf 'url = "http://%s/"\noutput = /dev/null\n' "$AT" >"$DIR/one"
	for _ in {1..8}; do
		while [ ! -e "$DIR/over" ]; do
			curl -s --max-time 10 -o /dev/null \
				-w '%{http_code} %{exitcode}\n' "http://$AT/" ||
				true
		done >>"$DIR/codes" 3>&- &
		STARTED+=("$!")
	done
	for _ in 1 2 3; do
		wait_ready
		poll_until 10 is_200
		: >"$DIR/codes"
		kill -KILL "$(worker_pid 0)"
		wait_until 10 'grep -q ^503 "$DIR/codes"'
	done
	wait_ready
	touch "$DIR/over"
	wait "${STARTED[@]:1}"
	# what else there is: the one that the worker had accepted (52), 56)
	run -1 grep -vE '^(200 0|503 0|000 (52|56))$' "$DIR/codes"
	[ "$(grep -c ^000 "$DIR/codes")" -le 2 ]
}

@test "fallback = FILE: its text, read at the start and at a reload" {
	echo '<h1>soon</h1>' >"$DIR/soon.html"
	printf '[cluster:web]\ncommand = %s %s\nlisten = %s\nready = notify\n' \
		"$DIR/gated" "${SERVE[*]}" "$AT" >"$DIR/it.ini"
	printf 'fallback = %s/soon.html\nfallback-after = 100ms\n' "$DIR" \
		>>"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	wait_until 10 answered
	output=$(ask)
	has_line "HTTP/1.1 503 Service Unavailable"
	has_line "Content-Type: text/html; charset=utf-8"
	has_line "<h1>soon</h1>"
	head -c 65536 /dev/zero | tr '\0' x >"$DIR/soon.html"
	nclust reload "$INSTANCE" --no-wait
	wait_until 10 '[ "$(ask | tail -n 1 | wc -c)" -eq 65536 ]'
	# what is wrong is said, and changes nothing
	echo >>"$DIR/soon.html"
	run ! nclust reload "$INSTANCE"
	[[ $output == *":5: cluster:web.fallback: '$DIR/soon.html': wanted a file of 1 byte to 64k, found more"* ]]
	is_503
	# and off it goes
	sed -i 's/^fallback = .*/fallback = 503/' "$DIR/it.ini"
	nclust reload "$INSTANCE" --no-wait
	wait_until 10 '[[ $(ask) == *": starting" ]]'
	sed -i '/^fallback/d' "$DIR/it.ini"
	nclust reload "$INSTANCE" --no-wait
	wait_until 10 '[ "$(cluster .fallback)" = null ]'
	poll_until 10 holds '! responder_pid'
	ask >"$DIR/answer" 3>&- &
	STARTED+=("$!")
	wait_until 10 '[ "$(cluster ".listeners[0].queue")" -eq 1 ]'
	touch "$DIR/go"
	wait "$!"
	[[ $(cat "$DIR/answer") == "HTTP/1.0 200 "* ]]
}

@test "many clusters at once, each with a large page" {
	head -c 65536 /dev/zero | tr '\0' x >"$DIR/page"
	for name in a b c d e f; do
		free_port
		printf '[cluster:%s]\ncommand = %s %s\nlisten = %s\n' \
			"$name" "$DIR/gated" "${SERVE[*]}" "$AT"
		printf 'ready = notify\nfallback = %s/page\n' "$DIR"
	done >"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	for at in "${PORTS[@]:1}"; do
		AT=127.0.0.1:$at
		wait_until 20 '[ "$(ask | tail -n 1 | wc -c)" -eq 65536 ]'
	done
	touch "$DIR/go"
	wait_ready
	for at in "${PORTS[@]:1}"; do
		AT=127.0.0.1:$at
		wait_until 20 is_200
	done
	run ! logged "the process that answers ended"
}

# refused LINE... : the errors of a file with these lines.
refused() {
	printf '%s\n' "[cluster:web]" "command = true" "$@" >"$DIR/bad.ini"
	run -78 timeout 20 "$NCLUST" -c "$DIR/bad.ini"
	output=${output#"$DIR/bad.ini:"}
}

@test "what fallback cannot be is said with its line" {
	refused "listen = $AT" "fallback = $DIR/none.html"
	[ "$output" = "4: cluster:web.fallback: '$DIR/none.html': cannot open: No such file or directory" ]
	refused "fallback = $DIR"
	[ "$output" = "3: cluster:web.fallback: '$DIR': is not a regular file" ]
	: >"$DIR/empty"
	refused "fallback = $DIR/empty"
	[ "$output" = "3: cluster:web.fallback: '$DIR/empty': wanted a file of 1 byte to 64k, found an empty one" ]
	printf 'a\0b' >"$DIR/nul"
	refused "fallback = $DIR/nul"
	[ "$output" = "3: cluster:web.fallback: '$DIR/nul': wanted text, found a NUL byte" ]
	refused "fallback = 503" "fallback-after = 10ms"
	[[ $output == "4: cluster:web.fallback-after: wanted a time "* ]]
	refused "fallback = 503" "intercept = off"
	[ "$output" = "3: cluster:web.fallback: has nowhere to answer: there is no listener, and 'intercept' is off" ]
	refused "listen = $AT" "accept = yes" "fallback = 503"
	[[ $output == "5: cluster:web.fallback: cannot be used with 'accept': "* ]]
}

@test "root takes no page that others can change" {
	need_root
	echo hello >"$DIR/page"
	chown 65534 "$DIR/page"
	refused "listen = $AT" "fallback = $DIR/page"
	[[ $output == "4: cluster:web.fallback: '$DIR/page': "*" belongs to user 65534, refused for root"* ]]
}

@test "the process that answers has no rights, and nobody notices its death" {
	start_fallback -- "$DIR/gated" "${SERVE[@]}"
	wait_until 10 answered
	is_503
	old=$(responder_pid)
	[ "$(id -u)" -ne 0 ] ||
		[ "$(awk '/^Uid:/ { print ($2 >= 65520 && $2 < 65534) }' \
			"/proc/$old/status")" -eq 1 ]
	grep -qx 'CapEff:[[:space:]]*0*' "/proc/$old/status"
	grep -qx 'NoNewPrivs:[[:space:]]*1' "/proc/$old/status"
	kill -KILL "$old"
	is_503
	poll_until 10 holds '[ "$(responder_pid)" != "$1" ]' "$old"
	is_503
}

wakeups() {
	sed -n 's/^voluntary_ctxt_switches:[ \t]*//p' "/proc/$NCLUST_PID/status"
}

@test "while it answers nclust sleeps, and one that is stopped is replaced at once" {
	start_fallback -- "$DIR/gated" "${SERVE[@]}"
	wait_until 10 answered
	is_503
	sleep 0.5 # its count of answers
	before=$(wakeups)
	sleep 3 # nothing is to happen
	after=$(wakeups)
	echo "$((after - before)) wake-ups"
	[ $((after - before)) -le 1 ]

	old=$(responder_pid)
	kill -STOP "$old"
	wait_until 2 '[ "$(responder_pid)" != "$1" ] && [ -n "$(responder_pid)" ]' "$old"
	is_503 --max-time 2 "http://$AT/"
}

# limit_files COUNT: of the process that answers, as the user that it is.
limit_files() {
	local pid uid gid

	pid=$(responder_pid)
	uid=$(awk '/^Uid:/ { print $2 }' "/proc/$pid/status")
	gid=$(awk '/^Gid:/ { print $2 }' "/proc/$pid/status")
	if [ "$uid" -eq "$(id -u)" ]; then
		prlimit --pid "$pid" --nofile="$1:$1"
	else
		setpriv --reuid "$uid" --regid "$gid" --clear-groups \
			prlimit --pid "$pid" --nofile="$1:$1"
	fi
}

@test "too many open files: nobody is said to be answered who is not" {
	touch "$DIR/go"
	start_fallback --log-level info -- "$DIR/gated" "${SERVE[@]}"
	wait_ready
	rm "$DIR/go"
	limit_files 4
	kill -KILL "$(worker_pid 0)"
	wait_logged 'and nobody answers: the fallback process has too many open files'
	run ! logged 'HTTP clients get 503'
	[ "$(cluster .fallback.active)" = false ]
	touch "$DIR/go"
	wait_ready
}

@test "few open files: clients who say nothing leave for those who ask" {
	ulimit -n 64
	start_fallback -- "$DIR/gated" "${SERVE[@]}"
	wait_until 10 answered
	for _ in {1..40}; do
		exec {idle}<>"/dev/tcp/127.0.0.1/$PORT"
		: "$idle" # stays open
	done
	is_503
}

@test "a server that binds by itself: its port answers after a crash, too" {
	touch "$DIR/go"
	start_cluster -n 2 --fallback 503 --fallback-after 100ms -- \
		"$DIR/gated" "$FIXTURES/plain" "$PORT"
	[[ $(http_get "$PORT") == pid=* ]]
	rm "$DIR/go"
	kill -KILL "$(worker_pid 0)" "$(worker_pid 1)"
	wait_until 10 '[[ $(ask) == *": restarting after a crash" ]]'
	touch "$DIR/go"
	wait_ready
	[[ $(http_get "$PORT") == pid=* ]]
	# also if there shall be none
	nclust scale "$INSTANCE" 0
	wait_until 10 '[[ $(ask) == *": stopped for now" ]]'
	nclust scale "$INSTANCE" 1
	wait_until 10 '[[ $(http_get "$PORT") == pid=* ]]'
}

# The second one has to wait until the worker accepts again.
both_are_served() {
	[ "$(curl -s --max-time "$((10 * PATIENCE))" -Z --parallel-immediate \
		-o "$DIR/one" -o "$DIR/two" -w '%{http_code} ' \
		"http://$AT/sleep/20" "http://$AT/sleep/20" 2>"$DIR/bar")" = \
		"200 200 " ]
}

@test "a worker that accepts before it is ready keeps its clients" {
	start_fallback -- "$FIXTURES/serve"
	wait_until 10 answered
	poll_until 60 both_are_served
	[ "$(worker_state 0)" = starting ]
}

@test "a cluster of Node: its port answers when all are dead" {
	need node
	# nclust must see that it is Node
	cat >"$DIR/gate.js" <<-EOF
		const moment = new Int32Array(new SharedArrayBuffer(4));
		while (!require('fs').existsSync('$DIR/go'))
			Atomics.wait(moment, 0, 0, 50);
	EOF
	touch "$DIR/go"
	start_cluster -n 2 --fallback 503 --fallback-after 100ms \
		--env "NODE_OPTIONS=--require=$DIR/gate.js" -- \
		node "$SCRIPTS/servers/cluster.js" "$PORT"
	wait_until 10 'http_get "$PORT"'
	rm "$DIR/go"
	kill -KILL "$(worker_pid 0)" "$(worker_pid 1)"
	wait_until 20 is_503
	touch "$DIR/go"
	wait_until 20 '[[ $(ask) == "HTTP/1.1 200 "* ]]'
}

@test "a cluster that sleeps: its first client waits for the start" {
	touch "$DIR/go"
	start_nclust -n 0..2 --listen "$AT" --ready notify --fallback 503 \
		--fallback-after 5s -- "$DIR/gated" "${SERVE[@]}"
	wait_until 10 '[ "$(cluster .wanted)" -eq 0 ]'
	is_200
	[ "$(cluster .fallback.answers)" -eq 0 ]
}

@test "a cluster that sleeps and does not wake up: 503" {
	start_nclust -n 0..2 --listen "$AT" --ready notify --fallback 503 \
		--fallback-after 100ms -- "$DIR/gated" "${SERVE[@]}"
	wait_until 10 '[ "$(cluster .wanted)" -eq 0 ]'
	answered false
	is_503
	answered
}

@test "scaled to none by hand: 503, with a longer wait" {
	start_fallback -- "${SERVE[@]}"
	wait_ready
	nclust scale "$INSTANCE" 0
	wait_until 10 answered
	output=$(ask)
	has_line "Retry-After: 30"
	[ "${output##*$'\n'}" = "503 Service Unavailable: stopped for now" ]
	nclust scale "$INSTANCE" 1
	is_200
}

@test "ready = tcp and http: the answers are not taken for a worker's" {
	for ready in tcp http:/; do
		rm -f "$DIR/go"
		start_fallback --ready "$ready" -- "$DIR/gated" "${SERVE[@]}"
		wait_until 10 answered
		for _ in {1..20}; do
			is_503
			[ "$(worker_state 0)" = starting ]
		done
		touch "$DIR/go"
		wait_until 20 '[ "$(worker_state 0)" = ready ]'
		is_200
		stop_process "$NCLUST_PID" 10
	done
}

@test "ready = http: a worker that has more clients than it can serve gets ready" {
	cat >"$DIR/busy.py" <<-'E'
	import os, socket, sys, time
	time.sleep(1)
	s = socket.socket(fileno=3)
	while True:
	    c = s.accept()[0]
	    try:
	        asked = b"/ready" in c.recv(1000)
	        time.sleep(0.4)
	        well = not asked or os.path.exists(sys.argv[1])
	        c.send(b"HTTP/1.0 %d x\r\nContent-Length: 0\r\n\r\n"
	            % (200 if well else 500))
	    except OSError:
	        pass
	    c.close()
	E
	start_fallback --ready http:/ready --start-timeout 10m -- \
		python3 "$DIR/busy.py" "$DIR/well"
	cat >"$DIR/clients.py" <<-'E'
	import os, socket, sys, threading, time
	def client():
	    while not os.path.exists(sys.argv[2]):
	        s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
	        try:
	            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
	            while s.recv(1000):
	                pass
	        except OSError:
	            pass
	        s.close()
	        time.sleep(0.02)
	for _ in range(11):
	    threading.Thread(target=client).start()
	E
	python3 "$DIR/clients.py" "$PORT" "$DIR/done" 3>&- &
	STARTED+=("$!")
	wait_until 10 answered
	wait_logged 'a worker that is not ready has clients: they are its own'
	touch "$DIR/well"
	wait_until 30 '[ "$(worker_state 0)" = ready ]'
	touch "$DIR/done"
	[ "$(worker 0 .restarts)" -eq 0 ]
}

@test "a restart of all at once, with nobody left meanwhile" {
	touch "$DIR/go"
	start_fallback --surge 0 --max-unavailable 1 -- \
		"$DIR/gated" "${SERVE[@]}"
	wait_ready
	is_200
	rm "$DIR/go"
	nclust restart "$INSTANCE" --no-wait
	wait_until 20 is_503
	[[ $(ask) == *": starting" ]]
	touch "$DIR/go"
	wait_until 20 '[ "$(cluster .rollout)" = null ]'
	is_200
}

@test "unix sockets, IPv6, and several of them" {
	start_fallback --listen "[::1]:$PORT" --listen "unix:$DIR/sock" -- \
		"$DIR/gated" "${SERVE[@]}"
	wait_until 10 answered
	is_503
	is_503 "http://[::1]:$PORT/"
	is_503 --unix-socket "$DIR/sock" http://any/
	touch "$DIR/go"
	wait_ready
	is_200
}

@test "slow, long and strange clients are bounded, and keep nobody out" {
	start_fallback -- "$DIR/gated" "${SERVE[@]}"
	wait_until 10 answered
	timeout 60 python3 - "$PORT" <<-'EOF'
		import socket, sys

		def connect():
		    return socket.create_connection(("127.0.0.1", int(sys.argv[1])))

		def whole(s):
		    s.settimeout(30)
		    return b"".join(iter(lambda: s.recv(65536), b""))

		def ask(text):
		    s = connect()
		    s.sendall(text)
		    return whole(s)

		idle = [connect() for i in range(300)]
		get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
		assert ask(get).startswith(b"HTTP/1.1 503 ")
		# some of the first had to make room, before their 5 s were over
		assert any(whole(s) == b"" for s in idle[:50]), "others had to wait"
		long = ask(b"GET / HTTP/1.1\r\nX: " + b"x" * 9000)
		assert long.startswith(b"HTTP/1.1 431 "), long
		assert ask(b"\x16\x03\x01\x02\x00\x01") == b"", "TLS"
		# those who came last have not had to make room
		assert whole(idle[-1]).startswith(b"HTTP/1.1 408 ")
		# a byte at a time
		s = connect()
		for i in range(len(get)):
		    s.sendall(get[i:i + 1])
		assert whole(s).startswith(b"HTTP/1.1 503 ")
	EOF
}

@test "a reload gives up an address while its clients are answered" {
	printf '[cluster:web]\ncommand = %s %s\nlisten = %s\nready = notify\n' \
		"$DIR/gated" "${SERVE[*]}" "$AT" >"$DIR/it.ini"
	printf 'fallback = 503\nfallback-after = 100ms\n' >>"$DIR/it.ini"
	touch "$DIR/go"
	start_cluster -c "$DIR/it.ini"
	nclust scale "$INSTANCE" 0
	wait_until 10 is_503
	first=$AT
	free_port
	sed -i "s/^listen = .*/listen = $AT/" "$DIR/it.ini"
	nclust reload "$INSTANCE"
	wait_until 20 is_503
	poll_until 20 holds '! is_listened "$1"' "$first"
	# and by another name it goes on
	sed -i 's/cluster:web/cluster:shop/' "$DIR/it.ini"
	nclust reload "$INSTANCE" --no-wait
	wait_until 20 '[ "$(cluster .name)" = shop ]'
	wait_until 20 is_503
	nclust scale "$INSTANCE" 1
	is_200
}

@test "an upgrade goes on answering, and counts on" {
	start_fallback -- "$DIR/gated" "${SERVE[@]}"
	wait_until 10 answered
	is_503
	wait_until 10 '[ "$(cluster .fallback.answers)" -eq 1 ]'
	old=$(responder_pid)
	nclust upgrade "$INSTANCE"
	poll_until 10 is_gone "$old"
	is_503
	wait_until 10 '[ "$(cluster .fallback.answers)" -eq 2 ]'
	# it is no news
	[ "$(grep -c 'HTTP clients get 503' "$LOG")" -eq 1 ]
	touch "$DIR/go"
	wait_ready
	is_200
}

@test "orphans = keep: nclust is killed while it answers" {
	start_fallback --orphans keep -- "$DIR/gated" "${SERVE[@]}"
	wait_until 10 answered
	old=$(responder_pid)
	kill_nclust
	poll_until 10 is_gone "$old"
	start_fallback --orphans keep -- "$DIR/gated" "${SERVE[@]}"
	wait_until 10 is_503
	touch "$DIR/go"
	wait_ready
	is_200
}

@test "at the end the address and the process are gone at once" {
	start_fallback -- "$DIR/gated" "${SERVE[@]}"
	wait_until 10 answered
	old=$(responder_pid)
	kill -TERM "$NCLUST_PID"
	wait_exit
	is_gone "$old"
	run ! is_listened "$AT"
}

@test "a start that takes longer than idle-after goes on" {
	start_nclust -n 0..1 --listen "$AT" --ready notify --fallback 503 \
		--fallback-after 200ms --idle-after 1s -- \
		"$DIR/gated" "${SERVE[@]}"
	wait_until 10 is_503
	wait_until 10 '[ "$(worker_state 0)" = starting ]'
	wait_until 20 '[ "$(worker 0 ".uptime > 6")" = true ]'
	touch "$DIR/go"
	wait_until 10 is_200
}

@test "a client that sends what cannot be closed keeps no other waiting" {
	start_fallback --listen "unix:$DIR/sock" -- "$DIR/gated" "${SERVE[@]}"
	wait_until 10 answered
	python3 "$SCRIPTS/servers/unclosable.py" client "$DIR/sock" \
		>"$DIR/client" 3>&- &
	STARTED+=("$!")
	poll_until 20 file_has "$DIR/client" sent
	is_503
	poll_until 20 file_has "$DIR/client" passed
	is_503 --unix-socket "$DIR/sock" http://any/
}
