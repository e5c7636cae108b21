# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# nclust under a service manager: a fake one, that hears all and hands
# sockets over.

bats_require_minimum_version 1.5.0
load ../../lib

# Each datagram is a line of $DIR/told: "TIME PID WORDS", its line ends as \n.
start_manager() {
	: >"$DIR/told"
	python3 - "$DIR/notify" "$DIR/told" 3>&- <<-'E' &
	import os, socket, struct, sys, time
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
	s.bind(sys.argv[1] + ".new")
	os.chmod(sys.argv[1] + ".new", 0o777)
	out = open(sys.argv[2], "w", buffering=1)
	os.rename(sys.argv[1] + ".new", sys.argv[1])
	while True:
	    data, control, _, _ = s.recvmsg(4096, 1024)
	    pid = struct.unpack("3i", control[0][2])[0]
	    print(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000, pid,
	          data.decode().replace("\n", "\\n"), file=out)
	E
	STARTED+=($!)
	poll_until 10 test -S "$DIR/notify"
}

told() {
	file_has "$DIR/told" "$@"
}

# under_manager ARG...: as start_nclust, with its NOTIFY_SOCKET.
under_manager() {
	NOTIFY_SOCKET=$DIR/notify start_nclust "$@"
}

# write_ini WORKERS: a file for the instance `it`.
write_ini() {
	cat >"$DIR/it.ini" <<-INI
	[cluster]
	command = $FIXTURES/deaf --notify
	workers = $1
	ready = notify
	stop-signal = KILL
	INI
}

# start_passing NAMES DESCRIPTORS ARG...: as a manager that passes sockets.
start_passing() {
	local names=$1 count=$2

	shift 2
	# LISTEN_PID is of the process that execs
	bash -c 'export LISTEN_PID=$$ LISTEN_FDS=$1 LISTEN_FDNAMES=$2
		shift 2
		exec "$@"' - "$count" "$names" "$NCLUST" --name "$INSTANCE" \
		"$@" >>"$LOG" 2>&1 </dev/null &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
}

# listening N COMMAND...: run it with N listening sockets from descriptor 3 on;
# their ports are in $DIR/ports.
listening() {
	exec python3 -c 'import os, socket, sys
n = int(sys.argv[1])
ports = []
keep = []
for i in range(n):
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(50)
    ports.append(s.getsockname()[1])
    keep.append(s.detach())
high = [os.dup2(fd, 100 + i) for i, fd in enumerate(keep)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, inheritable=True)
os.closerange(3 + n, 200)
with open(sys.argv[2] + ".new", "w") as out:
    print(*ports, file=out)
os.rename(sys.argv[2] + ".new", sys.argv[2])
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[3], sys.argv[3:])' "$1" "$DIR/ports" "${@:2}"
}

# --- Telling ---------------------------------------------------------------------

@test "READY=1 is told only once all are ready, with a STATUS" {
	mkfifo "$DIR/go"
	start_manager
	under_manager -n 3 --ready notify --stop-signal KILL --start-timeout 60s \
		-- sh -c 'test "$NCLUST_SLOT" = 2 && read -r go <"$1"
			exec "$0" --notify' \
		"$FIXTURES/deaf" "$DIR/go"
	poll_until 10 told "2 of 3 ready"
	run ! told READY=1
	release "$DIR/go"
	poll_until 10 told READY=1
	[[ $(grep READY=1 "$DIR/told") == *"STATUS=it: 3 of 3 ready"* ]]
	# by nclust itself, and once
	[ "$(grep READY=1 "$DIR/told" | cut -d' ' -f2)" = "$NCLUST_PID" ]
	[ "$(grep -c READY=1 "$DIR/told")" -eq 1 ]

	# the STATUS follows; a worker's death is not the service's
	kill -KILL "$(worker_pid 0)"
	wait_until 5 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready
	nclust scale it 4
	poll_until 5 told "STATUS=it: 4 of 4 ready"
	run ! told STOPPING=1
}

@test "with several clusters READY=1 waits for the last" {
	cat >"$DIR/it.ini" <<-INI
	[cluster:web]
	command = $FIXTURES/deaf --notify
	workers = 1
	ready = notify
	stop-signal = KILL
	[cluster:api]
	command = $FIXTURES/slow-ready never
	workers = 1
	ready = notify
	stop-signal = KILL
	INI
	start_manager
	under_manager -c "$DIR/it.ini"
	poll_until 5 told "web: 1 of 1 ready, api: 0 of 1 ready"
	nclust stop it/web --no-wait
	run ! told READY=1
}

