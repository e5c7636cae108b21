# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# Taking over the port of servers that bind by themselves: what becomes of each
# kind of bind and listen, whom nclust binds for and whom not, and what a worker
# that is killed, slow or hostile in the midst of it can do.
#
# also under ASan

bats_require_minimum_version 1.5.0
load ../../lib

BINDER=$FIXTURES/binder

setup() {
	nclust_setup
	free_port
}

learned() {
	cluster '[.listeners[] | select(.learned) | .address] | join(" ")'
}

named() {
	cluster '[.listeners[] | select(.learned | not) | .address] | join(" ")'
}

# A request to the port; the pid that answered.
who() {
	curl -sS --max-time $((5 * PATIENCE)) "http://127.0.0.1:$PORT/" |
		sed -n 's/.*pid=\([0-9]*\).*/\1/p'
}

both_answer() {
	wait_until 20 both_have_answered
}

# The other one is stopped meanwhile: on one queue nobody else can answer.
both_have_answered() {
	local slot other pid

	for slot in 0 1; do
		pid=$(worker_pid "$slot")
		other=$(worker_pid $((1 - slot)))
		kill -STOP "$other"
		# a request may be the stopped one's, if it was in accept
		local tries=0 got=
		while [ "$got" != "$pid" ] && [ "$tries" -lt 5 ]; do
			got=$(curl -sS --max-time 1 "http://127.0.0.1:$PORT/" |
				sed -n 's/.*pid=\([0-9]*\).*/\1/p') || true
			tries=$((tries + 1))
		done
		kill -CONT "$other"
		[ "$got" = "$pid" ] || return 1
	done
}

# N = 2 of a binder with these words; both are ready, both answer.
two_serve() {
	start_cluster -n 2 -- "$BINDER" "$@"
	both_answer
}

# --- Each kind of bind ---------------------------------------------------------

@test "both get one socket, with the options, flags and name of their own" {
	two_serve tcp4 keepalive nodelay rcvbuf=40000 nonblock inherit \
		"bind=0.0.0.0:$PORT" tell listen=7 epoll events
	[ "$(learned)" = "tcp:0.0.0.0:$PORT" ]
	[ "$(cluster '.listeners[0].queue_limit')" -eq 14 ] # 7 each
	line="0.0.0.0:$PORT protocol=6 keepalive=1 nodelay=1 rcvbuf=80000"
	line="$line nonblock=1 cloexec=0 reuseport=0 v6only=0"
	wait_logged "$line" 2
	[ "$(grep -c 'protocol=' "$LOG")" -eq 2 ]
	logged "it: listening on tcp:0.0.0.0:$PORT, taken over from it."
	nclust restart "$INSTANCE"
	# who waits by epoll is taken off the socket, and it stays one
	wait_logged "$line" 4
	both_answer
	[ "$(learned)" = "tcp:0.0.0.0:$PORT" ]
}

@test "a duplicate that was made before the bind is the same socket after it" {
	two_serve tcp4 dup "bind=127.0.0.1:$PORT" listen=5 first serve
}

@test "what waits by epoll before the bind is woken after it" {
	two_serve tcp4 nonblock epoll dup epoll first "bind=127.0.0.1:$PORT" \
		listen=5 events
}

@test "any thread and any child may bind and listen" {
	two_serve tcp4 "thread=bind=127.0.0.1:$PORT" thread=listen=5 serve
	nclust stop "$INSTANCE"
	wait_exit
	start_cluster -n 2 -- "$BINDER" fork tcp4 "bind=127.0.0.1:$PORT" \
		listen=5 fork serve
	[ "$(learned)" = "tcp:127.0.0.1:$PORT" ]
	[ -n "$(who)" ]
}

