# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2013,SC2016,SC2030,SC2031
#
# What becomes of workers that die, hang, leave processes behind, or lose
# nclust (FAULTS.md, S01 to S15, S26 to S30).

bats_require_minimum_version 1.5.0
load ../../lib

# The processes of this test, but for nclust itself and the load.
workers_left() {
	local pid

	for pid in $(ours); do
		[ "$pid" = "$NCLUST_PID" ] || ! is_alive "$pid" || echo "$pid"
	done
}

nobody_left() {
	[ -z "$(workers_left)" ]
}

restarts() {
	worker "$1" .restarts
}

all_restarts() {
	cluster '[.workers[].restarts] | add'
}

# --- Deaths ------------------------------------------------------------------

@test "kill -9 of workers under load: nothing is refused" {
	free_port
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready notify --log inherit \
		-- "$FIXTURES/serve" --notify
	start_load "$PORT"

	for i in 1 2 3; do
		for slot in 0 1; do
			kill -KILL "$(worker_pid "$slot")"
			wait_until 10 '[ "$(restarts "$1")" -eq "$2" ]' \
				"$slot" "$i"
			wait_ready
		done
	done

	end_load
	[ "$ANSWERED" -gt 0 ]
	[ "$REFUSED" -eq 0 ]
	[ "$LATE" -eq 0 ]
	# only what the dead had already accepted
	[ "$LOST" -le 6 ]
}

@test "while every worker is down connections wait and are answered" {
	free_port
	start_cluster -n 1 -l "127.0.0.1:$PORT" --ready notify --log inherit \
		--backoff-min 700ms --backoff-jitter 0% --stable-after 1h \
		-- "$FIXTURES/serve" --notify
	# the first early death of a ready worker is forgiven
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(restarts 0)" -eq 1 ]'
	wait_ready
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(worker_state 0)" = backoff ]'

	[[ $(http_get "$PORT") == *slot=0* ]]
}

@test "many deaths while nclust stands still are all noticed" {
	start_cluster -n 20 --ready notify -- "$FIXTURES/notify" READY=1
	pids=$(cluster '.workers[].pid')

	kill -STOP "$NCLUST_PID"
	# shellcheck disable=SC2086
	kill -KILL $pids
	kill -CONT "$NCLUST_PID"

	wait_until 10 '[ "$(all_restarts)" -eq 20 ]'
	wait_ready
	[ "$(cluster '[.workers[] | select(.restarts != 1)] | length')" -eq 0 ]
	for pid in $pids; do
		[ "$(process_state "$pid")" = gone ]
	done
}