@test "a start that fails is never READY, and ends" {
	start_manager
	NOTIFY_SOCKET=$DIR/notify launch_nclust -n 1 --ready notify -- \
		"$DIR/nothing"
	wait_exit
	[ "$status" -eq 127 ]
	run ! told READY=1
}

@test "RELOADING=1 with its time, and READY=1 when it is done" {
	write_ini 1
	start_manager
	under_manager -c "$DIR/it.ini"
	poll_until 10 told READY=1

	nclust reload it
	poll_until 5 told RELOADING=1
	poll_until 5 told READY=1 2
	sed -i 's/workers = 1/workers = 2/' "$DIR/it.ini"
	kill -HUP "$NCLUST_PID"
	poll_until 5 told RELOADING=1 2
	poll_until 5 told READY=1 3

	# CLOCK_MONOTONIC in microseconds, as systemd compares it to its own
	line=$(grep -m 1 RELOADING=1 "$DIR/told")
	[[ $line =~ ^([0-9]+)\ .*MONOTONIC_USEC=([0-9]+) ]]
	[ "${BASH_REMATCH[2]}" -le "${BASH_REMATCH[1]}" ]
	[ "${BASH_REMATCH[2]}" -gt $((BASH_REMATCH[1] - 2000000 * PATIENCE)) ]
	# never one without the other
	[ "$(grep -oE 'RELOADING=1|READY=1' "$DIR/told" | uniq -c |
		awk '{ print $1 }' | sort -u)" = 1 ]
}

@test "a reload of a broken file is READY again, too" {
	write_ini 1
	start_manager
	under_manager -c "$DIR/it.ini"
	poll_until 10 told READY=1
	echo 'nonsense' >>"$DIR/it.ini"
	kill -HUP "$NCLUST_PID"
	wait_logged "it.ini:6"
	if told RELOADING=1; then
		poll_until 5 told READY=1 2
	fi
}

@test "STOPPING=1 when it stops, by signal and by verb" {
	start_manager
	under_manager -n 1 --ready notify --stop-signal KILL \
		-- "$FIXTURES/deaf" --notify
	poll_until 10 told READY=1
	kill -TERM "$NCLUST_PID"
	wait_exit
	[ "$(grep -c "^[0-9]* $NCLUST_PID .*STOPPING=1" "$DIR/told")" -eq 1 ]
	# it is the last thing but for STATUS
	[[ $(grep -oE 'READY=1|STOPPING=1' "$DIR/told" | tail -n 1) == \
		STOPPING=1 ]]
}

@test "WATCHDOG=1 comes at half the interval, and only if asked for" {
	start_manager
	WATCHDOG_USEC=400000 under_manager -n 1 --ready notify \
		--stop-signal KILL -- "$FIXTURES/deaf" --notify
	poll_until 10 told WATCHDOG=1 6
	grep WATCHDOG=1 "$DIR/told" | cut -d' ' -f1 >"$DIR/times"
	# about 200 ms apart: none later than the interval itself
	awk 'NR > 1 && $1 - last > 400000 * '"$PATIENCE"' { exit 1 }
		NR > 1 { sum += $1 - last } { last = $1 }
		END { exit !(sum / (NR - 1) > 100000) }' "$DIR/times"
	nclust stop it
	stop_process "${STARTED[0]}" 5
	rm "$DIR/notify"

	# meant for another process: not for us
	start_manager
	WATCHDOG_USEC=100000 WATCHDOG_PID=1 under_manager -n 1 --ready notify \
		--stop-signal KILL -- "$FIXTURES/deaf" --notify
	poll_until 10 told READY=1
	nclust restart it
	nclust restart it
	run ! told WATCHDOG=1
}

@test "a manager that is gone or does not read is no obstacle" {
	start_manager
	under_manager -n 1 --ready notify --stop-signal KILL \
		-- "$FIXTURES/deaf" --notify
	poll_until 10 told READY=1
	kill -STOP "${STARTED[0]}"
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		nclust scale it "$((i % 3 + 1))"
	done
	kill -KILL "${STARTED[0]}"
	rm "$DIR/notify"
	nclust scale it 2
	nclust stop it
	wait_exit
	[ "$status" -eq 0 ]

	NOTIFY_SOCKET=/nonsense start_cluster -n 1 --ready notify \
		--stop-signal KILL -- "$FIXTURES/deaf" --notify
}