@test "IPv6, both families, and multipath TCP are sockets of their own" {
	two_serve tcp6 "bind=:::$PORT" tell listen=5 serve
	[ "$(learned)" = "tcp:*:$PORT" ]
	nclust stop "$INSTANCE"
	wait_exit
	two_serve tcp6 v6only "bind=:::$PORT" listen=5 tcp4 \
		"bind=0.0.0.0:$PORT" listen=5 serve
	[ "$(learned | tr ' ' '\n' | sort | tr '\n' ' ')" = \
		"tcp:0.0.0.0:$PORT tcp:[::]:$PORT " ]
	nclust stop "$INSTANCE"
	wait_exit
	two_serve mptcp4 "bind=127.0.0.1:$PORT" tell listen=5 serve
	wait_logged "protocol=262" 2
}

@test "a probe is forgotten, and the address is bound all the same" {
	two_serve tcp4 "bind=127.0.0.1:$PORT" close tcp4 "bind=127.0.0.1:$PORT" \
		close tcp4 "bind=127.0.0.1:$PORT" listen=5 serve
	[ "$(learned)" = "tcp:127.0.0.1:$PORT" ]
}

@test "a port that was only tried is free again for others" {
	tried=$PORT
	free_port
	start_cluster -n 1 -- "$BINDER" tcp4 "bind=127.0.0.1:$tried" close \
		tcp4 "bind=127.0.0.1:$PORT" listen=5 serve
	[ "$(learned)" = "tcp:127.0.0.1:$PORT" ]
	timeout 10 "$BINDER" tcp4 "bind=127.0.0.1:$tried"
}

@test "what one process has bound is not taken for a probe of another" {
	other=$PORT
	free_port
	mkfifo "$DIR/go0" "$DIR/go1"
	mkfifo "$DIR/then0" "$DIR/then1"
	start_nclust -n 2 -- sh -c '"$1" tcp4 "bind=127.0.0.1:$2" say=bound \
			"wait=$4/go$NCLUST_SLOT" listen=5 serve &
		exec "$1" "wait=$4/then$NCLUST_SLOT" tcp4 "bind=127.0.0.1:$3" \
			listen=5 serve' - \
		"$BINDER" "$PORT" "$other" "$DIR"
	wait_logged bound 2
	# now the other process of each binds, and only then the first listens
	release "$DIR/then0"
	release "$DIR/then1"
	wait_logged "listening on tcp:127.0.0.1:$other"
	release "$DIR/go0"
	release "$DIR/go1"
	wait_ready
	[ "$(learned)" = "tcp:127.0.0.1:$PORT tcp:127.0.0.1:$other" ]
	[ "$(cluster '[.listeners[] | select(.queue_limit == 10)] | length')" \
		-eq 2 ]
	[ -n "$(who)" ]
}

@test "a second bind by one process fails, with SO_REUSEPORT it is another" {
	two_serve tcp4 "bind=127.0.0.1:$PORT" listen=5 tcp4 \
		"bind=127.0.0.1:$PORT" fail=EADDRINUSE first serve
	nclust stop "$INSTANCE"
	wait_exit
	start_cluster -n 2 -- "$BINDER" tcp4 reuseport "bind=127.0.0.1:$PORT" \
		listen=5 tcp4 reuseport "bind=127.0.0.1:$PORT" tell listen=5 \
		pause
	[ "$(learned)" = "tcp:127.0.0.1:$PORT tcp:127.0.0.1:$PORT" ]
	wait_logged "reuseport=1" 2
}

@test "port 0, UDP and unix paths are the worker's own" {
	start_cluster -n 2 -- "$BINDER" tcp4 bind=127.0.0.1:0 \
		listen=5 tell udp4 "bind=127.0.0.1:$PORT" tell unix \
		"bind=$DIR/s{slot}" listen=5 pause
	[ -z "$(learned)" ]
	wait_logged "127.0.0.1:$PORT protocol=17" 2 # both, by SO_REUSEPORT
	[ "$(grep -c 'reuseport=1' "$LOG")" -eq 2 ]
	[ "$(grep 'protocol=6' "$LOG" | sort -u | wc -l)" -eq 2 ]
	[ -S "$DIR/s0" ] && [ -S "$DIR/s1" ]
}

