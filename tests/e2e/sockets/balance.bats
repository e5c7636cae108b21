#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016
#
# balance = rr, least, random: each worker has a socket of its own, and the kernel
# gives it its share of the connections.  Whatever happens to workers, or to nclust, no connection
# is lost that none of them had read from.

load ../../lib
bats_require_minimum_version 1.5.0

setup() {
	nclust_setup
	free_port
}

# in_turn NCLUST-OPTION... -- COMMAND...
in_turn() {
	start_cluster --balance "${WAY:-rr}" "$@"
}

# The same with the one that has the least to do; skips where the kernel cannot do it.
least_busy() {
	need_root
	[ -r /sys/kernel/btf/vmlinux ] || skip "the kernel has no BTF"
	WAY=least in_turn "$@"
	run ! logged 'the kernel chooses'
	[ "$(cluster .balance)" = least ]
}

sockets() {
	ss -Htln "sport = :$PORT" | wc -l
}

# Under load, with the numbers of those that were lost.
load_it() {
	start_open "$AT" --lost "$DIR/lost" --record "$DIR/record" "$@"
}

none_lost() {
	end_open
	[ "$LOST" -eq 0 ]
}

# How uneven: the standard deviation of the workers' counts, in thousandths of their
# mean.
uneven() {
	awk '{ n[$NF]++ } END {
		for (i in n) { sum += n[i]; squares += n[i] ^ 2; k++ }
		mean = sum / k
		print int(1000 * sqrt(squares / k - mean ^ 2) / mean)
	}' "$DIR/record"
}

workers_seen() {
	awk '{ print $NF }' "$DIR/record" | sort -u | wc -l
}

# Only that right is taken away, for nclust to do all the rest.
without_bpf() {
	[ "$(cat /proc/sys/kernel/unprivileged_bpf_disabled)" != 0 ] ||
		skip "everybody may use bpf(2) here"
	[ "$(id -u)" -ne 0 ] || nclust_under setpriv \
		--bounding-set=-bpf,-sys_admin
}

must_be_in_turn() {
	need_root
	run ! logged 'by chance'
}

# --- Who gets how many -----------------------------------------------------------

@test "a passed socket: each gets as many" {
	in_turn -n 8 -l "$AT" -- "$FIXTURES/rude" --close
	must_be_in_turn
	[ "$(sockets)" -eq 8 ]
	load_it --rate 500 --for 2000
	wait "$OPEN_PID"
	[ "$(workers_seen)" -eq 8 ]
	[ "$(uneven)" -le 20 ]
	[ "$(cluster .balance)" = rr ]
}

@test "a server that binds by itself: each gets as many" {
	in_turn -n 4 -- "$FIXTURES/rude" --close "$PORT"
	must_be_in_turn
	[ "$(sockets)" -eq 4 ]
	load_it --rate 500 --for 2000
	wait "$OPEN_PID"
	[ "$(workers_seen)" -eq 4 ]
	[ "$(uneven)" -le 20 ]
}

@test "asyncio, which binds a socket for each family: one after the other" {
	in_turn -n 3 -- python3 "$BATS_TEST_DIRNAME/../servers/plain-asyncio.py" \
		"$PORT"
	must_be_in_turn
	# it may take longer to listen than a program that only runs has
	wait_until 20 '[ "$(sockets)" -eq 6 ]'
	run -0 eval 'for i in {1..30}; do http_get "$PORT"; done |
		sed -n "s/.*pid=//p" | sort | uniq -c | awk "{ print \$1 }"'
	[ "$output" = $'10\n10\n10' ]
}

@test "one worker alone, and then more" {
	in_turn -n 1 -l "$AT" -- "$FIXTURES/rude" --close
	must_be_in_turn
	[ -n "$(http_get "$PORT")" ]
	[ "$(sockets)" -eq 1 ]
	timeout $((40 * PATIENCE)) "$NCLUST" scale "$INSTANCE" 3 3>&-
	load_it --rate 300 --for 1000
	wait "$OPEN_PID"
	[ "$(workers_seen)" -eq 3 ]
	[ "$(uneven)" -le 20 ]
	run ! logged 'cannot choose'
}

