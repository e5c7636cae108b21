# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
#
# `before` the start and each rollout, `before-stop` the stop.

bats_require_minimum_version 1.5.0
load ../../lib

teardown() {
	nclust stop "$INSTANCE" --now >/dev/null 2>&1 || true
	end_keepers
	nclust_teardown
}

# write_ini [LINE]...: two workers of cluster web, and these lines.
write_ini() {
	printf '%s\n' '[cluster:web]' "command = $FIXTURES/hear --notify" \
		'workers = 2' 'ready = notify' 'drain = off' "$@" >"$DIR/it.ini"
}

# script NAME LINE...: a command, `sh $DIR/NAME`, which first writes a line into
# the file of that name with .ran.
script() {
	printf '%s\n' "echo \$\$ >>$DIR/$1.ran" "${@:2}" >"$DIR/$1"
	: >"$DIR/$1.ran"
}

ran() {
	wc -l <"$DIR/$1.ran"
}

pids() {
	cluster '[.workers[].pid] | sort | join(" ")'
}

generation_and_state() {
	cluster '"\(.generation) \(.state)"'
}

life_of_0() {
	worker 0 '"\(.restarts) \(.state) \(.generation)"'
}

# The pid of the last run of it.
last_run() {
	tail -n 1 "$DIR/$1.ran"
}

@test "it runs once before the first start and once before each rollout" {
	script migrate 'echo "workers: $(pgrep -cf "hear --notify")" >>"$0.seen"'
	write_ini "before = sh $DIR/migrate"
	start_cluster -c "$DIR/it.ini"
	[ "$(ran migrate)" -eq 1 ]
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(worker 0 .restarts)" = 1 ]'
	wait_ready
	nclust scale 3 "$INSTANCE"
	[ "$(ran migrate)" -eq 1 ]
	nclust restart "$INSTANCE"
	[ "$(ran migrate)" -eq 2 ]
	echo 'env = A=b' >>"$DIR/it.ini"
	nclust reload "$INSTANCE"
	[ "$(ran migrate)" -eq 3 ]
	nclust reload "$INSTANCE"
	[ "$(ran migrate)" -eq 3 ]
}

@test "no worker starts before it has ended" {
	mkfifo "$DIR/gate"
	script migrate "read -r line <$DIR/gate"
	write_ini "before = sh $DIR/migrate"
	start_nclust -c "$DIR/it.ini"
	wait_until 10 '[ "$(ran migrate)" -eq 1 ]'
	[ "$(cluster '[.workers[].pid] | map(select(. != null)) | length')" -eq 0 ]
	[ "$(cluster .waits_for)" = "its 'before'" ]
	release "$DIR/gate"
	wait_ready
	old=$(pids)
	nclust restart "$INSTANCE" --no-wait
	wait_until 10 '[ "$(ran migrate)" -eq 2 ]'
	[ "$(pids)" = "$old" ]
	run nclust status "$INSTANCE"
	[[ $output == *"rolling to generation 2: 0 of 2 done, running 'before'"* ]]

	# a worker that dies meanwhile comes back as it was
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(life_of_0)" = "1 ready 1" ]'
	release "$DIR/gate"
	wait_until 10 '[ "$(generation_and_state)" = "2 running" ]'
}

@test "nor when a stopped cluster begins anew" {
	mkfifo "$DIR/gate"
	script migrate "read -r line <$DIR/gate"
	write_ini "before = sh $DIR/migrate" '[cluster:other]' \
		"command = $FIXTURES/hear" 'workers = 1'
	start_nclust -c "$DIR/it.ini"
	release "$DIR/gate"
	wait_ready
	nclust stop "$INSTANCE/web"
	nclust restart "$INSTANCE/web" --no-wait
	wait_until 10 '[ "$(ran migrate)" -eq 2 ]'
	[ "$(cluster '[.workers[].pid] | map(select(. != null)) | length')" -eq 0 ]
	release "$DIR/gate"
	wait_until 10 '[ "$(cluster .ready)" -eq 2 ]'
}

