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

# other_spare OLD: 1 is ready, and 1 a spare that is not this one.  (In two looks it might
# be that one whose death nclust does not know of, and then none.)
other_spare() {
	cluster "[.workers[] | [.state, .pid != $1]] | sort ==
		[[\"ready\", true], [\"spare\", true]]" | grep -q true
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

	# one that cannot answer is not waited for
	run timeout 4 "$NCLUST" ask it.1 GET /
	[ "$status" -eq 1 ]
	[[ $output == *"it.1 is a spare: it takes no connections until it serves"* ]]

	touch "$DIR/slow"
	end_at_once "$old"
	[ "$(who)" = "$spare" ]
	logged "spare worker $spare now serves"
	[ "$(cluster .ready)" -eq 1 ]
	run -0 nclust status "$INSTANCE"
	touch "$DIR/go"
	wait_until 10 'so_many 1 1'

	# the spare itself is not missed, and replaced
	old=$(spare_pid)
	end_at_once "$old"
	[ "$(who)" = "$spare" ]
	wait_until 10 'other_spare "$1"' "$old"
	[ "$(ready_pid)" = "$spare" ]
	run -0 nclust stop "$INSTANCE"
}

# ask_in_background FILE: clients whose connections wait in a queue; the answers.
ask_in_background() {
	askers=()
	for _ in 1 2; do
		who >>"$1" 3>&- &
		askers+=($!)
	done
	wait_until 10 '[ "$(ss -Htn "dport = :$1" | grep -c ESTAB)" -eq 2 ]' "$PORT"
}

@test "what waits for the worker that is killed goes to the spare, if each has a socket" {
	need_root
	for way in balance=rr balance=least balance=random sticky=client-address; do
		start_nclust -n 1 --spare 1 "--$way" --log-level info \
			-- "$FIXTURES/bind-itself" "$PORT"
		wait_until 10 'so_many 1 1'
		spare=$(spare_pid)
		freeze "$(ready_pid)"
		: >"$DIR/asked"
		ask_in_background "$DIR/asked"
		kill -KILL "$(ready_pid)"
		wait "${askers[@]}"
		[ "$(cat "$DIR/asked")" = "$spare"$'\n'"$spare" ]
		[ "$(cluster .balance)" = "${way#*=}" ]
		[ "$(who)" = "$spare" ]
		wait_until 10 'so_many 1 1'
		run -0 nclust stop "$INSTANCE"
	done
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

@test "taken over with a socket for each, a new spare takes no clients from others" {
	need_root
	for way in balance=least balance=rr balance=random; do
		for listen in '' "--listen=127.0.0.1:$PORT"; do
			again() {
				launch_nclust -n 1 --spare 1 "--$way" \
					${listen:+"$listen"} --orphans keep \
					-- "$FIXTURES/bind-itself" "$PORT"
				wait_until 20 'so_many 1 1'
			}
			again
			old=$(ready_pid)
			spare=$(spare_pid)
			kill_nclust
			again
			[ "$(spare_pid)" != "$spare" ]
			[ "$(who)" = "$old" ]
			run -0 nclust stop "$INSTANCE"
		done
	done
}

# Workers that never call listen(2): they are ready by READY=1, once $DIR/go is there.
take() {
	touch "$DIR/go"
	start_nclust -n 1 --spare 1 -l "127.0.0.1:$PORT" --ready notify \
		--backoff-max 100ms --log-level info "$@"
	wait_until 10 'so_many 1 1'
}

# Until it is gone it may take one more client, and lose it.
end_at_once() {
	kill -KILL "$1"
	wait_until 10 'is_gone "$1"' "$1"
}

# hold, and let_go: taker.py takes nobody in between, so that one that is started in
# place of a spare is not there before the spare.
hold() {
	touch "$DIR/hold"
}

let_go() {
	rm "$DIR/hold"
}

# ask [SECONDS]: a line to whoever takes the connection; its pid.
ask() {
	timeout "${1-5}" bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && echo >&3 &&
		read -r line <&3 && echo "${line#pid=}"' - "$PORT"
}

stands_still() {
	wait_until 10 '[ "$(process_state "$1")" = T ]' "$1"
}

# A client that it has taken before it was stopped, it still serves; and if it is killed then,
# that one is lost.
has_no_client() {
	[ "$(process_state "$1")" = T ] &&
		! ss -Htnp state established "( sport = :$PORT )" |
		grep -q "pid=$1," && [ "$(process_state "$1")" = T ]
}

@test "a program that never listens is stopped once it is ready, and takes nobody" {
	for how in accept epoll; do
		take -- python3 "$SCRIPTS/servers/taker.py" "$DIR" $how
		for _ in {1..5}; do
			old=$(ready_pid)
			spare=$(spare_pid)
			stands_still "$spare"
			for _ in {1..20}; do
				[ "$(ask)" = "$old" ]
			done
			hold
			end_at_once "$old"
			[ "$(ask)" = "$spare" ]
			let_go
			wait_until 10 'so_many 1 1'
		done
		run nclust status "$INSTANCE"
		[[ $output == *spare* && $output != *stopped* ]]
		run -0 nclust restart "$INSTANCE"
		wait_until 10 'so_many 1 1 && [ "$(generations)" -eq 1 ]'
		run -0 nclust scale "$INSTANCE" 2
		wait_until 10 'so_many 2 1'
		spare=$(spare_pid)
		run -0 nclust stop "$INSTANCE"
		is_gone "$spare"
	done
}

@test "a spare that has taken a client before it was ready serves it first" {
	take -- python3 "$SCRIPTS/servers/taker.py" "$DIR"
	old=$(ready_pid)
	rm "$DIR/go"
	kill -KILL "$(spare_pid)"
	wait_until 10 '[ "$(cluster "[.workers[] |
		select(.state == \"starting\" and .pid != null)] | length")" -eq 1 ]'
	next=$(cluster '.workers[] | select(.state == "starting").pid')
	wait_until 10 'grep -q . "/proc/$1/task/$1/children" ||
		[ "$(find "/proc/$1/task" -mindepth 1 -maxdepth 1 | wc -l)" -gt 1 ]' "$next"
	freeze "$old"
	coproc { exec 3<>"/dev/tcp/127.0.0.1/$PORT"; echo >&3; read -r -t 20 l <&3
		echo "$l"; read -r -t 60 _; echo >&3; read -r -t 20 l <&3; echo "$l"; }
	exec {heard}<&"${COPROC[0]}"
	read -r -t 20 line <&"$heard"
	[ "$line" = "pid=$next" ]
	thaw "$old"
	touch "$DIR/go"
	wait_until 10 'so_many 1 1'
	[ "$(spare_pid)" = "$next" ]
	wait_logged "spare worker $next has taken 1 connection:"
	[ "$(process_state "$next")" != T ] || wait_until 5 \
		'[ "$(process_state "$1")" != T ]' "$next"
	echo >&"${COPROC[1]}"
	read -r -t 20 line <&"$heard"
	[ "$line" = "pid=$next" ]
	exec {heard}<&-
	wait "$COPROC_PID" || true
	stands_still "$next"
	hold
	end_at_once "$old"
	[ "$(ask)" = "$next" ]
}

@test "no client is lost or waits while spares come, are stopped, and serve" {
	take -- python3 "$SCRIPTS/servers/taker.py" "$DIR" epoll
	(
		for _ in {1..300}; do
			[ -n "$(ask $((10 * PATIENCE)))" ] || echo lost
		done >"$DIR/asked"
	) 3>&- &
	asker=$!
	for _ in {1..12}; do
		is_alive "$asker" || break
		spare=$(spare_pid)
		poll_until 20 has_no_client "$spare"
		kill -KILL "$spare"
		wait_until 10 'other_spare "$1"' "$spare"
	done
	wait "$asker"
	[ ! -s "$DIR/asked" ]
}

@test "spares that stand still: an upgrade, and a death of nclust" {
	touch "$DIR/go"
	again() {
		launch_nclust -n 1 --spare 1 -l "127.0.0.1:$PORT" --ready notify \
			--orphans keep -- python3 "$SCRIPTS/servers/taker.py" "$DIR"
	}
	again
	wait_until 10 'so_many 1 1'
	spare=$(spare_pid)
	stands_still "$spare"
	run -0 nclust upgrade "$INSTANCE"
	wait_until 10 'so_many 1 1'
	[ "$(spare_pid)" = "$spare" ]
	stands_still "$spare"
	old=$(ready_pid)
	hold
	end_at_once "$old"
	[ "$(ask)" = "$spare" ]
	let_go
	wait_until 10 'so_many 1 1'

	spare=$(spare_pid)
	old=$(ready_pid)
	stands_still "$spare"
	kill_nclust
	again
	wait_until 20 'other_spare "$1"' "$spare"
	is_gone "$spare"
	[ "$(ask)" = "$old" ]
}

@test "ready = alive, without a trap: a spare stands still after its time" {
	touch "$DIR/go"
	start_nclust -n 1 --spare 1 -l "127.0.0.1:$PORT" --ready alive:200ms \
		--intercept off -- python3 "$SCRIPTS/servers/taker.py" "$DIR"
	wait_until 10 'so_many 1 1'
	spare=$(spare_pid)
	stands_still "$spare"
	end_at_once "$(ready_pid)"
	# its successor may take some until it stands still, too
	wait_until 20 '[ "$(ask)" = "$1" ]' "$spare"
	run -0 nclust stop "$INSTANCE"

	start_nclust -n 1 --spare 1 --ready alive:200ms \
		-- "$FIXTURES/bind-itself" "$PORT"
	wait_until 10 'so_many 1 1'
	spare=$(spare_pid)
	end_at_once "$(ready_pid)"
	wait_until 10 '[ "$(ready_pid)" = "$1" ]' "$spare"
	[ "$(who)" = "$spare" ]
	wait_until 10 'so_many 1 1'
}

# Each start takes a permit: a file that is moved away.
serve_by_permit() {
	start_nclust "$@" --log-level info -- sh -c '
		until mv "$1"/permit.* "$1/taken" 2>/dev/null; do sleep 0.02; done
		exec "$0" "$2"' "$FIXTURES/bind-itself" "$DIR" "$PORT"
}

@test "a step of a restart takes a spare that is ready, and waits for no start" {
	touch "$DIR/permit.1" 
	serve_by_permit -n 1 --spare 1 --start-timeout 60s --bake 0s
	wait_until 10 '[ ! -e "$1/permit.1" ]' "$DIR"
	touch "$DIR/permit.2"
	wait_until 10 'so_many 1 1'
	old=$(ready_pid)
	spare=$(spare_pid)
	run -0 timeout 10 "$NCLUST" restart "$INSTANCE" --no-wait
	touch "$DIR/permit.3" # the new spare: the only one that may start
	wait_until 10 'is_gone "$1"' "$spare"
	wait_until 10 'is_gone "$1"' "$old"
	now=$(who)
	[ "$now" != "$old" ]
	[ "$now" != "$spare" ]
	[ "$(cluster .ready)" -eq 1 ]
	touch "$DIR/permit.4"
	wait_until 10 'so_many 1 1 && [ "$(generations)" -eq 1 ]'
	[ "$(ready_pid)" = "$now" ]
	wait_until 10 '[ "$(cluster .state)" = running ]'
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
	end_at_once "$(ready_pid)"
	[ "$(who)" = "$spare" ]
}

@test "workers of another user have spares" {
	need_root
	chmod 755 "$DIR"
	serve -n 1 --spare 1 --user nobody
	wait_until 10 'so_many 1 1'
	spare=$(spare_pid)
	end_at_once "$(ready_pid)"
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
	end_at_once "$old"
	[[ $(curl -sS "http://127.0.0.1:$PORT/") == *"$spare"* ]]
	wait_until 20 'so_many 1 1'
	run -0 nclust restart "$INSTANCE"
	wait_until 20 'so_many 1 1'
	[ "$(generations)" -eq 1 ]
	run -0 nclust stop "$INSTANCE"
}

# Spares that have a socket of their own are asked before they serve.
serve_asked() {
	launch_nclust -n 1 --spare 1 --check http:/check --check-failures 2 \
		--check-interval 200ms --log-level info "$@" \
		-- python3 "$SCRIPTS/servers/asked.py" "$DIR" "$PORT"
	until_asked 1
}

# until_asked TIMES: so many spares were, so far.
until_asked() {
	wait_until 20 'so_many 1 1'
	wait_logged 'is warm' "$1" 20
}

client() {
	curl -sS --max-time 10 "http://127.0.0.1:$PORT/client"
}

had_client() {
	grep -q /client "$DIR/$1"
}

@test "a spare is asked before it serves, and has no client until then" {
	need_root
	serve_asked
	[ "$(cluster .balance)" = least ]
	for _ in 1 2 3; do
		old=$(ready_pid)
		spare=$(spare_pid)
		for _ in {1..20}; do
			[ "$(client)" = "$old" ]
		done
		[ "$(grep -c /check "$DIR/$spare")" -ge 50 ]
		run ! had_client "$spare"
		end_at_once "$old"
		wait_until 10 '[ "$(ready_pid)" = "$1" ]' "$spare"
		[ "$(client)" = "$spare" ]
		wait_until 20 'so_many 1 1'
	done
	old=$(spare_pid)
	run -0 nclust restart "$INSTANCE"
	for _ in {1..20}; do
		[ "$(client)" = "$(ready_pid)" ]
	done
	run ! had_client "$old"
	wait_until 20 'so_many 1 1 && [ "$(generations)" -eq 1 ]'
}

@test "one that comes to listen before anybody is ready is asked, too" {
	need_root
	launch_nclust -n 1 --spare 1 --check http:/check --check-failures 2 \
		--check-interval 200ms --log-level info --ready notify \
		-- python3 "$SCRIPTS/servers/asked.py" "$DIR" "$PORT" --waits
	wait_logged 'is warm' 1 20
	[ "$(cluster .ready)" -eq 0 ]
	spare=$(spare_pid)
	first=$(cluster '[.workers[] | select(.state != "spare")][0].pid')
	[ "$(client)" = "$first" ]
	release "$DIR/go.$first"
	wait_until 20 'so_many 1 1'
	[ "$(spare_pid)" = "$spare" ]
	for _ in {1..20}; do
		[ "$(client)" = "$first" ]
	done
	run ! had_client "$spare"
}

@test "a spare that fails its check is replaced, and nobody else" {
	need_root
	serve_asked
	old=$(ready_pid)
	spare=$(spare_pid)
	touch "$DIR/ill.$spare"
	wait_logged "worker $spare failed 2 checks in a row"
	wait_until 20 'other_spare "$1"' "$spare"
	[ "$(ready_pid)" = "$old" ]
	[ "$(client)" = "$old" ]
}

@test "spares that were asked: an upgrade, and a death of nclust" {
	need_root
	serve_asked --orphans keep
	old=$(ready_pid)
	spare=$(spare_pid)
	run -0 nclust upgrade "$INSTANCE"
	wait_until 20 'so_many 1 1'
	[ "$(spare_pid)" = "$spare" ]
	asked=$(grep -c /check "$DIR/$spare")
	wait_until 10 '[ "$(grep -c /check "$DIR/$1")" -gt "$2" ]' "$spare" "$asked"
	run ! had_client "$spare"
	end_at_once "$old"
	[ "$(client)" = "$spare" ]
	wait_until 20 'so_many 1 1'
	old=$spare
	spare=$(spare_pid)
	kill_nclust
	: >"$LOG"
	serve_asked --orphans keep
	is_gone "$spare"
	run ! had_client "$spare"
	logged "spare worker $(spare_pid) is warm"
	[ "$(client)" = "$old" ]
}

@test "a spare has to prove that it is ready, and holds up nobody who proves it" {
	for _ in 1 2 3; do
		serve -n 2 --spare 2 --balance random --ready tcp
		wait_until 20 'so_many 2 2'
		old=$(ready_pid)
		end_at_once "$old"
		wait_until 20 'so_many 2 2'
		run -0 nclust stop "$INSTANCE"
		wait_exit
	done
}

@test "without CAP_BPF spares are asked where each has a socket by chance, else not" {
	need_root
	nclust_under setpriv --bounding-set=-bpf,-sys_admin
	serve_asked --balance random
	old=$(ready_pid)
	spare=$(spare_pid)
	[ "$(client)" = "$old" ]
	end_at_once "$old"
	[ "$(client)" = "$spare" ]
	run -0 nclust stop "$INSTANCE"

	launch_nclust -n 1 --spare 1 --check http:/check \
		-- python3 "$SCRIPTS/servers/asked.py" "$DIR" "$PORT"
	wait_until 20 'so_many 1 1'
	logged 'spares are not asked: '
	[ "$(cluster .balance)" = share ]
	[ ! -e "$DIR/$(spare_pid)" ]
}

@test "what cannot be used with spares is refused before anything starts" {
	run -64 "$NCLUST" -n 1 --spare 1 --intercept off -- true
	[[ $output == *"'spare' waits for workers to listen"* ]]
	run -64 "$NCLUST" -n 1 --spare 1 --restart never -- true
	[[ $output == *"'spare' cannot be used with a 'restart'"* ]]
	run -64 "$NCLUST" --spare 1 --accept -l "127.0.0.1:$PORT" -- true
	[[ $output == *"--spare: cannot be used with 'accept'"* ]]
}

# Servers that open their sockets by themselves: KIND, and a port or a path.
own_server() {
	cat >"$DIR/own.py" <<-'P'
	import os, socket, sys
	kind, where = sys.argv[1:]
	me = b"pid=%d\n" % os.getpid()
	if kind == "path":
	    s = socket.socket(socket.AF_UNIX)
	    try:
	        os.unlink(where)
	    except FileNotFoundError:
	        pass
	    s.bind(where)
	else:
	    s = socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
	    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
	    s.bind(("127.0.0.1", int(where)))
	# what is a worker's own: an inspector, a client
	mine = socket.create_server(("127.0.0.1", 0))
	path = socket.socket(socket.AF_UNIX)
	path.bind("%s/own.%d" % (sys.path[0], os.getpid()))
	path.listen()
	asks = socket.socket(type=socket.SOCK_DGRAM)
	asks.bind(("127.0.0.1", 0))
	if kind == "none":
	    s.close()
	    s = mine
	if kind == "udp":
	    while True:
	        s.sendto(me, s.recvfrom(100)[1])
	if kind != "none":
	    s.listen()
	while True:
	    c, _ = s.accept()
	    c.sendall(me)
	    c.close()
	P
}

# Who answers, of several clients; each that waits too long is a line "lost".
own_client() {
	python3 - "$@" <<-'P'
	import socket, sys
	kind, where = sys.argv[1:]
	for _ in range(20):
	    s = socket.socket(socket.AF_UNIX if kind == "path" else socket.AF_INET,
	        socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
	    s.settimeout(5)
	    try:
	        s.connect(where if kind == "path" else ("127.0.0.1", int(where)))
	        if kind == "udp":
	            s.send(b"x")
	        print(s.recv(100).decode().strip())
	    except OSError:
	        print("lost")
	        break
	P
}

@test "who has a socket of its own where others serve is not held as a spare" {
	own_server
	for kind in tcp udp path; do
		where=$PORT
		[ $kind != path ] || where=$DIR/server
		# it has to be listening by then
		start_nclust -n 1 --spare 1 --intercept off --ready alive:2s \
			--log-level info -- python3 "$DIR/own.py" $kind "$where"
		wait_logged 'no spares are held: worker' 1 20
		logged "has a socket of its own at"
		wait_until 20 'so_many 1 0 && [ "$(cluster .rollout)" = null ]'
		run own_client $kind "$where"
		[ "$(sort -u <<<"$output")" = "pid=$(ready_pid)" ]
		run -0 nclust stop "$INSTANCE"
		: >"$LOG"
	done
}

@test "a path that the spare has taken is given back to those that serve" {
	own_server
	start_nclust -n 1 --spare 1 --log-level info \
		-- python3 "$DIR/own.py" path "$DIR/server"
	wait_logged 'no spares are held: worker' 1 20
	wait_until 20 'so_many 1 0 && [ "$(cluster .rollout)" = null ]'
	run own_client path "$DIR/server"
	[ "$(sort -u <<<"$output")" = "pid=$(ready_pid)" ]
}

@test "a spare may have sockets that are its own alone" {
	own_server
	start_nclust -n 1 --spare 1 --intercept off --ready alive:200ms \
		-- python3 "$DIR/own.py" none "$PORT"
	wait_until 20 'so_many 1 1'
	stands_still "$(spare_pid)"
	run -0 nclust upgrade "$INSTANCE"
	wait_until 20 'so_many 1 1'
	stands_still "$(spare_pid)"
	run ! logged 'no spares are held'
}

@test "a spare of UDP waits in its bind(2), and has no datagrams until it serves" {
	own_server
	start_nclust -n 1 --spare 1 --log-level info \
		-- python3 "$DIR/own.py" udp "$PORT"
	for _ in 1 2; do
		wait_until 20 'so_many 1 1'
		old=$(ready_pid)
		spare=$(spare_pid)
		run own_client udp "$PORT"
		[ "$(sort -u <<<"$output")" = "pid=$old" ]
		run -0 nclust upgrade "$INSTANCE"
		wait_until 20 'so_many 1 1'
		[ "$(spare_pid)" = "$spare" ]
		end_at_once "$old"
		wait_until 20 '[ "$(ready_pid)" = "$1" ]' "$spare"
		run own_client udp "$PORT"
		[ "$(sort -u <<<"$output")" = "pid=$spare" ]
	done
	wait_until 20 'so_many 1 1'
	run -0 nclust restart "$INSTANCE"
	wait_until 20 'so_many 1 1 && [ "$(generations)" -eq 1 ]'
	run own_client udp "$PORT"
	[ "$(sort -u <<<"$output")" = "pid=$(ready_pid)" ]
	run -0 nclust stop "$INSTANCE"
}

@test "a server of UDP is ready by its bind(2) after a reload without spares, too" {
	own_server
	write() {
		printf '[cluster:it]\nworkers = 1\nspare = %s\ncommand = %s\n' \
			"$1" "python3 $DIR/own.py udp $PORT" >"$DIR/it.ini"
	}
	write 1
	start_nclust -c "$DIR/it.ini"
	wait_until 20 'so_many 1 1'
	write 0
	run -0 nclust reload "$INSTANCE"
	wait_until 20 'so_many 1 0'
	old=$(ready_pid)
	end_at_once "$old"
	wait_until 20 'so_many 1 0 && [ "$(ready_pid)" != "$1" ]' "$old"
	run own_client udp "$PORT"
	[ "$(sort -u <<<"$output")" = "pid=$(ready_pid)" ]
}

# Servers of UDP, and of TCP some time later.
both_server() {
	cat >"$DIR/both.py" <<-'P'
	import os, socket, sys, time
	at = ("127.0.0.1", int(sys.argv[1]))
	u = socket.socket(type=socket.SOCK_DGRAM)
	u.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
	u.bind(at)
	time.sleep(3)
	s = socket.create_server(at)
	while True:
	    c, _ = s.accept()
	    c.sendall(b"pid=%d\n" % os.getpid())
	    c.close()
	P
}

@test "a spare that waits in a bind(2) of UDP is not ready before it listens, too" {
	both_server
	start_nclust -n 1 --spare 1 -- python3 "$DIR/both.py" "$PORT"
	wait_listened "$PORT"
	wait_until 20 'so_many 1 1'
	spare=$(spare_pid)
	end_at_once "$(ready_pid)"
	own_client_once "$PORT" | grep -qx "pid=$spare"
	run ! logged "closed: no worker uses it"
}

@test "nor is a server of both that is the first one again" {
	both_server
	start_nclust -n 1 -- python3 "$DIR/both.py" "$PORT"
	wait_logged "listening on tcp:127.0.0.1:$PORT"
	run -0 nclust scale "$INSTANCE" 0
	wait_logged "closed: no worker uses it"
	run -0 nclust scale "$INSTANCE" 1
	own_client_once "$PORT" | grep -qx "pid=$(ready_pid)"
}

# One client, that waits long.
own_client_once() {
	python3 -c 'import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20)
print(s.recv(100).decode().strip())' "$1"
}

@test "a program that never shows that it is ready: the message says what to set" {
	start_nclust -n 1 --spare 1 --start-timeout 200ms -- sleep 1000
	wait_logged "with 'spare' time alone makes no worker ready: set 'ready = ...'"
}
