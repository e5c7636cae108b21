# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# `memory-max`, `pids-max` and their like: a cgroup for each worker.  These tests
# take cgroup v1, where that is what there is; for v2 see tests/unit/os.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	GROUP_NAME=${DIR##*/}
	GROUPS_MADE=()
}

teardown() {
	local group

	end_keepers
	nclust_teardown
	for group in "${GROUPS_MADE[@]}"; do
		poll_until 5 remove_all "$group" || true
	done
}

remove_all() {
	[ ! -d "$1" ] || find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
}

# in_groups CONTROLLER...: nclust starts in cgroups (v1) of this test.
in_groups() {
	local kind group

	need_root
	printf '#!/bin/sh\n' >"$DIR/in-group"
	for kind; do
		group=/sys/fs/cgroup/$kind/$GROUP_NAME
		mkdir "$group" 2>/dev/null || skip "needs cgroup v1 '$kind'"
		GROUPS_MADE+=("$group")
		echo "echo \$\$ >$group/cgroup.procs" >>"$DIR/in-group"
	done
	printf 'exec %s "$@"\n' "$NCLUST" >>"$DIR/in-group"
	chmod +x "$DIR/in-group"
	NCLUST=$DIR/in-group
}

# group_of KIND SLOT: the directory of the group of the worker there.
group_of() {
	local path

	path=$(sed -n "s/^[0-9]*:$1://p" "/proc/$(worker_pid "$2")/cgroup")
	echo "/sys/fs/cgroup/$1$path"
}

# How many groups of workers there are.
groups_left() {
	find "${GROUPS_MADE[@]}" -mindepth 2 -type d | wc -l
}

@test "a worker is born in a group with its limits, as which user ever" {
	in_groups memory cpu pids
	start_cluster -n 2 --ready notify --user daemon --memory-max 64M \
		--cpu-max 150% --cpu-weight 300 --pids-max 40 --env "TO=$DIR" \
		-- sh -c "cat /proc/self/cgroup >&2; exec $FIXTURES/hear --notify"
	for kind in memory cpu pids; do
		group=$(group_of "$kind" 1)
		[[ $group == */$GROUP_NAME/nclust@$INSTANCE@$INSTANCE/1.* ]]
		# the shell that is the worker's first program was inside
		logged "$kind:${group#"/sys/fs/cgroup/$kind"}"
	done
	[ "$(cat "$(group_of memory 0)/memory.limit_in_bytes")" -eq 67108864 ]
	[ "$(cat "$(group_of cpu 0)/cpu.cfs_quota_us")" -eq 150000 ]
	[ "$(cat "$(group_of cpu 0)/../cpu.shares")" -eq 3072 ]
	[ "$(cat "$(group_of pids 0)/pids.max")" -eq 40 ]
	[ "$(worker 0 .cgroup.processes)" -ge 1 ]
	[ "$(worker 0 .cgroup.memory_bytes)" -gt 0 ]
	nclust stop "$INSTANCE"
	wait_exit
	[ "$(find "${GROUPS_MADE[@]}" -mindepth 1 -type d | wc -l)" -eq 0 ]
}

@test "a worker over memory-max is killed alone, and that is what is told" {
	in_groups memory
	start_cluster -n 2 --ready notify --memory-max 32M -- \
		sh -c "[ \$NCLUST_SLOT = 0 ] || exec $FIXTURES/hear --notify
			[ ! -e $DIR/fat ] || exec $FIXTURES/hear --notify
			touch $DIR/fat
			exec $FIXTURES/eat-memory 200 --notify --after 300"
	sibling=$(worker_pid 1)
	wait_until 10 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready
	[ "$(worker 0 .last_exit.text)" = "SIGKILL, out of memory" ]
	[[ $(worker 0 .last_failure.cause) == *"memory-max, 32 MiB"* ]]
	logged "out of memory"
	logged "it needs more than memory-max, 32 MiB"
	[ "$(worker_pid 1)" = "$sibling" ]
	nclust events "$INSTANCE" --json |
		jq -se 'any(.why == "out-of-memory")'
}