@test "without the right to it the kernel chooses by chance, as one line says" {
	without_bpf
	in_turn -n 3 -l "$AT" -- "$FIXTURES/rude" --close
	[ "$(grep -c 'by chance' "$LOG")" -eq 1 ]
	[ "$(cluster .balance)" = random ]
	load_it --rate 300 --for 1000
	wait "$OPEN_PID"
	[ "$(workers_seen)" -eq 3 ]
}

@test "a unix socket is shared, as one line says" {
	in_turn -n 2 -l "unix:$DIR/socket" -- "$FIXTURES/rude" --close
	[ "$(grep -c 'workers share it' "$LOG")" -eq 1 ]
	[ "$(cluster .balance)" = share ]
}

@test "random: nobody is left out" {
	WAY=random in_turn -n 3 -l "$AT" -- "$FIXTURES/rude" --close
	[ "$(sockets)" -eq 3 ]
	[ "$(cluster .balance)" = random ]
	run ! logged 'by chance'
	load_it --rate 300 --for 1000
	wait "$OPEN_PID"
	[ "$(workers_seen)" -eq 3 ]
}

# --- The one that has the least to do ----------------------------------------------

# Of so many requests, each as soon as the one before is answered: "COUNT PID" a line.
answers() {
	local i

	for ((i = 0; i < $1; i++)); do
		http_get "$PORT"
	done | sed -n 's/.*pid=\([0-9]*\).*/\1/p' | sort | uniq -c
}

@test "least: if all are free each gets as many" {
	least_busy -n 4 -l "$AT" -- "$FIXTURES/rude" --close
	[ "$(sockets)" -eq 4 ]
	[ "$(answers 40 | awk '$1 >= 8' | wc -l)" -eq 4 ]
}

# busy COUNT: so many requests that take long.
busy() {
	local i pids=()

	for ((i = 0; i < $1; i++)); do
		curl -sS --max-time 60 "http://$AT/slow" >/dev/null 3>&- &
		pids+=($!)
	done
	STARTED+=("${pids[@]}")
}

# Those that run on are the servers' connections that are accepted.
accepted() {
	[ "$(ss -Htn state established "sport = :$PORT" | wc -l)" -eq "$1" ] &&
		[ "$(cluster ".listeners[0].queue")" -eq 0 ]
}

@test "least: those that are busy get none while one is free" {
	least_busy -n 3 -l "$AT" -- "$FIXTURES/rude" --blocking --close \
		--slow 60000
	busy 2
	wait_until 10 'accepted 2'
	[ "$(answers 30 | wc -l)" -eq 1 ]
}

# How often nclust has gone to sleep.
wakes() {
	awk '/^voluntary/ { print $2 }' "/proc/$NCLUST_PID/status"
}

# One that has stopped waits no longer.
waits_or_not() {
	least_busy -n 3 -l "$AT" -- "$FIXTURES/rude" --close "$@"
	kill -STOP "$(worker_pid 1)"
	[ "$(answers 30 | wc -l)" -eq 2 ]
	kill -CONT "$(worker_pid 1)"
	wait_until 10 '[ "$(answers 30 | wc -l)" -eq 3 ]'
}

@test "least: one that waits in accept is free" {
	waits_or_not --blocking
}

@test "least: one that waits by poll is free" {
	waits_or_not --poll
}

@test "least: one that waits by epoll is free" {
	waits_or_not
}

@test "least: what waits for a worker that hangs goes to others" {
	local hung

	least_busy -n 3 -l "$AT" -- "$FIXTURES/rude" --blocking --close \
		--slow 50
	hung=$(worker_pid 1)
	kill -STOP "$hung"
	busy 30
	wait_until 20 'accepted 0'
	[ "$(worker_pid 1)" = "$hung" ]
	[ "$(answers 30 | wc -l)" -eq 2 ]
	kill -CONT "$hung"
	wait_until 10 '[ "$(answers 30 | wc -l)" -eq 3 ]'
}

@test "least: killed again and again, only what a worker had accepted is lost" {
	need_root
	WAY=least start_killed -l "$AT" --
	[ "$(cluster .balance)" = least ]
	load_it --rate 150
	kill_some 9
	end_open
	[ "$LOST" -le 9 ]
	[ "$(cluster .balance)" = least ]
}

