# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2034,SC2154
#
# `accept = yes`: a process per connection (man/nclust-accept.7).

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	free_port
	# It says who it is there for, and goes on when its client ends.
	script tell <<-'END'
		echo "ok slot=$NCLUST_SLOT generation=$NCLUST_GENERATION pid=$$"
		cat >/dev/null
	END
}

# script NAME: a shell script of what stands on stdin.
script() {
	{ echo '#!/bin/sh' && cat; } >"$DIR/$1"
	chmod 755 "$DIR/$1"
}

# accepting [OPTION]... -- COMMAND...
accepting() {
	start_cluster -l "127.0.0.1:$PORT" --accept "$@"
}

# once [from=HOST] ADDRESS [TEXT]
client() {
	timeout 60 python3 "$ROOT/tests/e2e/accept/accept.py" "$@"
}

once() {
	client "127.0.0.1:$PORT" once "$@"
}

# hold COUNT [from=HOST]: HELD is its process, $DIR/held what it says.
hold() {
	rm -f "$DIR/hold.$1" "$DIR/held"
	mkfifo "$DIR/hold.$1"
	client ${2:+"$2"} "127.0.0.1:$PORT" hold "$1" <"$DIR/hold.$1" \
		>"$DIR/held" 3>&- &
	HELD=$!
	STARTED+=("$HELD")
	exec {HOLDING}>"$DIR/hold.$1"
	poll_until 30 file_has "$DIR/held" connected
}

let_go() {
	exec {HOLDING}>&-
	wait "$HELD"
}

# load COUNT … end_asking: sets ANSWERED, REFUSED and LOST.
load_with() {
	mkfifo "$DIR/loading"
	client "127.0.0.1:$PORT" load "$1" <"$DIR/loading" >"$DIR/load" 3>&- &
	LOADER=$!
	STARTED+=("$LOADER")
	exec {LOADING}>"$DIR/loading"
	poll_until 30 file_has "$DIR/load" started
}

end_asking() {
	exec {LOADING}>&-
	wait "$LOADER"
	eval "$(tail -n 1 "$DIR/load" | tr 'a-z ' 'A-Z;')"
	rm "$DIR/loading"
}

accept() {
	cluster ".accept.$1"
}

# served FILTER VALUE
has() {
	[ "$(accept "$1")" = "$2" ]
}

asked_more_than() {
	[ "$(accept served)" -gt "$1" ]
}

# --- What the command gets ---------------------------------------------------

@test "any script is a server" {
	script greet <<-'END'
		read -r name
		echo "hello $name"
		echo "it was $name" >&2
		exit 3
	END
	accepting -n 4 -- "$DIR/greet"

	[ "$(once $'Ada\n')" = "hello Ada" ]
	[ "$(once $'Bea\n')" = "hello Bea" ]

	wait_until 5 '[ "$(cluster .accept.exits)" != {} ]'
	poll_until 5 has 'exits."3"' 2
	[ "$(accept served)" -eq 2 ]
	[ "$(accept running)" -eq 0 ]
	[ "$(accept limit)" -eq 4 ]
	wait_logged "it was Ada"
	# an exit status is no crash
	run ! logged "it.0:"
	nclust status "$INSTANCE" >"$DIR/status"
	file_has "$DIR/status" "0 of 4 connections"
	file_has "$DIR/status" "2 served; ended with 3: 2"
}

@test "the connection is on descriptors 0 and 1, blocking, and on no other" {
	cat >"$DIR/look" <<-'END'
		#!/usr/bin/env python3
		import os, socket
		s = socket.socket(fileno=0)
		print(sorted(map(int, os.listdir("/proc/self/fd")))[:-1])
		print(os.get_blocking(0), os.path.sameopenfile(0, 1))
		print(s.getpeername() == (os.environ["TCPREMOTEIP"],
		    int(os.environ["TCPREMOTEPORT"])))
		print(os.getsid(0) == os.getpid() == os.getpgid(0))
		print([k for k in os.environ if k.startswith(("LISTEN_",
		    "NOTIFY_", "SERVER_STARTER", "EINHORN"))])
		print({k: os.environ[k] for k in ("NCLUST_SLOT", "NCLUST_CLUSTER",
		    "NCLUST_WORKERS", "NCLUST_GENERATION")})
	END
	chmod 755 "$DIR/look"
	accepting -n 2 -- "$DIR/look"
	run once
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "[0, 1, 2]" ]
	[ "${lines[1]}" = "True True" ]
	[ "${lines[2]}" = True ]
	[ "${lines[3]}" = True ]
	[ "${lines[4]}" = "[]" ]
	[[ ${lines[5]} == *"'NCLUST_SLOT': '0', 'NCLUST_CLUSTER': 'it', "* ]]
	[[ ${lines[5]} == *"'NCLUST_WORKERS': '2', 'NCLUST_GENERATION': '1'"* ]]
}