@test "nclust lives on where memory-max is too little for an exec" {
	in_groups memory
	long=$(printf '%0120000d' 0)
	for i in 0 1 2 3 4 5 6 7 8 9; do
		set -- "$@" --env "LONG_$i=$long"
	done
	# until the exec the child's memory is that of nclust
	start_nclust -n 1 --ready notify --memory-max 1M "$@" -- \
		"$FIXTURES/hear" --notify
	wait_until 10 '[ "$(worker 0 .restarts)" -ge 1 ]'
	[ "$(worker 0 .last_exit.text)" = "SIGKILL, out of memory" ]
	[[ $(worker 0 .last_failure.cause) == *"memory-max, 1 MiB"* ]]
	is_alive "$NCLUST_PID"
}

@test "memory that lacks outside of the worker's limit is not told as that" {
	in_groups memory
	echo 64M >"${GROUPS_MADE[0]}/memory.limit_in_bytes"
	start_cluster -n 1 --ready notify --memory-max 1G -- \
		sh -c "[ ! -e $DIR/fat ] || exec $FIXTURES/hear --notify
			touch $DIR/fat
			exec $FIXTURES/eat-memory 200 --notify --after 300"
	wait_until 10 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready
	[ "$(worker 0 .last_exit.text)" = "SIGKILL, out of memory" ]
	! logged "memory-max" || false
}

@test "what is left of an earlier nclust's worker is not taken for the new one's" {
	in_groups memory pids
	for group in "${GROUPS_MADE[@]}"; do
		mkdir -p "$group/nclust@$INSTANCE@$INSTANCE/0.1"
	done
	old=/sys/fs/cgroup/memory/$GROUP_NAME/nclust@$INSTANCE@$INSTANCE/0.1
	echo 4096 >"$old/memory.limit_in_bytes"
	sleep 1000 3>&- &
	STARTED+=("$!")
	echo "$!" >"${old/memory/pids}/cgroup.procs"
	start_cluster -n 1 --ready notify --memory-max 64M --pids-max 40 -- \
		"$FIXTURES/hear" --notify
	[ "$(worker 0 .restarts)" -eq 0 ]
	[ "$(worker 0 .cgroup.processes)" -eq 1 ]
	[ "$(worker 0 .cgroup.oom_kills)" -eq 0 ]
	poll_until 10 is_removed "$old"
}

@test "a group of an instance of the same name beside it is in nobody's way" {
	in_groups pids
	# as if that had been started within the next 9 s
	mkdir "${GROUPS_MADE[0]}/nclust@$INSTANCE@$INSTANCE"
	from=$(($(tr -d . </proc/uptime | cut -d" " -f1) * 10))
	(cd "${GROUPS_MADE[0]}/nclust@$INSTANCE@$INSTANCE" &&
		seq "$from" $((from + 9000)) | sed 's/^/0.1./' | xargs mkdir)
	start_cluster -n 1 --ready notify --pids-max 40 -- \
		"$FIXTURES/hear" --notify
	[ "$(worker 0 .cgroup.processes)" -eq 1 ]
	! logged "cgroup" || false
	wait_until 10 '[ "$(groups_left)" -eq 1 ]'
}

@test "a SIGKILL of somebody else is not told as memory" {
	in_groups memory
	start_cluster -n 1 --ready notify --memory-max 32M -- \
		"$FIXTURES/hear" --notify
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(worker 0 .restarts)" -eq 1 ]'
	[ "$(worker 0 .last_exit.text)" = "killed by SIGKILL" ]
}