@test "least: restart, upgrade, restart, scale" {
	least_busy -n 3 -l "$AT" -- "$FIXTURES/rude" --close
	busy_orders
	wait_until 10 '[ "$(cluster .balance)" = least ]'
	run ! logged 'the kernel chooses'
}

@test "least: the next nclust has it, too" {
	least_busy -n 3 -l "$AT" --orphans keep --ready notify -- \
		"$FIXTURES/rude" --close
	kill_nclust
	WAY=least in_turn -n 3 -l "$AT" --orphans keep --ready notify -- \
		"$FIXTURES/rude" --close
	wait_until 10 '[ "$(cluster .balance)" = least ]'
	run ! logged 'the kernel chooses'
	end_keepers
}

@test "least: without CAP_PERFMON it is rr, as one line says" {
	need_root
	nclust_under setpriv --bounding-set=-perfmon,-sys_admin
	WAY=least in_turn -n 3 -l "$AT" -- "$FIXTURES/rude" --close
	[ "$(grep -c 'in turn, not by load' "$LOG")" -eq 1 ]
	[ "$(cluster .balance)" = rr ]
	[[ $(cluster .balance_why) == *"Operation not permitted" ]]
}

@test "least: without any right it is random, as one line says" {
	without_bpf
	WAY=least in_turn -n 3 -l "$AT" -- "$FIXTURES/rude" --close
	[ "$(grep -c 'by chance, not by load' "$LOG")" -eq 1 ]
	[ "$(cluster .balance)" = random ]
}

@test "least: while nobody comes nclust sleeps" {
	local before

	least_busy -n 3 -l "$AT" -- "$FIXTURES/rude" --blocking --close --work 20
	load_it --rate 300 --for 1000 # more than they can do
	wait "$OPEN_PID"
	before=$(wakes)
	sleep 3
	[ $(($(wakes) - before)) -le 3 ]
}

# --- auto -----------------------------------------------------------------------------

@test "auto: workers share until one has most of the load, as status says" {
	need_root
	start_cluster -n 3 -l "$AT" -- "$FIXTURES/rude" --compute 10
	[ "$(cluster .balance)" = share ]
	[ "$(cluster .balance_why)" = null ]
	# all by one connection, which only one can serve
	load_it --rate 60 --mode keep --connections 1
	# for so long that it is true for as long after the end of that load
	wait_until 60 '[ "$(worker 0 ".uptime > 12")" = true ] &&
		[ "$(cluster .balance_why)" != null ]'
	none_lost
	load_it --rate 20
	[[ $(cluster .balance_why) == *"a restart gives each a socket"* ]]
	[ "$(cluster .balance)" = share ]
	order restart "$INSTANCE"
	[ "$(cluster .balance)" = least ]
	[ "$(sockets)" -eq 3 ]
	[[ $(cluster .balance_why) == *"% of the CPU time of 3 workers" ]]
	order upgrade "$INSTANCE"
	order restart "$INSTANCE"
	wait_until 10 '[ "$(cluster .balance)" = least ]'
	none_lost
	wait_until 10 '[ "$(sockets)" -eq 3 ]'
}

# --- Clients that stay ---------------------------------------------------------

# Each of these addresses, twice: "ADDRESS PID", sorted.
who_serves() {
	local i

	for i in {1..12} {1..12}; do
		printf '127.0.0.%d %d\n' "$i" "$(curl -sS --interface \
			"127.0.0.$i" --max-time 20 "http://$AT/" |
			sed -n 's/.*pid=\([0-9]*\).*/\1/p')"
	done | sort -u
}

# only_those_of_it PID BEFORE AFTER: only clients of PID have another worker now.
only_those_of_it() {
	[ "$(grep -v " $1\$" <<<"$2")" = "$(grep -Ff <(grep -v " $1\$" \
		<<<"$2") <<<"$3")" ]
}

