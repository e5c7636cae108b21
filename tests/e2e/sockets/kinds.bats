# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2154
#
# Unix sockets for datagrams and packets, and options of connections.

bats_require_minimum_version 1.5.0
load ../../lib

# A server of such a socket, which comes as descriptor 3; it answers its pid.
setup() {
	nclust_setup
	cat >"$DIR/serve.py" <<'END'
import os, socket, sys
s = socket.socket(fileno=3)
if sys.argv[1] == "dgram":
    while True:
        _, who = s.recvfrom(100)
        s.sendto(b"%d" % os.getpid(), who)
while True:
    c, _ = s.accept()
    while c.recv(100):
        c.send(b"%d" % os.getpid())
    c.close()
END
	cat >"$DIR/ask.py" <<'END'
import os, socket, sys
kind = socket.SOCK_DGRAM if sys.argv[1] == "dgram" else socket.SOCK_SEQPACKET
s = socket.socket(socket.AF_UNIX, kind)
s.settimeout(5)
at = sys.argv[2]
if kind == socket.SOCK_DGRAM:
    s.bind("")
s.connect("\0" + at[1:] if at[0] == "@" else at)
s.send(b"hello")
print(s.recv(100).decode())
END
}

ask() {
	python3 "$DIR/ask.py" "$@"
}

pids() {
	cluster '[.workers[].pid] | join(" ")'
}

start_kind() { # KIND AT [OPTION]...
	start_cluster -n 2 -l "unix-$1:$2, mode=0660" --intercept off \
		--ready alive:100ms "${@:3}" -- python3 "$DIR/serve.py" "$1"
}

goes_on() {
	local kind=$1 at=$DIR/its.sock

	start_kind "$kind" "$at"
	logged "listening on unix-$kind:$at"
	[ "$(stat -c '%a %F' "$at")" = "660 socket" ]
	[[ " $(pids) " == *" $(ask "$kind" "$at") "* ]]
	[ "$(cluster '.listeners[0].address')" = "unix-$kind:$at" ]
	nclust status "$INSTANCE"

	before=$(pids)
	run -0 nclust restart "$INSTANCE"
	[ "$(pids)" != "$before" ]
	[[ " $(pids) " == *" $(ask "$kind" "$at") "* ]]
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(worker 0 .restarts)" -ge 1 ]'
	wait_ready
	[[ " $(pids) " == *" $(ask "$kind" "$at") "* ]]

	before=$(pids)
	inode=$(stat -c %i "$at")
	nclust upgrade "$INSTANCE"
	[ "$(pids)" = "$before" ]
	[[ " $before " == *" $(ask "$kind" "$at") "* ]]
	[ "$(stat -c %i "$at")" = "$inode" ]
	nclust scale "$INSTANCE" 1
	[ "$(pids)" = "$(ask "$kind" "$at")" ]

	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	[ ! -e "$at" ]
}

@test "unix-dgram serves, and goes on over all that may come" {
	goes_on dgram
}

@test "unix-seqpacket serves, and goes on over all that may come" {
	goes_on seqpacket
}

@test "unix-seqpacket: a reload and orphans = keep go on with it" {
	at=@nclust-test-$$-$RANDOM
	printf '%s\n' '[cluster:web]' "command = python3 $DIR/serve.py seqpacket" \
		'workers = 1' "listen = unix-seqpacket:$at" 'intercept = off' \
		'ready = alive:100ms' 'orphans = keep' >"$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	pid=$(worker_pid 0)
	echo 'env = A=1' >>"$DIR/it.ini"
	nclust reload "$INSTANCE"
	[ "$(worker_pid 0)" != "$pid" ]
	[ "$(ask seqpacket "$at")" = "$(worker_pid 0)" ]
	pid=$(worker_pid 0)
	kill_nclust
	[ "$(ask seqpacket "$at")" = "$pid" ]
	start_cluster -c "$DIR/it.ini"
	[ "$(worker_pid 0)" = "$pid" ]
	[ "$(ask seqpacket "$at")" = "$pid" ]
	nclust stop "$INSTANCE"
	wait_exit
	end_keepers
}

@test "a socket file in use is refused, a stale one is replaced" {
	at=$DIR/its.sock
	start_kind dgram "$at"
	run "$NCLUST" --name other -l "unix-dgram:$at" -- true
	[ "$status" -ne 0 ]
	[[ $output == *"$at"*"in use"* ]]
	[[ " $(pids) " == *" $(ask dgram "$at") "* ]]
	kill_nclust
	wait_until 10 '! is_listened "$1"' "$at"
	start_kind dgram "$at"
	[[ " $(pids) " == *" $(ask dgram "$at") "* ]]
}

@test "options that do not fit are refused, with file and line" {
	printf '%s\n' '[cluster:a]' 'command = true' \
		'listen = unix-dgram:/tmp/x, backlog=5' \
		'listen = unix:/tmp/y, nodelay' \
		'listen = udp:5353, keepalive' \
		'listen = 8000, mark=0x1ffffffff' \
		'listen = 8001, keepalive=1500ms' \
		'listen = 8002, fastopen' \
		'listen = unix-stream:/tmp/z' \
		'[cluster:b]' 'command = true' 'accept = yes' \
		'listen = unix-seqpacket:/tmp/w' >"$DIR/it.ini"
	run -78 "$NCLUST" config --check -c "$DIR/it.ini"
	for line in 3 4 5 6 7 8 9 13; do
		[[ $output == *"it.ini:$line: "* ]]
	done
	[[ $output == *"option 'backlog' does not fit"* ]]
	[[ $output == *"'unix-seqpacket:/tmp/w' cannot be used with 'accept'"* ]]
}

@test "nodelay, keepalive and fastopen reach the connections" {
	free_port
	cat >"$DIR/tell.py" <<'END'
import socket, sys
s = socket.socket(fileno=3)
print("fastopen", s.getsockopt(socket.IPPROTO_TCP, 23), flush=True)
while True:
    c, _ = s.accept()
    c.send(b"%d %d %d" % (c.getsockopt(socket.IPPROTO_TCP, 1),
        c.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        c.getsockopt(socket.IPPROTO_TCP, 4)))
    c.close()
END
	start_cluster -n 1 --intercept off --ready alive:100ms \
		-l "$AT, nodelay, keepalive=77s, fastopen=12" \
		-- python3 "$DIR/tell.py"
	read -r nodelay keepalive idle <"/dev/tcp/127.0.0.1/$PORT" || true
	[ "$nodelay $keepalive $idle" = "1 1 77" ]
	wait_logged "fastopen 12"
	run -0 nclust config "$INSTANCE"
	[[ $output == *"nodelay, keepalive=77s, fastopen=12"* ]]
}

@test "a mark is set, or the error says what it needs" {
	need_root
	need setpriv
	free_port
	start_cluster -n 1 -l "$AT, mark=0x42" --intercept off \
		--ready alive:100ms -- python3 -c 'import socket
s = socket.socket(fileno=3)
print("mark", s.getsockopt(socket.SOL_SOCKET, socket.SO_MARK), flush=True)
s.accept()'
	wait_logged "mark 66"
	nclust stop "$INSTANCE"
	wait_exit
	run setpriv --bounding-set -net_admin,-net_raw \
		--inh-caps -net_admin,-net_raw \
		"$NCLUST" --name other -l "$AT, mark=0x42" -- true
	[ "$status" -ne 0 ]
	[[ $output == *"cannot set mark of 'tcp:$AT'"*CAP_NET_ADMIN* ]]
}
