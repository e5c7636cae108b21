# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# A broken release does not get past the first worker: the old ones serve on,
# and the exit status says so.

bats_require_minimum_version 1.5.0
load ../../lib

# deploy TEXT: what the Node workers are from now on.
deploy() {
	printf '%s\n' "const http = require('http');" \
		"const answer = (req, res) => res.end('$1');" "${@:2}" \
		>"$DIR/app.js.new"
	mv "$DIR/app.js.new" "$DIR/app.js"
}

answers() {
	curl -sS --max-time 5 "http://127.0.0.1:${1:-$PORT}/"
}

# All of $1 workers are ready, and serve what the first release does.
all_as_before() {
	[ "$(cluster '"\(.ready) \(.wanted) \(.generation)"')" = "$1 $1 1" ]
	[ "$(answers)" = old ]
	[ "$(answers)" = old ]
}

# --- What happens after a worker was taken as ready ---------------------------

@test "Node that listens and exits soon after: the old ones serve on" {
	free_port
	deploy old "http.createServer(answer).listen($PORT, '127.0.0.1');" \
		"require('fs').writeFileSync('$DIR/old.' + process.pid, '');"
	start_cluster -n 4 --stable-after 20s -- node "$DIR/app.js"
	# none comes so late that it reads the new release
	wait_until 20 '[ "$(find "$DIR" -name "old.*" | wc -l)" -eq 4 ]'
	before=$(cluster '[.workers[].pid]')

	deploy new "http.createServer(answer).listen($PORT, '127.0.0.1');" \
		"setTimeout(() => { console.error('no database');" \
		"process.exit(1); }, 400);"
	run -1 nclust restart "$INSTANCE"

	[[ $output == *"failed: $INSTANCE.0: exit 1 after "* ]]
	[[ $output == *"the old workers keep serving"* ]]
	all_as_before 4
	[ "$(cluster '[.workers[].pid]')" = "$before" ]
}

@test "who is in a hurry is not made to wait" {
	free_port
	deploy old "http.createServer(answer).listen($PORT, '127.0.0.1');"
	start_cluster -n 2 -- node "$DIR/app.js"
	wait_listened "$PORT"
	nclust restart "$INSTANCE"
	grep -F "the first new worker is ready, watching it for 1s" "$LOG"
	nclust restart "$INSTANCE" --bake 0
	[ "$(grep -cF "watching it for" "$LOG")" -eq 1 ]
	[ "$(cluster .generation)" -eq 3 ]
}

@test "a program that says itself that it is ready is not watched" {
	free_port
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready notify \
		-- "$FIXTURES/serve" --notify
	nclust restart "$INSTANCE"
	run ! grep -F "watching it for" "$LOG"
}

@test "the restart of a program that daemonises fails: none is ready" {
	start_nclust -n 2 --backoff-min 20ms --backoff-max 50ms \
		-- "$FIXTURES/fork-away"
	wait_until 10 '[ "$(cluster .trouble.tries)" -ge 4 ]'
	run -1 nclust restart "$INSTANCE"
	[[ $output == *" failed"* ]]
	[[ $output != *" done"* ]]
	[ "$(cluster .ready)" -eq 0 ]
}

# --- Where the old ones listen ------------------------------------------------

# As tsx does: it listens on a path of its own first, and on its port when the
# file "$DIR/go" is there.
private_path_first() {
	cat >"$DIR/app.js.new" <<-EOF
		const http = require('http'), net = require('net');
		const fs = require('fs');
		net.createServer().listen('$DIR/' + process.pid + '.pipe');
		const timer = setInterval(() => {
			if (!fs.existsSync('$DIR/go')) return;
			clearInterval(timer);
			http.createServer((req, res) => res.end('$1'))
				.listen($PORT, '127.0.0.1');
		}, 20);
	EOF
	mv "$DIR/app.js.new" "$DIR/app.js"
}

private_path_holds_back() {
	free_port
	touch "$DIR/go"
	private_path_first old
	start_cluster -n 2 --start-timeout 5s "$@" -- node "$DIR/app.js"
	before=$(cluster '[.workers[].pid]')

	rm "$DIR/go"
	private_path_first new
	run -1 nclust restart "$INSTANCE"
	[[ $output == *"$INSTANCE.0: does not listen on tcp:127.0.0.1:$PORT, \
unlike generation 1 ('restart --drop-ports' permits that), \
not ready after 5"* ]]
	[[ $output == *"the old workers keep serving"* ]]
	grep "worker [0-9]* does not listen on tcp:127.0.0.1:$PORT yet" "$LOG"
	all_as_before 2
	wait_until 10 '[ "$(cluster "[.workers[].pid]")" = "$1" ]' "$before"

	nclust restart --no-wait "$INSTANCE"
	wait_until 10 '[ "$(cluster ".workers | length")" -eq 3 ]'
	touch "$DIR/go"
	wait_until 10 '[ "$(cluster .generation)" -eq 3 ]'
	[ "$(answers)" = new ]
}

