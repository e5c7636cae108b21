# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# /metrics/CLUSTER: each worker is asked for its own metrics, behind the port that
# all share, and nothing that one of them says harms the others or nclust.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	SOCKET=$DIR/http
	MODES=$DIR/modes
	mkdir -m 755 "$MODES"
}

# get PATH [CURL-ARG]...
get() {
	local path=$1

	shift
	curl -sS --max-time $((20 * PATIENCE)) --unix-socket "$SOCKET" "$@" \
		"http://localhost$path"
}

# start_metrics ARG...: workers that tell metrics, at a socket of nclust's.
start_metrics() {
	free_port
	start_cluster --http "unix:$SOCKET" --metrics http:/metrics \
		--ready alive:0s -l "$AT" "$@" \
		-- python3 -u "$SCRIPTS/servers/metrics.py" "$MODES"
}

# each_once N: does the file have each of N slots, with the pid of that slot?
each_once() {
	local slot

	get /metrics/it >"$DIR/metrics"
	for ((slot = 0; slot < $1; slot++)); do
		grep -qx "app_pid{slot=\"$slot\"} $(worker_pid "$slot")" \
			"$DIR/metrics" || return 1
	done
	[ "$(grep -c '^app_pid{' "$DIR/metrics")" -eq "$1" ]
}

# scrape_error SLOT: 0 or 1, in what was got last.
scrape_error() {
	sed -n "s/^nclust_worker_scrape_error{slot=\"$1\"} //p" "$DIR/metrics"
}

@test "each worker's metrics come with its slot, as promtool wants them" {
	need promtool
	start_metrics -n 4
	each_once 4
	run promtool check metrics <"$DIR/metrics"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	[ "$(grep -c '^# TYPE app_seconds histogram$' "$DIR/metrics")" -eq 1 ]
	# a family's samples stand together
	[ "$(grep -o '^app_[a-z]*' "$DIR/metrics" | uniq | tr '\n' ' ')" = \
		"app_pid app_requests app_seconds " ]
	[ "$(grep -c '^nclust_worker_scrape_error{slot="[0-3]"} 0$' \
		"$DIR/metrics")" -eq 4 ]
	[ "$(grep -c '^nclust_worker_scrape_asked{slot="[0-3]"} 1$' \
		"$DIR/metrics")" -eq 4 ]
	get /metrics/it -I | grep -qi '^content-type: text/plain; version=0.0.4'
}

@test "never a wrong slot, scrape after scrape, while workers are replaced" {
	start_metrics -n 3
	for _ in {1..20}; do
		each_once 3
	done
	nclust restart "$INSTANCE"
	each_once 3
	nclust scale "$INSTANCE" 5
	wait_until 10 'each_once 5'
	nclust upgrade "$INSTANCE"
	each_once 5
}

@test "what is not there, or off, is told" {
	free_port
	printf '[cluster:%s]\ncommand = sleep 1000\nworkers = 1\nready = alive:0s\n' \
		off >"$DIR/it.ini"
	printf '[cluster:%s]\ncommand = sleep 1000\nworkers = 1\nmetrics = http:/m\nready = alive:0s\n' \
		deaf >>"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini" --http "unix:$SOCKET"
	run get /metrics/off -w '%{http_code}'
	[ "${lines[0]}" = "'metrics' of 'off' is off" ]
	[ "${lines[1]}" = 404 ]
	run get /metrics/none -w '%{http_code}'
	[ "${lines[0]}" = "there is no cluster 'none' in 'it'" ]
	run get /metrics/deaf
	[ "$output" = \
		"deaf: it has no listener that could be asked (yet)" ]
	run get /metrics/deaf.0
	[[ $output == "name the cluster"* ]]
	[ "$(get /healthz)" = ok ]
	run "$NCLUST" --name x --metrics tcp -- true
	[ "$status" -eq 64 ]
	[[ $output == *"--metrics: wanted 'off' or 'http:/path', found 'tcp'"* ]]
}

