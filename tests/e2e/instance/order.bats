# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
#
# `after`: what starts when, and what stops before what.

bats_require_minimum_version 1.5.0
load ../../lib

teardown() {
	nclust stop "$INSTANCE" --now >/dev/null 2>&1 || true
	end_keepers
	nclust_teardown
}

# A cluster whose workers become ready when there is a file NAME.go; each says when
# it starts and ends in the file `order`.
setup() {
	nclust_setup
	cat >"$DIR/worker.sh" <<-'EOF'
		trap 'echo "$NCLUST_CLUSTER stops" >>"$1/order"; exit 0' TERM
		echo "$NCLUST_CLUSTER starts" >>"$1/order"
		while [ ! -e "$1/$NCLUST_CLUSTER.go" ]; do sleep 0.02; done
		[ ! -s "$1/$NCLUST_CLUSTER.go" ] || exit "$(cat "$1/$NCLUST_CLUSTER.go")"
		systemd-notify --ready 2>/dev/null || python3 -c '
		import os, socket
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		s.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])'
		while :; do sleep 0.02; done
	EOF
	: >"$DIR/order"
}

# cluster_of NAME [LINE]...
cluster_of() {
	printf '%s\n' "[cluster:$1]" "command = sh $DIR/worker.sh $DIR" \
		'workers = 1' 'ready = notify' 'drain = off' 'intercept = off' \
		"${@:2}"
}

# go NAME [STATUS]: let it become ready, or end.
go() {
	echo -n "${2:-}" >"$DIR/$1.new"
	mv "$DIR/$1.new" "$DIR/$1.go"
}

starts() {
	grep -cx "$1 starts" "$DIR/order" || true
}

state_of() {
	CLUSTER=$1 cluster .state
}

waits_for() {
	CLUSTER=$1 cluster '.waits_for // ""'
}

# line_of TEXT: where it stands in the file `order`.
line_of() {
	grep -nx "$1" "$DIR/order" | head -n 1 | cut -d: -f1
}

@test "a cluster starts when those that it is after are ready, and says what it waits for" {
	{
		cluster_of web 'after = db, cache'
		cluster_of db
		cluster_of cache
	} >"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	wait_until 10 '[ "$(starts db)$(starts cache)" = 11 ]'
	[ "$(waits_for web)" = "db (starting), cache (starting)" ]
	run nclust status "$INSTANCE"
	[[ $output == *"waits for db (starting), cache (starting)"* ]]
	go db
	wait_until 10 '[ "$(waits_for web)" = "cache (starting)" ]'
	[ "$(starts web)" -eq 0 ]
	go cache
	wait_until 10 '[ "$(starts web)" -eq 1 ]'
	[ "$(waits_for web)" = "" ]
	go web
	wait_ready
	logged 'web: waits for db (starting), cache (starting)'

	# a dependency that exits later stops nobody
	pid=$(CLUSTER=web worker_pid 0)
	kill -KILL "$(CLUSTER=db worker_pid 0)"
	wait_until 10 '[ "$(starts db)" -eq 2 ]'
	[ "$(CLUSTER=web worker_pid 0)" = "$pid" ]
}

@test "it stops before those that it is after" {
	{
		cluster_of db
		cluster_of cache 'after = db'
		cluster_of web 'after = cache, db'
	} >"$DIR/it.ini"
	go db
	go cache
	go web
	start_cluster -c "$DIR/it.ini"
	kill -TERM "$NCLUST_PID"
	wait_exit
	[ "$status" -eq 0 ]
	[ "$(grep stops "$DIR/order" | tr '\n' ' ')" = \
		"web stops cache stops db stops " ]
}

@test "a second signal does not wait for the order" {
	{
		cluster_of db
		cluster_of web 'after = db' 'stop-signal = USR2' 'stop-timeout = 1h'
	} >"$DIR/it.ini"
	sed -i 's/^trap/trap "" USR2; trap/' "$DIR/worker.sh"
	go db
	go web
	start_cluster -c "$DIR/it.ini"
	kill -TERM "$NCLUST_PID"
	wait_until 10 '[ "$(state_of web)" = stopping ]'
	[ "$(state_of db)" = running ]
	[ "$(waits_for db)" = "those that depend on it, to stop" ]
	kill -TERM "$NCLUST_PID"
	wait_exit
}

@test "': done' waits for the end with success" {
	{
		cluster_of web 'after = job: done'
		cluster_of job 'restart = never' | sed 's|ready = notify|ready = alive:1h|'
	} >"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	wait_until 10 '[ "$(starts job)" -eq 1 ]'
	[ "$(waits_for web)" = "job (starting)" ]
	go job 0
	wait_until 10 '[ "$(starts web)" -eq 1 ]'
}

@test "a job that fails is not done: nclust ends with its status" {
	{
		cluster_of web 'after = job: done'
		cluster_of job 'restart = never' | sed 's|ready = notify|ready = alive:1h|'
	} >"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	go job 7
	wait_exit
	[ "$status" -eq 7 ]
	[ "$(starts web)" -eq 0 ]
	logged 'web cannot start: it waits for job (ended with status 7)'
}