@test "UCSPI's and systemd's variables tell who called: IPv4, IPv6, unix" {
	script who <<-'END'
		env | grep -E '^(PROTO|REMOTE_|TCP|UNIX|IPC)' | sort
	END
	export TCPREMOTEIP=10.9.8.7 UNIXREMOTEPID=1
	start_cluster -l "$PORT" -l "unix:$DIR/socket" --accept -- "$DIR/who"
	unset TCPREMOTEIP UNIXREMOTEPID

	run client "127.0.0.1:$PORT" once
	[ "$(cut -d= -f1 <<<"$output" | tr '\n' ' ')" = "PROTO REMOTE_ADDR $(:
		)REMOTE_PORT TCPLOCALIP TCPLOCALPORT TCPREMOTEIP TCPREMOTEPORT " ]
	grep -qx PROTO=TCP <<<"$output"
	grep -qx REMOTE_ADDR=127.0.0.1 <<<"$output"
	grep -qx TCPREMOTEIP=127.0.0.1 <<<"$output"
	grep -qx TCPLOCALIP=127.0.0.1 <<<"$output"
	grep -qx "TCPLOCALPORT=$PORT" <<<"$output"

	run client "::1:$PORT" once
	grep -qx PROTO=TCP6 <<<"$output"
	grep -qx TCP6REMOTEIP=::1 <<<"$output"
	grep -qx TCPREMOTEIP=::1 <<<"$output"
	grep -qx "TCP6LOCALPORT=$PORT" <<<"$output"
	grep -qx REMOTE_ADDR=::1 <<<"$output"

	run client "$DIR/socket" once
	grep -qx PROTO=UNIX <<<"$output"
	grep -qx "UNIXLOCALPATH=$DIR/socket" <<<"$output"
	grep -qx "UNIXREMOTEEUID=$(id -u)" <<<"$output"
	grep -qx "UNIXREMOTEEGID=$(id -g)" <<<"$output"
	grep -qE '^UNIXREMOTEPID=[0-9]{2,}$' <<<"$output"
	run ! grep -q '^TCP' <<<"$output"
}

@test "cat is an echo server, of a megabyte too" {
	accepting -n 2 -- cat
	head -c 1000000 /dev/urandom | base64 -w 0 >"$DIR/much"
	# more than an argument takes: by a shell's redirection
	timeout 30 socat -t 20 "TCP:127.0.0.1:$PORT" - <"$DIR/much" >"$DIR/back"
	cmp "$DIR/much" "$DIR/back"
}

@test "elsewhere than on a terminal stderr is nclust's own" {
	script where <<-'END'
		readlink "/proc/$$/fd/2"
	END
	accepting -- "$DIR/where"
	[ "$(once)" = "$LOG" ]
}

@test "what is written to stderr is captured by slot, and what is left ends" {
	script leave <<-'END'
		echo "of slot $NCLUST_SLOT" >&2
		sleep 300 &
		echo "ok $!"
	END
	accepting -n 2 --log prefix -- "$DIR/leave"
	run once
	[ "$status" -eq 0 ]
	left=${output#ok }
	wait_logged "it.0 | of slot 0"
	poll_until 10 is_gone "$left"
}

@test "the example answers curl, by its address and by its path" {
	cp "$ROOT"/etc/examples/accept/report.* "$DIR"
	sed -i "s/:9000/:$PORT/" "$DIR/report.ini"
	cd "$DIR"
	start_cluster --config "$DIR/report.ini"
	run http_get "$PORT" /today
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "GET /today, asked by 127.0.0.1" ]
	run curl -sS --max-time 10 --unix-socket "$DIR/report.sock" \
		http://localhost/now
	[ "${lines[0]}" = "GET /now, asked by a process of this machine" ]
	wait_logged " | /now for uid $(id -u)"
}