@test "a private unix path makes nobody ready (ready = auto)" {
	private_path_holds_back
}

@test "a private unix path makes nobody ready (ready = listen, no channel)" {
	private_path_holds_back --ready listen --ipc off
}

# two_ports TEXT SECOND: metrics at once, and the application a little later.
two_ports() {
	cat >"$DIR/app.py.new" <<-EOF
		import http.server, sys, threading, time
		class Answer(http.server.BaseHTTPRequestHandler):
		    def do_GET(self):
		        self.send_response(200)
		        self.end_headers()
		        self.wfile.write(b"$1")
		    def log_message(self, *args):
		        pass
		def serve(port):
		    http.server.ThreadingHTTPServer(("127.0.0.1", port),
		        Answer).serve_forever()
		threading.Thread(target=serve, args=($METRICS,),
		    daemon=True).start()
		time.sleep(1.5)
		$2
		serve($PORT)
	EOF
	mv "$DIR/app.py.new" "$DIR/app.py"
}

# both_have PORT: so have all three, nclust and two workers.
both_have() {
	[ "$(ss -Hltnp "sport = :$1" | grep -o pid= | wc -l)" -eq 3 ]
}

@test "a release that ends between its two ports changes nothing" {
	free_port
	METRICS=$PORT
	free_port
	two_ports old
	start_cluster -n 2 --start-timeout 5s -- python3 "$DIR/app.py"
	wait_until 10 'answers && answers "$METRICS"'
	wait_until 10 'both_have "$PORT"'

	two_ports new 'sys.exit("no database")'
	run -1 nclust restart "$INSTANCE"
	[[ $output == *"failed: $INSTANCE.0: exit 1 after "* ]]
	all_as_before 2

	two_ports new 'threading.Event().wait()'
	run -1 nclust restart "$INSTANCE"
	[[ $output == *"does not listen on tcp:127.0.0.1:$PORT, unlike generation "* ]]
	all_as_before 2

	nclust restart --drop-ports "$INSTANCE"
	[ "$(cluster '"\(.ready) \(.wanted)"')" = "2 2" ]
	[ "$(answers "$METRICS")" = new ]
	# what was dropped is not waited for any more
	nclust restart "$INSTANCE"
}

@test "a port that the file does not name any more need not be listened on" {
	free_port
	METRICS=$PORT
	free_port
	two_ports old
	printf '%s\n' '[cluster:it]' "command = python3 $DIR/app.py" \
		"workers = 1" "listen = 127.0.0.1:$PORT" \
		"listen = 127.0.0.1:$METRICS" "start-timeout = 5s" \
		>"$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	wait_until 10 '[ "$(answers)" = old ]'

	two_ports new 'threading.Event().wait()'
	sed -i "/127.0.0.1:$PORT/d" "$DIR/it.ini"
	nclust reload "$INSTANCE"
	[ "$(answers "$METRICS")" = new ]
}

# The settings of such a release.
served_by() { # WAY LISTEN [START-TIMEOUT]
	printf '%s\n' '[cluster:it]' "command = python3 $DIR/app.py $1 $PORT" \
		'workers = 2' 'bake = 0' "start-timeout = ${3-20s}" "$2" \
		>"$DIR/it.ini"
}

# Servers that bind, and such that take the socket that they get, as it is.
served_app() {
	cat >"$DIR/app.py" <<-'EOF'
		import os, select, socket, sys, threading
		way = sys.argv[1]
		if way == 'bind':
		    s = socket.create_server(('127.0.0.1', int(sys.argv[2])))
		else:
		    s = socket.socket(fileno=3)
		def serve():
		    poll = select.epoll() if way == 'epoll' else select.poll()
		    if way in ('poll', 'epoll', 'select'):
		        poll.register(s, select.POLLIN)
		        s.setblocking(False)
		    while True:
		        if way == 'select':
		            select.select([s], [], [])
		        elif way in ('poll', 'epoll'):
		            poll.poll()
		        try:
		            c = s.accept()[0]
		        except BlockingIOError:
		            continue
		        c.setblocking(True)
		        c.recv(4096)
		        c.sendall(b'HTTP/1.0 200 OK\r\n\r\n%d %s'
		            % (os.getpid(), way.encode()))
		        c.close()
		if way == 'thread':
		    threading.Thread(target=serve).start()
		    threading.Event().wait()
		serve()
	EOF
}

