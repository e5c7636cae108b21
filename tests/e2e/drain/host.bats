# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# `nclust drain` and `undrain`: the host out of the load balancer, and back.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	SOCKET=$DIR/http
	free_port
}

# start_host: two workers at PORT, and HTTP on a unix socket.
start_host() {
	start_cluster --http "unix:$SOCKET" -n 2 -l "127.0.0.1:$PORT" \
		-- "$FIXTURES/serve" --notify
}

readyz() {
	curl -sS --max-time $((10 * PATIENCE)) --unix-socket "$SOCKET" \
		-w '%{http_code}' http://localhost/readyz
}

drained() {
	status_json | jq -c '.drained // false | . != false'
}

@test "drained, it says so, and serves on; undrained, it is as before" {
	start_host
	[ "$(readyz)" = $'ok\n200' ]
	[ "$(status_json | jq .drained)" = null ]
	run nclust drain "$INSTANCE"
	[ "$status" -eq 0 ]
	[[ $output == "it: empty after "*": no connection is in use, and 0 idle" ]]
	[ "$(readyz)" = $'drained by \'nclust drain\'\n503' ]
	[[ $(http_get "$PORT") == pid=* ]]
	run nclust status "$INSTANCE"
	[ "$status" -eq 0 ]
	[[ $output == *"drained "*" ago, and was empty; "*"nclust undrain it"* ]]
	curl -sS --unix-socket "$SOCKET" http://localhost/metrics |
		grep -q '^nclust_drained_seconds [0-9]'
	# again, it changes nothing
	run nclust drain "$INSTANCE" --json
	[ "$status" -eq 0 ]
	[ "$(jq .ok <<<"$output")" = true ]
	run nclust undrain "$INSTANCE"
	[ "$status" -eq 0 ]
	[ "$output" = "it: in service again" ]
	[ "$(status_json | jq .drained)" = null ]
	run nclust undrain "$INSTANCE"
	[ "$status" -eq 0 ]
	[ "$output" = "it: was not drained" ]
	[ "$(nclust events --kind host-drained,host-empty,host-undrained --json |
		jq -r .event | tr '\n' ' ')" = \
		"host-drained host-empty host-empty host-undrained " ]
	run nclust drain "$INSTANCE/it"
	[ "$status" -eq 64 ]
	[ "$(readyz)" = $'ok\n200' ]
}

@test "it waits for a request that is being answered, not for idle clients" {
	start_cluster -n 2 -l "127.0.0.1:$PORT" -- "$FIXTURES/rude" --slow 3200
	exec 4<>"/dev/tcp/127.0.0.1/$PORT"
	curl -sS "http://127.0.0.1:$PORT/slow" >"$DIR/answer" 3>&- 4>&- &
	wait_until 5 '[ "$(ss -Htn "sport = :$PORT" | wc -l)" -eq 2 ]'
	run nclust drain "$INSTANCE"
	[ "$status" -eq 0 ]
	grep -q pid= "$DIR/answer"
	[[ $output == *" and 1 idle" ]]
	exec 4>&-
}

@test "it waits for a request that nobody has accepted, from whoever sends no more" {
	start_cluster -n 1 -l "127.0.0.1:$PORT" -- "$FIXTURES/deaf"
	python3 -c 'import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.send(b"GET / HTTP/1.0\r\n\r\n")
s.shutdown(socket.SHUT_WR)
sys.stdin.read()' "$PORT" < <(exec sleep 1000) 3>&- &
	STARTED+=($!)
	wait_until 10 '[ "$(ss -Htn state close-wait "sport = :$PORT" | wc -l)" -eq 1 ]'
	run nclust drain "$INSTANCE" --timeout 2s
	[ "$status" -eq 75 ]
	[[ $output == *"1 connection in use"* ]]
}

@test "not empty in time: exit 75, and it stays drained" {
	start_host
	exec 4<>"/dev/tcp/127.0.0.1/$PORT"
	printf 'GET / HT' >&4
	run nclust drain "$INSTANCE" --timeout 1s
	[ "$status" -eq 75 ]
	[[ $output == *"not empty after 1."*"1 connection in use, one of them"*" from 127.0.0.1:"*"nclust undrain it"* ]]
	[ "$(drained)" = true ]
	exec 4>&-
	nclust drain "$INSTANCE"
}

@test "it waits until those who ask whether it is ready have heard" {
	start_host
	mkfifo "$DIR/go"
	touch "$DIR/asked"
	(
		# three times before, and then when the test says so
		while [ "$(grep -c 200 "$DIR/asked")" -lt 3 ]; do
			readyz >>"$DIR/asked"
			sleep 0.5
		done
		read -r _ <"$DIR/go"
		for _ in 1 2 3; do readyz >>"$DIR/asked"; done
	) 3>&- &
	wait_until 20 '[ "$(grep -c 200 "$DIR/asked")" -eq 3 ]'
	nclust drain "$INSTANCE" >"$DIR/drain" 3>&- &
	wait_until 5 '[ "$(drained)" = true ]'
	release "$DIR/go"
	wait_until 20 '[ -s "$DIR/drain" ]'
	[ "$(grep -c 503 "$DIR/asked")" -eq 3 ]
	# who does not come again is not waited for for ever
	run nclust undrain "$INSTANCE"
	[ "$status" -eq 0 ]
	nclust drain "$INSTANCE" --timeout 20s
}