# deaths_say HOW WORDS...: what is logged of each such death, one after the other.
deaths_say() {
	local n=0 words

	wait_logged "$1" $(($# - 1))
	for words in "${@:2}"; do
		n=$((n + 1))
		[[ $(grep -F "$1" "$LOG" | sed -n "${n}p") == *"$words"* ]]
	done
}

# Sets status, and worker to what is told of slot 0.
in_backoff() {
	run nclust status "$INSTANCE" --json
	worker=$(jq '.clusters[0].workers[0]' <<<"$output")
	[ "$(jq -r .state <<<"$worker")" = backoff ]
}

says_backoff() {
	run nclust status "$INSTANCE"
	[[ $output == *backoff*"exit 3"* ]]
}

@test "a crash loop waits longer each time, and status tells the next try" {
	start_nclust -n 1 --backoff-min 100ms --backoff-max 60s \
		--backoff-jitter 0% -- "$FIXTURES/die" --exit 3

	deaths_say 'exit 3' "next try in 0.1 s" "next try in 0.2 s" \
		"next try in 0.4 s" "next try in 0.8 s"

	# between two looks it may be started, and ended, again
	poll_until 10 in_backoff
	[ "$status" -eq 2 ]
	[ "$(jq -r .pid <<<"$worker")" = null ]
	[ "$(jq -r '.next_try > 0' <<<"$worker")" = true ]
	[ "$(jq -r .last_exit.text <<<"$worker")" = "exit 3" ]
	poll_until 10 says_backoff
	# one line a death
	wait_until 10 '[ "$(grep -c "exit 3" "$LOG")" -eq "$(restarts 0)" ]'
}

@test "the backoff has a cap" {
	start_nclust -n 1 --backoff-min 20ms --backoff-max 40ms \
		--backoff-jitter 0% -- "$FIXTURES/die" --exit 3

	wait_logged 'exit 3' 6
	[ "$(grep -F 'exit 3' "$LOG" | sed -n '2,6s/.*next try in //p' |
		sort -u | wc -l)" -eq 1 ]
}

@test "a stop during backoff is immediate, and nothing is born after it" {
	start_nclust -n 2 --backoff-min 1h --backoff-max 1h \
		-- sh -c 'echo x >>"$0"; exit 1' "$DIR/lives"
	wait_until 10 '[ "$(cluster "[.workers[] |
		select(.state == \"backoff\")] | length")" -eq 2 ]'

	nclust stop "$INSTANCE"
	wait_exit 10
	[ "$(wc -l <"$DIR/lives")" -eq 2 ]
}

@test "a loop of crashes slower than stable-after waits longer each time" {
	start_nclust -n 1 --ready notify --stable-after 50ms \
		--backoff-jitter 0% --log-level info \
		-- "$FIXTURES/die" --notify --after 200 --exit 5

	deaths_say 'exit 5' "replaced at once" "next try in 0.1 s" \
		"next try in 0.2 s" "next try in 0.4 s"
}

@test "the first early death of a ready worker is forgiven, the second waits" {
	start_nclust -n 1 --ready notify --stable-after 1h \
		--backoff-min 1h --backoff-max 1h \
		-- "$FIXTURES/die" --notify --exit 4

	wait_logged 'next try in'
	[ "$(restarts 0)" -eq 2 ]
	[ "$(worker_state 0)" = backoff ]
	logged 'replaced at once'
}

@test "give-up: the others are stopped in order, exit 1, and the reason" {
	launch_nclust -n 2 --ready notify --give-up 3/1m --backoff-min 1ms \
		--backoff-max 1ms -- sh -c '
		[ "$NCLUST_SLOT" -eq 0 ] && exec "$0" --notify --to "$1"
		until [ -e "$1" ]; do sleep 0.02; done # it hears signals
		exit 1' "$FIXTURES/hear" "$DIR/heard"

	wait_exit 20
	[ "$status" -eq 1 ]
	logged 'gave up after 3 deaths within 1m'
	file_has "$DIR/heard" TERM
	nobody_left
}

@test "one cluster gives up, the others go on; at the end the status is 1" {
	cat >"$DIR/two.ini" <<-EOF
		[cluster:bad]
		command = $FIXTURES/die --exit 1
		workers = 1
		give-up = 2/1m
		backoff-min = 1ms
		backoff-max = 1ms
		[cluster:good]
		command = $FIXTURES/hear --notify
		workers = 1
		ready = notify
	EOF
	start_nclust -c "$DIR/two.ini"
	wait_logged 'bad: gave up after 2 deaths'
	CLUSTER=good wait_until 10 '[ "$(cluster .ready)" -eq 1 ]'
	CLUSTER=bad wait_until 10 '[ "$(cluster .state)" = failed ]'

	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 1 ]
}

# --- Ends that were asked for ----------------------------------------------------

@test "a worker that is deaf to SIGTERM is killed at stop-timeout, not before" {
	start_cluster -n 1 --ready notify --stop-timeout 700ms \
		-- "$FIXTURES/deaf" --notify
	pid=$(worker_pid 0)
	begin=$(microseconds)
	nclust stop "$INSTANCE"
	took=$(($(microseconds) - begin))

	wait_exit
	[ "$status" -eq 0 ]
	[ "$took" -ge 700000 ]
	is_gone "$pid"
	logged 'did not end in time, sending SIGKILL'
}

@test "a list of stop signals escalates in its order" {
	start_cluster -n 1 --ready notify \
		--stop-signal 'QUIT:100ms TERM:100ms USR1:10s' \
		-- "$FIXTURES/hear" --notify --to "$DIR/heard" --end-on USR1

	nclust stop "$INSTANCE"
	wait_exit
	[ "$(sed 's/.* //' "$DIR/heard" | grep -v CONT | tr '\n' ' ')" = \
		"start QUIT TERM USR1 " ]
}

@test "a worker stopped by SIGSTOP is told by status, and stop gets past it" {
	start_cluster -n 2 --ready notify --stop-timeout 1m \
		-- "$FIXTURES/hear" --notify
	pid=$(worker_pid 1)
	kill -STOP "$pid"
	wait_until 10 '[ "$(process_state "$1")" = T ]' "$pid"

	[ "$(worker 1 .stopped)" = true ]
	[ "$(worker 0 .stopped)" = null ]
	run nclust status "$INSTANCE"
	[[ $output == *stopped* ]]

	timeout 20 "$NCLUST" stop "$INSTANCE"
	wait_exit 10
	[ "$status" -eq 0 ]
	is_gone "$pid"
}

@test "a restart gets past a worker stopped by SIGSTOP" {
	start_cluster -n 1 --ready notify --stop-timeout 1m \
		-- "$FIXTURES/hear" --notify
	pid=$(worker_pid 0)
	kill -STOP "$pid"

	timeout 20 "$NCLUST" restart "$INSTANCE"
	wait_until 10 'is_gone "$1"' "$pid"
	[ "$(worker_pid 0)" != "$pid" ]
}

@test "stop --now does not wait for the grace" {
	start_cluster -n 2 --ready notify --stop-timeout 1h \
		-- "$FIXTURES/deaf" --notify

	nclust stop --now "$INSTANCE"
	wait_exit 10
	[ "$status" -eq 0 ]
	nobody_left
}

# --- What workers leave behind -----------------------------------------------

# Without our variables in its environment only the group tells whose it is.
@test "a grandchild in the worker's group goes with it" {
	mkfifo "$DIR/told"
	start_cluster -n 1 --ready notify -- sh -c '
		env -i "$0/fork-away" --group --pidfile "$2" &
		cat "$2" >"$1"
		exec "$0/hear" --notify' "$FIXTURES" "$DIR/left" "$DIR/told"
	left=$(<"$DIR/left")
	is_alive "$left"
	rm "$DIR/left"

	kill -KILL "$(worker_pid 0)"
	wait_until 10 'is_gone "$1"' "$left"

	wait_ready
	left=$(<"$DIR/left")
	nclust stop "$INSTANCE"
	wait_exit
	is_gone "$left"
}

@test "a deaf child in the group of a deaf worker is killed with it" {
	start_cluster -n 1 --ready notify --log inherit --stop-timeout 50ms \
		-- "$FIXTURES/deaf" --child --notify
	wait_logged 'child '
	child=$(sed -n 's/^child //p' "$LOG")

	nclust stop "$INSTANCE"
	wait_exit
	is_gone "$child"
}

@test "a grandchild in a session of its own is ended at stop" {
	start_cluster -n 1 --ready notify -- "$FIXTURES/fork-away" --setsid \
		--pidfile "$DIR/left" --notify
	left=$(<"$DIR/left")

	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	is_gone "$left"
}

@test "a grandchild in a session of its own does not outlive its worker" {
	start_cluster -n 1 --ready notify -- "$FIXTURES/fork-away" --setsid \
		--pidfile "$DIR/left" --notify
	left=$(<"$DIR/left")
	rm "$DIR/left"

	kill -KILL "$(worker_pid 0)"
	wait_until 10 'is_gone "$1"' "$left"
	# the successor's own is let be
	wait_until 10 '[ -s "$1" ]' "$DIR/left"
	wait_ready
	is_alive "$(<"$DIR/left")"
}

@test "a grandchild that is deaf and escaped is killed at stop" {
	start_cluster -n 1 --ready notify -- sh -c '
		setsid "$0/deaf" & echo $! >"$1"
		exec "$0/hear" --notify' "$FIXTURES" "$DIR/left"
	wait_until 10 '[ -s "$1" ]' "$DIR/left"

	nclust stop "$INSTANCE"
	wait_exit 20
	nobody_left
}

@test "a server that goes to the background is recognised and told" {
	start_nclust -n 1 --backoff-min 20ms --backoff-max 20ms \
		-- "$FIXTURES/fork-away" --pidfile "$DIR/left"

	wait_logged 'went to the background'
	wait_until 10 '[ "$(restarts 0)" -ge 5 ]'
	# no doubling of daemons: at most those of the last second
	first=$(sed -n 's/^left //p' "$DIR/left" | head -n 1)
	nclust stop "$INSTANCE"
	wait_exit
	nobody_left
	[ -z "$first" ] || is_gone "$first"
}

@test "a slot gets no successor while something of its predecessor lives" {
	# each daemon is looked for by the next worker of its slot
	start_nclust -n 8 --backoff-min 10ms --backoff-max 20ms -- sh -c '
		left=$2/$NCLUST_SLOT
		if [ -s "$left" ] &&
			grep -qs "^State:[[:space:]]*[^ZX]" \
				"/proc/$(cat "$left")/status"; then
			echo "slot $NCLUST_SLOT" >>"$2/doubled"
		fi
		echo "slot $NCLUST_SLOT" >>"$2/born"
		exec "$1/fork-away" --pidfile "$left"' sh "$FIXTURES" "$DIR"

	wait_until 20 '[ "$(wc -l <"$1/born")" -ge 80 ]' "$DIR"
	wait_logged 'went to the background'
	nclust stop "$INSTANCE"
	wait_exit
	nobody_left
	cat "$DIR/doubled" || true
	[ ! -e "$DIR/doubled" ]
}

@test "a death that is reported later has its own last words" {
	start_nclust -n 4 --log prefix --backoff-min 1m --backoff-max 1m -- \
		sh -c 'echo "words of $NCLUST_SLOT"
			"$0/fork-away" >/dev/null 2>&1
			exit 3' "$FIXTURES"

	for slot in 0 1 2 3; do
		wait_until 10 '[ "$(worker "$1" .last_failure.last_output)" = \
			"words of $1" ]' "$slot"
	done
}

@test "slots keep their numbers, and successors take them" {
	start_cluster -n 3 --ready notify -- "$FIXTURES/hear" --notify \
		--to "$DIR/heard"
	kill -KILL "$(worker_pid 1)"
	wait_until 10 '[ "$(restarts 1)" -eq 1 ]'
	wait_ready
	nclust restart "$INSTANCE"
	nclust scale "$INSTANCE" 2
	nclust scale "$INSTANCE" 3

	[ "$(cluster '[.workers[].slot] | join(" ")')" = "0 1 2" ]
	[ "$(sed 's/ .*//' "$DIR/heard" | sort -u | tr '\n' ' ')" = \
		"slot=0 slot=1 slot=2 " ]
}

# --- nclust itself ------------------------------------------------------------

@test "nclust killed by SIGKILL: no worker is left, a restart works at once" {
	free_port
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready notify \
		-- "$FIXTURES/serve" --notify
	pids=$(cluster '.workers[].pid')

	kill -KILL "$NCLUST_PID"
	wait "$NCLUST_PID" || true
	for pid in $pids; do
		wait_until 10 'is_gone "$1"' "$pid"
	done

	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready notify \
		-- "$FIXTURES/serve" --notify
	[[ $(http_get "$PORT") == pid=* ]]
}

@test "nclust killed by SIGKILL: workers of another user die, too" {
	need_root
	start_cluster -n 1 --ready notify --user nobody --log prefix \
		-- "$FIXTURES/hear" --notify
	pid=$(worker_pid 0)
	[ "$(stat -c %U "/proc/$pid")" = nobody ]

	kill -KILL "$NCLUST_PID"
	wait_until 10 'is_gone "$1"' "$pid"
	wait_until 10 nobody_left
}

@test "the OOM killer would rather take a worker than nclust" {
	local ours theirs before logger

	before=$(cat /proc/self/oom_score_adj)
	[ "$before" -le 900 ]
	start_cluster -n 1 --ready notify --log prefix \
		-- "$FIXTURES/hear" --notify
	ours=$(cat "/proc/$NCLUST_PID/oom_score_adj")
	theirs=$(cat "/proc/$(worker_pid 0)/oom_score_adj")
	if [ "$ours" -lt "$before" ]; then
		[ "$theirs" -eq "$before" ]
	else
		[ "$theirs" -eq $((before + 100)) ]
	fi
	# nclust's own other process is no worker
	logger=$(pgrep -P "$NCLUST_PID" -f -- '--role logger')
	[ "$(cat "/proc/$logger/oom_score_adj")" -eq "$ours" ]
}

@test "without CAP_SYS_RESOURCE, too, nclust is not the OOM killer's first choice" {
	local before

	need_root
	before=$(cat /proc/self/oom_score_adj)
	[ "$before" -le 900 ]
	nclust_under setpriv --bounding-set -sys_resource
	start_cluster -n 1 --ready notify -- "$FIXTURES/hear" --notify
	[ "$(cat "/proc/$NCLUST_PID/oom_score_adj")" -eq "$before" ]
	[ "$(cat "/proc/$(worker_pid 0)/oom_score_adj")" -eq \
		$((before + 100)) ]
}

@test "children that nclust had before its exec are reaped, and let be" {
	mkfifo "$DIR/go"
	bash -c 'cat "$1" >/dev/null & echo $! >"$1.reaped"
		"$2" & echo $! >"$1.kept"; shift 2; exec "$@"' - \
		"$DIR/go" "$FIXTURES/hear" "$NCLUST" --name "$INSTANCE" -n 1 \
		--ready notify -- "$FIXTURES/hear" --notify \
		>>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
	reaped=$(<"$DIR/go.reaped")
	kept=$(<"$DIR/go.kept")

	echo go >"$DIR/go"
	wait_until 10 '[ "$(process_state "$1")" = gone ]' "$reaped"
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(restarts 0)" -eq 1 ]'
	nclust stop "$INSTANCE"
	wait_exit
	is_alive "$kept"
	kill -KILL "$kept"
}

@test "no signal goes to a stranger though process numbers are reused" {
	need_root
	unshare -pf --mount-proc sh -c '
		echo 350 >/proc/sys/kernel/pid_max' 2>/dev/null ||
		skip "needs a pid namespace with a pid_max of its own"
	before=$(cat /proc/sys/kernel/pid_max)
	export DIR
	unshare -pf --kill-child --mount-proc bash -c '
		echo 350 >/proc/sys/kernel/pid_max
		"$@" &
		bad=0
		while [ ! -e "$DIR/enough" ]; do
			sleep 0.01 || bad=$((bad + 1))
		done
		echo "$bad" >"$DIR/bad"
		kill %1
		wait' - "$NCLUST" --name "$INSTANCE" -n 4 --backoff-min 1ms \
		--backoff-max 1ms -- /bin/sh -c 'sleep 60 &
		exit 1' >>"$LOG.deaths" 2>&1 </dev/null 3>&- &
	STARTED+=($!)
	[ "$(cat /proc/sys/kernel/pid_max)" = "$before" ]
	poll_until 10 answers_or_ended "${STARTED[-1]}"
	wait_until 60 '[ "$(all_restarts)" -gt 700 ]'
	touch "$DIR/enough"
	wait_until 10 '[ -s "$DIR/bad" ]'
	[ "$(<"$DIR/bad")" -eq 0 ]
}

# --- PID 1 ----------------------------------------------------------------------

# start_as_init ARG...: nclust as PID 1 of a namespace; INIT is its pid here.
start_as_init() {
	need_root
	unshare -pf --kill-child --mount-proc "$NCLUST" --name "$INSTANCE" \
		"$@" >>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	poll_until 10 answers_or_ended "$NCLUST_PID"
	INIT=$(tr -d ' ' <"/proc/$NCLUST_PID/task/$NCLUST_PID/children" || true)
}

zombies_below() {
	local pid count=0

	for pid in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
		[ "$(process_state "$pid")" != Z ] || count=$((count + 1))
	done
	echo "$count"
}

@test "as PID 1 it honours SIGTERM" {
	start_as_init -n 2 --ready notify -- "$FIXTURES/hear" --notify
	wait_ready
	[ "$(awk '/NSpid/ { print $NF }' "/proc/$INIT/status")" -eq 1 ]

	kill -TERM "$INIT"
	wait_exit
	[ "$status" -eq 0 ]
}

@test "as PID 1 it says once that a stop may take longer than a container's" {
	start_as_init -n 2 --ready notify -- "$FIXTURES/hear" --notify
	wait_ready
	logged "container runtimes kill PID 1 after 10s: grant more"
	logged "'docker stop -t 65', 'terminationGracePeriodSeconds: 65'"
	nclust restart "$INSTANCE"
	[ "$(grep -c 'container runtimes' "$LOG")" -eq 1 ]
	nclust stop "$INSTANCE"
	wait_exit

	: >"$LOG"
	start_as_init -n 1 --stop-timeout 10s -- "$FIXTURES/hear"
	wait_ready
	run ! logged 'container runtimes'
}

@test "where it is not PID 1 nothing is said of containers" {
	start_cluster -n 1 --ready notify -- "$FIXTURES/hear" --notify
	run ! logged 'container runtimes'
}

@test "as PID 1 it ends, with the worker's status, when that has ended" {
	start_as_init -n 1 --restart never -- "$FIXTURES/die" --after 50 \
		--exit 7
	wait_exit
	[ "$status" -eq 7 ]
}

@test "as PID 1 it reaps orphans, and answers in the midst of a storm" {
	start_as_init -n 1 --ready notify -- sh -c '
		"$0/fork-away" --many 1000 --notify &
		wait
		exec "$0/hear"' "$FIXTURES"
	wait_ready 30

	nclust status "$INSTANCE"
	wait_until 10 '[ "$(zombies_below "$INIT")" -eq 0 ]'
	kill -TERM "$INIT"
	wait_exit
	[ "$status" -eq 0 ]
}

# --- Policies ---------------------------------------------------------------------

@test "restart = always: exit 0 is a death like any other" {
	start_nclust -n 1 --backoff-min 1ms --backoff-max 1ms \
		-- "$FIXTURES/die"
	wait_until 10 '[ "$(restarts 0)" -ge 3 ]'
}

@test "restart = never: all have ended, and so does nclust, with their status" {
	launch_nclust -n 2 --restart never -- "$FIXTURES/die"
	wait_exit
	[ "$status" -eq 0 ]

	launch_nclust -n 2 --restart never -- sh -c '
		exit $((NCLUST_SLOT * 7))'
	wait_exit
	[ "$status" -eq 7 ]

	launch_nclust -n 1 --restart never -- "$FIXTURES/die" --signal 9
	wait_exit
	[ "$status" -eq 137 ]
}

@test "restart = on-failure: success ends, failure is tried again" {
	launch_nclust -n 1 --restart on-failure --backoff-min 1ms \
		--backoff-max 1ms -- sh -c '
		[ -e "$0" ] && exit 0
		touch "$0"; exit 3' "$DIR/tried"
	wait_exit
	[ "$status" -eq 0 ]
	[ -e "$DIR/tried" ]
	logged 'exit 3' 1
}

@test "success-exit: other statuses can be success" {
	launch_nclust -n 1 --restart on-failure --success-exit '0 5' \
		-- "$FIXTURES/die" --exit 5
	wait_exit
	[ "$status" -eq 0 ]
}

@test "one slot has ended for good, the others go on" {
	start_nclust -n 2 --ready notify --restart never -- sh -c '
		[ "$NCLUST_SLOT" -eq 0 ] && exit 0
		exec "$0" --notify' "$FIXTURES/hear"
	wait_until 10 '[ "$(worker_state 0)" = ended ]'
	wait_until 10 '[ "$(worker_state 1)" = ready ]'

	kill -TERM "$(worker_pid 1)"
	wait_exit
	[ "$status" -eq 0 ]
}

# --- The shared socket -------------------------------------------------------------

@test "a worker that closes its socket leaves the others well" {
	free_port
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready notify -- sh -c '
		[ "$NCLUST_SLOT" -eq 0 ] || exec "$0/serve" --notify
		exec 3>&-
		exec "$0/hear" --notify' "$FIXTURES"

	[ "$(seen_slots "$PORT" 10)" = "1 " ]
}

# O_NONBLOCK belongs to the socket, which all share: who sets it sets it for
# all.  It must not do more harm than that.
@test "a worker that makes the socket nonblocking leaves it served" {
	need perl
	free_port
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready notify \
		--backoff-min 1ms --backoff-max 10ms -- sh -c '
		[ "$NCLUST_SLOT" -eq 0 ] || exec "$0/serve" --notify
		exec perl -MFcntl -e "open(my \$s, q(+<&=3)) or die;
			fcntl(\$s, F_SETFL, O_NONBLOCK) or die; exec @ARGV" \
			"$0/hear" --notify' "$FIXTURES"

	for i in 1 2 3 4 5; do
		[[ $(http_get "$PORT") == *slot=1* ]]
	done
	[ "$(worker_state 0)" = ready ]
}

@test "a worker that asks nclust to trace it goes on with its signals" {
	cat >"$DIR/traced.py" <<'E'
import ctypes, os, signal, socket, sys, threading
number = getattr(signal, sys.argv[2])
signal.signal(number, lambda *a: print("handled", flush=True))
asked = threading.Event()
def ask():
    ctypes.CDLL(None).ptrace(0, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    asked.set()
    while sys.argv[1] == "thread":
        signal.sigwait({signal.SIGRTMAX})
if sys.argv[1] == "thread":
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    threading.Thread(target=ask, daemon=True).start()
    asked.wait()
else:
    ask()
n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
n.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    threading.Event().wait(0.1)
E
	for how in main thread; do
		start_cluster -n 1 --ready notify -- \
			python3 "$DIR/traced.py" $how SIGUSR1
		pid=$(worker_pid 0)
		nclust signal "$INSTANCE" USR1
		wait_logged handled
		[ "$(worker_pid 0)" = "$pid" ]
		[ "$(worker 0 .restarts)" -eq 0 ]
		nclust stop "$INSTANCE"
		wait_exit
		: >"$LOG"
	done
}

@test "one that asks for that again and again takes nclust no time" {
	cat >"$DIR/traced.py" <<'E'
import ctypes, os, signal, socket, time
n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
n.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
ptrace = ctypes.CDLL(None).ptrace
end = time.monotonic() + 3
asked = 0
while time.monotonic() < end:
    ptrace(0, 0, 0, 0)
    os.kill(os.getpid(), signal.SIGWINCH)
    asked += 1
print("asked", "often" if asked > 3000 else "seldom", asked, flush=True)
while True:
    signal.pause()
E
	start_cluster -n 1 --ready notify -- python3 "$DIR/traced.py"
	wait_logged "asked seldom"
	[ "$(worker 0 .restarts)" -eq 0 ]
}

@test "a stop ends what a worker has left, however often it forks" {
	need_root # another user's
	cat >"$DIR/runner.py" <<'E'
import os, socket, sys, time
n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
if os.fork() == 0: # it holds the lock, fd 9
    n.close()
    os.setsid()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(float(sys.argv[1]))
        if os.fork():
            os._exit(0)
        os.setsid()
    os._exit(0)
n.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    time.sleep(1000)
E
	chmod 755 "$DIR"
	: >"$DIR/lock"
	chmod 666 "$DIR/lock"
	for pause in 0.00005 0.0005 0.002; do
		start_cluster -n 1 --ready notify --user daemon -- \
			sh -c "exec 9>$DIR/lock; flock 9
				exec python3 $DIR/runner.py $pause"
		! flock -n "$DIR/lock" true || false
		nclust stop "$INSTANCE"
		wait_exit
		flock -n "$DIR/lock" true
		! logged "still there" || false
	done
}

@test "a worker whose end a tracer keeps costs nothing, and is replaced after that" {
	start_cluster -n 1 -- sleep 1000
	old=$(worker_pid 0)
	python3 - "$old" >"$DIR/traced" 3>&- <<-'P' &
		import ctypes, os, signal, sys, time
		pid = int(sys.argv[1])
		assert ctypes.CDLL(None).ptrace(0x4206, pid, 0, 0) == 0  # PTRACE_SEIZE
		os.kill(pid, signal.SIGKILL)
		os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
		print("ended", flush=True)
		time.sleep(1000)
	P
	STARTED+=("$!")
	poll_until 10 file_has "$DIR/traced" ended
	ticks=$(awk "{ print \$14 + \$15 }" "/proc/$NCLUST_PID/stat")
	sleep 1 # of which it needs nothing
	[ $(($(awk "{ print \$14 + \$15 }" "/proc/$NCLUST_PID/stat") - ticks)) -lt 20 ]
	kill -KILL "${STARTED[-1]}"
	wait_until 10 '[ "$(worker_pid 0)" != "$1" ] &&
		[ "$(worker_state 0)" = ready ]' "$old"
}