@test "a release that calls no listen(2), as it takes LISTEN_FDS, is ready by waiting" {
	local way listen

	free_port
	served_app
	listen="listen = 127.0.0.1:$PORT"
	served_by bind ''
	start_cluster -c "$DIR/it.ini"
	for way in accept thread poll bind select epoll; do
		served_by $way "$listen"
		nclust reload "$INSTANCE"
		[[ $(answers) == *" $way" ]]
		nclust restart "$INSTANCE"
		old=$(worker 0 .pid)
		kill -KILL "$old"
		wait_until 15 'cluster "select(.ready == 2).workers[0].pid" |
			grep -vqx "$1"' "$old"
	done
}

@test "one that leaves the socket alone is not, and changes nothing" {
	free_port
	served_app
	served_by bind ''
	start_cluster -c "$DIR/it.ini"
	printf '%s\n' 'import threading' 'threading.Event().wait()' \
		>"$DIR/app.py"
	served_by idle "listen = 127.0.0.1:$PORT" 4s
	run -1 nclust reload "$INSTANCE"
	[[ $(answers) == *" bind" ]]
}

# --- One that ends soon after the rollout was done ----------------------------

# Workers that live until the file "$DIR/die" is there, and then the one in slot 1
# ends, if it is of a command that is not well.  Alive is ready, so that is a guess:
# each is watched for stable-after, which is long here, as no test is to hurry; and
# the first one before the second is replaced, for a moment (`bake`).
write_app() {
	cat >"$DIR/app" <<-'EOF'
		while [ "$1$NCLUST_SLOT" != bad1 ] || [ ! -e "$2/die" ]; do
			sleep 0.05
		done
		echo 'no database'
		exit 1
	EOF
	printf '%s\n' '[cluster:it]' "command = sh $DIR/app $1 $DIR" \
		'workers = 2' 'ready = alive:50ms' 'bake = 100ms' \
		'stable-after = 300s' 'log = prefix' 'backoff-max = 200ms' \
		"on-rollout = $DIR/tell" "${@:2}" \
		>"$DIR/it.ini"
}

# What the hook was told; two hooks of the same moment run at the same time.
write_hook() {
	printf '%s\n' '#!/bin/sh' \
		"echo \$NCLUST_ROLLOUT-\$NCLUST_OUTCOME >>$DIR/told" >"$DIR/tell"
	chmod +x "$DIR/tell"
}

failed_late() {
	grep -q "it: restart failed .* s after it was done: it.1: \
exit 1 after .*; $1" "$LOG"
}

# Both serve by the command $1, and nothing is under way.
both_are() {
	local pid

	[ "$(cluster '"\(.ready) \(.rollout)"')" = "2 null" ] || return 1
	for pid in $(cluster '.workers[].pid'); do
		tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q "app $1 " ||
			return 1
	done
}

@test "a reload whose second worker ends soon after it was done goes back" {
	write_hook
	write_app good
	start_cluster -c "$DIR/it.ini"
	write_app bad
	nclust reload "$INSTANCE"
	both_are bad
	touch "$DIR/die"

	wait_until 20 'failed_late "going back to the previous settings"'
	wait_until 20 'both_are good'
	wait_until 20 'logged "rollout 2 done"'
	# one after the other, first the slot that was empty
	nclust events "$INSTANCE" --json | jq -es '[.[] | select(.rollout == 2
		and .event == "rollout-step") | .slot] == [1, 0]'
	wait_until 10 '[ "$(sort "$DIR/told" | xargs)" = \
		"1-done 1-failed 1-started 2-done 2-started" ]'

	# that it has gone back is no success
	[[ $(cluster .failed_restart.text) == "last restart failed "*" ago: \
it.1: exit 1 after "*"; generation 3 keeps serving" ]]
	[ "$(cluster .failed_restart.rollout)" -eq 1 ]
	run nclust status "$INSTANCE"
	[ "$status" -eq 0 ]
	[[ $output == *"last restart failed "* ]]

	rm "$DIR/die"
	nclust reload "$INSTANCE"
	both_are bad
	[ "$(cluster .failed_restart)" = null ]
}