@test "a process has the user, the groups and the limits that were asked for" {
	need_root
	script who <<-'END'
		echo "$(id -u):$(id -g) $(ulimit -n) $(umask) $(pwd) $LAST"
	END
	accepting -n 2 --user nobody --limit-nofile 77 --umask 027 \
		--directory / --env LAST=one -- "$DIR/who"
	[ "$(once)" = "$(id -u nobody):$(id -g nobody) 77 0027 / one" ]
}

# --- How many ----------------------------------------------------------------

@test "no more than 'workers' at once; the others wait in the queue" {
	accepting -n 3 -- "$DIR/tell"
	hold 5
	poll_until 10 file_has "$DIR/held" "3 heard"
	[ "$(accept running)" -eq 3 ]
	[ "$(cluster '.listeners[0].queue')" -eq 2 ]
	[ "$(cluster '[.workers[].slot] | sort | join(" ")')" = "0 1 2" ]

	# one more
	nclust scale "$INSTANCE" 4
	poll_until 10 file_has "$DIR/held" "4 heard"
	[ "$(accept running)" -eq 4 ]

	# fewer: nobody is thrown out
	nclust scale "$INSTANCE" 1
	[ "$(accept running)" -eq 4 ]
	[ "$(accept limit)" -eq 1 ]

	# whose client leaves makes room, but only below the limit
	let_go
	wait_until 10 '[ "$(cluster .accept.running)" -eq 0 ] &&
		[ "$(cluster .accept.served)" -eq 5 ]'
	[ "$(once x | cut -d' ' -f1,2)" = "ok slot=0" ]
}

@test "'workers' that are not given are 32; parked, nobody is served" {
	accepting -- "$DIR/tell"
	[ "$(accept limit)" -eq 32 ]
	nclust scale "$INSTANCE" 0
	hold 1
	[ "$(cluster '.listeners[0].queue')" -eq 1 ]
	[ "$(accept served)" -eq 0 ]
	nclust scale "$INSTANCE" +2
	poll_until 10 file_has "$DIR/held" "1 heard"
	let_go
}

@test "no more than 'accept-per-address' of one address: closed, not reset" {
	accepting -n 8 --accept-per-address 2 -- "$DIR/tell"
	hold 2
	poll_until 10 file_has "$DIR/held" "2 heard"

	run once "a question that lies unread"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	[ "$(accept refused)" -eq 1 ]

	# another address has its own
	run client from=127.0.0.2 "127.0.0.1:$PORT" once
	[[ $output == ok* ]]

	let_go
	wait_until 10 '[ "$(cluster .accept.running)" -eq 0 ]'
	[[ $(once) == ok* ]]
	[ "$(accept refused)" -eq 1 ]
}

@test "of IPv6 a whole /64 counts as one for 'accept-per-address'" {
	need_root
	need ip
	unshare -n true 2>/dev/null || skip "needs network namespaces"
	# one host, with two addresses of one net and one of another
	script in-net <<-'END'
		ip link set lo up
		for a in 0:0::1 0:0::2 0:1::1; do
			ip -6 address add "2001:db8:$a/128" dev lo nodad
		done
		exec "$@"
	END
	nclust_under unshare -n "$DIR/in-net"
	start_cluster -l "[::]:$PORT" --accept -n 8 --accept-per-address 1 \
		-- "$DIR/tell"
	mkfifo "$DIR/hold"
	inside "from=2001:db8:0:0::1" "::1:$PORT" hold 1 <"$DIR/hold" \
		>"$DIR/held" 3>&- &
	STARTED+=("$!")
	exec {HOLDING}>"$DIR/hold"
	poll_until 10 file_has "$DIR/held" "1 heard"

	run inside "from=2001:db8:0:0::2" "::1:$PORT" once
	[ -z "$output" ]
	[ "$(accept refused)" -eq 1 ]
	run inside "from=2001:db8:0:1::1" "::1:$PORT" once
	[[ $output == ok* ]]
	# IPv4 by its own address, though the socket is one of IPv6
	inside "from=127.0.0.1" "127.0.0.1:$PORT" once
	[ "$(accept refused)" -eq 1 ]
	exec {HOLDING}>&-
}