@test "a client stays with its worker, as long as that lives" {
	local before after pid

	without_bpf # it takes no right
	start_cluster -n 4 -l "$AT" --sticky client-address --ready notify -- \
		"$FIXTURES/rude" --close
	[ "$(cluster .balance)" = client-address ]
	before=$(who_serves)
	[ "$(wc -l <<<"$before")" -eq 12 ]
	[ "$(awk '{ print $2 }' <<<"$before" | sort -u | wc -l)" -ge 3 ]
	pid=$(awk 'NR == 1 { print $2 }' <<<"$before")
	kill -STOP "$pid"
	kill -KILL "$pid"
	wait_ready
	after=$(who_serves)
	[ "$(wc -l <<<"$after")" -eq 12 ]
	only_those_of_it "$pid" "$before" "$after"
	[ "$after" != "$before" ]
	upgrade
	[ "$(who_serves)" = "$after" ]
}

@test "its clients go to others while a worker is away" {
	local before after pid

	export SLOWLY=$DIR/slowly
	start_cluster -n 3 -l "$AT" --sticky client-address --ready notify -- \
		sh -c '[ ! -e "$SLOWLY" ] || sleep 60; exec "$0" "$@"' \
		"$FIXTURES/rude" --close
	before=$(who_serves)
	touch "$SLOWLY"
	pid=$(awk 'NR == 1 { print $2 }' <<<"$before")
	kill -KILL "$pid"
	wait_until 10 '[ "$(cluster .ready)" -eq 2 ]'
	after=$(who_serves)
	[ "$(wc -l <<<"$after")" -eq 12 ]
	only_those_of_it "$pid" "$before" "$after"
	run ! grep " $pid\$" <<<"$after"
}

# --- Workers that die ------------------------------------------------------------

# start_killed NCLUST-OPTION... -- [PORT]: servers that do one thing after the
# other, so that each has read from one connection at most when it is killed.
start_killed() {
	local options=()

	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	in_turn -n 3 --backoff-min 1ms --backoff-max 10ms "${options[@]}" -- \
		sh -c '[ ! -e "$SLOWLY" ] || sleep 1; exec "$0" "$@"' \
		"$FIXTURES/rude" --blocking --close --work 2 "${@:2}"
}

kill_some() {
	local i

	for ((i = 0; i < $1; i++)); do
		wait_ready
		kill -KILL "$(worker_pid $((i % 3)))"
	done
	wait_ready
}

# killed_under_load: nine, and then one in whose socket many wait.
killed_under_load() {
	load_it --rate 150
	kill_some 9
	kill -STOP "$(worker_pid 1)"
	wait_until 10 '[ "$(cluster ".listeners[0].queue")" -ge 20 ]'
	kill -KILL "$(worker_pid 1)"
	wait_until 10 '[ "$(cluster ".listeners[0].queue")" -le 5 ]'
	end_open
	[ "$LOST" -le 10 ]
}

@test "killed again and again: only what a worker had accepted is lost" {
	start_killed -l "$AT" --
	killed_under_load
}

@test "so it is with a server that binds by itself" {
	start_killed -- "$PORT"
	killed_under_load
}

@test "without rights what waits is for the successor" {
	without_bpf
	start_killed -l "$AT" --
	killed_under_load
}

@test "what waits for a dead worker goes to others before it has a successor" {
	need_root
	export SLOWLY=$DIR/slowly
	start_killed -l "$AT" --ready notify --
	load_it --rate 100
	kill -STOP "$(worker_pid 1)"
	wait_until 10 '[ "$(cluster ".listeners[0].queue")" -ge 20 ]'
	touch "$SLOWLY"
	kill -KILL "$(worker_pid 1)"
	wait_until 10 '[ "$(cluster ".listeners[0].queue")" -le 3 ]'
	[ "$(cluster .ready)" -eq 2 ]
	end_open
	[ "$LOST" -le 1 ]
}

# --- Orders ----------------------------------------------------------------------

order() {
	timeout $((40 * PATIENCE)) "$NCLUST" "$@" 3>&-
}

restart() {
	order restart "$INSTANCE"
}

upgrade() {
	order upgrade "$INSTANCE"
}

# Of workers that wait by epoll(7), by poll(2), or do one thing after the other.
busy_orders() {
	load_it --rate 100
	restart
	upgrade
	restart
	order restart "$INSTANCE.1"
	order scale "$INSTANCE" 5
	upgrade
	order scale "$INSTANCE" 1
	order scale "$INSTANCE" 3
	restart
	none_lost
	wait_until 10 '[ "$(sockets)" -eq 3 ]'
}

