# SPDX-License-Identifier: MIT
#
# nclust as the primary of Node's cluster: what it does for workers that speak
# that protocol, and with those that misuse it.

load ../../lib
bats_require_minimum_version 1.5.0

SERVERS=$SCRIPTS/servers

setup() {
	nclust_setup

	free_port
	# a worker that is none of Node's, but is started as one
	mkdir -p "$DIR/bin"
	ln -s "$(command -v python3)" "$DIR/bin/node"
}

serve() {
	start_cluster "$@" --ready listen -- node "$SERVERS/cluster.js" "$PORT"
}

visit() {
	curl -sS --max-time 5 "http://127.0.0.1:$PORT/"
}

# visits N: the pids that answered, each with how often.
visits() {
	for _ in $(seq "$1"); do
		visit
	done | cut -d' ' -f1 | sort | uniq -c
}

both_seen() {
	[ "$(visits 20 | wc -l)" -eq 2 ]
}

# Requests in the background, one connection each, until they are stopped.
begin_load() {
	(
		while [ ! -e "$DIR/enough" ]; do
			visit >>"$DIR/answers" 2>>"$DIR/failures"
		done
	) 3>&- &
	LOAD=$!
	wait_until 5 '[ -s "$DIR/answers" ]'
}

end_load() {
	touch "$DIR/enough"
	wait "$LOAD"
	cat "$DIR/failures"
	[ ! -s "$DIR/failures" ]
}

said() {
	grep -qxF -- "$1" "$LOG"
}

hostile() {
	start_nclust -n 1 --ready alive:0ms "${@:2}" -- \
		"$DIR/bin/node" "$SERVERS/primary.py" "$1" "$PORT"
}

@test "a script of Node's cluster is a worker of nclust" {
	serve -n 2
	wait_until 10 both_seen
	run grep -c "primary branch" "$LOG"
	[ "$output" -eq 0 ]
	grep -q "listening on tcp:\*:$PORT (opened by it\.[01])" "$LOG"
	[ "$(cluster '.listeners[0].address')" = "tcp:*:$PORT" ]
}

@test "with ipc = off it is its own primary" {
	launch_nclust -n 1 --ipc off --restart never -- \
		node "$SERVERS/cluster.js" "$PORT"
	wait_exit
	[ "$status" -eq 3 ]
	grep -q "primary branch" "$LOG"
}

@test "a rolling restart loses no connection, and workers end by themselves" {
	serve -n 2
	begin_load
	nclust restart "$INSTANCE"
	nclust restart "$INSTANCE"
	end_load
	for slot in 0 1; do
		[ "$(worker "$slot" .last_exit.text)" = "exit 0" ]
	done
}

@test "an upgrade keeps servers, ids and the spread" {
	local before

	serve -n 3 --balance rr
	before=$(visits 30)
	[ "$(awk '{ print $1 }' <<<"$before" | sort -u)" -eq 10 ]
	begin_load
	nclust upgrade "$INSTANCE"
	end_load
	[ "$(visits 30)" = "$before" ]
	# numbers go on where they were
	nclust restart "$INSTANCE"
	for _ in $(seq 9); do
		visit
	done | cut -d' ' -f2 | sort -nu >"$DIR/ids"
	[ "$(head -n 1 "$DIR/ids")" -gt 3 ]
}

@test "rr: the spread is even also where all are busy" {
	cat >"$DIR/slow.js" <<-'END'
	require('http').createServer((request, response) =>
		setTimeout(() => response.end(process.pid + '\n'), 300)
	).listen(process.argv[2]);
	END
	start_cluster -n 2 --balance rr -- node "$DIR/slow.js" "$PORT"
	# each has room for 8
	for _ in $(seq 16); do
		curl -sS --max-time 20 "http://127.0.0.1:$PORT/" \
			>>"$DIR/slow" 2>&1 3>&- &
	done
	wait_until 20 '[ "$(wc -l <"$DIR/slow")" -eq 16 ]'
	[ "$(sort "$DIR/slow" | uniq -c | awk '{ print $1 }' | sort -u)" -eq 8 ]
}

@test "sticky: a client stays with its worker" {
	serve -n 4 --sticky client-address
	[ "$(visits 20 | wc -l)" -eq 1 ]
	[ "$(cluster .balance)" = rr ]
}

@test "the environment of Node says how connections are spread" {
	serve -n 2 --env NODE_CLUSTER_SCHED_POLICY=rr
	visits 10
	[ "$(cluster .balance)" = rr ]
}

@test "a listener that nclust has is given, by address and by number" {
	cat >"$DIR/both.js" <<-'END'
	const net = require('net');
	const port = Number(process.argv[2]);
	const answer = s => s.end(process.pid + '\n');
	net.createServer(answer).listen(port, () => console.log('by port'));
	net.createServer(answer).on('error', e => console.log(e.code))
		.listen({ fd: 4 }, () => console.log('by number'));
	net.createServer(answer).on('error', e => console.log('5', e.code))
		.listen({ fd: 5 });
	END
	start_cluster -n 1 -l "$PORT" -l "unix:$DIR/s" -- \
		node "$DIR/both.js" "$PORT"
	wait_until 5 'said "by port" && said "by number" && said "5 EINVAL"'
	[ "$(cluster '.listeners | length')" -eq 2 ]
}