# inside ARG...: the client, in nclust's network.
inside() {
	nsenter -t "$NCLUST_PID" -n timeout 60 \
		python3 "$ROOT/tests/e2e/accept/accept.py" "$@"
}

@test "who takes longer than 'accept-timeout' is ended, and killed if need be" {
	script deaf <<-'END'
		trap '' TERM
		echo ok
		while :; do read -r line || sleep 0.1; done
	END
	accepting -n 2 --accept-timeout 300ms --stop-signal TERM:200ms \
		-- "$DIR/deaf"
	run once
	[ "$output" = ok ]
	poll_until 10 has timed_out 1
	poll_until 10 has exits.SIGKILL 1
	[ "$(accept running)" -eq 0 ]
}

@test "clients that say nothing hold up neither nclust nor, at last, others" {
	accepting -n 4 --accept-timeout 1s -- "$DIR/tell"
	hold 40
	poll_until 10 file_has "$DIR/held" "4 heard"
	nclust status "$INSTANCE" >/dev/null
	# in turn all of them get their second
	[[ $(once) == ok* ]]
	[ "$(accept timed_out)" -ge 4 ]
	let_go
}

@test "clients that reset, or end only one way, leave nothing behind" {
	accepting -n 4 -- "$DIR/tell"
	cat >"$DIR/rude.py" <<-'END'
		import socket, struct, sys
		at = ("127.0.0.1", int(sys.argv[1]))
		for i in range(60):
		    s = socket.create_connection(at)
		    if i % 3 == 0: # gone before it is served, perhaps
		        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
		            struct.pack("ii", 1, 0))
		    elif i % 3 == 1: # half open: it hears nothing
		        s.shutdown(socket.SHUT_RD)
		    s.close()
	END
	timeout 30 python3 "$DIR/rude.py" "$PORT"
	wait_until 20 '[ "$(cluster .accept.served)" -eq 60 ] &&
		[ "$(cluster .accept.running)" -eq 0 ]'
	[[ $(once) == ok* ]]
	# none of their descriptors either
	wait_until 10 '[ -z "$(find "/proc/$NCLUST_PID/fd" \
		-lname "anon_inode:\[pidfd\]")" ]'
}

# --- What cannot be ----------------------------------------------------------

@test "a setting that is about workers that last is an error with 'accept'" {
	refused() { # KEY VALUE WORDS
		printf '[cluster]\ncommand = cat\naccept = yes\nlisten = %s\n' \
			"${LISTEN-$PORT}" >"$DIR/it.ini"
		echo "$1 = $2" >>"$DIR/it.ini"
		run nclust --config "$DIR/it.ini"
		[ "$status" -eq 78 ] && [[ $output == *"$1: "*"$3"* ]] || {
			echo "$1: $status $output"
			return 1
		}
	}
	for pair in "ready notify" "check tcp" "watchdog 5s" "stall 5s" \
		"max-age 1h" "max-memory 64M" "restart never" "give-up 5/1m" \
		"canary 1" "drain quiet" "pass stdin" "surge 2"; do
		refused "${pair% *}" "${pair#* }" "cannot be used with 'accept'"
	done
	refused intercept on "cannot be used with 'accept'"
	refused on-exit true "cannot be used with 'accept'"
	LISTEN="udp:$PORT" refused listen "$PORT" "no connections on UDP" || {
		# given twice, which is told too
		[[ $output == *"no connections on UDP"* ]]
	}
	run nclust --accept -- cat
	[ "$status" -eq 64 ]
	[[ $output == *"--accept: has nothing to accept on: set 'listen'"* ]]
	run nclust -l "$PORT" --accept -- cat '{fd}'
	[ "$status" -eq 64 ]
	[[ $output == *"'{fd}' cannot be used with 'accept'"* ]]
	run nclust -l "$PORT" --accept-timeout 5s -- cat
	[ "$status" -eq 64 ]
	[[ $output == *"--accept-timeout: needs 'accept'"* ]]
}