@test "it stays drained through restart, reload and upgrade, until the end" {
	printf '%s\n' '[nclust]' "http = unix:$SOCKET" '[cluster:web]' \
		'workers = 2' "listen = 127.0.0.1:$PORT" 'ready = notify' \
		"command = $FIXTURES/serve --notify" >"$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	nclust drain "$INSTANCE"
	nclust restart "$INSTANCE"
	[ "$(drained)" = true ]
	sed -i 's/workers = 2/workers = 3/' "$DIR/it.ini"
	nclust reload "$INSTANCE"
	[ "$(drained)" = true ]
	nclust upgrade "$INSTANCE"
	[ "$(drained)" = true ]
	[[ $(readyz) == drained*503 ]]
	nclust undrain "$INSTANCE"
	[ "$(readyz)" = $'ok\n200' ]
	nclust drain "$INSTANCE"
	nclust stop "$INSTANCE"
	wait_exit
	# anew, it is not drained
	start_cluster -c "$DIR/it.ini"
	[ "$(drained)" = false ]
}

@test "a drain goes on during an upgrade, and a rollout" {
	start_host
	exec 4<>"/dev/tcp/127.0.0.1/$PORT"
	printf 'GET / HT' >&4
	nclust drain "$INSTANCE" >"$DIR/drain" 3>&- 4>&- &
	pid=$!
	wait_until 5 '[ "$(drained)" = true ]'
	nclust upgrade "$INSTANCE"
	is_alive "$pid"
	nclust restart "$INSTANCE" --no-wait
	exec 4>&-
	wait_until 20 '! is_alive "$1"' "$pid"
	wait "$pid"
	grep -q "empty after" "$DIR/drain"
	nclust undrain "$INSTANCE"
	[ "$(drained)" = false ]
}

@test "an upgrade forgets none who ask, and work that is done holds up nobody" {
	printf '%s\n' '[nclust]' "http = unix:$SOCKET" '[cluster:web]' \
		"listen = 127.0.0.1:$PORT" 'ready = notify' \
		"command = $FIXTURES/serve --notify" '[cluster:job]' \
		'command = /bin/true' 'restart = never' >"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	wait_until 5 '[ "$(readyz)" = $'"'ok\n200'"' ]'
	[ "$(status_json | jq -c '[.clusters[] | .done]')" = '[false,true]' ]
	for _ in 1 2; do
		sleep 2 # so often it asks
		readyz
	done
	nclust drain "$INSTANCE" --timeout 0 || [ $? -eq 75 ]
	nclust upgrade "$INSTANCE"
	run nclust drain "$INSTANCE" --timeout 0
	[ "$status" -eq 75 ]
	[[ $output == *"http local has not asked since"* ]]
	for _ in 1 2 3; do readyz; done
	nclust drain "$INSTANCE"
	nclust undrain "$INSTANCE" --no-wait
	for _ in 1 2 3; do readyz; done
	run nclust undrain "$INSTANCE"
	[ "$status" -eq 0 ]
}

@test "undrained meanwhile, or interrupted, a drain says so" {
	start_host
	exec 4<>"/dev/tcp/127.0.0.1/$PORT"
	printf 'GET / HT' >&4
	nclust drain "$INSTANCE" >"$DIR/drain" 2>&1 3>&- 4>&- &
	pid=$!
	wait_until 5 '[ "$(drained)" = true ]'
	nclust undrain "$INSTANCE"
	status=0
	wait "$pid" || status=$?
	[ "$status" -eq 1 ]
	grep -q "undrained meanwhile" "$DIR/drain"

	(trap - INT; exec "$NCLUST" drain "$INSTANCE") \
		>"$DIR/drain" 2>&1 3>&- 4>&- &
	pid=$!
	wait_until 5 '[ "$(drained)" = true ]'
	kill -INT "$pid"
	status=0
	wait "$pid" || status=$?
	[ "$status" -eq 130 ]
	grep -q "interrupted: 'it' stays drained until 'nclust undrain it'" \
		"$DIR/drain"
	[ "$(drained)" = true ]
	exec 4>&-
	# back only when it is ready
	nclust scale 0 "$INSTANCE"
	nclust scale 2 "$INSTANCE" --no-wait
	nclust undrain "$INSTANCE"
	[ "$(readyz)" = $'ok\n200' ]
}
