# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# nclust ask: one worker's answer, past all others at the same port.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	MODES=$DIR/modes
	mkdir -m 755 "$MODES"
}

start_app() {
	free_port
	start_cluster --ready alive:0s -l "$AT" "$@" \
		-- python3 -u "$SCRIPTS/servers/metrics.py" "$MODES"
}

@test "it asks the worker of that slot, and no other" {
	start_app -n 4
	for slot in 3 0 2 1 1; do
		run --separate-stderr nclust ask "it.$slot" GET /debug
		[ "$status" -eq 0 ]
		[ "${lines[0]}" = "pid=$(worker_pid "$slot") slot=$slot" ]
		[ "${lines[1]//$'\r'/}" = "GET /debug HTTP/1.1" ]
		# shellcheck disable=SC2154
		[ "$stderr" = "HTTP/1.1 200 OK" ]
	done
}

@test "head, fields and body as they were given" {
	start_app -n 2
	run --separate-stderr nclust ask it.1 POST /x -i -d 'a=b c' \
		-H 'X-One: 1' -H 'Host: example'
	[ "$status" -eq 0 ]
	output=${output//$'\r'/}
	[[ $output == *$'\nPOST /x HTTP/1.1\n'* ]]
	[[ $output == *$'\nX-One: 1\n'* ]]
	[[ $output == *$'\nHost: example\n'* ]]
	[[ $output != *"Host: localhost"* ]]
	[[ $output == *$'\nContent-Length: 5\n'* ]]
	# escaped, as it goes to a terminal
	[[ $stderr == $'HTTP/1.1 200 OK\nX-Odd: a\\x1bb\n'* ]]
}

@test "the exit status says if it went well" {
	start_app -n 2
	run --separate-stderr nclust ask it.0 GET /missing
	[ "$status" -eq 1 ]
	[ "$stderr" = "HTTP/1.1 404 Not Found" ]
	for how in long shut; do
		echo "$how" >"$MODES/0"
		run --separate-stderr nclust ask it.0 GET /metrics
		[ "$status" -eq 1 ]
		[[ $stderr == *"it.0: it closed the connection in its answer" ]]
	done
	run nclust ask it.7 GET /
	[ "$status" -eq 69 ]
	run nclust ask it GET /
	[ "$status" -eq 64 ]
	[[ $output == *"name which worker, such as 'it.0'"* ]]
	run nclust ask it.0 'GET / X' /
	[ "$status" -eq 64 ]
	run nclust ask it.0 GET / -H "$(printf 'a: b\r\nc: d')"
	[ "$status" -eq 64 ]
}

@test "10 MB stream through, and nclust has none of them" {
	start_app -n 2
	echo big >"$MODES/1"
	before=$(status_json | jq .process.memory_bytes)
	[ "$(nclust ask it.1 GET /metrics 2>/dev/null | wc -c)" -eq 10000000 ]
	after=$(status_json | jq .process.memory_bytes)
	[ $((after - before)) -lt 200000 ]
	echo endless >"$MODES/1"
	nclust ask it.1 GET /metrics 2>/dev/null | head -c 1000000 >/dev/null
}

@test "a worker that takes nothing is told, and nobody waits for it" {
	start_app -n 2
	freeze "$(worker_pid 1)"
	run nclust ask it.1 GET /
	[ "$status" -eq 75 ]
	[[ $output == *"it.1 took no connection"* ]]
	nclust ask it.0 GET / >/dev/null 2>&1
	thaw "$(worker_pid 1)"
	nclust ask it.1 GET / >/dev/null 2>&1
	# one who gives up leaves nothing behind
	freeze "$(worker_pid 1)"
	nclust ask it.1 GET / 3>&- &
	wait_until 5 '[ -n "$(ss -Htn state established "dport = :$1")" ]' \
		"$PORT"
	kill -KILL $!
	thaw "$(worker_pid 1)"
	nclust ask it.1 GET / >/dev/null 2>&1
	[ "$(cluster .ready)" -eq 2 ]
}

@test "an upgrade meanwhile is not the worker's fault: it is asked again" {
	start_app -n 2
	freeze "$(worker_pid 1)"
	nclust ask it.1 GET /again >"$DIR/answer" 2>"$DIR/said" 3>&- &
	asking=$!
	wait_until 5 '[ -n "$(ss -Htn state established "dport = :$1")" ]' \
		"$PORT"
	nclust upgrade it
	thaw "$(worker_pid 1)"
	wait "$asking"
	grep -q '^GET /again HTTP' "$DIR/answer"
	grep -q '^HTTP/1.1 200 OK' "$DIR/said"
	# who speaks the protocol by himself is told
	freeze "$(worker_pid 1)"
	socat -t 5 - "UNIX:$NCLUST_RUNTIME_DIR/it/control" >"$DIR/raw" 3>&- \
		<<<'{"jsonrpc":"2.0","id":1,"method":"ask","params":{"target":"it.1"}}' &
	asking=$!
	wait_until 5 '[ -n "$(ss -Htn state established "dport = :$1")" ]' \
		"$PORT"
	nclust upgrade it
	wait "$asking"
	thaw "$(worker_pid 1)"
	grep -q '"code":-32001,"message":"it.1 was not asked, because nclust is being upgraded' \
		"$DIR/raw"
}

@test "requests that wait at once get no letter of each other" {
	free_port
	start_cluster --ready alive:0s -n 1 -l "$AT,defer-accept=2s" \
		-- python3 -u "$SCRIPTS/servers/metrics.py" "$MODES"
	freeze "$(worker_pid 0)"
	nclust ask it.0 GET /a >"$DIR/a" 2>/dev/null 3>&- &
	first=$!
	wait_until 5 '[ -n "$(ss -Htn state established "dport = :$1")" ]' \
		"$PORT"
	nclust ask it.0 POST /b >"$DIR/b" 2>/dev/null 3>&- &
	second=$!
	sleep 0.5
	thaw "$(worker_pid 0)"
	wait "$first"
	wait "$second"
	grep -q '^GET /a HTTP' "$DIR/a"
	grep -q '^POST /b HTTP' "$DIR/b"
}

@test "what a worker says commands no terminal" {
	start_app -n 1
	script -qec "'$NCLUST' ask it.0 GET /odd" /dev/null >"$DIR/screen" 3>&- \
		</dev/null
	grep -qaF '\x1b]0;evil\x07' "$DIR/screen"
	grep -qa "^GET /odd HTTP/1.1"$'\r\r*$' "$DIR/screen"
	run grep -qa $'\x1b' "$DIR/screen"
	[ "$status" -eq 1 ]
	# and a pipe gets each byte
	nclust ask it.0 GET /odd 2>/dev/null | grep -qaF $'\x1b]0;evil\x07'
}

@test "readers may not ask" {
	[ "$(id -u)" -eq 0 ] || skip "needs another user"
	start_app -n 1 --control-group nogroup
	run setpriv --reuid 65534 --regid 65534 --clear-groups \
		env NCLUST_RUNTIME_DIR="$NCLUST_RUNTIME_DIR" \
		socat -t 5 - "UNIX:$NCLUST_RUNTIME_DIR/it/control" \
		<<<'{"jsonrpc":"2.0","id":1,"method":"ask","params":{"target":"it.0"}}'
	[[ $output == *'"code":-32002'* ]]
}