@test "a command that is not there is told at the start, and later" {
	run -127 nclust --name it -l "127.0.0.1:$PORT" --accept -- "$DIR/absent"
	[[ $output == *"cannot execute '$DIR/absent': No such file"* ]]
	run nclust --name it -l "127.0.0.1:$PORT" --accept -- "$LOG"
	[ "$status" -eq 126 ]

	accepting -n 2 -- "$DIR/tell"
	mv "$DIR/tell" "$DIR/away"
	run once
	[ -z "$output" ]
	wait_logged "cannot execute '$DIR/tell': No such file"
	[ "$(accept not_started)" -eq 1 ]
	mv "$DIR/away" "$DIR/tell"
	[[ $(once) == ok* ]]
}

# --- Change ------------------------------------------------------------------

@test "stop waits for who is served, then sends the stop signal, then kills" {
	accepting -n 4 --stop-timeout 20s -- "$DIR/tell"
	hold 2
	poll_until 10 file_has "$DIR/held" "2 heard"
	nclust stop "$INSTANCE" --no-wait
	wait_until 10 '[ "$(cluster .state)" = stopping ]'
	[ "$(accept running)" -eq 2 ]
	is_alive "$NCLUST_PID"
	let_go
	wait_exit
	[ "$status" -eq 0 ]
}

@test "stop: whose time is over gets TERM, who does not hear it KILL" {
	script deaf <<-'END'
		trap 'echo heard TERM >&2' TERM
		echo ok
		while :; do sleep 0.1; done
	END
	accepting -n 4 --stop-timeout 300ms -- "$DIR/deaf"
	hold 1
	poll_until 10 file_has "$DIR/held" "1 heard"
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	logged "heard TERM"
	let_go
}

@test "stop --now ends all at once" {
	accepting -n 4 --stop-timeout 100s -- "$DIR/tell"
	hold 3
	poll_until 10 file_has "$DIR/held" "3 heard"
	nclust stop "$INSTANCE" --now
	wait_exit
	let_go
}

@test "restart: new connections get the new generation, old ones their end" {
	accepting -n 8 --drain-timeout 100s -- "$DIR/tell"
	hold 1
	poll_until 10 file_has "$DIR/held" "1 heard"
	old=$(worker_pid 0)
	nclust restart "$INSTANCE"
	[[ $(once) == "ok slot=1 generation=2 "* ]]
	is_alive "$old"
	[ "$(worker 0 .generation)" -eq 1 ]
	let_go
	poll_until 10 is_gone "$old"

	# a slot of it, or canaries, there are not
	run nclust restart "$INSTANCE.0"
	[ "$status" -ne 0 ]
	run nclust restart "$INSTANCE" --canary 1
	[ "$status" -ne 0 ]
}

@test "restart: after 'drain-timeout' what is still old is ended" {
	accepting -n 8 --drain-timeout 300ms -- "$DIR/tell"
	hold 1
	poll_until 10 file_has "$DIR/held" "1 heard"
	old=$(worker_pid 0)
	nclust restart "$INSTANCE"
	poll_until 10 is_gone "$old"
	let_go
}

@test "restart, reload, scale and upgrade under load: nothing is lost" {
	cat >"$DIR/it.ini" <<-END
		[cluster]
		command = $DIR/tell
		accept = yes
		workers = 6
		listen = 127.0.0.1:$PORT
	END
	start_cluster --config "$DIR/it.ini"
	load_with 8
	poll_until 20 asked_more_than 50
	nclust restart "$INSTANCE"
	nclust scale "$INSTANCE" 2
	sed -i 's/^workers.*/workers = 4/' "$DIR/it.ini"
	echo "env = ONE=1" >>"$DIR/it.ini"
	nclust reload "$INSTANCE"
	[ "$(accept limit)" -eq 4 ]
	nclust upgrade "$INSTANCE"
	before=$(accept served)
	poll_until 20 asked_more_than "$((before + 50))"
	nclust restart "$INSTANCE"
	end_asking
	[ "$ANSWERED" -gt 100 ]
	[ "$REFUSED" -eq 0 ]
	[ "$LOST" -eq 0 ]
	wait_until 10 '[ "$(cluster .accept.running)" -eq 0 ]'
	[ "$(accept served)" -eq "$ANSWERED" ]
	[ "$(accept 'exits."0"')" -eq "$ANSWERED" ]
}