@test "workers that misbehave, as another user where we are root" {
	local user=() slot how

	[ "$(id -u)" -ne 0 ] || user=(--user nobody)
	start_metrics -n 9 "${user[@]}"
	slot=1
	for how in endless never long big invalid forged shut error; do
		echo "$how" >"$MODES/$slot"
		slot=$((slot + 1))
	done
	chmod 644 "$MODES"/*
	start=$(microseconds)
	get /metrics/it >"$DIR/metrics" &
	scrape=$!
	# others are answered meanwhile
	for _ in {1..10}; do
		before=$(microseconds)
		status_json >/dev/null
		[ $(($(microseconds) - before)) -lt $((1000000 * PATIENCE)) ]
		[ "$(get /healthz)" = ok ]
	done
	wait "$scrape"
	[ $(($(microseconds) - start)) -lt $((3500000 * PATIENCE)) ]
	[ "$(scrape_error 0)" = 0 ]
	for slot in 1 2 3 4 5 7 8; do
		[ "$(scrape_error "$slot")" = 1 ] || {
			echo "slot $slot"
			return 1
		}
	done
	# its own label is another, and it cannot speak for nclust
	[ "$(scrape_error 6)" = 0 ]
	grep -qx 'app_pid{slot="6",exported_slot="x"} 1' "$DIR/metrics"
	run grep nclust_workers_ready "$DIR/metrics"
	[ "$status" -eq 1 ]
	grep -qx '# slot 5: line 1 is not Prometheus. text format' \
		"$DIR/metrics"
	grep -qx '# slot 2: it did not answer in time' "$DIR/metrics"
	[ "$(grep -c '^app_pid{' "$DIR/metrics")" -eq 2 ]
	[ "$(stat -c %s "$DIR/metrics")" -lt 100000 ]
	rm "$MODES"/*
	wait_until 70 'each_once 9'
}

@test "one that says much leaves the others their place" {
	local slot

	start_metrics -n 10
	echo lines >"$MODES/0"
	each_once 10 || true
	[ "$(scrape_error 0)" = 1 ]
	grep -q '^# slot 0: it has over [0-9]* lines, its share of' "$DIR/metrics"
	[ "$(grep -c '^nclust_worker_scrape_error{.*} 0$' "$DIR/metrics")" -eq 9 ]
	[ "$(grep -c '^nclust_worker_scrape_asked{' "$DIR/metrics")" -eq 10 ]
	for slot in {0..8}; do
		echo large >"$MODES/$slot"
	done
	get /metrics/it >"$DIR/metrics"
	[ "$(grep -c '^# slot .: all workers together sent over 4 MiB' \
		"$DIR/metrics")" -eq 1 ]
	[ "$(grep -c '^nclust_worker_scrape_error{.*} 0$' "$DIR/metrics")" -eq 9 ]
	[ "$(scrape_error 9)" = 0 ]
}

@test "a worker that is stopped costs a second, and only its own metrics" {
	start_metrics -n 3
	each_once 3
	freeze "$(worker_pid 1)"
	start=$(microseconds)
	get /metrics/it >"$DIR/metrics"
	[ $(($(microseconds) - start)) -lt $((2500000 * PATIENCE)) ]
	[ "$(scrape_error 0)$(scrape_error 1)$(scrape_error 2)" = 010 ]
	grep -qx 'nclust_worker_scrape_asked{slot="1"} 0' "$DIR/metrics"
	thaw "$(worker_pid 1)"
	each_once 3
}

@test "all hang: their queue is not filled by those who ask" {
	start_metrics -n 2
	each_once 2
	freeze "$(worker_pid 0)" "$(worker_pid 1)"
	for _ in {1..6}; do
		get /metrics/it >"$DIR/metrics"
	done
	[ "$(scrape_error 0)$(scrape_error 1)" = 11 ]
	[ "$(ss -Hltn "sport = :$PORT" | awk '{ print $2 }')" -le 20 ]
	thaw "$(worker_pid 0)" "$(worker_pid 1)"
	wait_until 10 'each_once 2'
}

@test "those who ask at the same time share an answer" {
	local i pids=()

	start_metrics -n 2
	for i in {1..8}; do
		get /metrics/it >"$DIR/shared.$i" &
		pids+=($!)
	done
	wait "${pids[@]}"
	for i in {1..8}; do
		[ "$(grep -c '^app_pid{' "$DIR/shared.$i")" -eq 2 ]
	done
	get /metrics/it >"$DIR/metrics"
	served=$(sed -n 's/^app_requests_total{slot="0".*} //p' "$DIR/metrics")
	[ "$served" -le 5 ]
}

@test "many who wait for hung workers keep nobody else out" {
	local clients

	start_metrics -n 2
	each_once 2
	freeze "$(worker_pid 0)" "$(worker_pid 1)"
	# one process: 70 would not all have asked before the first has its answer
	get '/metrics/it#[1-70]' --parallel --parallel-immediate \
		--parallel-max 70 -o "$DIR/many.#1" -w '%{http_code}\n' \
		>"$DIR/codes" 2>&1 3>&- &
	clients=$!
	wait_until 5 '[ "$(grep -cx 503 "$DIR/codes")" -ge 54 ]'
	[ "$(get /healthz)" = ok ]
	get /readyz -o "$DIR/ready"
	thaw "$(worker_pid 0)" "$(worker_pid 1)"
	wait "$clients" || true
}

@test "a server that binds by itself, shared or with SO_REUSEPORT" {
	for how in '' --reuseport; do
		free_port
		# shellcheck disable=SC2086
		start_cluster --http "unix:$SOCKET" --metrics http:/metrics -n 3 \
			-- python3 -u "$SCRIPTS/servers/metrics.py" "$MODES" \
			"$PORT" $how
		wait_until 10 'each_once 3'
		each_once 3
		nclust stop "$INSTANCE"
	done
}

@test "a unix socket is never asked, as its path may lead elsewhere" {
	run "$NCLUST" --name x --metrics http:/m -l "unix:$DIR/app" -- true
	[ "$status" -eq 64 ]
	[[ $output == *"--metrics: workers are asked over TCP only, and"* ]]
	start_cluster -n 1 --ready alive:0s -l "unix:$DIR/app" \
		-- python3 -u "$SCRIPTS/servers/metrics.py" "$MODES"
	run nclust ask it.0 GET /
	[ "$status" -ne 0 ]
	[[ $output == *"it: its workers can be asked over TCP only, and"* ]]
}

@test "an address that defers accepting until there is data" {
	free_port
	start_cluster --http "unix:$SOCKET" --metrics http:/metrics -n 3 \
		--ready alive:0s -l "$AT,defer-accept=2s" \
		-- python3 -u "$SCRIPTS/servers/metrics.py" "$MODES"
	each_once 3
	each_once 3
}

@test "Node's cluster, and a plain Node server" {
	cat >"$DIR/app.js" <<-'END'
		const http = require('http');
		http.createServer((q, a) => a.end(`app_pid ${process.pid}\n`))
			.listen(+process.argv[2]);
	END
	cat >"$DIR/primary.js" <<-'END'
		const cluster = require('cluster');
		if (cluster.isPrimary) { for (let i = 0; i < 3; i++) cluster.fork(); }
		else require('./app.js');
	END
	for balance in rr share; do
		free_port
		start_cluster --http "unix:$SOCKET" --metrics http:/metrics -n 3 \
			--balance "$balance" -- node "$DIR/app.js" "$PORT"
		wait_until 20 'each_once 3'
		nclust stop "$INSTANCE"
	done
}

@test "an address or a wrong one is no business of the web process's guests" {
	start_metrics -n 2
	run get /metrics/it -X POST -w '%{http_code}'
	[[ $output == *405 ]]
	run get /metrics/ -w '%{http_code}'
	[[ $output == *404 ]]
	run get "/metrics/$(printf '%0300d' 0)" -w '%{http_code}'
	[[ $output == *404 ]]
	run get '/metrics/it%00x' -w '%{http_code}'
	[[ $output == *[45]0? ]] || [[ $output == *app_pid* ]]
	each_once 2
	# ended in the midst of a scrape, it is there again
	echo never >"$MODES/1"
	chmod 644 "$MODES/1"
	get /metrics/it >"$DIR/cut" 2>&1 &
	cut=$!
	web=$(pgrep -P "$NCLUST_PID" -x nclust-web)
	wait_until 5 '[ -n "$(find "/proc/$1/fd" -lname "socket:*" 2>/dev/null | sed -n 7p)" ]' "$web"
	kill -KILL "$web"
	wait "$cut" || true
	wait_until 10 '[ "$(get /healthz)" = ok ]'
	rm "$MODES/1"
}