@test "while others run, one that waits for what has failed goes on waiting" {
	{
		cluster_of web 'after = job: done'
		cluster_of job 'restart = never' | sed 's|ready = notify|ready = alive:1h|'
		cluster_of other
	} >"$DIR/it.ini"
	go other
	start_nclust -c "$DIR/it.ini"
	go job 7
	wait_until 10 '[ "$(waits_for web)" = "job (ended with status 7)" ]'

	# and starts when it has recovered
	rm "$DIR/job.go"
	nclust restart "$INSTANCE/job" --no-wait
	go job 0
	wait_until 10 '[ "$(starts web)" -eq 1 ]'
}

@test "an essential one that waits for what has failed ends nclust; not for what was stopped" {
	{
		cluster_of web 'after = mid' 'essential = yes'
		cluster_of mid 'after = job: done'
		cluster_of job 'restart = never' | sed 's|ready = notify|ready = alive:1h|'
		cluster_of other
	} >"$DIR/it.ini"
	go other
	start_nclust -c "$DIR/it.ini"
	wait_until 10 '[ "$(starts job)$(state_of other)" = 1running ]'
	nclust stop "$INSTANCE/job"
	wait_until 10 '[ "$(waits_for mid)" = "job (stopped)" ]'
	nclust restart "$INSTANCE/job" --no-wait
	wait_until 10 '[ "$(starts job)" -eq 2 ]'
	go job 7
	wait_exit
	[ "$status" -eq 7 ]
	[ "$(starts web)" -eq 0 ]
	logged 'web cannot start: it waits for mid (waiting)'
	file_has "$DIR/order" "other stops"
}

@test "what dies before it is ready is not ready; what recovers lets the others start" {
	{
		cluster_of web 'after = db'
		cluster_of db 'backoff-max = 100ms'
	} >"$DIR/it.ini"
	go db 3
	start_nclust -c "$DIR/it.ini"
	wait_until 10 '[ "$(starts db)" -ge 3 ]'
	[ "$(starts web)" -eq 0 ]
	go db
	wait_until 10 '[ "$(starts web)" -eq 1 ]'
}

@test "after a give-up it waits until the other is restarted" {
	{
		cluster_of web 'after = db'
		cluster_of db 'give-up = 2/1m' 'backoff-max = 100ms'
		cluster_of other
	} >"$DIR/it.ini"
	go db 3
	go other
	start_nclust -c "$DIR/it.ini"
	wait_until 10 '[ "$(state_of db)" = failed ]'
	[[ "$(waits_for web)" == "db (ended with status 1)" ]]
	go db
	nclust restart "$INSTANCE/db"
	wait_until 10 '[ "$(starts web)" -eq 1 ]'
}

@test "-d waits for all of them, and fails when one of them has" {
	{
		cluster_of web 'after = db'
		cluster_of db
	} >"$DIR/it.ini"
	go db
	go web
	run -0 timeout 20 "$NCLUST" -d --name "$INSTANCE" -c "$DIR/it.ini"
	[ "$(CLUSTER=web cluster .ready)" -eq 1 ]
	nclust stop "$INSTANCE"

	{
		cluster_of web 'after = job: done'
		cluster_of job 'restart = never' | sed 's|ready = notify|ready = alive:1h|'
		cluster_of other
	} >"$DIR/it.ini"
	go job 7
	go other
	run -7 timeout 20 "$NCLUST" -d --name "$INSTANCE" -c "$DIR/it.ini"
	[[ $output == *"web cannot start: it waits for job (ended with status 7)"* ]]
}

@test "a cluster that needs no worker now is ready" {
	free_port
	{
		cluster_of web 'after = db'
		cluster_of db "listen = $PORT" | sed 's/workers = 1/workers = 0..2/'
	} >"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	wait_until 10 '[ "$(starts web)" -eq 1 ]'
	[ "$(starts db)" -eq 0 ]
}

@test "one that waits begins to accept only then" {
	free_port
	{
		printf '%s\n' '[cluster:web]' 'command = cat' 'accept = yes' \
			"listen = $AT" 'after = db'
		cluster_of db
	} >"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	wait_until 10 '[ "$(starts db)" -eq 1 ]'
	exec 4<>"/dev/tcp/127.0.0.1/$PORT"
	echo hello >&4
	[ "$(CLUSTER=web cluster .accept.served)" -eq 0 ]
	go db
	read -r -t 10 -u 4 line
	[ "$line" = hello ]
	exec 4>&-
}

