# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# spare = N: copies that wait before their listen(2), and take the place of others.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	free_port
}

# so_many READY SPARES
so_many() {
	cluster "[.ready, ([.workers[] | select(.state == \"spare\")] | length),
		(.workers | length)] == [$1, $2, $1 + $2]" | grep -q true
}

spare_pid() {
	cluster '[.workers[] | select(.state == "spare")][0].pid'
}

ready_pid() {
	cluster '[.workers[] | select(.state == "ready")][0].pid'
}

generations() {
	cluster '[.workers[].generation] | unique | length'
}

# Who answers, of the workers that bind by themselves.
who() {
	timeout 5 bash -c 'cat <"/dev/tcp/127.0.0.1/$1"' - "$PORT" |
		sed -n 's/^pid=//p'
}

serve() {
	start_nclust "$@" --log-level info -- "$FIXTURES/bind-itself" "$PORT"
}

# The worker's successor cannot listen before this: only a spare answers.
serve_slowly() {
	start_nclust "$@" --log-level info -- sh -c '
		[ ! -e "$1/slow" ] || until [ -e "$1/go" ]; do sleep 0.02; done
		exec "$0" "$2"' "$FIXTURES/bind-itself" "$DIR" "$PORT"
}

@test "a spare takes the place of a worker that is killed, and is replaced" {
	serve_slowly -n 1 --spare 1
	wait_until 10 'so_many 1 1'
	old=$(ready_pid)
	spare=$(spare_pid)
	for _ in {1..20}; do
		[ "$(who)" = "$old" ]
	done

	touch "$DIR/slow"
	kill -KILL "$old"
	[ "$(who)" = "$spare" ]
	logged "worker $spare, a spare, serves from now on"
	[ "$(cluster .ready)" -eq 1 ]
	run -0 nclust status "$INSTANCE"
	touch "$DIR/go"
	wait_until 10 'so_many 1 1'

	# the spare itself is not missed, and replaced
	old=$(spare_pid)
	kill -KILL "$old"
	[ "$(who)" = "$spare" ]
	wait_until 10 'so_many 1 1 && [ "$(spare_pid)" != "$1" ]' "$old"
	[ "$(ready_pid)" = "$spare" ]
	run -0 nclust stop "$INSTANCE"
}

@test "more are served by spares at once, and fewer leave as many spares" {
	serve_slowly -n 1 --spare 2
	wait_until 10 'so_many 1 2'
	touch "$DIR/slow"
	run -0 timeout 10 "$NCLUST" scale "$INSTANCE" 3 --no-wait
	wait_until 10 '[ "$(cluster .ready)" -eq 3 ]'
	touch "$DIR/go"
	wait_until 10 'so_many 3 2'
	run -0 nclust scale "$INSTANCE" 1
	wait_until 10 'so_many 1 2'
	run -0 nclust scale "$INSTANCE" 0
	wait_until 10 'so_many 0 0'
	run -0 nclust scale "$INSTANCE" 1
	wait_until 10 'so_many 1 2'
}

@test "verbs in every order with spares: none serves that is of old, none is lost" {
	serve -n 2 --spare 2 --stable-after 50ms
	wait_until 10 'so_many 2 2'
	for verb in restart upgrade kill restart kill upgrade kill-spare upgrade \
		restart kill-spare restart; do
		case $verb in
		kill) kill -KILL "$(ready_pid)" ;;
		kill-spare) kill -KILL "$(spare_pid)" ;;
		*) run -0 nclust "$verb" "$INSTANCE" ;;
		esac
		[ -n "$(who)" ]
		wait_until 20 'so_many 2 2 && [ "$(generations)" -eq 1 ]'
	done
	spares=$(cluster '[.workers[] | select(.state == "spare").pid]')
	for _ in {1..20}; do
		[ "$(jq --argjson pid "$(who)" 'index($pid)' <<<"$spares")" = null ]
	done
	# a spare that came through upgrades serves
	run -0 nclust upgrade "$INSTANCE"
	spare=$(spare_pid)
	freeze "$(ready_pid)"
	kill -KILL "$(ready_pid)"
	wait_until 10 '[ "$(cluster ".workers[] |
		select(.pid == $1).state")" = ready ]' "$spare"
}

@test "a restart that fails leaves the old spare and the old worker" {
	serve_slowly -n 1 --spare 1 --start-timeout 1s
	wait_until 10 'so_many 1 1'
	old=$(ready_pid)
	touch "$DIR/slow"
	run -1 nclust restart "$INSTANCE"
	[ "$(who)" = "$old" ]
	[ "$(generations)" -eq 1 ] || wait_until 10 '[ "$(generations)" -eq 1 ]'
	touch "$DIR/go"
	wait_until 20 'so_many 1 1'
	[ "$(ready_pid)" = "$old" ]
}