@test "a manager that is behind hears READY=1, RELOADING=1 and WATCHDOG=1 later" {
	write_ini 2
	start_manager
	kill -STOP "${STARTED[0]}"
	# until its queue is full
	python3 - "$DIR/notify" <<-'E'
	import socket, sys
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.connect(sys.argv[1])
	s.setblocking(False)
	try:
	    while True:
	        s.send(b"X=1")
	except BlockingIOError:
	    pass
	E
	WATCHDOG_USEC=100000 under_manager -c "$DIR/it.ini"
	nclust reload it
	nclust scale it 3

	kill -CONT "${STARTED[0]}"
	poll_until 10 told "STATUS=it: 3 of 3 ready"
	poll_until 10 told WATCHDOG=1
	grep -o 'READY=1\|RELOADING=1' "$DIR/told" >"$DIR/order"
	run cat "$DIR/order"
	[ "$output" = $'READY=1\nRELOADING=1\nREADY=1' ]
	nclust stop it
	poll_until 10 told STOPPING=1
}

@test "an abstract NOTIFY_SOCKET works" {
	need socat
	socat -u "ABSTRACT-RECVFROM:nclust-${DIR##*/},fork" \
		"OPEN:$DIR/told,creat,append" 3>&- &
	STARTED+=($!)
	bound() {
		grep -qF "@nclust-${DIR##*/}" /proc/net/unix
	}
	poll_until 5 bound
	NOTIFY_SOCKET=@nclust-${DIR##*/} start_nclust -n 1 --ready notify \
		--stop-signal KILL -- "$FIXTURES/deaf" --notify
	poll_until 10 told READY=1
}

# --- What is not passed on -----------------------------------------------------------

@test "nothing of the manager reaches the workers" {
	start_manager
	mkdir "$DIR/out"
	WATCHDOG_USEC=3000000 under_manager -n 1 --ready notify \
		--stop-signal KILL \
		-- "$FIXTURES/leak" --to "$DIR/out/leak" --notify
	poll_until 10 told READY=1
	jq -e --arg own "$DIR/notify" '.env |
		.NOTIFY_SOCKET != $own and
		(.NOTIFY_SOCKET | startswith("/")) and
		(has("WATCHDOG_USEC") or has("WATCHDOG_PID") or
			has("LISTEN_FDS") or has("LISTEN_PID") or
			has("LISTEN_FDNAMES")) == false' "$DIR/out/leak"
	jq -e '[.fds[].fd] == [0, 1, 2]' "$DIR/out/leak"
	# a worker's own words do not become nclust's
	run ! grep -v "^[0-9]* $NCLUST_PID " "$DIR/told"
}

# --- Sockets that were passed ----------------------------------------------------------

@test "inherit:NAME takes a socket of its own LISTEN_FDS" {
	mkdir "$DIR/out"
	(
		export LISTEN_FDS=2 LISTEN_FDNAMES=admin:web
		listening 2 "$NCLUST" --name it -n 2 --ready notify \
			-l "inherit:web, name=http" --stop-signal KILL \
			-- "$FIXTURES/leak" --to "$DIR/out/leak" \
			--serve --notify
	) >>"$LOG" 2>&1 </dev/null &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
	read -r admin web <"$DIR/ports"
	[[ $(http_get "$web") == pid=* ]]
	# what no listener names is held by nobody
	run ! curl -s --max-time 2 "http://127.0.0.1:$admin/"
	jq -e '.env.LISTEN_FDS == "1" and .env.LISTEN_FDNAMES == "http" and
		.env.LISTEN_PID == (.pid | tostring) and
		[.fds[].fd] == [0, 1, 2, 3]' "$DIR/out/leak"
	[ "$(cluster '.listeners[0].address')" = "tcp:127.0.0.1:$web" ]
}

@test "fd:N takes a socket by number; both outlive a restart of all workers" {
	(
		export LISTEN_FDS=1
		listening 1 "$NCLUST" --name it -n 2 --ready notify -l fd:3 \
			-- "$FIXTURES/serve" --notify
	) >>"$LOG" 2>&1 </dev/null &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
	read -r port <"$DIR/ports"
	[[ $(http_get "$port") == pid=* ]]
	nclust restart it
	[[ $(http_get "$port") == pid=* ]]
}

@test "a name that was not passed, or passed to another process, is refused" {
	run timeout 20 "$NCLUST" --name it -n 1 -l inherit:web -- touch "$DIR/ran"
	[ "$status" -ne 0 ]
	[[ $output == *"web"* ]]
	(
		export LISTEN_FDS=1 LISTEN_FDNAMES=admin
		listening 1 timeout 20 "$NCLUST" --name it -n 1 \
			-l inherit:admin -- touch "$DIR/ran"
	) >"$DIR/out" 2>&1 && false
	[ "$?" -ne 0 ]
	# LISTEN_PID was the one of timeout(1)
	grep -q admin "$DIR/out"
	[ ! -e "$DIR/ran" ]
}