@test "what the kernel refuses is refused as ever" {
	start_cluster -n 2 -- "$BINDER" tcp4 badbind fail=EFAULT \
		"bind=192.0.2.1:$PORT" fail=EADDRNOTAVAIL \
		"bind=127.0.0.1:$PORT" "bind=127.0.0.1:$PORT" fail=EINVAL \
		listen=5 serve
	both_answer
}

@test "with intercept = off nobody looks" {
	start_nclust -n 2 --intercept off --backoff-min 1m \
		--backoff-max 1m -- "$BINDER" tcp4 \
		"bind=127.0.0.1:$PORT" listen=5 serve
	wait_until 10 '[ "$(cluster .ready)" -eq 1 ]'
	logged "Address already in use"
	[ -z "$(cluster '.listeners[]')" ]
}

# --- What the user has named -----------------------------------------------------

@test "a named address is given to who binds it, or all addresses" {
	start_cluster -n 2 -l "127.0.0.1:$PORT" -- "$BINDER" tcp4 \
		"bind=127.0.0.1:$PORT" listen=5 serve
	both_answer
	[ -z "$(learned)" ]
	nclust stop "$INSTANCE"
	wait_exit
	start_cluster -n 2 -l "127.0.0.1:$PORT" -- "$BINDER" tcp4 \
		"bind=0.0.0.0:$PORT" tell listen=5 serve
	both_answer
	[ -z "$(learned)" ]
	wait_logged "127.0.0.1:$PORT protocol" 2
	logged "binds tcp:0.0.0.0:$PORT; it gets tcp:127.0.0.1:$PORT, as"
}

@test "a bare port stands aside for who knows one family, or each by itself" {
	start_cluster -n 2 -l "$PORT" -- "$BINDER" tcp4 "bind=0.0.0.0:$PORT" \
		tell listen=5 serve
	both_answer
	wait_logged "0.0.0.0:$PORT protocol" 2
	[ "$(named)" = "tcp:0.0.0.0:$PORT" ]
	[ -z "$(learned)" ]
	nclust stop "$INSTANCE"
	wait_exit
	start_cluster -n 2 -l "$PORT" -- "$BINDER" tcp6 v6only "bind=:::$PORT" \
		listen=5 tcp4 "bind=0.0.0.0:$PORT" listen=5 serve
	both_answer
	run ! logged "does not name"
}

@test "a named address is given also to who binds it in other clothes" {
	for way in "127.0.0.1:$PORT mptcp4 bind=127.0.0.1:$PORT" \
		"0.0.0.0:$PORT mptcp4 bind=0.0.0.0:$PORT" \
		"[::1]:$PORT tcp6 bind=::1:$PORT" \
		"127.0.0.1:$PORT tcp6 bind=::ffff:127.0.0.1:$PORT" \
		"[::]:$PORT tcp6 v6only bind=:::$PORT"; do
		: >"$LOG"
		read -r address words <<<"$way"
		# shellcheck disable=SC2086 # several words
		start_cluster -n 2 -l "$address" -- "$BINDER" $words listen=5 \
			say=listens serve
		wait_logged listens 2
		[ -z "$(learned)" ]
		nclust stop "$INSTANCE"
		wait_exit
	done
}

@test "a named UDP address is one socket for all who bind it" {
	start_cluster -n 2 -l "udp:127.0.0.1:$PORT" --ready alive:50ms -- \
		"$BINDER" udp4 keepalive "bind=127.0.0.1:$PORT" tell pause
	wait_logged "127.0.0.1:$PORT protocol=17 keepalive=1" 2
	run ! logged "reuseport=1"
	[ "$(worker 0 .restarts)" -eq 0 ]
}