@test "forks over pids-max are refused, counted, and told at its end" {
	in_groups pids
	start_cluster -n 1 --ready alive:100ms --pids-max 3 -- \
		sh -c "sleep 1; for i in 1 2 3 4; do sleep 1000 & done; wait"
	wait_until 10 '[ "$(worker 0 .restarts)" -ge 1 ]'
	logged "it has reached pids-max, 3 processes and threads"
}

@test "what a worker has survived is not told as the cause of its end" {
	in_groups memory pids
	# a helper was out of memory, a fork refused; for long enough before the end
	start_cluster -n 3 --ready alive:100ms --memory-max 32M --pids-max 4 -- \
		sh -c "[ ! -e $DIR/\$NCLUST_SLOT ] || exec sleep 1000
			$FIXTURES/eat-memory 200 || touch $DIR/\$NCLUST_SLOT
			(for i in 1 2 3 4; do sleep 0.5 & done)
			while [ ! -e $DIR/looked ]; do sleep 0.1; done
			sleep 3
			case \$NCLUST_SLOT in
			0) exit 3 ;;
			1) kill -SEGV \$\$ ;;
			2) kill -KILL \$\$ ;;
			esac"
	for slot in 0 1 2; do
		wait_until 20 "[ \"\$(worker $slot .cgroup.oom_kills)\" -ge 1 ]"
		wait_until 20 "[ \"\$(worker $slot .cgroup.forks_refused)\" -ge 1 ]"
	done
	touch "$DIR/looked"
	for slot in 0 1 2; do
		wait_until 20 "[ \"\$(worker $slot .restarts)\" -eq 1 ]"
		[ "$(worker "$slot" .last_failure.cause)" = null ]
	done
	[ "$(worker 1 .last_exit.text)" = "killed by SIGSEGV" ]
	[ "$(worker 2 .last_exit.text)" = "killed by SIGKILL" ]
	! logged "out of memory" || false
}

@test "a program over memory-max in a shell is told as that" {
	in_groups memory
	start_cluster -n 1 --ready alive:100ms --memory-max 32M -- \
		sh -c "[ ! -e $DIR/fat ] || exec sleep 1000
			touch $DIR/fat
			sleep 0.3; $FIXTURES/eat-memory 200; exit"
	wait_until 10 '[ "$(worker 0 .restarts)" -eq 1 ]'
	[[ $(worker 0 .last_failure.cause) == *"memory-max, 32 MiB"* ]]
}

@test "groups go with their workers, also those in which something is left" {
	in_groups pids
	# a worker may make groups in its own, and leave a process there
	start_cluster -n 2 --ready notify --pids-max 40 -- sh -c "
		at=/sys/fs/cgroup/pids\$(sed -n 's/^[0-9]*:pids://p' /proc/self/cgroup)
		mkdir -p \$at/a/b \$at/c
		setsid sleep 1000 & echo \$! >\$at/a/b/cgroup.procs
		exec $FIXTURES/hear --notify"
	[ "$(groups_left)" -eq 8 ]
	old=$(group_of pids 0)
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready
	poll_until 10 is_removed "$old"
	nclust scale "$INSTANCE" 1
	wait_until 10 '[ "$(groups_left)" -eq 4 ]'
	# many take more than one look
	(cd "$(group_of pids 0)/c" && seq 600 | xargs mkdir)
	nclust scale "$INSTANCE" 0
	wait_until 10 '[ "$(groups_left)" -eq 0 ]'
}