@test "as the user, in the directory and with the environment of the workers" {
	need_root
	mkdir "$DIR/place"
	script migrate "{ id -un; pwd; echo \"\$COLOUR \$NCLUST_EVENT \$NCLUST_CLUSTER \$NCLUST_GENERATION\"; } >$DIR/place/facts"
	chmod 666 "$DIR/migrate.ran"
	chown nobody "$DIR/place"
	write_ini "before = sh $DIR/migrate" 'user = nobody' \
		"directory = $DIR/place" 'env = COLOUR=green'
	sed -i 's/--notify/--notify/' "$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	[ "$(cat "$DIR/place/facts")" = "$(printf '%s\n' nobody "$DIR/place" \
		'green before web 1')" ]
}

@test "if it fails, the old workers serve on and the restart says why" {
	script migrate 'echo "table users is locked" >&2' "[ ! -e $DIR/broken ]"
	write_ini "before = sh $DIR/migrate"
	start_cluster -c "$DIR/it.ini" --log prefix
	touch "$DIR/broken"
	old=$(pids)
	run -1 nclust restart "$INSTANCE"
	[[ $output == *"restart failed: 'before' ('sh $DIR/migrate') failed: exit 1; last output: table users is locked; the old workers keep serving"* ]]
	[ "$(pids)" = "$old" ]
	[ "$(cluster .state)" = running ]
	run nclust status "$INSTANCE"
	[[ $output == *"'before' ('sh $DIR/migrate') failed: exit 1"* ]]

	echo 'env = A=b' >>"$DIR/it.ini"
	run -1 nclust reload "$INSTANCE"
	[ "$(pids)" = "$old" ]
	rm "$DIR/broken"
	nclust restart "$INSTANCE"
	[ "$(pids)" != "$old" ]
}

@test "what it writes is where the workers' output is, line by line" {
	script migrate 'echo one' 'echo two >&2'
	write_ini "before = sh $DIR/migrate"
	start_cluster -c "$DIR/it.ini" --log "prefix, file:$DIR/out"
	wait_until 10 'file_has "$DIR/out" one && file_has "$DIR/out" two'
	wait_logged 'web.0 | one'
	wait_until 10 'nclust logs "$INSTANCE" | grep -q two'
}

@test "at the first start its failure is that of the cluster" {
	script migrate 'echo "no such table" >&2' 'exit 3'
	write_ini "before = sh $DIR/migrate"
	start_nclust -c "$DIR/it.ini" || true
	wait_exit
	[ "$status" -eq 1 ]
	logged "web: 'before' ('sh $DIR/migrate') failed: exit 3; it is not started"
	[ "$(ran migrate)" -eq 1 ]

	run -1 timeout 20 "$NCLUST" -d --name "$INSTANCE" -c "$DIR/it.ini"
	[[ $output == *"no such table"*"failed: exit 3"* ]]
	[ "$(ran migrate)" -eq 2 ]
}

@test "a failed cluster begins anew by a restart, with its command" {
	script migrate "[ -e $DIR/good ]"
	write_ini "before = sh $DIR/migrate" '[cluster:other]' \
		"command = $FIXTURES/hear" 'workers = 1'
	start_nclust -c "$DIR/it.ini"
	wait_until 10 '[ "$(cluster .state)" = failed ]'
	run -1 nclust restart "$INSTANCE/web"
	[[ $output == *"'before' ('sh $DIR/migrate') failed: exit 1"* ]]
	[ "$(ran migrate)" -eq 2 ]
	touch "$DIR/good"
	nclust restart "$INSTANCE/web"
	[ "$(ran migrate)" -eq 3 ]
	[ "$(cluster .ready)" -eq 2 ]
	nclust stop "$INSTANCE/web"
	nclust restart "$INSTANCE/web"
	[ "$(ran migrate)" -eq 4 ]
	[ "$(cluster .ready)" -eq 2 ]
}

@test "one that cannot be executed is a failure, too" {
	write_ini 'before = /nowhere/at/all'
	start_nclust -c "$DIR/it.ini" || true
	wait_exit
	[ "$status" -eq 1 ]
	logged "web: 'before' ('/nowhere/at/all') failed:"
}

@test "one that hangs is killed after start-timeout, with its children" {
	script migrate "[ ! -e $DIR/hang ] || { sleep 1000 & echo \$! >$DIR/sub; wait; }"
	write_ini "before = sh $DIR/migrate" 'start-timeout = 1s'
	start_cluster -c "$DIR/it.ini"
	touch "$DIR/hang"
	old=$(pids)
	run -1 timeout 20 "$NCLUST" restart "$INSTANCE"
	[[ $output == *"killed, it took too long"* ]]
	[ "$(pids)" = "$old" ]
	poll_until 5 is_gone "$(last_run migrate)"
	poll_until 5 is_gone "$(cat "$DIR/sub")"
}