@test "a release that binds by multipath TCP gets what TCP has bound" {
	echo tcp4 >"$DIR/way"
	start_cluster -n 2 -- sh -c 'exec "$1" "$(cat "$2/way")" \
		"bind=127.0.0.1:$3" listen=5 serve' - "$BINDER" "$DIR" "$PORT"
	echo mptcp4 >"$DIR/way"
	nclust restart "$INSTANCE"
	both_answer
	[ "$(learned)" = "tcp:127.0.0.1:$PORT" ]
}

@test "who takes the passed socket is not disturbed" {
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready notify -- \
		"$FIXTURES/serve" --notify
	[ -n "$(http_get "$PORT")" ]
	[ "$(named)" = "tcp:127.0.0.1:$PORT" ]
	[ -z "$(learned)" ]
}

@test "what was not named is told in one line, and goes on" {
	other=$PORT
	free_port
	start_cluster -n 2 -l "127.0.0.1:$other" -- "$BINDER" tcp4 \
		"bind=127.0.0.1:$PORT" listen=5 serve
	both_answer
	[ "$(learned)" = "tcp:127.0.0.1:$PORT" ]
	[ "$(grep -c "binds tcp:127.0.0.1:$PORT, which 'listen' does not name" \
		"$LOG")" -eq 1 ]
}

@test "one address of a port that was named as a whole is told apart" {
	start_nclust -n 1 -l "$PORT" -- "$BINDER" tcp4 "bind=127.0.0.1:$PORT" \
		fail=EADDRINUSE say=taken pause
	wait_logged taken
	logged "cannot bind tcp:127.0.0.1:$PORT: this cluster has"
	logged "'listen' should name"
}

@test "a reload may name what was learned, and it stays the same socket" {
	cat >"$DIR/it.ini" <<-END
		[cluster:web]
		workers = 2
		command = $BINDER tcp4 bind=127.0.0.1:$PORT listen=5 serve
	END
	start_cluster -c "$DIR/it.ini"
	[ "$(learned)" = "tcp:127.0.0.1:$PORT" ]
	echo "listen = 127.0.0.1:$PORT, backlog=77" >>"$DIR/it.ini"
	nclust reload "$INSTANCE"
	both_answer
	[ "$(named)" = "tcp:127.0.0.1:$PORT" ]
	[ -z "$(learned)" ]
	[ "$(cluster '.listeners[0].queue_limit')" -eq 77 ]
	run ! logged "in use"
}

# --- Whom nclust binds for ---------------------------------------------------------

@test "a privileged port is bound only for who may, or where it was named" {
	need_root
	# in a network of its own, where no port is anybody's
	cat >"$DIR/nclust" <<-END
		#!/bin/sh
		exec unshare -n sh -c 'ip link set lo up && exec "\$@"' - \
			"$NCLUST" "\$@"
	END
	chmod 755 "$DIR/nclust"
	real=$NCLUST
	NCLUST=$DIR/nclust launch_nclust -n 1 --user '#65534' --group '#65534' \
		-- "$BINDER" tcp4 bind=127.0.0.1:81 fail=EACCES say=refused pause
	wait_logged "refused"
	NCLUST=$real stop_process "$NCLUST_PID" 10
	NCLUST=$DIR/nclust launch_nclust -n 2 -- \
		"$BINDER" tcp4 bind=127.0.0.1:81 listen=5 say=for-root pause
	wait_logged "for-root" 2
	stop_process "$NCLUST_PID" 10
	NCLUST=$DIR/nclust launch_nclust -n 2 --user '#65534' --group '#65534' \
		-l 127.0.0.1:81 -- "$BINDER" tcp4 bind=127.0.0.1:81 listen=5 \
		say=named pause
	wait_logged "named" 2
	stop_process "$NCLUST_PID" 10
	NCLUST=$DIR/nclust launch_nclust -n 2 --user '#65534' --group '#65534' \
		-l 81 -- "$BINDER" tcp4 bind=0.0.0.0:81 listen=5 tcp6 v6only \
		bind=:::81 listen=5 say=both-families pause
	wait_logged "both-families" 2
	stop_process "$NCLUST_PID" 10
}

