#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# "{slot}" in `listen`: each slot has an address of its own, which only its workers
# get, and which is there as long as the slot.

load ../../lib
bats_require_minimum_version 1.5.0

setup() {
	nclust_setup
	free_ports 5
}

# free_ports COUNT: PORT and those after it.
free_ports() {
	local i try

	for ((try = 0; try < 50; try++)); do
		free_port || return 1
		for ((i = 1; i < $1; i++)); do
			! port_is_taken $((PORT + i)) || break
			ln -sT "$DIR" "$(port_mark $((PORT + i)))" 2>/dev/null ||
				break
			PORTS+=($((PORT + i)))
		done
		[ "$i" -lt "$1" ] || return 0
	done
	return 1
}

slot_of() {
	http_get "$1" | sed -n 's/.*slot=\([0-9]*\).*/\1/p'
}

# serves COUNT: have so many slots their ports, and nobody else?
serves() {
	local i

	for ((i = 0; i < $1; i++)); do
		[ "$(slot_of $((PORT + i)))" = "$i" ] || return 1
	done
	! is_listened $((PORT + $1))
}

start_own() {
	start_cluster "$@" --ready notify -l "127.0.0.1:{slot+$PORT}" -- \
		"$FIXTURES/serve" --notify
}

@test "each slot has its own port and path, beside one for all" {
	free=$PORT
	free_port
	start_cluster -n 2 --ready notify -l "127.0.0.1:{slot+$free}" \
		-l "127.0.0.1:$PORT, name=all" \
		-l "unix:$DIR/{cluster}-{slot}.sock, name=u{slot}" -- \
		"$FIXTURES/leak" --notify --to "$DIR/dump.{slot}"
	[ "$(cluster '[.listeners[] | [.slot, .name]] | tostring')" = \
		"[[0,\"$free\"],[null,\"all\"],[0,\"u0\"],[1,\"$((free + 1))\"],[1,\"u1\"]]" ]
	[ "$(jq -r .env.LISTEN_FDNAMES "$DIR/dump.0")" = "$free:all:u0" ]
	[ "$(jq -r .env.LISTEN_FDNAMES "$DIR/dump.1")" = \
		"$((free + 1)):all:u1" ]
	[ "$(jq -r .env.SERVER_STARTER_PORT "$DIR/dump.1")" = \
		"127.0.0.1:$((free + 1))=3;127.0.0.1:$PORT=4;$DIR/it-1.sock=5" ]
}

@test "a restart and a death leave no client of a slot's port without an answer" {
	start_own -n 3
	serves 3
	start_load "$((PORT + 1))"
	run -0 nclust restart it
	end_load
	[ "$REFUSED" -eq 0 ]
	[ "$LOST" -eq 0 ]
	serves 3
	start_load "$((PORT + 1))"
	old=$(worker_pid 1)
	kill -KILL "$old"
	wait_until 10 '[ "$(worker_pid 1)" != "$1" ]' "$old"
	end_load
	[ "$REFUSED" -eq 0 ]
	serves 3
}

@test "the last of many slots is emptied as the first" {
	free_ports 34
	start_cluster -n 34 -l "127.0.0.1:{slot+$PORT}" -- "$FIXTURES/rude" \
		--slow 1500 --mark "$DIR/read"
	curl -sS --max-time 60 3>&- >"$DIR/answer" \
		"http://127.0.0.1:$((PORT + 33))/slow?1" &
	asked=$!
	STARTED+=("$asked")
	poll_until 10 test -s "$DIR/read"
	run -0 nclust restart it.33
	wait "$asked"
	grep -q 'slot=33' "$DIR/answer"
}

@test "ports come and go with the slots" {
	start_own -n 2
	run -0 nclust scale it 4
	serves 4
	run -0 nclust scale it 2
	wait_until 10 'serves 2'
	run -0 nclust scale it 3
	serves 3
	run -0 nclust scale it 0
	run -0 nclust scale it 2
	serves 2
}

@test "no scale is done onto a port that somebody else has" {
	start_own -n 2
	"$FIXTURES/bind-itself" "$((PORT + 3))" 3>&- &
	STARTED+=($!)
	wait_listened "$((PORT + 3))"
	poll_until 20 refused 1 "cannot listen on 'tcp:127.0.0.1:$((PORT + 3))': Address already in use; in use by bind-itself" \
		nclust scale it 4
	[ "$(cluster .wanted)" -eq 2 ]
	run -0 nclust scale it 3
	[ "$(slot_of $((PORT + 2)))" = 2 ]
	run -0 nclust restart it
	[ "$(slot_of $((PORT + 2)))" = 2 ]
}

@test "an upgrade carries them, and a scale after it adds some" {
	start_own -n 2
	run -0 nclust upgrade it
	serves 2
	run -0 nclust scale it 3
	run -0 nclust restart it
	serves 3
	run -0 nclust scale it 1
	wait_until 10 'serves 1'
}