@test "one that floods costs nclust nothing, and one that daemonises is not waited for" {
	script migrate "[ ! -e $DIR/flood ] || timeout 3 yes 'no end of this'" \
		"[ ! -e $DIR/daemon ] || setsid sleep 1000 &" 'exit 0'
	write_ini "before = sh $DIR/migrate"
	start_cluster -c "$DIR/it.ini" --log off
	touch "$DIR/flood"
	nclust restart "$INSTANCE" --no-wait
	wait_until 10 '[ "$(ran migrate)" -eq 2 ]'
	before=$(microseconds)
	nclust status "$INSTANCE" >/dev/null
	[ $(($(microseconds) - before)) -lt $((2000000 * PATIENCE)) ]
	wait_until 20 '[ "$(generation_and_state)" = "2 running" ]'
	rm "$DIR/flood"
	touch "$DIR/daemon"
	nclust restart "$INSTANCE"
	[ "$(cluster .generation)" -eq 3 ]
}

@test "a second restart waits for the one whose command runs" {
	mkfifo "$DIR/gate"
	script migrate "[ ! -e $DIR/slow ] || read -r line <$DIR/gate"
	write_ini "before = sh $DIR/migrate"
	start_cluster -c "$DIR/it.ini"
	touch "$DIR/slow"
	nclust restart "$INSTANCE" --no-wait
	wait_until 10 '[ "$(ran migrate)" -eq 2 ]'
	first=$(last_run migrate)
	nclust restart "$INSTANCE" --no-wait
	is_alive "$first"
	rm "$DIR/slow"
	release "$DIR/gate"
	wait_until 10 '[ "$(generation_and_state)" = "3 running" ]'
	[ "$(ran migrate)" -eq 3 ]
}

@test "a stop kills it, and a second one is not needed" {
	script migrate 'sleep 1000'
	write_ini "before = sh $DIR/migrate"
	start_nclust -c "$DIR/it.ini"
	wait_until 10 '[ "$(ran migrate)" -eq 1 ]'
	kill -TERM "$NCLUST_PID"
	wait_exit
	is_gone "$(last_run migrate)"
}

@test "an upgrade waits for it" {
	mkfifo "$DIR/gate"
	script migrate "read -r line <$DIR/gate"
	write_ini "before = sh $DIR/migrate"
	start_nclust -c "$DIR/it.ini"
	wait_until 10 '[ "$(ran migrate)" -eq 1 ]'
	nclust upgrade "$INSTANCE" --no-wait
	is_alive "$(last_run migrate)"
	release "$DIR/gate"
	wait_ready
	wait_until 10 '[ "$(status_json | jq .upgrades)" -eq 1 ]'
	[ "$(ran migrate)" -eq 1 ]
}

@test "restart, upgrade, restart, reload, and nclust killed: as often as said" {
	script migrate
	write_ini "before = sh $DIR/migrate" 'orphans = keep'
	start_cluster -c "$DIR/it.ini"
	nclust restart "$INSTANCE"
	nclust upgrade "$INSTANCE"
	nclust restart "$INSTANCE"
	[ "$(ran migrate)" -eq 3 ]
	echo 'env = A=b' >>"$DIR/it.ini"
	nclust reload "$INSTANCE"
	[ "$(ran migrate)" -eq 4 ]
	old=$(pids)
	kill_nclust
	start_cluster -c "$DIR/it.ini"
	[ "$(pids)" = "$old" ]
	[ "$(ran migrate)" -eq 4 ]
	nclust restart "$INSTANCE"
	[ "$(ran migrate)" -eq 5 ]

	# killed while it runs, the next one has not begun a rollout
	script migrate 'sleep 1000'
	nclust restart "$INSTANCE" --no-wait
	wait_until 10 '[ "$(ran migrate)" -eq 1 ]'
	old=$(pids)
	kill_nclust
	poll_until 10 is_gone "$(last_run migrate)"
	start_cluster -c "$DIR/it.ini"
	[ "$(pids)" = "$old" ]
	[ "$(ran migrate)" -eq 1 ]
}