@test "a spare that never comes to its listen(2) is tried again, and nothing else" {
	serve_slowly -n 1 --spare 1 --start-timeout 1s --log-level info
	wait_until 10 'so_many 1 1'
	old=$(ready_pid)
	touch "$DIR/slow"
	kill -KILL "$(spare_pid)"
	wait_logged 'was not ready after'
	[ "$(who)" = "$old" ]
	[ "$(cluster .state)" = running ]
	run -0 nclust status "$INSTANCE"
	touch "$DIR/go"
	wait_until 20 'so_many 1 1'
}

@test "a reload changes how many spares there are, and no worker" {
	write() {
		printf '[cluster:it]\nworkers = 1\nspare = %s\ncommand = %s %s\n' \
			"$1" "$FIXTURES/bind-itself" "$PORT" >"$DIR/it.ini"
	}
	write 0
	start_nclust -c "$DIR/it.ini"
	wait_until 10 'so_many 1 0'
	old=$(ready_pid)
	write 3
	run -0 nclust reload "$INSTANCE"
	wait_until 10 'so_many 1 3'
	[ "$(ready_pid)" = "$old" ]
	write 1
	run -0 nclust reload "$INSTANCE"
	wait_until 10 'so_many 1 1'
	[ "$(ready_pid)" = "$old" ]
	kill -KILL "$old"
	wait_until 10 'so_many 1 1'
	# the one that serves is in the highest slot: a spare goes on for it
	write 0
	run -0 nclust reload "$INSTANCE"
	wait_until 10 'so_many 1 0'
	[ -n "$(who)" ]
}

@test "killed with orphans = keep, the next nclust has no spare that serves" {
	launch_nclust -n 1 --spare 1 --orphans keep --log-level info \
		-- "$FIXTURES/bind-itself" "$PORT"
	wait_until 10 'so_many 1 1'
	old=$(ready_pid)
	spare=$(spare_pid)
	kill_nclust
	launch_nclust -n 1 --spare 1 --orphans keep --log-level info \
		-- "$FIXTURES/bind-itself" "$PORT"
	wait_until 20 'so_many 1 1'
	[ "$(ready_pid)" = "$old" ]
	[ "$(spare_pid)" != "$spare" ]
	is_gone "$spare"
	[ "$(who)" = "$old" ]
	kill -KILL "$old"
	wait_until 10 '[ -n "$(who)" ] && so_many 1 1'
}

@test "a program that does not listen has no spares, and that is said once" {
	start_nclust -n 1 --spare 2 -l "127.0.0.1:$PORT" --ready notify \
		-- "$FIXTURES/notify" READY=1
	wait_until 20 'so_many 1 0'
	logged 'no spares are held'
	[ "$(grep -c 'no spares are held' "$LOG")" -eq 1 ]
}

@test "one that listens on a passed socket waits there as well" {
	start_nclust -n 1 --spare 1 -l "127.0.0.1:$PORT" -- python3 -c '
import os, socket
s = socket.socket(fileno=3)
s.listen(16)
while True:
    c, _ = s.accept()
    c.sendall(b"pid=%d\n" % os.getpid())
    c.close()'
	wait_until 20 'so_many 1 1'
	spare=$(spare_pid)
	kill -KILL "$(ready_pid)"
	[ "$(who)" = "$spare" ]
}

@test "workers of another user have spares" {
	need_root
	chmod 755 "$DIR"
	serve -n 1 --spare 1 --user nobody
	wait_until 10 'so_many 1 1'
	spare=$(spare_pid)
	kill -KILL "$(ready_pid)"
	[ "$(who)" = "$spare" ]
	wait_until 10 'so_many 1 1'
	run -0 nclust restart "$INSTANCE"
	wait_until 10 'so_many 1 1'
}

@test "a spare of Node waits for the answer to its query" {
	need node
	start_nclust -n 1 --spare 1 --log-level info \
		-- node "$SCRIPTS/servers/plain.js" "$PORT"
	wait_until 20 'so_many 1 1'
	spare=$(spare_pid)
	old=$(ready_pid)
	[[ $(curl -sS "http://127.0.0.1:$PORT/") == *"$old"* ]]
	run -0 nclust upgrade "$INSTANCE"
	kill -KILL "$old"
	[[ $(curl -sS "http://127.0.0.1:$PORT/") == *"$spare"* ]]
	wait_until 20 'so_many 1 1'
	run -0 nclust restart "$INSTANCE"
	wait_until 20 'so_many 1 1'
	[ "$(generations)" -eq 1 ]
	run -0 nclust stop "$INSTANCE"
}

@test "what does not go with spares is refused before anything starts" {
	run -64 "$NCLUST" -n 1 --spare 1 --intercept off -- true
	[[ $output == *"'spare' holds workers in their listen(2)"* ]]
	run -64 "$NCLUST" -n 1 --spare 1 --ready alive:1s -- true
	[[ $output == *"'spare' does not go with 'ready = alive'"* ]]
	run -64 "$NCLUST" -n 1 --spare 1 --restart never -- true
	[[ $output == *"'spare' does not go with a 'restart'"* ]]
	run -64 "$NCLUST" --spare 1 --accept -l "127.0.0.1:$PORT" -- true
	[[ $output == *"--spare: does not go with 'accept'"* ]]
}
