# SPDX-License-Identifier: MIT
#
# Programs that nobody here wrote and that take their socket from outside.  Of
# each: two workers answer on one port, one is killed under requests and
# replaced, all are replaced by a rolling restart, all are gone after the stop.

load ../../lib
bats_require_minimum_version 1.5.0

SERVERS=$SCRIPTS/servers

setup() {
	nclust_setup
	free_port
	touch "$DIR/enough"
}

# They must be there (scripts/setup test): no test is skipped for their want.
must_have() {
	command -v "$1" >/dev/null || {
		echo "no $1 here; try scripts/setup test"
		return 1
	}
}

# One request; the answer holds "pid=N".  Its status is curl's.
ask() {
	curl -sSi --max-time "$((5 * PATIENCE))" -H 'Connection: close' \
		"http://127.0.0.1:$PORT/"
}

# The process that answers, or none.
who_answers() {
	ask | tr -d '\r' | sed -n 's/.*pid=\([0-9]*\).*/\1/p' | head -n 1
}

# Several at once, so that one alone is not fast enough for all.
crowd() {
	local asking=()

	while [ "${#asking[@]}" -lt 6 ]; do
		who_answers 3>&- &
		asking+=("$!")
	done
	wait "${asking[@]}"
}

two_have_answered() {
	crowd >>"$DIR/pids"
	[ "$(sort -u "$DIR/pids" | grep -c .)" -ge 2 ]
}

# Requests, one after the other, until stop_asking; a line of each status.
start_asking() {
	rm "$DIR/enough"
	: >"$DIR/statuses"
	while ! [ -e "$DIR/enough" ]; do
		status=0
		who=$(ask 2>&1) || status=$?
		[ "$status" -ne 0 ] || [[ $who == *pid=* ]] || status=999
		echo "$status" >>"$DIR/statuses"
		[ "$status" -eq 0 ] || echo "$status: $who" >>"$LOG"
	done 3>&- &
	ASKING=$!
	wait_until 10 '[ -s "$DIR/statuses" ]'
}

stop_asking() {
	touch "$DIR/enough"
	wait "$ASKING"
}

# At least COUNT more requests are answered.
some_more() {
	local until

	until=$(($(grep -cx 0 "$DIR/statuses") + $1))
	wait_until 20 '[ "$(grep -cx 0 "$DIR/statuses")" -ge "$1" ]' "$until"
}

failed_requests() {
	grep -cvx 0 "$DIR/statuses" || true
}

# The whole life of two workers, which have been started.
lead_a_life() {
	local old generation pids pid

	wait_until 20 two_have_answered
	[ "$(cluster .ready)" -eq 2 ]

	start_asking
	old=$(worker_pid 0)
	kill -KILL "$old"
	wait_until 20 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready 20
	some_more 5
	[ "$(worker_pid 0)" != "$old" ]
	# only a request that the dead one had accepted may be lost
	[ "$(failed_requests)" -le 1 ]
	[ "$(grep -cx 7 "$DIR/statuses")" -eq 0 ] # curl: refused
	stop_asking

	start_asking
	generation=$(cluster .generation)
	nclust restart "$INSTANCE"
	some_more 5
	stop_asking
	[ "$(cluster .generation)" -gt "$generation" ]
	[ "$(cluster .ready)" -eq 2 ]
	[ "$(failed_requests)" -eq 0 ]

	pids=$(worker_pid 0; worker_pid 1)
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	for pid in $pids; do
		is_gone "$pid"
	done
	[ -z "$(ours_that_stay)" ]
	run ask
	[ "$status" -ne 0 ]
}

# Processes of this test that outlive who looks for them.
ours_that_stay() {
	local pid

	for pid in $(ours); do
		is_gone "$pid" || echo "$pid"
	done
}

@test "gunicorn, by LISTEN_FDS, ready when it says so" {
	must_have gunicorn
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready notify -- \
		gunicorn --chdir "$SERVERS" --workers 1 --worker-tmp-dir "$DIR" \
		--graceful-timeout 5 app:app
	lead_a_life
}

@test "lighttpd, by LISTEN_FDS, emptied by SIGINT" {
	must_have lighttpd
	echo hello >"$DIR/index.html"
	start_cluster -n 2 -l "127.0.0.1:$PORT" --env "DIR=$DIR" \
		--stop-signal INT --ready alive:100ms -- \
		lighttpd -D -f "$SERVERS/lighttpd.conf"
	ask() {
		curl -sSi --max-time "$((5 * PATIENCE))" \
			-H 'Connection: close' \
			"http://127.0.0.1:$PORT/index.html"
	}
	lead_a_life
}

@test "a Node script with listen({fd: 3})" {
	must_have node
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready alive:400ms -- \
		node "$SERVERS/listen-fd.js"
	lead_a_life
}

@test "php-cgi, as a FastCGI server on descriptor 0" {
	must_have php-cgi
	must_have cgi-fcgi
	start_cluster -n 2 -l "127.0.0.1:$PORT" --pass stdin \
		--ready alive:200ms -- php-cgi
	ask() {
		SCRIPT_FILENAME=$SERVERS/app.php REQUEST_METHOD=GET \
			REDIRECT_STATUS=200 \
			cgi-fcgi -bind -connect "127.0.0.1:$PORT" </dev/null
	}
	lead_a_life
}

@test "Starlet, by Server::Starter's variable" {
	must_have plackup
	start_cluster -n 2 -l "127.0.0.1:$PORT" --pass server-starter \
		--ready alive:500ms -- plackup -s Starlet --max-workers 1 \
		-E production "$SERVERS/app.psgi"
	lead_a_life
}

@test "a script with Server::Starter's own module" {
	must_have perl
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready alive:300ms -- \
		perl "$SERVERS/starter.pl"
	lead_a_life
}

@test "a Python script with socket.fromfd(3)" {
	must_have python3
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready alive:300ms -- \
		python3 "$SERVERS/fromfd.py"
	lead_a_life
}