@test "a cluster that was stopped can be started again" {
	cat >"$DIR/it.ini" <<-END
		[cluster:one]
		command = $DIR/tell
		accept = yes
		listen = 127.0.0.1:$PORT
		[cluster:two]
		command = sleep 1000
		workers = 1
	END
	start_cluster --config "$DIR/it.ini"
	[[ $(once) == ok* ]]
	nclust stop "$INSTANCE/one"
	[ "$(cluster .state)" = stopped ]
	nclust scale "$INSTANCE/one" 3
	[ "$(cluster .state)" = running ]
	[[ $(once) == ok* ]]
	nclust stop "$INSTANCE/one"
	nclust restart "$INSTANCE/one"
	[[ $(once) == ok* ]]

	# whether it accepts is for a restart of nclust
	sed -i 's/^accept.*/accept = no/' "$DIR/it.ini"
	run nclust reload "$INSTANCE"
	[ "$status" -ne 0 ]
	[[ $output == *"'accept' can only change with a restart of nclust"* ]]
	[[ $(once) == ok* ]]
}

@test "upgrade carries who is served, until when, and what was counted" {
	accepting -n 2 --accept-timeout 3s --stop-signal TERM:1s -- "$DIR/tell"
	[[ $(once) == ok* ]]
	hold 3
	poll_until 10 file_has "$DIR/held" "2 heard"
	wait_until 5 '[ "$(cluster .accept.running)" -eq 2 ]'
	pids=$(cluster '[.workers[].pid] | sort | join(" ")')
	peers=$(cluster '[.workers[].peer] | sort | join(" ")')
	nclust upgrade "$INSTANCE"
	[ "$(cluster '[.workers[].pid] | sort | join(" ")')" = "$pids" ]
	[ "$(cluster '[.workers[].peer] | sort | join(" ")')" = "$peers" ]
	[ "$(accept served)" -eq 3 ]
	[ "$(accept 'exits."0"')" -eq 1 ]
	# their time goes on; then the third has its turn
	poll_until 10 file_has "$DIR/held" "3 heard"
	[ "$(accept timed_out)" -eq 2 ]
	let_go
}

@test "signals: to one connection's process, to all; job control" {
	script hears <<-'END'
		trap 'echo USR1' USR1
		echo ok
		while :; do sleep 0.05; done
	END
	accepting -n 4 --stop-timeout 100ms -- "$DIR/hears"
	hold 2
	poll_until 10 file_has "$DIR/held" "2 heard"
	nclust signal "$INSTANCE.1" USR1
	poll_until 10 file_has "$DIR/held" "3 heard"
	nclust signal "$INSTANCE" USR1 --all
	poll_until 10 file_has "$DIR/held" "5 heard"
	nclust signal "$INSTANCE" USR1
	poll_until 10 file_has "$DIR/held" "6 heard"
	run nclust signal "$INSTANCE.3" USR1
	[ "$status" -ne 0 ]

	pid=$(worker_pid 0)
	kill -TSTP "$NCLUST_PID"
	wait_until 10 '[ "$(process_state "$1")" = T ]' "$pid"
	poll_until 10 holds '[ "$(process_state "$NCLUST_PID")" = T ]'
	kill -CONT "$NCLUST_PID"
	poll_until 10 holds '[ "$(process_state "$1")" = S ]' "$pid"
	let_go
}

# --- Faults ------------------------------------------------------------------

@test "a process killed by a signal is counted, told, and nobody else's matter" {
	accepting -n 4 -- "$DIR/tell"
	hold 1
	poll_until 10 file_has "$DIR/held" "1 heard"
	kill -SEGV "$(worker_pid 0)"
	wait_logged "killed by SIGSEGV"
	poll_until 10 has exits.SIGSEGV 1
	[ "$(cluster .state)" = running ]
	[[ $(once) == ok* ]]
	let_go
}

