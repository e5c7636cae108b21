# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# `leader = yes`: exactly one worker has the lock, whatever ends or is replaced.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	JOURNAL=$DIR/journal
	: >"$JOURNAL"
	chmod 666 "$JOURNAL"
}

teardown() {
	end_keepers
	nclust_teardown
}

# start_leads COUNT [OPTION]...: options of nclust, then what stands after `--` is
# for the worker.
start_leads() {
	local count=$1 options=()

	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	start_cluster -n "$count" --leader=yes --ready notify --drain off \
		"${options[@]}" -- python3 "$SCRIPTS/servers/leads.py" \
		"$JOURNAL" "${@:2}"
}

# The pid that status tells, or "null".
leader() {
	cluster '.leader.pid'
}

# wait_leader [OLD]: until somebody leads who is not OLD, and has said so; sets `lead`.
wait_leader() {
	wait_until 10 'lead=$(leader) && [ "$lead" != null ] && [ "$lead" != "$1" ] &&
		[ "$(tail -n 1 "$JOURNAL")" = "$lead" ]' "${1:-}"
}

# Never did two lead at once: then their lines would be mixed.
assert_one_at_a_time() {
	[ "$(grep -v begin "$JOURNAL" | uniq | sort | uniq -d)" = "" ]
	[ "$(grep begin "$JOURNAL" | sort | uniq -d)" = "" ]
}

variable() {
	tr '\0' '\n' <"/proc/$1/environ" | sed -n "s/^$2=//p"
}

@test "one of the workers leads, and status says which" {
	start_leads 3
	wait_leader
	[[ " $(cluster '[.workers[].pid] | join(" ")') " == *" $lead "* ]]
	run nclust status "$INSTANCE"
	[[ $output == *"leader it."?" (pid $lead)"* ]]
	nclust events "$INSTANCE" | grep -q 'is now the leader'
	assert_one_at_a_time
}

@test "each worker has a description of its own of the same file" {
	local pid inodes=() fd

	start_leads 3
	for pid in $(cluster '.workers[].pid'); do
		fd=$(variable "$pid" NCLUST_LEADER_FD)
		[ "$fd" -eq 3 ]
		inodes+=("$(stat -Lc %i "/proc/$pid/fd/$fd")")
	done
	[ "$(printf '%s\n' "${inodes[@]}" | sort -u | wc -l)" -eq 1 ]
	# two of them cannot both have it
	wait_leader
	[ "$(grep -l '^lock:.*FLOCK.*WRITE' /proc/[0-9]*/fdinfo/3 2>/dev/null |
		cut -d/ -f3 | grep -cxF "$(cluster '.workers[].pid')")" -eq 1 ]
}

@test "without it there is no descriptor, and no word in status" {
	start_cluster -n 1 -- "$FIXTURES/hear"
	[ "$(variable "$(worker_pid 0)" NCLUST_LEADER_FD)" = "" ]
	[ "$(cluster 'has("leader")')" = false ]
}

@test "once a reload has ended it there is no word in status either" {
	printf '%s\n' '[cluster]' "command = $FIXTURES/hear" 'workers = 1' \
		'leader = yes' >"$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	wait_until 5 '[ "$(leader)" = "$(worker_pid 0)" ]'
	sed -i '/leader/d' "$DIR/it.ini"
	nclust reload it
	wait_until 5 '[ "$(cluster "has(\"leader\")")" = false ]'
	run nclust status it
	[[ $output != *leader* ]]
}

@test "when the leader is killed another one leads, and so on" {
	local i old=

	start_leads 3
	for i in 1 2 3 4; do
		wait_leader "$old"
		old=$lead
		kill -KILL "$old"
	done
	wait_leader "$old"
	assert_one_at_a_time
}

@test "in a rollout the old leader leads until it ends, beside its successor" {
	start_leads 3 -- --linger 2
	wait_leader
	first=$lead
	nclust restart "$INSTANCE" --no-wait
	# slot 0 is there twice, and only one of the two leads
	wait_until 10 'both=$(cluster "[([.workers[] | select(.slot == 0)] | length),
		.leader.pid] | join(\" \")") && [[ $both == "2 "* ]]'
	[ "$both" = "2 $first" ]
	nclust restart "$INSTANCE"
	wait_leader "$first"
	# one of the old generation that waited may have led in between
	[ "$(cluster '.workers[] | select(.pid == '"$lead"').generation')" -eq \
		"$(cluster .generation)" ]
	assert_one_at_a_time
}