@test "restart, upgrade, restart, scale: an event loop" {
	in_turn -n 3 -l "$AT" -- "$FIXTURES/rude" --close
	busy_orders
}

@test "restart, upgrade, restart, scale: by poll" {
	in_turn -n 3 -l "$AT" -- "$FIXTURES/rude" --close --poll
	busy_orders
}

@test "restart, upgrade, restart, scale: one request at a time" {
	in_turn -n 3 -l "$AT" -- "$FIXTURES/rude" --close --blocking --work 2
	busy_orders
}

@test "restart, upgrade, restart, scale: a server that binds by itself" {
	in_turn -n 3 -- "$FIXTURES/rude" --close "$PORT"
	busy_orders
}

# A request for a connection that the kernel drops is repeated after 1 s.
asked_twice() {
	awk '$3 - $2 >= 900000' "$DIR/record" | wc -l
}

# How often an accept queue was full.
overflows() {
	nstat -asz TcpExtListenOverflows | awk 'END { print $2 }'
}

# is_too_much OVERFLOWS-BEFORE: was this machine too slow for such a load, or to make it?
is_too_much() {
	[ "$(overflows)" -ne "$1" ] ||
		jq -e '10 * (.late + .timeouts + .away) > .sent' <<<"$REPORT"
}

@test "sockets come and go under load, and no client has to ask twice" {
	local rate before

	in_turn -n 8 -l "$AT" -- "$FIXTURES/rude" --close
	for rate in 5000 1000 200; do
		before=$(overflows)
		load_it --rate "$rate"
		for _ in {1..4}; do
			restart
		done
		end_open
		is_too_much "$before" || break
	done
	run ! is_too_much "$before"
	[ "$LOST" -eq 0 ]
	[ "$(asked_twice)" -eq 0 ]
}

@test "so it is without rights" {
	without_bpf
	in_turn -n 3 -l "$AT" -- "$FIXTURES/rude" --close
	busy_orders
}

write_file() {
	cat >"$DIR/$INSTANCE.ini" <<-EOF
		[cluster]
		command = $FIXTURES/rude --close $2
		workers = 3
		listen = $AT
		balance = $1
	EOF
}

reload_to() {
	write_file "$1" "${2-}"
	order reload "$INSTANCE"
}

# there_and_back SERVER-OPTIONS
there_and_back() {
	write_file share "$1"
	start_cluster -c "$DIR/$INSTANCE.ini"
	load_it --rate 100
	reload_to rr "$1"
	[ "$(cluster .balance)" = rr ]
	wait_until 10 '[ "$(sockets)" -eq 3 ]'
	reload_to share "$1"
	[ "$(cluster .balance)" = share ]
	reload_to rr "$1"
	upgrade
	reload_to share "$1"
	none_lost
	wait_until 20 '[ "$(sockets)" -eq 1 ]'
}

@test "share, rr, share: an event loop" {
	there_and_back ''
}

@test "share, rr, share: by poll" {
	there_and_back --poll
}

@test "share, rr, share: told at once to end, and graceful" {
	there_and_back '--graceful'
}

@test "one that sleeps is woken, and its first clients are served" {
	local i

	without_bpf
	start_nclust -n 0..3 --idle-after 1s --balance rr -l "$AT" -- \
		"$FIXTURES/rude" --close
	for i in 1 2; do
		wait_until 10 '[ "$(cluster .wanted)" -eq 0 ]'
		[ -n "$(http_get "$PORT")" ]
		load_it --rate 300 --path /slow --for 1500
		wait "$OPEN_PID"
		REPORT=$(tail -n 1 "$DIR/open")
		[ "$(jq .lost <<<"$REPORT")" -eq 0 ]
	done
}

# --- nclust is killed ----------------------------------------------------------------

@test "nclust is killed: the next one has the sockets of all" {
	start_killed -l "$AT" --orphans keep --ready notify --
	load_it --rate 100
	kill_nclust
	start_killed -l "$AT" --orphans keep --ready notify --
	[ "$(sockets)" -eq 3 ]
	kill_some 3
	restart
	end_open
	[ "$LOST" -le 3 ]
	wait_until 10 '[ "$(sockets)" -eq 3 ]'
	[ "$(cluster .balance)" = rr ]
	end_keepers
}

