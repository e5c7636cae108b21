# SPDX-License-Identifier: MIT
#
# Addresses: what can be listened on, what is refused, and what becomes of the
# files and sockets that were there before.

load ../../lib
bats_require_minimum_version 1.5.0

SERVERS=$SCRIPTS/servers

# serve_on ARG...: a cluster of one worker of the fixture serve.
serve_on() {
	start_cluster -n 1 --ready notify "$@" -- "$FIXTURES/serve" --notify
}

# The same under the words before "::".
serve_under() {
	local words=()

	while [ "$1" != :: ]; do
		words+=("$1")
		shift
	done
	shift
	"${words[@]}" "$NCLUST" --name "$INSTANCE" -n 1 --ready notify "$@" \
		-- "$FIXTURES/serve" --notify >>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
}

# refused STATUS ARG...: why is in $output.
refused() {
	local want=$1

	shift
	run "-$want" timeout "$((5 * PATIENCE))" "$NCLUST" --name "$INSTANCE" \
		-n 1 "$@" -- touch "$DIR/ran"
	echo "$output"
	[ "${#lines[@]}" -eq 1 ]
	[ ! -e "$DIR/ran" ]
}

unix_get() {
	curl -sS --max-time "$((5 * PATIENCE))" --unix-socket "$1" http://x/
}

# A socket of a process of ours, at this path; it ends by closing $LIVE.
live_socket() {
	coproc LIVE { exec python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
print("ready", flush=True)
sys.stdin.read()' "$1" 3>&-; }
	STARTED+=("$LIVE_PID")
	read -r -u "${LIVE[0]}" _
}

# --- Addresses ---------------------------------------------------------------

@test "addresses that make no sense are refused before anything starts" {
	local bad

	for bad in 70000 -1 80x '[::1' '' 127.0.0.1: 127.0.0.1:70000 \
		1.2.3.4.5:80 ::1:80x unix: unix:relative unix:@ fd:1 fd:x \
		tcp: 'http://x' '8000, backlog=x' '8000, nonsense' \
		'unix:/x, mode=9' '127.0.0.1:80, mode=600' \
		'unix:/x, owner=no-such-user' /run/x.sock; do
		refused 64 -l "$bad"
		[[ $output == --listen:* ]] || {
			echo "no: $output"
			return 1
		}
	done
}

@test "names are not resolved, and the message says so" {
	refused 64 -l localhost:8000
	[[ $output == *"names are not resolved"*127.0.0.1* ]]
	refused 64 -l example.com:80
	[[ $output == *"names are not resolved"* ]]
}

@test "an address is shown whole when it is wrong" {
	refused 64 -l '[::1'
	[[ $output == *"found '[::1'"* ]]
}

@test "a bare port is IPv6 and IPv4 by one descriptor" {
	free_port
	serve_on -l "$PORT"
	[[ $(http_get "$PORT") == pid=* ]]
	[ ! -e /proc/net/if_inet6 ] || ! grep -q . /proc/net/if_inet6 ||
		[[ $(curl -sS "http://[::1]:$PORT/") == pid=* ]]
	[ "$(cluster '.listeners | length')" -eq 1 ]
}

@test "an IPv6 address alone, and with v6only beside IPv4 on the same port" {
	grep -q . /proc/net/if_inet6 || skip "no IPv6 here"
	free_port
	serve_on -l "[::]:$PORT, v6only, name=six" -l "0.0.0.0:$PORT, name=four"
	[[ $(curl -sS "http://[::1]:$PORT/") == pid=* ]]
	[ "$(cluster '[.listeners[].name] | join(" ")')" = "six four" ]
}

@test "where there is no IPv6 a bare port is IPv4, and [::1] is an error" {
	need_root
	run unshare -n sh -c '
		ip link set lo up
		echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
		echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
		echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6
		"$0" --name it -n 1 -l 8000 --ready notify \
			-- "$1" --notify >"$2" 2>&1 3>&- &
		until "$0" status it >/dev/null 2>&1; do sleep 0.02; done
		curl -sS --max-time 5 http://127.0.0.1:8000/
		kill $!
		wait $! || echo "exit $?"
		"$0" --name it -n 1 -l "[::1]:8000" -- touch "$3"
		echo "exit $?"
		' "$NCLUST" "$FIXTURES/serve" "$LOG" "$DIR/ran" 3>&-
	echo "$output"
	[[ ${lines[0]} == pid=* ]]
	[[ ${lines[1]} == *"[::1]:8000"*"annot assign requested address"* ]]
	[ "${lines[2]}" = "exit 1" ]
	[ ! -e "$DIR/ran" ]
}

@test "a kernel without IPv6: a bare port is 0.0.0.0, and it says so" {
	free_port
	run python3 "$SERVERS/without-ipv6.py" "$NCLUST" --name "$INSTANCE" \
		-l "[::]:$PORT" -- touch "$DIR/ran"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"[::]:$PORT"*"Address family not supported"* ]]
	[ ! -e "$DIR/ran" ]

	serve_under python3 "$SERVERS/without-ipv6.py" :: -l "$PORT"
	[[ $(http_get "$PORT") == pid=* ]]
	grep -F "listening on tcp:0.0.0.0:$PORT" "$LOG"
}