@test "restart, upgrade, restart, reload: one leads at any time" {
	printf '%s\n' '[cluster:web]' 'workers = 3' 'ready = notify' 'drain = off' \
		'leader = yes' "command = python3 $SCRIPTS/servers/leads.py $JOURNAL" \
		>"$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	wait_leader
	nclust restart "$INSTANCE"
	wait_leader "$lead"
	old=$lead
	nclust upgrade "$INSTANCE"
	[ "$(leader)" = "$old" ]
	kill -KILL "$old"
	wait_leader "$old"
	nclust restart "$INSTANCE"
	wait_leader "$lead"
	echo 'env = A=b' >>"$DIR/it.ini"
	nclust reload "$INSTANCE"
	wait_leader "$lead"
	assert_one_at_a_time
}

@test "a reload gives a cluster its leader, and takes it away" {
	printf '%s\n' '[cluster:web]' 'workers = 2' 'ready = notify' 'drain = off' \
		'intercept = off' \
		"command = sh -c 'exec python3 $SCRIPTS/servers/leads.py $JOURNAL'" \
		>"$DIR/it.ini"
	# without it the thread that locks just ends
	start_cluster -c "$DIR/it.ini"
	[ "$(cluster 'has("leader")')" = false ]
	echo 'leader = yes' >>"$DIR/it.ini"
	nclust reload "$INSTANCE"
	wait_leader
	sed -i '/^leader/d' "$DIR/it.ini"
	nclust reload "$INSTANCE"
	[ "$(cluster 'has("leader")')" = false ]
	run nclust status "$INSTANCE"
	[[ $output != *leader* ]]
	assert_one_at_a_time
}

@test "with orphans = keep the leader leads on without nclust, and after it" {
	start_leads 3 --orphans keep
	wait_leader
	old=$lead
	kill_nclust
	is_alive "$old"
	start_leads 3 --orphans keep
	[ "$(leader)" = "$old" ]

	# and while there is no nclust the kernel alone gives the lock to another
	kill_nclust
	kill -KILL "$old"
	wait_until 10 '[ "$(tail -n 1 "$JOURNAL")" != "$1" ]' "$old"
	other=$(tail -n 1 "$JOURNAL")
	start_leads 3 --orphans keep
	[ "$(leader)" = "$other" ]
	nclust restart "$INSTANCE"
	wait_leader "$other"
	assert_one_at_a_time
}

@test "by its keeper's loss no second one comes to lead beside an orphan" {
	start_leads 2 --orphans keep --intercept off
	wait_leader
	old=$lead
	kill_nclust
	end_keepers
	start_leads 2 --orphans keep --intercept off
	nclust scale 4 "$INSTANCE"
	[ "$(leader)" = "$old" ]
	is_alive "$old"
	[ "$(tail -n 1 "$JOURNAL")" = "$old" ]
	kill -KILL "$old"
	wait_leader "$old"
	assert_one_at_a_time
}

@test "of another user's orphans none is known again, and no second one leads" {
	need_root
	start_leads 2 --orphans keep --intercept off --user nobody
	wait_leader
	old=$lead
	kill_nclust
	start_leads 3 --orphans keep --intercept off --user nobody
	[ "$(leader)" = "$old" ]
	# a new worker has the same file, which the keeper held
	wait_ready
	[ "$(stat -Lc %i "/proc/$(worker_pid 2)/fd/3")" = \
		"$(stat -Lc %i "/proc/$old/fd/3")" ]
	nclust scale 2 "$INSTANCE"
	kill_nclust
	end_keepers
	start_leads 2 --orphans keep --intercept off --user nobody
	[ "$(leader)" = "$old" ]
	nclust scale 4 "$INSTANCE"

	# the other orphan has the lock now, which nclust cannot see
	kill -KILL "$old"
	wait_until 10 '[ "$(tail -n 1 "$JOURNAL")" != "$1" ]' "$old"
	[ "$(leader)" = null ]
	run nclust status "$INSTANCE"
	[[ $output == *"no leader"* ]]
	kill -KILL "$(tail -n 1 "$JOURNAL")"
	wait_leader
	assert_one_at_a_time
}

@test "a worker with a message channel is told that it leads" {
	start_leads 3 --ipc on -- --message
	wait_leader
	old=$lead
	nclust upgrade "$INSTANCE"
	[ "$(leader)" = "$old" ]
	run ! logged 'is now the leader' 2

	# the next one is told at once, though nobody asks for a status
	kill -KILL "$old"
	wait_until 10 '[ "$(tail -n 1 "$JOURNAL")" != "$1" ]' "$old"
	wait_leader "$old"
	old=$lead
	nclust restart "$INSTANCE"
	wait_leader "$old"
	assert_one_at_a_time
}