# --- UDP ------------------------------------------------------------------------

udp_sockets() {
	ss -Hunl "sport = :$PORT" | wc -l
}

# flows COMMAND...: none of them has another slot after it.
flows() {
	run -0 --separate-stderr python3 "$BATS_TEST_DIRNAME/flows.py" "$PORT" "$@"
	[ "$output" = "3 0 0" ]
}


@test "UDP: each worker has a socket, and each flow stays in its slot" {
	in_turn -n 3 -l "udp:$AT" --ready notify -- \
		"$FIXTURES/serve" --udp --notify
	[ "$(cluster .balance)" = flow ]
	[ "$(udp_sockets)" -eq 3 ]
	# a death, and its successor is ready
	flows sh -c 'kill -KILL "$0"; exec timeout 40 "$@" >&2' \
		"$(worker_pid 1)" sh -c 'until "$0" status --json "$1" |
			jq -e ".clusters[0] | .ready == 3 and
				.workers[1].restarts == 1" >&2; do sleep 0.1; done' \
		"$NCLUST" "$INSTANCE"
	flows timeout $((40 * PATIENCE)) "$NCLUST" restart "$INSTANCE"
	flows timeout $((40 * PATIENCE)) "$NCLUST" upgrade "$INSTANCE"
	flows timeout $((40 * PATIENCE)) "$NCLUST" restart "$INSTANCE"
	wait_until 10 '[ "$(udp_sockets)" -eq 3 ]'
	run ! logged 'cannot choose'
}

@test "UDP: while a worker is away others have its flows" {
	export SLOWLY=$DIR/slowly
	in_turn -n 3 -l "udp:$AT" -- \
		sh -c '[ ! -e "$SLOWLY" ] || sleep 60; exec "$0" "$@"' \
		"$FIXTURES/serve" --udp --notify
	touch "$SLOWLY"
	run -0 --separate-stderr python3 "$BATS_TEST_DIRNAME/flows.py" "$PORT" \
		kill -KILL "$(worker_pid 1)"
	[[ $output == "3 "*" 0" ]]
}

@test "UDP: by itself it is one that all share" {
	start_cluster -n 3 -l "udp:$AT" -- "$FIXTURES/serve" --udp
	[ "$(udp_sockets)" -eq 1 ]
}

# asked COUNT: so many requests at the second port, which slots answered them, or
# how curl failed.
asked() {
	for ((i = 0; i < $1; i++)); do
		curl -sS --max-time 5 "http://127.0.0.1:$SECOND/" 2>&1
	done | sort | uniq -c | sed 's/^ *//'
}

@test "a port that one slot alone opens is served by it, or refused" {
	SECOND=$PORT
	free_port
	for how in learned named; do
		options=(--name "$INSTANCE" --balance rr -n 3)
		[ "$how" = learned ] ||
			options+=(-l "127.0.0.1:$PORT" -l "127.0.0.1:$SECOND")
		start_cluster "${options[@]}" -- python3 \
			"$SCRIPTS/servers/two-ports.py" "$PORT" "$SECOND" "$DIR/go"
		wait_until 10 '[ "$(curl -s --max-time 1 \
			"http://127.0.0.1:$1/")" = slot=1 ]' "$SECOND"
		[ "$(asked 9)" = "9 slot=1" ]
		kill -KILL "$(worker_pid 1)" # they wait for its successor
		[ "$(asked 6)" = "6 slot=1" ]
		wait_until 10 '[ "$(cluster .ready)" -eq 3 ]'
		run -0 nclust upgrade "$INSTANCE"
		[ "$(asked 6)" = "6 slot=1" ]
		run -0 nclust restart "$INSTANCE"
		[ "$(asked 6)" = "6 slot=1" ]
		[ "$how" = named ] || {
			run -0 nclust scale "$INSTANCE" 1
			wait_until 10 'run ! curl -s "http://127.0.0.1:$1/"; [ "$status" -eq 7 ]' "$SECOND"
			run -0 nclust scale "$INSTANCE" 3
			wait_until 10 '[ "$(curl -s --max-time 1 \
				"http://127.0.0.1:$1/")" = slot=1 ]' "$SECOND"
		}
		run -0 nclust stop "$INSTANCE"
	done
}