@test "port 0 is chosen once, printed, shown, exported and kept" {
	local port

	start_cluster -n 1 -l 127.0.0.1:0,name=http --ready notify -- \
		"$FIXTURES/leak" --to "$DIR/dump" --serve --notify
	port=$(cluster '.listeners[0].address | sub(".*:"; "")')
	[ "$port" -gt 0 ]
	grep -F "listening on tcp:127.0.0.1:$port" "$LOG"
	[ "$(jq -r .env.PORT "$DIR/dump")" = "$port" ]
	[[ $(http_get "$port") == pid=* ]]

	nclust restart "$INSTANCE"
	[[ $(http_get "$port") == *gen=2* ]]
}

@test "several listeners are passed in order, with their names" {
	local one

	free_port
	one=$PORT
	free_port
	start_cluster -n 1 -l "127.0.0.1:$one, name=http" \
		-l "udp:127.0.0.1:$PORT, name=dns" -l "unix:$DIR/adm.sock" \
		--ready notify -- "$FIXTURES/leak" --to "$DIR/dump" \
		--serve --notify --name adm.sock
	[ "$(jq -r .env.LISTEN_FDNAMES "$DIR/dump")" = http:dns:adm.sock ]
	[ "$(jq -r .env.LISTEN_FDS "$DIR/dump")" = 3 ]
	[[ $(unix_get "$DIR/adm.sock") == pid=* ]]
	# who did not accept is asked nothing, but the port is open
	[ "$(cluster '[.listeners[].name] | join(" ")')" = \
		"http dns adm.sock" ]
}

@test "udp answers, and goes on after its worker was killed" {
	free_port
	start_cluster -n 1 -l "udp:127.0.0.1:$PORT" --ready notify -- \
		"$FIXTURES/serve" --udp --notify
	[[ $(udp_ask "$PORT") == pid=* ]]
	pid=$(worker_pid 0)
	kill -KILL "$pid"
	poll_until 10 is_gone "$pid" # it may yet take one with it
	# sent to nobody, answered by the successor
	[[ $(udp_ask "$PORT") == pid=* ]]
}

udp_ask() {
	python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.sendto(b"hello", ("127.0.0.1", int(sys.argv[1])))
print(s.recv(1000).decode())' "$1"
}

@test "options of a listener reach the socket" {
	local queue

	free_port
	start_cluster -n 1 -l "127.0.0.1:$PORT, backlog=7, nonblock" \
		--ready notify -- "$FIXTURES/leak" --notify --to "$DIR/dump"
	[ "$(jq '.fds[3].nonblock' "$DIR/dump")" = true ]
	queue=$(ss -Hltn "sport = :$PORT" | awk '{ print $3 }')
	[ "$queue" -eq 7 ]
	[ "$(cluster '.listeners[0].queue_limit')" -eq 7 ]
}

@test "descriptors are in blocking mode unless nonblock is asked for" {
	start_cluster -n 1 -l 127.0.0.1:0 -l "unix:$DIR/s" -l udp:127.0.0.1:0 \
		--ready notify -- "$FIXTURES/leak" --notify --to "$DIR/dump"
	[ "$(jq -c '[.fds[3:][].nonblock]' "$DIR/dump")" = \
		'[false,false,false]' ]
}

# --- Unix sockets ------------------------------------------------------------

@test "a unix socket gets its mode, owner and group at birth, and goes at the end" {
	need_root
	serve_on -l "unix:$DIR/s.sock, mode=0660, owner=daemon, group=mail"
	[ "$(stat -c '%a %U %G %F' "$DIR/s.sock")" = "660 daemon mail socket" ]
	[[ $(unix_get "$DIR/s.sock") == pid=* ]]
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	[ ! -e "$DIR/s.sock" ]
}