@test "one that an earlier nclust has told is not told again" {
	start_leads 2 --ipc on --orphans keep -- --message
	wait_leader
	old=$lead
	kill_nclust
	start_leads 2 --ipc on --orphans keep -- --message
	[ "$(leader)" = "$old" ]
	kill -KILL "$old"
	wait_leader "$old"
	# `begin` would be there twice
	assert_one_at_a_time
}

@test "what the leader leaves behind does not keep the lock for long" {
	start_leads 2 --ipc on -- --message --leave
	wait_leader
	old=$lead
	kill -KILL "$old"
	wait_until 10 '[ "$(tail -n 1 "$JOURNAL")" != "$1" ]' "$old"
	assert_one_at_a_time
}

@test "while somebody else has what the dead leader had, none leads; then one does" {
	start_leads 2 --ipc on -- --message
	wait_leader
	old=$lead
	cat >"$DIR/hold.py" <<-'EOF'
		import ctypes, os, sys, time
		pidfd = os.pidfd_open(int(sys.argv[1]))
		if ctypes.CDLL(None).syscall(438, pidfd, int(sys.argv[2]), 0) == -1:
		    sys.exit("no pidfd_getfd")
		open(sys.argv[3] + "/held", "w")
		while not os.path.exists(sys.argv[3] + "/let-go"):
		    time.sleep(0.01)
	EOF
	python3 "$DIR/hold.py" "$old" "$(variable "$old" NCLUST_LEADER_FD)" \
		"$DIR" 3>&- &
	STARTED+=("$!")
	wait_until 10 '[ -e "$DIR/held" ]'
	kill -KILL "$old"
	wait_until 10 '[ "$(cluster "[.workers[] | select(.restarts == 1)] | length")" -eq 1 ]'
	wait_ready
	[ "$(leader)" = null ]

	# nobody asks for a status
	touch "$DIR/let-go"
	wait_until 10 '[ "$(tail -n 1 "$JOURNAL")" != "$1" ]' "$old"
	assert_one_at_a_time
}

@test "that nobody can lead is said once, until one can" {
	need flock
	# a description of its own, as no worker has it
	start_cluster -n 1 --leader=yes --ready notify -- sh -c '
		exec 9<>"/proc/self/fd/$NCLUST_LEADER_FD"
		flock 9
		setsid sleep 1000 &
		echo $! >"$0"
		exec 9<&-
		exec "$1" 0' "$DIR/holder" "$FIXTURES/slow-ready"
	[ "$(leader)" = null ]
	wait_until 10 "logged 'it: nobody leads, because a process that is no'"
	kill -KILL "$(cat "$DIR/holder")"
	wait_until 5 '[ "$(leader)" = "$(worker_pid 0)" ]'
	[ "$(grep -c 'nobody leads' "$LOG")" -eq 1 ]
}

@test "accept = yes has no leader" {
	printf '%s\n' '[cluster:web]' 'command = cat' 'accept = yes' \
		'listen = 127.0.0.1:1' 'leader = yes' >"$DIR/it.ini"
	run nclust config -c "$DIR/it.ini" --check
	[ "$status" -eq 78 ]
	[[ $output == *"it.ini:5: cluster:web.leader: cannot be used with 'accept'"* ]]
}

# leaders PORT: how many of many answers say so, and from how many workers.
leads_at() {
	local i

	for ((i = 0; i < 60; i++)); do
		http_get "$1"
	done | sort -u | tr '\n' ' '
}

@test "the examples of etc/examples, in Python and in Node" {
	local node

	free_port
	node=$PORT
	free_port
	nclust config -c "$ROOT/etc/examples/leader/leader.ini" --check
	cp "$ROOT"/etc/examples/leader/leader.* "$DIR"
	sed "s/8080/$PORT/; s/8081/$node/" "$DIR/leader.ini" >"$DIR/it.ini"
	start_cluster -c "$DIR/it.ini" --log json
	for CLUSTER in python node; do
		wait_until 20 '[ "$(leader)" != null ]'
	done
	wait_until 20 '[ "$(leads_at "$1")" = "leader worker " ]' "$PORT"
	wait_until 20 '[ "$(leads_at "$1")" = "leader worker " ]' "$node"
	for CLUSTER in python node; do
		old=$(leader)
		kill -KILL "$old"
		wait_until 20 '[ "$(leader)" != null ] && [ "$(leader)" != "$1" ]' "$old"
	done
	wait_until 20 '[ "$(leads_at "$1")" = "leader worker " ]' "$PORT"
	wait_until 20 '[ "$(leads_at "$1")" = "leader worker " ]' "$node"
}