@test "a restart has nothing to go back to, and says so" {
	write_hook
	write_app bad
	start_cluster -c "$DIR/it.ini"
	nclust restart "$INSTANCE"
	touch "$DIR/die"

	wait_until 20 'failed_late "the settings had not changed, so there is \
nothing to go back to"'
	rm "$DIR/die"
	wait_until 20 'both_are bad'
	[ "$(cluster .generation)" -eq 2 ]
	[ "$(cluster .failed_restart.rollout)" -eq 1 ]
	run ! grep -q "rollout 2" "$LOG"
	nclust events "$INSTANCE" --json | jq -es '[.[] | select(.rollout == 1)
		| .event] | index("rollout-done") < index("rollout-failed")'

	# who ends later, or is in a hurry, has not failed a restart
	nclust restart --bake 0 "$INSTANCE"
	[ "$(cluster .failed_restart)" = null ]
	old=$(worker_pid 1)
	kill -KILL "$old"
	wait_until 20 'both_are bad && [ "$(worker_pid 1)" != "$1" ]' "$old"
	[ "$(cluster .failed_restart)" = null ]
}

@test "an upgrade meanwhile does not forget what is watched" {
	write_hook
	write_app good
	start_cluster -c "$DIR/it.ini"
	write_app bad
	nclust reload "$INSTANCE"
	nclust upgrade "$INSTANCE"
	touch "$DIR/die"
	wait_until 20 'failed_late "going back to the previous settings"'
	wait_until 20 'both_are good'
}

@test "a verb that waits for another cluster yet has failed" {
	write_hook
	write_app bad '[cluster:slow]' 'ready = notify' \
		"command = sh -c '[ -e \"\$1/hold\" ] || exec \"\$0\" --notify; \
while [ -e \"\$1/hold\" ]; do sleep 0.05; done; exec \"\$0\" --notify' \
$FIXTURES/hear $DIR"
	start_cluster -c "$DIR/it.ini"
	touch "$DIR/hold"
	nclust restart "$INSTANCE" >"$DIR/said" 2>&1 &
	restarting=$!
	wait_until 20 'logged "it: rollout 1 done"'
	touch "$DIR/die"
	wait_until 20 'logged "it: restart failed "'
	[ "$(CLUSTER=slow cluster .rollout.id)" -eq 1 ]
	rm "$DIR/hold"
	code=0
	wait "$restarting" || code=$?
	[ "$code" -eq 1 ]
	grep "it: restart failed .* s after it was done: it.1" "$DIR/said"
}