@test "a foreign holder is the server's own error, and one clear line" {
	timeout 60 "$BINDER" tcp4 "bind=127.0.0.1:$PORT" listen=5 say=held \
		pause >"$DIR/holder" 3>&- &
	STARTED+=("$!")
	poll_until 10 file_has "$DIR/holder" held
	start_nclust -n 1 --backoff-min 10ms -- "$BINDER" tcp4 \
		"bind=127.0.0.1:$PORT" fail=EADDRINUSE say=taken pause
	told="it.0: cannot bind tcp:127.0.0.1:$PORT: in use by"
	# on a busy machine nclust may not find out at once who that is
	for ((tries = 1; tries < 20; tries++)); do
		wait_logged "$told" "$tries"
		wait_logged taken "$tries"
		! logged "$told binder" || break
		kill -KILL "$(worker_pid 0)"
	done
	logged "$told binder"
	[ "$(grep -c "$told" "$LOG")" -eq "$tries" ]
	[ -z "$(learned)" ]
}

@test "a stranger's SO_REUSEPORT does not let it in unnoticed" {
	timeout 60 "$BINDER" tcp4 reuseport "bind=127.0.0.1:$PORT" listen=5 \
		say=held pause >"$DIR/holder" 3>&- &
	STARTED+=("$!")
	poll_until 10 file_has "$DIR/holder" held
	start_nclust -n 1 -- "$BINDER" tcp4 reuseport "bind=127.0.0.1:$PORT" \
		fail=EADDRINUSE say=taken pause
	wait_logged taken
}

@test "of two nclust on one port the second is refused" {
	two_serve tcp4 "bind=127.0.0.1:$PORT" listen=5 serve
	INSTANCE=second
	start_nclust -n 2 -- "$BINDER" tcp4 "bind=127.0.0.1:$PORT" \
		fail=EADDRINUSE say=taken pause
	wait_logged taken 2
	nclust stop second
	INSTANCE=it
	both_answer
}

@test "of two clusters on one port the second is told whose it is" {
	cat >"$DIR/it.ini" <<-END
		[cluster:one]
		workers = 1
		command = $BINDER tcp4 bind=127.0.0.1:$PORT listen=5 say=one serve
		[cluster:two]
		workers = 1
		command = $BINDER wait=$DIR/go tcp4 bind=127.0.0.1:$PORT fail=EADDRINUSE say=two pause
	END
	mkfifo "$DIR/go"
	start_nclust -c "$DIR/it.ini"
	wait_logged one
	wait_until 10 '[ "$(CLUSTER=one cluster .ready)" -eq 1 ]'
	release "$DIR/go"
	wait_logged "two.0: cannot bind tcp:127.0.0.1:$PORT: in use by cluster 'one'"
}

# --- While workers come and go -----------------------------------------------------

@test "the queue outlives all workers, and a stop leaves nothing" {
	start_cluster -n 1 -- \
		sh -c '[ ! -e "$1/once" ] || read -r _ <"$1/go"; : >"$1/once"
			exec "$2" tcp4 "bind=127.0.0.1:$3" listen=5 serve' \
		- "$DIR" "$BINDER" "$PORT"
	mkfifo "$DIR/go"
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(worker 0 .restarts)" -eq 1 ]'
	# nobody accepts, nobody is refused
	who >"$DIR/answer" 3>&- &
	STARTED+=("$!")
	asking=$!
	wait_until 10 '[ "$(cluster ".listeners[0].queue")" -eq 1 ]'
	release "$DIR/go"
	wait "$asking"
	[ "$(cat "$DIR/answer")" = "$(worker_pid 0)" ]
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	timeout 10 "$BINDER" tcp4 reuseaddr "bind=127.0.0.1:$PORT" listen=5
}