@test "what a worker leaves without its name and group ends with its cgroup" {
	in_groups memory pids
	# as sudo does: neither the environment nor the session tells whose it is
	start_cluster -n 1 --ready notify --memory-max 64M --pids-max 40 -- sh -c "
		(env -i setsid sh -c 'echo \$\$ >>$DIR/left
			exec sleep 1000' &)
		exec $FIXTURES/hear --notify"
	old=$(group_of pids 0)
	poll_until 10 test -s "$DIR/left"
	left=$(cat "$DIR/left")
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready
	poll_until 10 is_removed "$old"
	poll_until 10 is_removed "${old/pids/memory}"
	! is_alive "$left" || false
}

is_removed() {
	[ ! -e "$1" ]
}

@test "a worker that leaves its group is put back, and its siblings not touched" {
	in_groups pids
	start_cluster -n 2 --ready notify --pids-max 40 -- \
		"$FIXTURES/hear" --notify
	pid=$(worker_pid 0)
	group=$(group_of pids 0)
	sibling=$(worker_pid 1)
	for _ in 1 2; do
		echo "$pid" >"/sys/fs/cgroup/pids/$GROUP_NAME/cgroup.procs"
		rmdir "$group"
		nclust status "$INSTANCE" >/dev/null
		[ "$(cat "$group/cgroup.procs")" = "$pid" ]
		[ "$(cat "$group/pids.max")" -eq 40 ]
	done
	[ "$(grep -c 'has left its cgroup' "$DIR/log")" -eq 1 ]
	[ "$(worker_pid 1)" = "$sibling" ]
	[ "$(worker 1 .restarts)" -eq 0 ]
}

@test "an upgrade keeps the groups, and removes them later" {
	in_groups pids
	start_cluster -n 2 --ready notify --pids-max 40 -- \
		"$FIXTURES/hear" --notify
	group=$(group_of pids 1)
	nclust upgrade "$INSTANCE"
	[ "$(group_of pids 1)" = "$group" ]
	[ "$(worker 1 .cgroup.processes)" -eq 1 ]
	kill -KILL "$(worker_pid 1)"
	wait_until 10 '[ "$(worker 1 .restarts)" -eq 1 ]'
	poll_until 10 is_removed "$group"
	nclust stop "$INSTANCE"
	wait_exit
	[ "$(groups_left)" -eq 0 ]
}

@test "the next nclust removes the groups of one that was killed" {
	in_groups pids
	start_cluster -n 2 --ready notify --pids-max 40 --orphans keep -- \
		"$FIXTURES/hear" --notify
	group=$(group_of pids 1)
	mkdir "${group%/*}/7.123456" # of a worker that has ended meanwhile
	kill_nclust
	start_cluster -n 2 --ready notify --pids-max 40 --orphans keep -- \
		"$FIXTURES/hear" --notify
	[ "$(group_of pids 1)" = "$group" ]
	wait_until 10 '[ "$(groups_left)" -eq 2 ]'
	nclust stop "$INSTANCE"
	wait_exit
	[ "$(groups_left)" -eq 0 ]
}

@test "without a group of its own nclust says what to write, and runs" {
	need_root
	nclust_under setpriv --reuid 65534 --regid 65534 --clear-groups
	chown 65534 "$NCLUST_RUNTIME_DIR"
	start_cluster -n 2 --ready notify --memory-max 64M --pids-max 9 -- \
		"$FIXTURES/hear" --notify
	[ "$(grep -c "Delegate=yes" "$DIR/log")" -eq 1 ]
	logged "(memory-max and its like)"
	[ "$(worker 0 .cgroup)" = null ]
}

@test "a reload with another limit replaces the workers" {
	in_groups pids
	printf '%s\n' "[cluster:a]" "command = $FIXTURES/hear --notify" \
		"ready = notify" "workers = 2" "pids-max = 40" >"$DIR/a.ini"
	start_cluster --name "$INSTANCE" -c "$DIR/a.ini"
	sed -i 's/pids-max.*/pids-max = 50/' "$DIR/a.ini"
	nclust reload "$INSTANCE"
	[ "$(cat "$(group_of pids 0)/pids.max")" -eq 50 ]
	[ "$(groups_left)" -eq 2 ]
	sed -i '/pids-max/d' "$DIR/a.ini"
	nclust reload "$INSTANCE"
	wait_until 10 '[ "$(groups_left)" -eq 0 ]'
}

@test "the groups of a cluster that is renamed go with its workers" {
	in_groups pids
	printf '%s\n' "[cluster:a]" "command = $FIXTURES/hear --notify" \
		"ready = notify" "workers = 2" "pids-max = 40" >"$DIR/a.ini"
	start_cluster --name "$INSTANCE" -c "$DIR/a.ini"
	group=$(group_of pids 0)
	sed -i 's/cluster:a/cluster:b/' "$DIR/a.ini"
	nclust reload "$INSTANCE"
	poll_until 10 is_removed "$group"
	[[ $(group_of pids 0) == *@b/0.* ]]
	! logged "has left its cgroup" || false
}

@test "at its end nclust waits a moment for what is left in a group" {
	in_groups pids
	# somebody else's process, which ends a moment after the name is free: once
	# of three times that is in time also where all is slow
	for _ in 1 2 3; do
		start_cluster -n 1 --ready notify --pids-max 40 -- \
			"$FIXTURES/hear" --notify
		(while [ -e "$NCLUST_RUNTIME_DIR/$INSTANCE" ]; do
			sleep 0.01
		done && sleep 0.04) 3>&- &
		STARTED+=("$!")
		echo "$!" >"$(group_of pids 0)/cgroup.procs"
		nclust stop "$INSTANCE"
		wait_exit
		[ "$(groups_left)" -gt 0 ] || return 0
		poll_until 10 is_empty "${GROUPS_MADE[0]}"
	done
	false
}

is_empty() {
	remove_all "$1"
	[ -d "$1" ] || mkdir "$1"
	[ -z "$(find "$1" -mindepth 1 -type d)" ]
}

@test "what is wrong with the limits is told again after a reload" {
	need_root
	nclust_under setpriv --reuid 65534 --regid 65534 --clear-groups
	chown 65534 "$NCLUST_RUNTIME_DIR"
	printf '%s\n' "[cluster:a]" "command = $FIXTURES/hear --notify" \
		"ready = notify" "workers = 2" "pids-max = 40" >"$DIR/a.ini"
	chmod 755 "$DIR"
	start_cluster --name "$INSTANCE" -c "$DIR/a.ini"
	[ "$(grep -c "Delegate=yes" "$DIR/log")" -eq 1 ]
	sed -i 's/pids-max.*/pids-max = 50/' "$DIR/a.ini"
	nclust reload "$INSTANCE"
	[ "$(grep -c "Delegate=yes" "$DIR/log")" -eq 2 ]
}

@test "a cpu-max above that of nclust's own group is told as that" {
	in_groups cpu
	echo 50000 >"${GROUPS_MADE[0]}/cpu.cfs_quota_us"
	start_cluster -n 1 --ready notify --cpu-max 100% -- \
		"$FIXTURES/hear" --notify
	logged "nclust's own cgroup, or one above it, allows less"
	logged "raise cpu.cfs_quota_us there, or lower 'cpu-max'"
	! logged "Invalid argument" || false
}

@test "threads = auto counts no more CPUs than cpu-max gives" {
	[ "$(nproc)" -ge 2 ] || skip "needs two CPUs"
	start_cluster -n 1 --ready notify --threads auto --cpu-max 50% -- \
		"$FIXTURES/leak" --notify --to "$DIR/dump"
	[ "$(jq -r .env.GOMAXPROCS "$DIR/dump")" = 1 ]
}

@test "without such a setting no start asks for a cgroup" {
	need strace
	start_cluster -n 1 --ready notify -- "$FIXTURES/hear" --notify
	wait_begun
	strace -f -qq -e trace=openat,mkdirat,write -o "$DIR/calls" \
		-p "$NCLUST_PID" 3>&- &
	STARTED+=("$!")
	poll_until 10 grep -q "TracerPid:.[1-9]" "/proc/$NCLUST_PID/status"
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready
	run grep -c cgroup "$DIR/calls"
	[ "$output" = 0 ]
}