@test "going back opens again what only the settings of before listen on" {
	free_port
	METRICS=$PORT
	free_port
	two_ports old
	cp "$DIR/app.py" "$DIR/old.py"
	two_ports new 'import os
while os.environ["NCLUST_SLOT"] != "1" or not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
sys.exit("no database")'
	printf '%s\n' '[cluster:it]' "command = python3 $DIR/old.py" \
		'workers = 2' "listen = 127.0.0.1:$PORT" 'bake = 100ms' \
		"listen = 127.0.0.1:$METRICS" 'stable-after = 300s' \
		>"$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	wait_until 10 '[ "$(answers)" = old ]'

	sed -i -e "/127.0.0.1:$PORT/d" \
		-e "s|^command.*|command = python3 $DIR/app.py $DIR/die|" \
		"$DIR/it.ini"
	nclust reload "$INSTANCE"
	run ! answers
	[ "$(answers "$METRICS")" = new ]
	touch "$DIR/die"
	wait_until 30 'logged "rollout 2 done"'
	wait_until 10 '[ "$(answers)" = old ]'
	[ "$(answers "$METRICS")" = old ]
	nclust status "$INSTANCE" --json | jq -e ".clusters[0].listeners |
		map(select(.address | endswith(\":$PORT\"))) | length == 1"
}

@test "going back makes again the memory that only the settings of before share" {
	write_hook
	write_app good 'shared-memory = 64k'
	start_cluster -c "$DIR/it.ini"
	write_app bad
	nclust reload "$INSTANCE"
	[ "$(cluster .shared_memory)" = null ]
	touch "$DIR/die"
	wait_until 20 'logged "rollout 2 done"'
	[ "$(cluster .shared_memory.size)" -eq 65536 ]
	tr '\0' '\n' <"/proc/$(worker_pid 1)/environ" |
		grep -x NCLUST_SHM_SIZE=65536
	# that is what the next ones get, too
	inode=$(cluster .shared_memory.inode)
	[ "$(stat -L -c %i "/proc/$(worker_pid 0)/fd/$(tr '\0' '\n' \
		<"/proc/$(worker_pid 0)/environ" |
		sed -n 's/^NCLUST_SHM_FD=//p')")" = "$inode" ]
}

# --- What is said of it -------------------------------------------------------

# Workers that listen, which makes them ready, and end a little later.
listens_and_ends() {
	deploy old "http.createServer(answer).listen($PORT, '127.0.0.1');" \
		"setTimeout(() => { console.error('no database');" \
		"process.exit(1); }, 300);"
}

@test "a restart where nothing can serve is not done, and claims nobody" {
	free_port
	listens_and_ends
	start_nclust -n 2 --stable-after 20s --backoff-min 60s \
		--backoff-max 60s --log prefix -- node "$DIR/app.js"
	wait_until 20 '[ "$(status_json | jq "[.clusters[0].workers[] |
		select(.state == \"backoff\")] | length")" -eq 2 ]'

	run -1 nclust restart "$INSTANCE"
	[[ $output == *": exit 1 after "*"no database"* ]]
	[[ $output != *"the old workers keep serving"* ]]
}

# Slot 2 never listens, so that never all are ready.
@test "more of what cannot start: scale fails with the first that ends" {
	free_port
	deploy old "if (process.env.NCLUST_SLOT === '2')" \
		"setInterval(() => {}, 1000); else {" \
		"http.createServer(answer).listen($PORT, '127.0.0.1');" \
		"setTimeout(() => { console.error('no database');" \
		"process.exit(1); }, 300); }"
	start_nclust -n 1 --log prefix -- node "$DIR/app.js"
	wait_until 20 'logged "next try in"'

	run -1 timeout 20 "$NCLUST" scale "$INSTANCE" 3
	[[ $output == *"ended with exit 1"*"no database"* ]]
}

# The next death is a minute away: only what was asked for is waited for.
@test "fewer of what cannot start: done at once, by scale and by reload" {
	printf '%s\n' '[cluster:web]' 'workers = 4' 'backoff-min = 1m' \
		'backoff-max = 1m' "command = $FIXTURES/die --exit 3" \
		>"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	wait_until 10 '[ "$(cluster "[.workers[].state] | unique |
		join(\" \")")" = backoff ]'

	run -0 timeout $((10 * PATIENCE)) "$NCLUST" scale "$INSTANCE" 3
	[ "$output" = 'web: 3 workers' ]
	[ "$(cluster '"\(.wanted) \(.workers | length)"')" = "3 3" ]
	sed -i 's/^workers.*/workers = 1/' "$DIR/it.ini"
	run -0 timeout $((10 * PATIENCE)) "$NCLUST" reload "$INSTANCE"
	[ "$(cluster '.workers | length')" -eq 1 ]
	[ "$(cluster '[.workers[].restarts] | add')" -eq 1 ]
}

@test "a rollout that a stop interrupts names the slot, and claims nobody" {
	start_cluster -n 2 --ready notify -- sh -c \
		'[ -e "$2/hold" ] || exec "$1" --notify; sleep 60' - \
		"$FIXTURES/hear" "$DIR"
	touch "$DIR/hold"
	nclust restart "$INSTANCE" >"$DIR/said" 2>&1 &
	restarting=$!
	wait_until 10 '[ "$(cluster ".workers | length")" -eq 3 ]'
	nclust stop "$INSTANCE"
	if wait "$restarting"; then false; fi
	grep -F "failed: $INSTANCE.0: interrupted, the cluster stops" \
		"$DIR/said" "$LOG"
	run ! grep -F "the old workers keep serving" "$DIR/said" "$LOG"
}

@test "a unix socket that nclust passes counts, also after a take-over" {
	local words=(-n 2 --orphans keep --ipc off --stop-timeout 1s
		--start-timeout 10s --listen "unix:$DIR/socket" --
		node "$ROOT/tests/e2e/servers/listen-fd.js")

	start_nclust "${words[@]}"
	wait_until 10 '[ "$(status_json | jq ".clusters[0].ready")" -eq 2 ]'
	kill_nclust
	start_nclust "${words[@]}"
	timeout $((15 * PATIENCE)) "$NCLUST" restart --bake 0 \
		"$INSTANCE.0"
	[ "$(status_json | jq '.clusters[0].ready')" -eq 2 ]
}