@test "a worker that shuts the listener down does not take it from the others" {
	mkfifo "$DIR/go"
	start_cluster -n 2 -- sh -c 'if [ "$NCLUST_SLOT" -eq 0 ]
		then exec "$1" tcp4 bind=127.0.0.1:$2 listen=5 wait=$3 \
			shutdown say=down pause
		else exec "$1" tcp4 bind=127.0.0.1:$2 nonblock listen=5 epoll \
			events
		fi' - "$BINDER" "$PORT" "$DIR/go"
	release "$DIR/go"
	wait_logged "listening again"
	[ "$(who)" = "$(worker_pid 1)" ]
}

@test "a release that listens elsewhere: the old port is closed in the end" {
	old=$PORT
	free_port
	echo "$old" >"$DIR/port"
	start_cluster -n 2 -- sh -c 'exec "$1" tcp4 \
		"bind=127.0.0.1:$(cat "$2/port")" listen=5 serve' - \
		"$BINDER" "$DIR"
	echo "$PORT" >"$DIR/port"
	nclust restart --drop-ports "$INSTANCE"
	both_answer
	wait_logged "it: tcp:127.0.0.1:$old closed: no worker uses it" 1 40
	[ "$(learned)" = "tcp:127.0.0.1:$PORT" ]
	timeout 10 "$BINDER" tcp4 reuseaddr "bind=127.0.0.1:$old" listen=5
}

# two_ports: slot 1 alone listens on $SECOND.
two_ports() {
	local first=$PORT

	free_port
	SECOND=$PORT
	start_cluster -n 2 --drain-timeout 1m -- \
		python3 "$ROOT/tests/e2e/servers/two-ports.py" "$first" "$SECOND" \
		"$DIR/go"
	wait_until 10 '[ "$(http_get "$1")" = slot=1 ]' "$SECOND"
}

@test "a port that only a scaled-away slot served is refused, and served again" {
	two_ports

	nclust scale "$INSTANCE" 1
	wait_until 5 '! curl -sS --max-time 1 "http://127.0.0.1:$1/"' "$SECOND"
	# 28 would be a client that waits for nobody
	run curl -sS --max-time "$((5 * PATIENCE))" "http://127.0.0.1:$SECOND/"
	[ "$status" -eq 7 ]

	nclust scale "$INSTANCE" 2
	wait_until 10 '[ "$(http_get "$1")" = slot=1 ]' "$SECOND"
}

@test "its clients are served while the slot that leaves is drained" {
	two_ports
	curl -sS "http://127.0.0.1:$SECOND/hold" >"$DIR/held" &
	held=$!
	STARTED+=("$held")
	wait_until 10 '[ -n "$(ss -Htn state established "sport = :$1")" ]' \
		"$SECOND"

	nclust scale "$INSTANCE" 1 --no-wait
	wait_until 10 '[ "$(worker_state 1)" = draining ]'
	for _ in 1 2 3; do
		[ "$(http_get "$SECOND")" = slot=1 ]
	done
	touch "$DIR/go"
	wait "$held"
	[ "$(cat "$DIR/held")" = slot=1 ]
	wait_logged "it: tcp:127.0.0.1:$SECOND closed"
	run curl -sS --max-time "$((5 * PATIENCE))" "http://127.0.0.1:$SECOND/"
	[ "$status" -ne 28 ]
}

@test "a port that nobody uses any more makes way for the next command" {
	cat >"$DIR/it.ini" <<-END
		[cluster:web]
		workers = 1
		command = $FIXTURES/plain $PORT
	END
	start_cluster -c "$DIR/it.ini"
	[ "$(learned)" = "tcp:0.0.0.0:$PORT" ]
	nclust scale "$INSTANCE" 0
	sed -i "s/$PORT\$/$PORT --loopback/" "$DIR/it.ini"
	nclust reload "$INSTANCE"
	nclust scale "$INSTANCE" 1
	[ "$(who)" = "$(worker_pid 0)" ]
	[ "$(learned)" = "tcp:127.0.0.1:$PORT" ]
	run ! logged "cannot bind"
}