@test "kills under load cost no other connection" {
	accepting -n 6 -- "$DIR/tell"
	load_with 6
	poll_until 20 asked_more_than 30
	for _ in 1 2 3 4 5; do
		pid=$(cluster '.workers[0].pid // ""')
		[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
	done
	before=$(accept served)
	poll_until 20 asked_more_than "$((before + 30))"
	end_asking
	[ "$REFUSED" -eq 0 ]
	[ "$LOST" -le 5 ]
}

@test "no process to be had: the connection waits, and is served" {
	need strace
	accepting -n 4 -- "$DIR/tell"
	strace -qq -o /dev/null -p "$NCLUST_PID" -e trace=clone,clone3,vfork \
		-e inject=clone,clone3,vfork:error=EAGAIN:when=1..3 3>&- \
		2>"$DIR/strace" &
	STARTED+=("$!")
	poll_until 10 holds 'grep -q "^TracerPid:[[:space:]]*[1-9]" \
		"/proc/$NCLUST_PID/status"' || skip "strace cannot attach"
	[[ $(once) == ok* ]]
	wait_logged "no more connections for the moment: Resource temporarily"
	[ "$(accept not_started)" -eq 0 ]
	[ "$(accept served)" -eq 1 ]
}

@test "out of descriptors: nobody is lost, nothing spins, status answers" {
	(
		ulimit -n 48
		nclust_under env
		start_nclust -l "127.0.0.1:$PORT" --accept -n 100 -- "$DIR/tell"
		echo "$NCLUST_PID" >"$DIR/pid"
	)
	NCLUST_PID=$(cat "$DIR/pid")
	STARTED+=("$NCLUST_PID")
	wait_ready
	hold 60
	wait_logged "no more connections for the moment: Too many open files"
	[ "$(accept paused)" = true ]
	used() { awk '{ print $14 + $15 }' "/proc/$NCLUST_PID/stat"; }
	before=$(used)
	sleep 0.5 # lint: how much it does in that time
	[ "$(($(used) - before))" -le 10 ]
	let_go
	wait_until 20 '[ "$(cluster .accept.running)" -eq 0 ]'
	[[ $(once) == ok* ]]
	[ "$(accept not_started)" -eq 0 ]
}

@test "nclust is killed: with 'orphans = stop' its processes go with it" {
	accepting -n 4 -- "$DIR/tell"
	hold 2
	poll_until 10 file_has "$DIR/held" "2 heard"
	pids=$(cluster '[.workers[].pid] | join(" ")')
	kill -KILL "$NCLUST_PID"
	for pid in $pids; do
		poll_until 10 is_gone "$pid"
	done
	let_go
}

@test "nclust is killed: with 'orphans = keep' they go on, and so does the queue" {
	accepting -n 2 --orphans keep -- "$DIR/tell"
	hold 3
	poll_until 10 file_has "$DIR/held" "2 heard"
	pids=$(cluster '[.workers[].pid] | sort | join(" ")')
	kill_nclust
	for pid in $pids; do
		is_alive "$pid"
	done

	accepting -n 2 --orphans keep -- "$DIR/tell"
	[ "$(cluster '[.workers[].pid] | sort | join(" ")')" = "$pids" ]
	[ "$(accept running)" -eq 2 ]
	# the third has waited in the queue all the time
	kill -TERM "${pids%% *}"
	poll_until 10 file_has "$DIR/held" "3 heard"
	let_go
	wait_until 10 '[ "$(cluster .accept.running)" -eq 0 ]'
	nclust stop "$INSTANCE"
	wait_exit
}

@test "nclust is killed while nobody is served: who comes then is not lost" {
	accepting -n 2 --orphans keep -- "$DIR/tell"
	kill_nclust
	hold 2
	accepting -n 2 --orphans keep -- "$DIR/tell"
	poll_until 10 file_has "$DIR/held" "2 heard"
	let_go
	nclust stop "$INSTANCE"
	wait_exit
}