@test "a stale unix socket is replaced" {
	python3 -c 'import socket, sys
socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$DIR/s.sock"
	[ -S "$DIR/s.sock" ]
	serve_on -l "unix:$DIR/s.sock"
	[[ $(unix_get "$DIR/s.sock") == pid=* ]]
	[ "$(ls "$DIR" | grep -c sock)" -eq 1 ]
}

@test "a living unix socket is refused and left alone" {
	local inode

	live_socket "$DIR/s.sock"
	inode=$(stat -c %i "$DIR/s.sock")
	refused 1 -l "unix:$DIR/s.sock"
	[[ $output == *"$DIR/s.sock"*"Address already in use"* ]]
	[ "$(stat -c %i "$DIR/s.sock")" = "$inode" ]
}

@test "files, links and directories in a socket's place are never touched" {
	echo precious >"$DIR/file"
	ln -s "$DIR/file" "$DIR/link"
	ln -s "$DIR/absent" "$DIR/dangling"
	mkdir "$DIR/directory"
	mkfifo "$DIR/fifo"
	for place in file link dangling directory fifo; do
		refused 1 -l "unix:$DIR/$place"
		[[ $output == *"$DIR/$place"*"exists and is not a socket"* ]]
	done
	[ "$(cat "$DIR/link")" = precious ]
	[ -L "$DIR/dangling" ]
	[ ! -e "$DIR/absent" ]
	[ -d "$DIR/directory" ]
	[ -p "$DIR/fifo" ]

	# A link to a stale socket is no socket either.
	python3 -c 'import socket, sys
socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$DIR/stale"
	ln -s "$DIR/stale" "$DIR/tostale"
	refused 1 -l "unix:$DIR/tostale"
	[ -S "$DIR/stale" ]
}

@test "what took a socket's place meanwhile is not removed at the end" {
	serve_on -l "unix:$DIR/s.sock"
	rm "$DIR/s.sock"
	echo precious >"$DIR/s.sock"
	nclust stop "$INSTANCE"
	wait_exit
	[ "$(cat "$DIR/s.sock")" = precious ]
}

@test "a unix path longer than a socket address works and is shown whole" {
	local long

	long=$DIR/$(printf 'd%.0s' {1..120})
	mkdir "$long"
	start_cluster -n 1 -l "unix:$long/s.sock" --ready notify -- \
		"$FIXTURES/leak" --to "$DIR/dump" --serve --notify
	[[ $(cd "$long" && unix_get s.sock) == pid=* ]]
	[ "$(cluster '.listeners[0].address')" = "unix:$long/s.sock" ]
	[ "$(jq -r .env.SERVER_STARTER_PORT "$DIR/dump")" = "$long/s.sock=3" ]
	nclust stop "$INSTANCE"
	wait_exit
	[ ! -e "$long/s.sock" ]

	refused 1 -l "unix:$DIR/$(printf 'd%.0s' {1..110})"
	[[ $output == *"File name too long"* ]]
}

@test "a unix socket in a directory that is not there is refused" {
	refused 1 -l "unix:$DIR/no/such/s.sock"
	[[ $output == *"$DIR/no/such"*"No such file or directory"* ]]
}