@test "listen is when a worker is ready, and what a restart waits for" {
	start_cluster -n 1 -- sh -c '[ ! -e "$1/once" ] || read -r _ <"$1/go"
		: >"$1/once"; exec "$2" tcp4 "bind=127.0.0.1:$3" listen=5 serve' \
		- "$DIR" "$BINDER" "$PORT"
	old=$(worker_pid 0)
	mkfifo "$DIR/go"
	# seen to listen once: to be alive is not enough any more
	nclust restart "$INSTANCE" --no-wait
	wait_until 10 'status_json | jq -e "[.clusters[0].workers[] |
		select(.state == \"starting\" and .uptime > 1.2)] | length == 1"'
	is_alive "$old"
	[ "$(cluster .state)" = rolling ]
	release "$DIR/go"
	wait_until 20 'is_gone "$1"' "$old"
	wait_until 20 '[ "$(cluster .state)" = running ]'
	[ "$(who)" = "$(worker_pid 0)" ]
}

@test "ready = listen needs interception" {
	run -64 "$NCLUST" -n 1 --name it --ready listen --intercept off -- true
	[[ $output == *"which nclust cannot see with 'intercept' off"* ]]
}

# --- Killed, stopped and hostile -----------------------------------------------------

@test "workers killed in the midst of a bind harm nobody" {
	two_serve tcp4 "bind=127.0.0.1:$PORT" listen=5 serve
	# they bind while nclust sleeps, and are dead when it wakes
	for _ in 1 2 3; do
		nclust scale "$INSTANCE" +2 --no-wait
		kill -STOP "$NCLUST_PID"
		for pid in $(ours); do
			case $(tr '\0' ' ' <"/proc/$pid/cmdline") in
			*binder*) grep -qz 'NCLUST_SLOT=[2-9]' \
				"/proc/$pid/environ" && kill -KILL "$pid" ;;
			esac
		done || true
		kill -CONT "$NCLUST_PID"
		wait_ready 30
		nclust scale "$INSTANCE" -2
	done
	both_answer
}

@test "an address that nobody can read in time holds up its owner alone" {
	need_root
	start_nclust -n 1 -- "$BINDER" tcp4 stuckbind pause
	wait_logged "cannot be looked at in time"
	[ "$(cluster .wanted)" -eq 1 ]
	nclust stop --now "$INSTANCE"
	wait_exit
}

@test "to look at a bind of another user's and to make it takes one process" {
	need_root
	need strace
	mkfifo -m 666 "$DIR/go" "$DIR/bound"
	chmod 755 "$DIR"
	start_cluster -n 1 --user '#65534' --group '#65534' --ready alive:0s \
		-- "$BINDER" tcp4 "wait=$DIR/go" "bind=127.0.0.1:$PORT" \
		"wait=$DIR/bound" pause
	strace -qq -o "$DIR/clones" -p "$NCLUST_PID" -e trace=clone 3>&- \
		2>"$DIR/strace" &
	STARTED+=("$!")
	poll_until 10 holds 'grep -q "^TracerPid:[[:space:]]*[1-9]" \
		"/proc/$NCLUST_PID/status"' || skip "strace cannot attach"
	release "$DIR/go"
	release "$DIR/bound"
	kill "${STARTED[-1]}"
	poll_until 10 is_gone "${STARTED[-1]}"
	[ "$(grep -c "^clone(" "$DIR/clones")" -eq 1 ]
	[ "$(learned)" = "tcp:127.0.0.1:$PORT" ]
}

@test "who binds without end delays nobody but itself" {
	start_nclust -n 2 -- sh -c 'if [ "$NCLUST_SLOT" -eq 0 ]
		then exec "$1" flood
		else exec "$1" tcp4 "bind=127.0.0.1:$2" listen=5 serve
		fi' - "$BINDER" "$PORT"
	wait_until 10 '[ "$(worker 1 .state)" = ready ]'
	for _ in 1 2 3 4 5; do
		[ "$(who)" = "$(worker_pid 1)" ]
	done
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
}