@test "with after: first what it waits for, then its command" {
	mkfifo "$DIR/gate"
	script migrate
	{
		printf '%s\n' '[cluster:db]' 'workers = 1' 'ready = alive:1h' \
			"command = sh -c 'read -r line <$DIR/gate; exit 0'" \
			'restart = never'
	} >"$DIR/db"
	write_ini "before = sh $DIR/migrate" 'after = db: done'
	cat "$DIR/db" >>"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	wait_until 10 '[ "$(cluster .waits_for)" = "db (starting)" ]'
	[ "$(ran migrate)" -eq 0 ]
	release "$DIR/gate"
	wait_until 10 '[ "$(cluster .ready)" -eq 2 ]'
	[ "$(ran migrate)" -eq 1 ]
}

@test "before-stop is waited for before the workers are told to stop" {
	mkfifo "$DIR/gate"
	script deregister "read -r line <$DIR/gate"
	write_ini "before-stop = sh $DIR/deregister"
	start_cluster -c "$DIR/it.ini"
	nclust restart "$INSTANCE"
	[ "$(ran deregister)" -eq 0 ]
	kill -TERM "$NCLUST_PID"
	wait_until 10 '[ "$(ran deregister)" -eq 1 ]'
	[ "$(cluster '"\(.ready) \(.state)"')" = "2 running" ]
	[ "$(cluster .waits_for)" = "its 'before-stop'" ]
	[ "$(grep -c TERM "$LOG")" -eq 2 ] # those of before the restart
	release "$DIR/gate"
	wait_exit
	[ "$status" -eq 0 ]
	[ "$(ran deregister)" -eq 1 ]
	[ "$(grep -c TERM "$LOG")" -eq 4 ]
}

@test "before-stop that fails or hangs does not keep the cluster from stopping" {
	script deregister 'sleep 1000'
	write_ini "before-stop = sh $DIR/deregister" 'stop-timeout = 1s'
	start_cluster -c "$DIR/it.ini"
	nclust stop "$INSTANCE"
	wait_exit
	logged "web: 'before-stop' ('sh $DIR/deregister') failed: killed, it took too long; it is stopped anyway"

	script deregister 'exit 2'
	start_cluster -c "$DIR/it.ini"
	nclust stop "$INSTANCE"
	wait_exit
	logged "failed: exit 2; it is stopped anyway"
}

@test "a second signal, and stop --now, do not wait for before-stop" {
	script deregister 'sleep 1000'
	write_ini "before-stop = sh $DIR/deregister" 'stop-timeout = 1h'
	start_cluster -c "$DIR/it.ini"
	kill -TERM "$NCLUST_PID"
	wait_until 10 '[ "$(ran deregister)" -eq 1 ]'
	kill -TERM "$NCLUST_PID"
	wait_exit
	is_gone "$(last_run deregister)"

	start_cluster -c "$DIR/it.ini"
	nclust stop --now "$INSTANCE"
	wait_exit
	[ "$(ran deregister)" -eq 1 ]
}

@test "before-stop of one cluster, and of one that a reload removes" {
	script deregister
	write_ini "before-stop = sh $DIR/deregister" '[cluster:other]' \
		"command = $FIXTURES/hear" 'workers = 1'
	start_cluster -c "$DIR/it.ini"
	nclust stop "$INSTANCE/web"
	[ "$(ran deregister)" -eq 1 ]
	nclust restart "$INSTANCE/web"
	sed -i '/cluster:web/,/cluster:other/{/cluster:other/!d}' "$DIR/it.ini"
	nclust reload "$INSTANCE"
	[ "$(ran deregister)" -eq 2 ]
	[ "$(status_json | jq '.clusters | length')" -eq 1 ]
}

@test "while before-stop runs an upgrade waits, and a restart is refused" {
	mkfifo "$DIR/gate"
	script deregister "read -r line <$DIR/gate"
	write_ini "before-stop = sh $DIR/deregister" '[cluster:other]' \
		"command = $FIXTURES/hear" 'workers = 1'
	start_cluster -c "$DIR/it.ini"
	nclust stop "$INSTANCE/web" --no-wait
	wait_until 10 '[ "$(ran deregister)" -eq 1 ]'
	run -75 nclust restart "$INSTANCE/web"
	[[ $output == *"'web' is stopping"* ]]
	nclust upgrade "$INSTANCE" --no-wait
	is_alive "$(last_run deregister)"
	release "$DIR/gate"
	wait_until 10 '[ "$(cluster .state) $(status_json | jq .upgrades)" = "stopped 1" ]'
}