@test "an abstract name answers, and leaves no file" {
	serve_on -l "unix:@nclust-test-$$-$BATS_TEST_NUMBER"
	[[ $(curl -sS --abstract-unix-socket \
		"nclust-test-$$-$BATS_TEST_NUMBER" http://x/) == pid=* ]]
}

# --- What workers do to the socket of all ----------------------------------------

# spoiled_by WORD...: two workers of spoils.py share a unix socket.
spoiled_by() {
	mkdir "$DIR/place"
	start_cluster -n 2 --ready notify -l "unix:$DIR/place/s" -- \
		python3 "$SERVERS/spoils.py" "$@"
	BEFORE=$(pids)
}

pids() {
	cluster '[.workers[].pid] | sort | join(" ")'
}

answers() {
	[[ $(unix_get "$DIR/place/s" 2>&1) == pid=* ]]
}

# all_others WORDS...: none of these is a worker any more, and there are two.
all_others() {
	local pid

	for pid in $1; do
		[[ " $(pids) " != *" $pid "* ]] || return 1
	done
	[ "$(cluster .ready)" -eq 2 ]
}

@test "a unix socket that a worker shuts down as it stops serves on" {
	spoiled_by shutdown
	nclust restart "$INSTANCE.0"
	wait_logged "listener 's': a worker has shut it down for all; bound again"
	wait_until 10 answers
	# the one that was not restarted has the former socket, too
	wait_until 10 'all_others "$BEFORE"'
	wait_until 10 answers
	[ "$(status_json | gojq -r '.clusters[0].workers[].restarts' | sort -u)" = 0 ]
	nclust restart "$INSTANCE"
	wait_until 10 answers
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	[ -z "$(ls -A "$DIR/place")" ]
}

@test "a unix socket whose file a worker removes as it stops gets it back" {
	local inode

	spoiled_by unlink
	inode=$(stat -c %i "$DIR/place/s")
	nclust restart "$INSTANCE"
	wait_until 10 '[ -S "$DIR/place/s" ]'
	[ "$(stat -c %i "$DIR/place/s")" = "$inode" ]
	answers
	logged "listener 's': its file was removed; it has its name again"
	all_others "$BEFORE"
	nclust stop "$INSTANCE"
	wait_exit
	[ -z "$(ls -A "$DIR/place")" ]
}

@test "a unix socket without any name is bound again, and its workers replaced" {
	local mode

	spoiled_by nothing
	mode=$(stat -c '%a %u %g' "$DIR/place/s")
	find "$DIR/place" -mindepth 1 -delete
	kill -KILL "$(worker_pid 0)"
	wait_logged "listener 's': its file was removed; bound again"
	[ "$(stat -c '%a %u %g' "$DIR/place/s")" = "$mode" ]
	wait_until 10 answers
	wait_until 10 'all_others "$BEFORE"'
}

@test "one whose directory is gone is bound again once that is there" {
	spoiled_by nothing
	rm -r "$DIR/place"
	kill -KILL "$(worker_pid 0)"
	wait_logged "and it cannot be bound again: cannot open the directory"
	wait_until 10 '[ "$(cluster .ready)" -eq 2 ]'
	sleep 1 # no worker ends or starts any more
	mkdir "$DIR/place"
	wait_until 10 answers
}

@test "no worker leads nclust to another directory, where it would bind a socket" {
	need_root
	mkdir -m 755 "$DIR/home" "$DIR/other"
	mkdir "$DIR/home/run"
	chown -R nobody "$DIR/home"
	cat >"$DIR/leads.py" <<-P
	import os, signal, socket
	s = socket.socket(fileno=3)
	if os.path.isdir("$DIR/home/run") and not os.path.islink("$DIR/home/run"):
	    os.rename("$DIR/home/run", "$DIR/home/former")
	    os.symlink("$DIR/other", "$DIR/home/run")
	    s.shutdown(socket.SHUT_RDWR)
	signal.pause()
	P
	start_nclust -n 1 --user nobody -l "unix:$DIR/home/run/s, mode=0666" \
		-- python3 "$DIR/leads.py"
	wait_logged "cannot be bound again: another user can replace a directory"
	[ -z "$(ls -A "$DIR/other")" ]
}

@test "a reload notices that the file of a unix socket was removed" {
	mkdir "$DIR/place"
	printf '%s\n' '[cluster:it]' "command = $FIXTURES/serve --notify" \
		'workers = 1' 'ready = notify' "listen = unix:$DIR/place/s" \
		>"$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	find "$DIR/place" -mindepth 1 -delete
	nclust reload "$INSTANCE"
	wait_until 10 answers
}

@test "a unix socket that nclust itself accepts from is bound again, too" {
	mkdir "$DIR/place"
	cat >"$DIR/once.sh" <<-'END'
		while read -r line && [ "${#line}" -gt 1 ]; do :; done
		printf 'HTTP/1.0 200 OK\r\n\r\npid=%s\n' "$$"
	END
	printf '%s\n' '[cluster:it]' "command = sh $DIR/once.sh" 'accept = yes' \
		'workers = 3' "listen = unix:$DIR/place/s" >"$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	wait_until 10 answers
	find "$DIR/place" -mindepth 1 -delete
	nclust reload "$INSTANCE"
	wait_until 10 answers
	nclust status "$INSTANCE"
}

@test "what stands in the place of a unix socket is left alone, as one line says" {
	local inode

	spoiled_by nothing
	rm "$DIR/place/s"
	live_socket "$DIR/place/s"
	inode=$(stat -c %i "$DIR/place/s")
	nclust restart "$INSTANCE"
	wait_logged "listener 's': another file is in its place"
	[ "$(stat -c %i "$DIR/place/s")" = "$inode" ]
	# the stranger goes
	rm "$DIR/place/s"
	nclust restart "$INSTANCE"
	wait_until 10 answers
}

@test "a datagram socket that a worker connects hears all again after a restart" {
	free_port
	start_cluster -n 1 --ready notify -l "udp:127.0.0.1:$PORT" -- \
		python3 "$SERVERS/spoils.py" connect "$DIR/go"
	wait_until 10 'hears "$1"' "$PORT"
	touch "$DIR/go"
	wait_logged 'connected now'
	rm "$DIR/go"
	! hears "$PORT" || return 1
	nclust restart "$INSTANCE"
	wait_until 10 'hears "$1"' "$PORT"
	logged "a worker has connected it"
}

# hears PORT: does the server of datagrams answer?
hears() {
	python3 -c 'import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.3)
s.sendto(b"hello", ("127.0.0.1", int(sys.argv[1])))
sys.exit(not s.recv(100).startswith(b"pid="))' "$1" 2>&1
}

@test "a listener that is shut down without end serves again once that has ended" {
	free_port
	touch "$DIR/go"
	start_cluster -n 1 --ready notify -l "127.0.0.1:$PORT" -- \
		python3 "$SERVERS/spoils.py" while "$DIR/go"
	wait_logged "listening again"
	rm "$DIR/go"
	wait_until 10 '[[ $(http_get "$1") == pid=* ]]' "$PORT"
}

# --- From outside ------------------------------------------------------------

@test "fd:N takes a descriptor that nclust was started with" {
	free_port
	serve_under python3 -c '
import os, socket, sys
s = socket.socket()
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
os.dup2(s.fileno(), 7)
os.execv(sys.argv[2], sys.argv[2:])' "$PORT" :: -l "fd:7, name=http"
	[[ $(http_get "$PORT") == pid=* ]]
	[ "$(cluster '.listeners[0].address')" = "tcp:127.0.0.1:$PORT" ]
	nclust restart "$INSTANCE"
	[[ $(http_get "$PORT") == *gen=2* ]]
}

@test "fd:N that is not open, or no socket, is refused" {
	refused 1 -l fd:77
	[[ $output == *"77"*"not open"* ]]
	exec 8</dev/null
	refused 1 -l fd:8
	exec 8<&-
	[[ $output == *"8"*"non-socket"* ]]
}

@test "inherit:NAME takes a socket by its name from the service manager" {
	local one two

	free_port
	one=$PORT
	free_port
	two=$PORT
	serve_under "$SERVERS/activate.py" "admin=$one" "http=$two" \
		"local=unix:$DIR/m.sock" -- :: -l inherit:http
	[[ $(http_get "$two") == pid=* ]]
	[ "$(cluster '.listeners | length')" -eq 1 ]
	# what was passed and not named reaches no worker
	run ls "/proc/$(worker_pid 0)/fd"
	[ "${lines[*]}" = "0 1 2 3" ]

	# The socket is the manager's: its file is not ours to remove.
	nclust stop "$INSTANCE"
	wait_exit
	[ -S "$DIR/m.sock" ]
}

@test "inherit:NAME with no such name is refused, and says what there is" {
	free_port
	run -1 "$SERVERS/activate.py" "admin=$PORT" -- timeout 5 "$NCLUST" \
		-l inherit:http -- touch "$DIR/ran"
	# timeout is another process: LISTEN_PID is not ours, nothing is taken
	[[ $output == *"(0 in LISTEN_FDS)"* ]]
	run -1 "$SERVERS/activate.py" "admin=$PORT" -- "$NCLUST" \
		-l inherit:http -- touch "$DIR/ran"
	echo "$output"
	[[ $output == *"http"*"(1 in LISTEN_FDS)"* ]]
	[ ! -e "$DIR/ran" ]
}

@test "what stop has stopped can be started anew at once" {
	local i

	free_port
	for ((i = 0; i < 5; i++)); do
		serve_on -l "127.0.0.1:$PORT" -l "unix:$DIR/s.sock, mode=0600"
		nclust stop "$INSTANCE"
	done
}