@test "a server that is closed by its last user is closed" {
	cat >"$DIR/close.js" <<-'END'
	const net = require('net');
	const server = net.createServer(s => s.end('x')).listen(process.argv[2]);
	setInterval(() => {}, 1000);
	process.on('SIGUSR2', () => server.close());
	process.on('SIGHUP', () => server.listen(process.argv[2]));
	END
	start_cluster -n 1 --ready listen -- node "$DIR/close.js" "$PORT"
	[ "$(cluster '.listeners | length')" -eq 1 ]
	nclust signal "$INSTANCE" USR2
	wait_until 5 '[ "$(cluster ".listeners | length")" -eq 0 ]'
	[ "$(worker_state 0)" = ready ]
	nclust signal "$INSTANCE" HUP
	wait_until 5 '[ "$(cluster ".listeners | length")" -eq 1 ]'
}

@test "a worker that has more to do gets its stop signal when it has disconnected" {
	cat >"$DIR/more.js" <<-'END'
	require('http').createServer((q, r) => r.end('x')).listen(process.argv[2]);
	process.on('disconnect', () => console.log('disconnected'));
	process.on('SIGTERM', () => { console.log('asked'); process.exit(0); });
	setInterval(() => {}, 1000);
	END
	start_cluster -n 1 --ready listen -- node "$DIR/more.js" "$PORT"
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
}

@test "process.send('ready') makes a worker ready" {
	cat >"$DIR/ready.js" <<-'END'
	process.send('ready');
	setInterval(() => {}, 1000);
	END
	start_cluster -n 1 --ready notify -- node "$DIR/ready.js"
	[ "$(cluster .notify_seen)" = true ]
}

@test "who listens without a script is started again without the channel" {
	cat >"$DIR/eval" <<-END
	#!/bin/sh
	exec node -e "require('net').createServer(s => s.end('x')).listen($PORT)"
	END
	chmod 755 "$DIR/eval"
	start_nclust -n 1 --ipc on -- sh -c "exec $DIR/eval node"
	wait_until 10 'grep -q "started again without" "$LOG"'
	wait_until 10 'curl -s --http0.9 "127.0.0.1:$PORT" >/dev/null'
}

@test "a worker gets no port, path or descriptor that it may not have" {
	[ "$(id -u)" -eq 0 ] || skip "not root"
	hostile ports --user nobody
	wait_until 10 'said "fd 1000000 -22"'
	said "low -13"
	said "path -13"
	said "fd 0 -22"
	said "fd 3 -22"
	said "fd 7 -22"
}

@test "a worker gets no more servers than there is room for" {
	hostile many
	wait_until 30 'grep -q "^refused" "$LOG"'
	[ "$(sed -n 's/^refused //p' "$LOG")" -ge 1900 ]
	[ "$(cluster '.listeners | length')" -le 64 ]
}

@test "answers that nobody asked for, and lines without sense, harm nobody" {
	hostile acks
	wait_until 10 'said "after 0"'
}

@test "a line without an end is skipped" {
	hostile endless
	wait_until 20 'said "after 0"'
	[ "$(awk '/^VmHWM/ { print $2 }' "/proc/$NCLUST_PID/status")" -lt 16384 ]
}

@test "what a worker sends is acknowledged, and closed" {
	hostile handles
	wait_until 20 'said "after 0"'
	[ "$(find "/proc/$NCLUST_PID/fd" -type l | wc -l)" -lt 64 ]
}

@test "a worker without descriptors is asked again, patiently, and then told" {
	hostile nack
	wait_until 10 'said "sent 4 patient True"'
	said "errno -24"
	grep -q "has no descriptor left" "$LOG"
}

# killed, and the next one of that name: $1 is how connections are spread
lives_on() {
	local id

	serve -n 2 --orphans keep --balance "$1"
	id=$(visits 10 | wc -l)
	[ "$id" -ge 1 ]
	kill_nclust
	serve -n 2 --orphans keep --balance "$1"
	wait_until 10 '[ "$(cluster .state)" = running ]'
	visits 10
	[ "$(visits 10 | awk '{ n += $1 } END { print n }')" -eq 10 ]
	nclust restart "$INSTANCE"
	[ "$(visits 10 | awk '{ n += $1 } END { print n }')" -eq 10 ]
	[ "$(worker 0 .last_exit.text)" = "exit 0" ]
	nclust stop "$INSTANCE"
}

@test "workers whose nclust was killed serve on, and are taken over" {
	lives_on share
}

@test "so it is with rr: they are replaced, as nobody gives them connections" {
	lives_on rr
}

@test "doctor tells what a Node script is to nclust" {
	run "$NCLUST" doctor -- node "$SERVERS/plain.js" "$PORT"
	[[ $output == *"a worker of Node's cluster, and nclust its primary"* ]]
	[[ $output == *":$PORT, which it asks nclust for"* ]]
}

@test "sticky without what it needs is refused" {
	run -64 "$NCLUST" --balance share --sticky client-address -- node x.js
	[[ $output == *"needs 'balance = rr'"* ]]
}
