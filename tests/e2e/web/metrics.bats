# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# /metrics: what Prometheus reads is right, and stays right.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	SOCKET=$DIR/http
}

# metrics [CURL-ARG]...
metrics() {
	curl -sS --max-time $((10 * PATIENCE)) --unix-socket "$SOCKET" "$@" \
		http://localhost/metrics
}

# metric SERIES: its value.
metric() {
	metrics | awk -v series="$1" '
		substr($0, 1, length(series) + 1) == series " " {
			print substr($0, length(series) + 2)
		}'
}

start_web() {
	start_cluster --http "unix:$SOCKET" -n 2 "$@"
}

@test "promtool has no complaint, and each worker is there" {
	need promtool
	free_port
	start_web --shared-memory 1M --check tcp --check-interval 100ms \
		-l "$AT" -- "$FIXTURES/serve"
	wait_until 10 \
		'[ "$(metric "nclust_worker_checks_passed_total{cluster=\"it\",slot=\"1\"}")" != 0 ]'
	metrics >"$DIR/metrics"
	run promtool check metrics <"$DIR/metrics"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	[ "$(grep -c '^# TYPE nclust_workers ' "$DIR/metrics")" -eq 1 ]
	[ "$(grep -c '^nclust_worker_memory_bytes{' "$DIR/metrics")" -eq 2 ]
	grep -qx 'nclust_workers{cluster="it",state="ready"} 2' "$DIR/metrics"
	grep -q "^nclust_listener_queue_limit{.*address=\"tcp:$AT\"} [1-9]" \
		"$DIR/metrics"
	run ! grep -q "$(worker_pid 0)" "$DIR/metrics"
	metrics -I | grep -qi '^content-type: text/plain; version=0.0.4'
}

@test "OpenMetrics for who asks for it" {
	start_web --ready alive:0s -- sleep 1000
	accept='Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.3'
	metrics -i -H "$accept" >"$DIR/metrics"
	grep -qi '^content-type: application/openmetrics-text; version=1.0.0' \
		"$DIR/metrics"
	[ "$(tail -n 1 "$DIR/metrics")" = '# EOF' ]
	grep -qx '# TYPE nclust_exits counter' "$DIR/metrics"
	grep -q '^nclust_exits_total{cluster="it",reason="signal"} 0$' \
		"$DIR/metrics"
	run ! grep -q '^# TYPE .*_total' "$DIR/metrics"
}

@test "what happens is counted, also through an upgrade" {
	start_web --ready alive:0s --drain off -- sleep 1000
	exits='nclust_exits_total{cluster="it",reason='
	[ "$(metric 'nclust_starts_total{cluster="it"}')" -eq 2 ]
	[ "$(metric 'nclust_ready_seconds_count{cluster="it"}')" -eq 2 ]
	old=$(worker_pid 0)
	kill -SEGV "$old"
	wait_until 10 '[ "$(metric "$1")" = 1 ]' "$exits\"signal\"}"
	wait_until 10 '[ "$(cluster .ready)" = 2 ]'
	nclust restart "$INSTANCE"
	nclust upgrade "$INSTANCE"
	[ "$(metric "$exits\"replaced\"}")" -eq 2 ]
	[ "$(metric "$exits\"signal\"}")" -eq 1 ]
	[ "$(metric 'nclust_rollouts_total{cluster="it",outcome="done"}')" -eq 1 ]
	[ "$(metric 'nclust_starts_total{cluster="it"}')" -eq 5 ]
	[ "$(metric 'nclust_worker_restarts_total{cluster="it",slot="0"}')" -gt 0 ]
	[ "$(metric nclust_upgrades_total)" -eq 1 ]
	nclust scale "$INSTANCE" 1
	[ "$(metric "$exits\"stopped\"}")" -eq 1 ]
}

@test "connections are counted, those of a worker's children and by path, too" {
	free_port
	# each worker has a child that accepts at the second address
	cat >"$DIR/keep.py" <<-'END'
		import os, socket
		keeper = socket.socket(fileno=3 if os.fork() else 4)
		kept = []
		while True:
		    kept.append(keeper.accept()[0])
	END
	start_web --ready alive:0s -l "$AT" -l "unix:$DIR/app" -- \
		python3 "$DIR/keep.py"
	sum='{ sum += $2 } END { print sum + 0 }'
	of_all() {
		metrics | grep '^nclust_worker_connections{cluster="it",slot="[01]"} ' |
			awk "$sum"
	}
	[ "$(of_all)" -eq 0 ]
	[ "$(metrics | grep -c '^nclust_worker_connections{')" -eq 2 ]
	python3 - "$PORT" "$DIR/app" "$DIR/there" 3>&- <<-'END' &
		import socket, sys, time
		kept = [socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		        for _ in range(3)]
		for _ in range(2):
		    kept.append(socket.socket(socket.AF_UNIX))
		    kept[-1].connect(sys.argv[2])
		open(sys.argv[3], "w").close()
		time.sleep(1000)
	END
	STARTED+=($!)
	wait_until 10 '[ -e "$1" ]' "$DIR/there"
	wait_until 10 '[ "$(of_all)" -eq 5 ]'
	nclust upgrade "$INSTANCE"
	wait_until 10 '[ "$(of_all)" -eq 5 ]'
	# whoever cannot be counted is left out, and nobody waits for it
	kill -KILL "$(worker_pid 0)" "$(worker_pid 1)"
	wait_until 10 '[ "$(of_all)" -eq 0 ]'
	# a status that nobody counts for has none
	run jq -e '.clusters[0].workers[0] | has("connections")' <<<"$(status_json)"
	[ "$output" = false ]
}

@test "lines of output are counted, also through an upgrade" {
	lines_read='nclust_log_lines_total{cluster="it"}'
	start_web --ready alive:0s --log "file:$DIR/out" \
		-- sh -c 'seq 1 500; exec sleep 1000'
	wait_until 10 '[ "$(metric "$1")" = 1000 ]' "$lines_read"
	nclust upgrade "$INSTANCE"
	[ "$(metric "$lines_read")" -eq 1000 ]
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(metric "$1")" = 1500 ]' "$lines_read"
	[ "$(metric 'nclust_log_lines_dropped_total{cluster="it"}')" -eq 0 ]
}

@test "a program that cannot be executed, and one that fails, are told apart" {
	printf '[cluster:%s]\nworkers = 1\nready = notify\ncommand = %s\n' \
		fails false hears "$FIXTURES/hear --notify" >"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini" --http "unix:$SOCKET"
	wait_until 10 '[ "$(metric "nclust_exits_total{cluster=\"fails\",reason=\"failure\"}")" -ge 1 ]'
	[ "$(metric 'nclust_exits_total{cluster="hears",reason="failure"}')" -eq 0 ]
}