@test "a reload that changes the offset moves them, and refuses nobody meanwhile" {
	write_own() {
		printf '%s\n' '[cluster:it]' "command = $FIXTURES/serve --notify" \
			'workers = 2' 'ready = notify' \
			"listen = 127.0.0.1:{slot+$1}, name=http" >"$DIR/it.ini"
	}
	write_own "$PORT"
	start_cluster -c "$DIR/it.ini"
	serves 2
	start_load "$((PORT + 1))" # slot 1's, and then slot 0's
	write_own $((PORT + 1))
	run -0 nclust reload it
	end_load
	[ "$REFUSED" -eq 0 ]
	[ "$LOST" -eq 0 ]
	wait_until 10 '! is_listened "$PORT"'
	PORT=$((PORT + 1))
	serves 2
	run -0 nclust restart it
	serves 2
}

@test "a server that binds by itself gets the one of its slot, and no other" {
	start_cluster -n 2 -l "127.0.0.1:{slot+$PORT}" -- \
		"$FIXTURES/plain" "{slot+$PORT}" --loopback
	run -0 cluster '[.listeners[] | .bound, .learned] | tostring'
	[ "$output" = '[true,false,true,false]' ]
	start_load "$((PORT + 1))"
	run -0 nclust restart it
	end_load
	[ "$REFUSED" -eq 0 ]
	for i in 0 1; do
		[ "$(http_get $((PORT + i)))" = "pid=$(worker_pid "$i")" ]
	done
}

@test "a server of Python's library, too, and all addresses of its slot's port" {
	start_cluster -n 2 -l "127.0.0.1:{slot+$PORT}" -- \
		python3 -m http.server --directory "$SCRIPTS/servers" "{slot+$PORT}"
	http_get $((PORT + 1)) /plain.js | grep -q createServer
	logged "it gets tcp:127.0.0.1:$((PORT + 1)), as 'listen' says"
	run -0 nclust restart it
	http_get "$PORT" /plain.js | grep -q createServer
}

@test "a worker never gets the port of another slot" {
	launch_nclust -n 2 -l "127.0.0.1:{slot+$PORT}" --backoff-min 10s \
		--intercept on -- "$FIXTURES/plain" "$PORT"
	wait_logged "another slot has tcp:127.0.0.1:$PORT already"
	[ "$(http_get "$PORT")" = "pid=$(worker_pid 0)" ]
}

@test "Node's workers get the ones of their slots" {
	need node
	start_cluster -n 2 -l "127.0.0.1:{slot+$PORT}" -- \
		node "$SCRIPTS/servers/plain.js" "{slot+$PORT}"
	for i in 0 1; do
		[ "$(http_get $((PORT + i)))" = "pid=$(worker_pid "$i")" ]
	done
	start_load "$((PORT + 1))"
	run -0 nclust restart it
	end_load
	[ "$REFUSED" -eq 0 ]
	[ "$(http_get $((PORT + 1)))" = "pid=$(worker_pid 1)" ]
}

@test "the next nclust takes them over, with as many slots as there were" {
	start_own -n 2 --orphans keep
	run -0 nclust scale it 3
	start_load "$((PORT + 2))"
	pids=$(cluster '[.workers[].pid] | tostring')
	kill_nclust
	start_own -n 2 --orphans keep
	end_load
	[ "$REFUSED" -eq 0 ]
	[ "$(cluster '[.workers[].pid] | tostring')" = "$pids" ]
	serves 3
	run -0 nclust restart it
	run -0 nclust scale it 1
	wait_until 10 'serves 1'
	nclust stop it
	end_keepers
}

@test "each worker is checked at its own port" {
	start_own -n 2 --check tcp --check-interval 200ms --check-timeout 200ms \
		--check-failures 2
	old=$(worker_pid 1)
	kept=$(worker_pid 0)
	kill -STOP "$old"
	wait_until 20 '[ "$(worker_pid 1)" != "$1" ]' "$old"
	wait_until 20 'serves 2'
	[ "$(worker_pid 0)" = "$kept" ]
}

@test "readiness is asked at the slot's port, also beside the old worker" {
	start_cluster -n 2 --ready http:/ -l "127.0.0.1:{slot+$PORT}" -- \
		"$FIXTURES/serve"
	serves 2
	run -0 nclust restart it
	serves 2
	[[ $(nclust ask it.1 GET /) == *slot=1* ]]
}

@test "what cannot be is an error with its line, and nothing starts" {
	printf '%s\n' '[cluster:a]' 'command = x' 'workers = 3' \
		'listen = {slot+65534}' '[cluster:b]' 'command = x' \
		'workers = 1..3' 'listen = {slot+8000}' '[cluster:c]' \
		'command = x' 'listen = 8002' '[cluster:d]' 'command = x' \
		'listen = 127.0.0.1:{slot+x}' >"$DIR/bad.ini"
	run -78 nclust -c "$DIR/bad.ini"
	[[ $output == *"bad.ini:14: cluster:d.listen: wanted a number such as '{slot+9229}', found '{slot+x}'"* ]]
	sed -i 's/{slot+x}/9/' "$DIR/bad.ini"
	run -78 nclust -c "$DIR/bad.ini"
	[[ $output == *"bad.ini:4: cluster:a.listen: slot 2: wanted a port from 0 to 65535, found '65536'"* ]]
	[[ $output == *"bad.ini:11: cluster:c.listen: 'tcp:*:8002' is already used by cluster 'b'"* ]]
	run -64 nclust -n 2 -l '{slot+8000}' --spare 1 -- x
	[[ $output == *"--spare: cannot be used with '{slot}' in 'listen'"* ]]
}