@test "a reload brings one that waits, and changes for what" {
	cluster_of db >"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	{
		cluster_of db
		cluster_of web 'after = db'
	} >"$DIR/it.ini"
	nclust reload "$INSTANCE" --no-wait
	wait_until 10 '[ "$(waits_for web)" = "db (starting)" ]'
	{
		cluster_of db
		cluster_of web
	} >"$DIR/it.ini"
	nclust reload "$INSTANCE" --no-wait
	wait_until 10 '[ "$(starts web)" -eq 1 ]'
	go web
	go db

	# those that it removes stop in their order, too
	{
		cluster_of db
		cluster_of web 'after = db'
		cluster_of other
	} >"$DIR/it.ini"
	go other
	nclust reload "$INSTANCE"
	cluster_of other >"$DIR/it.ini"
	nclust reload "$INSTANCE"
	[ "$(grep stops "$DIR/order" | tr '\n' ' ')" = "web stops db stops " ]
}

@test "over an upgrade it waits on" {
	{
		cluster_of web 'after = db'
		cluster_of db
	} >"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	wait_until 10 '[ "$(starts db)" -eq 1 ]'
	nclust upgrade "$INSTANCE"
	[ "$(waits_for web)" = "db (starting)" ]
	[ "$(starts web)" -eq 0 ]
	go db
	wait_until 10 '[ "$(starts web)" -eq 1 ]'
	go web
	wait_ready
	nclust upgrade "$INSTANCE"
	kill -TERM "$NCLUST_PID"
	wait_exit
	[ "$(grep stops "$DIR/order" | tr '\n' ' ')" = "web stops db stops " ]
}

@test "with orphans = keep workers that were taken over do not wait" {
	{
		cluster_of web 'after = db' 'orphans = keep'
		cluster_of db 'orphans = keep'
	} >"$DIR/it.ini"
	go web
	go db
	start_cluster -c "$DIR/it.ini"
	pid=$(CLUSTER=web worker_pid 0)
	rm "$DIR/db.go"
	kill_nclust
	kill -KILL "$(pgrep -f "sh $DIR/worker.sh" | grep -vx "$pid")"
	start_nclust -c "$DIR/it.ini"
	[ "$(waits_for web)" = "" ]
	[ "$(CLUSTER=web worker_pid 0)" = "$pid" ]
}

@test "stop and restart of a single one do not wait for others" {
	{
		cluster_of web 'after = db'
		cluster_of db
		cluster_of other
	} >"$DIR/it.ini"
	go web
	go db
	go other
	start_cluster -c "$DIR/it.ini"
	timeout 20 "$NCLUST" stop "$INSTANCE/db"
	[ "$(CLUSTER=web cluster .ready)" -eq 1 ]
	timeout 20 "$NCLUST" restart "$INSTANCE/web"
	timeout 20 "$NCLUST" stop "$INSTANCE/web"
	timeout 20 "$NCLUST" restart "$INSTANCE/web"
	[ "$(CLUSTER=web cluster .ready)" -eq 1 ]
	timeout 20 "$NCLUST" restart "$INSTANCE/db"
	timeout 20 "$NCLUST" stop "$INSTANCE/db"
}

@test "one that waits can be stopped, and restarted while it waits" {
	{
		cluster_of web 'after = db'
		cluster_of db
	} >"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	wait_until 10 '[ "$(waits_for web)" = "db (starting)" ]'
	nclust restart "$INSTANCE/web" --no-wait
	[ "$(waits_for web)" = "db (starting)" ]
	nclust stop "$INSTANCE/web"
	[ "$(state_of web)" = stopped ]
	go db
	wait_until 10 '[ "$(state_of db)" = running ]'
	[ "$(starts web)" -eq 0 ]
	go web
	nclust restart "$INSTANCE/web"
	[ "$(starts web)" -eq 1 ]
	kill -TERM "$NCLUST_PID"
	wait_exit
	[ "$(line_of 'web stops')" -lt "$(line_of 'db stops')" ]
}

@test "names that are not there and cycles are errors of the file, all at once" {
	{
		cluster_of a 'after = b, nobody'
		cluster_of b 'after = c'
		cluster_of c 'after = a'
		cluster_of d 'after = d'
		cluster_of e 'after = a: done'
		cluster_of f 'after = a, a'
		cluster_of g 'after = a: soon'
	} >"$DIR/it.ini"
	run -78 "$NCLUST" -c "$DIR/it.ini"
	[[ $output == *"it.ini:7: cluster:a.after: wanted clusters of this file, found 'nobody'"* ]]
	[[ $output == *"it.ini:7: cluster:a.after: these clusters would wait for each other, and none would start: c, b, a"* ]]
	[ "$(grep -c 'for each other' <<<"$output")" -eq 1 ]
	[[ $output == *"it.ini:28: cluster:d.after: 'd' cannot wait for itself"* ]]
	[[ $output == *"it.ini:35: cluster:e.after: 'a' is never done"* ]]
	[[ $output == *"it.ini:42: cluster:f.after: 'a' is given twice"* ]]
	[[ $output == *"it.ini:49: cluster:g.after: wanted names of clusters"* ]]
	[ ! -s "$DIR/order" ]
}