@test "a reload that would give a port to two clusters changes nothing" {
	write_own() {
		printf '%s\n' '[cluster:it]' "command = $FIXTURES/serve --notify" \
			'workers = 2' 'ready = notify' \
			"listen = 127.0.0.1:{slot+$PORT}" "$@" >"$DIR/it.ini"
	}
	write_own
	start_cluster -c "$DIR/it.ini"
	run -0 nclust scale it 3
	write_own '[cluster:b]' "command = $FIXTURES/serve" \
		"listen = 127.0.0.1:$((PORT + 2))"
	run ! nclust reload it
	[[ $output == *"another cluster has tcp:127.0.0.1:$((PORT + 2)) already"* ]]
	serves 3
}

@test "a range of workers stays below a port that is in use, and says so once" {
	"$FIXTURES/bind-itself" "$((PORT + 1))" 3>&- &
	other=$!
	STARTED+=("$other")
	wait_listened "$((PORT + 1))"
	start_own -n 1..3
	"$FIXTURES/load" "$PORT" --clients 4 --path /sleep/300 >"$DIR/load" 3>&- &
	STARTED+=($!)
	wait_logged "cannot listen on 'tcp:127.0.0.1:$((PORT + 1))'"
	kill "$other"
	wait_until 30 '[ "$(cluster .wanted)" -gt 1 ]'
	[ "$(grep -c 'cannot listen on' "$LOG")" -eq 1 ]
}

@test "what is in the way of a server's bind is its own slot's, and called so" {
	start_nclust -n 1 -l "{slot+$PORT}" -- "$FIXTURES/bind-itself" "$PORT"
	wait_until 10 'logged "cannot bind tcp:127.0.0.1:$PORT"'
	run ! logged "another slot has"
	logged "'listen' should name the one that the server binds"
}

@test "Node does not give a slot's port to another slot" {
	cat >"$DIR/s.js" <<-'EOF'
	require('http').createServer((q, r) =>
	    r.end(`slot=${process.env.NCLUST_SLOT}`))
	  .on('error', () => setInterval(() => {}, 1e6))
	  .listen({port: +process.argv[2], host: '127.0.0.1'});
	EOF
	start_cluster -n 2 --ready alive:300ms -l "127.0.0.1:{slot+$PORT}" -- \
		node "$DIR/s.js" $((PORT + 1))
	# now that slot 1 has a server there
	run -0 nclust restart it.0
	for ((i = 0; i < 16; i++)); do
		[ "$(slot_of $((PORT + 1)))" = 1 ]
	done
}

@test "no reload adds slots where somebody else has a port that they need" {
	write_own() {
		printf '%s\n' '[cluster:it]' "command = $FIXTURES/serve --notify" \
			"workers = $1" 'ready = notify' \
			"listen = 127.0.0.1:{slot+$2}" >"$DIR/it.ini"
	}
	write_own 2 "$PORT"
	start_cluster -c "$DIR/it.ini"
	old=$PORT
	pids=$(cluster '[.workers[].pid] | tostring')
	"$FIXTURES/bind-itself" "$((old + 3))" 3>&- &
	other=$!
	STARTED+=("$other")
	wait_listened "$((old + 3))"
	# also where all that the file says is free: they begin as the others are
	free_ports 5
	for new in "$old" "$PORT"; do
		write_own 4 "$new"
		poll_until 20 refused 1 "cannot listen on 'tcp:127.0.0.1:$((old + 3))': Address already in use; in use by " \
			nclust reload it
		[ "$(cluster '"\(.wanted) \([.workers[].pid] | tostring)"')" = "2 $pids" ]
	done
	run ! is_listened "$PORT"
	PORT=$old
	serves 2
	run ! is_listened "$((PORT + 2))"

	kill "$other"
	wait_until 10 '! is_listened $((PORT + 3))'
	PORT=$new
	run -0 nclust reload it
	serves 4
	wait_until 10 '! is_listened "$1"' $((old + 2))
}

@test "a reload adds slots, and moves them by one" {
	write_own() {
		printf '%s\n' '[cluster:it]' "command = $FIXTURES/serve --notify" \
			"workers = $1" 'ready = notify' \
			"listen = 127.0.0.1:{slot+$2}" >"$DIR/it.ini"
	}
	write_own 2 "$PORT"
	start_cluster -c "$DIR/it.ini"
	write_own 4 "$((PORT + 1))"
	run -0 nclust reload it
	wait_until 10 '! is_listened "$PORT"'
	PORT=$((PORT + 1))
	serves 4
}
