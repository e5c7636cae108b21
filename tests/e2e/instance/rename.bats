# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2154
#
# A cluster that gets another name in the file is the same one after a reload:
# nobody is started in vain, and nothing is lost.

bats_require_minimum_version 1.5.0
load ../../lib
load ../../upgrade

setup() {
	upgrade_setup
	free_port
}

# write NAME LINE...: a cluster of two more in the file; `begin` empties it.
write() {
	printf '%s\n' "[cluster:$1]" 'workers = 2' 'ready = notify' \
		'start-timeout = 10s' "${@:2}" >>"$DIR/it.ini"
}

begin() {
	: >"$DIR/it.ini"
}

rename() {
	sed -i "s/^\[cluster:$1\]/[cluster:$2]/" "$DIR/it.ini"
}

start_file() {
	start_cluster -c "$DIR/it.ini" "$@"
}

names() {
	status_json | jq -r '[.clusters[].name] | join(" ")'
}

pids() {
	CLUSTER=${1:-} cluster '[.workers[].pid] | join(" ")'
}

addresses() {
	CLUSTER=${1:-} cluster '[.listeners[].address] | join(" ")'
}

# has_name NAME: each worker was told so.
has_name() {
	local pid

	for pid in $(pids "$1"); do
		tr '\0' '\n' <"/proc/$pid/environ" |
			grep -qx "NCLUST_CLUSTER=$1" || return 1
	done
}

# is_now NAME OLD: it goes by it alone, with workers that know it.
is_now() {
	[ "$(names)" = "$1" ]
	[ "$(cluster '"\(.ready) \(.workers | length)"')" = "2 2" ]
	has_name "$1"
	run ! nclust status "$INSTANCE/$2"
	[[ $output == *"no cluster '$2'"* ]]
}

# under_load ADDRESS COMMAND...: nothing is lost, and nobody started in vain.
under_load() {
	local before

	before=$(grep -c ': worker' "$LOG") || true
	start_open "$1" --rate 60
	"${@:2}"
	end_open
	[ "$LOST $(jq .refused <<<"$REPORT")" = "0 0" ]
	run ! logged ': worker' $((before + 1))
}

to_site() {
	rename web site
	run -0 nclust reload "$INSTANCE"
	[[ $output == *"site: name (was web): rolling restart"* ]]
}

@test "a port that is named in the file" {
	write web "listen = 127.0.0.1:$PORT" "command = $FIXTURES/serve --notify"
	start_file
	nclust scale "$INSTANCE" 3
	nclust scale "$INSTANCE" 2
	under_load "$PORT" to_site
	is_now site web
	[ "$(addresses)" = "tcp:127.0.0.1:$PORT" ]
	[ "$(cluster .generation)" -eq 2 ]
	logged "site: renamed from 'web'"
	nclust events "$INSTANCE/site" --json |
		jq -es 'any(.event == "renamed") and
			any(.event == "rollout-done")'
	# what it is now is the file's
	run -0 nclust reload "$INSTANCE"
	[[ $output == *"site: no change"* ]]
}

@test "a port that its workers bind by themselves" {
	write web "command = $FIXTURES/rude $PORT --graceful"
	start_file
	at=$(addresses)
	[ -n "$at" ]
	under_load "$PORT" to_site
	is_now site web
	[ "$(addresses)" = "$at" ]
	[ "$(cluster .generation)" -eq 2 ]
}

@test "a unix path that is named in the file" {
	write web "listen = unix:$DIR/socket" "command = $FIXTURES/serve --notify"
	start_file
	inode=$(stat -c %i "$DIR/socket")
	under_load "$DIR/socket" to_site
	is_now site web
	[ "$(stat -c %i "$DIR/socket")" = "$inode" ]
}

@test "a unix path that its workers bind by themselves" {
	need node
	write web "command = node $ROOT/tests/e2e/servers/slow.js $DIR/socket"
	sed -i 's/^ready.*/ready = listen/' "$DIR/it.ini"
	start_file
	at=$(addresses)
	[ -n "$at" ]
	under_load "$DIR/socket" to_site
	is_now site web
	[ "$(addresses)" = "$at" ]
}

to_another_command() {
	begin
	write site "listen = 127.0.0.1:$PORT" \
		"command = $FIXTURES/rude --graceful" 'env = A=1'
	run -0 nclust reload "$INSTANCE"
	[[ $output == *"site: "*command*"name (was web): rolling restart"* ]]
}

@test "with another command, it is known by its port" {
	write web "listen = 127.0.0.1:$PORT" "command = $FIXTURES/serve --notify"
	start_file
	under_load "$PORT" to_another_command
	is_now site web
	[ "$(cluster '.command[0]')" = "$FIXTURES/rude" ]
}

@test "a new command that fails: the old workers keep serving, under the new name" {
	write web "listen = 127.0.0.1:$PORT" 'log = prefix' \
		'on-exit = sh -c "exit 4"' \
		"command = sh -c 'echo here I am; exec $FIXTURES/serve --notify'"
	start_file
	before=$(pids)
	cp "$DIR/it.ini" "$DIR/good.ini"
	sed -i "s,^command.*,command = $FIXTURES/die --exit 4," "$DIR/it.ini"
	rename web site
	run -1 nclust reload "$INSTANCE"
	[[ $output == *"exit 4"* ]]
	[ "$(names)" = site ]
	[ "$(pids)" = "$before" ]
	[[ $(http_get "$PORT") == pid=* ]]

	# its last words and its hooks are known by the new name, once
	wait_logged "site: the hook on-exit"
	kill -KILL "$(worker_pid 0)"
	wait_logged "site.0: worker ${before% *} killed by SIGKILL"
	wait_ready
	nclust events "$INSTANCE/site" --json |
		jq -es "any(.event == \"exited\" and .pid == ${before% *} and
			(.last_output | contains(\"here I am\")))"
	[ "$(grep -c 'the hook on-exit' "$LOG")" -eq 1 ]

	# the file is still ahead: in force is the last good one, with its name
	nclust restart "$INSTANCE/site"
	run -1 nclust reload "$INSTANCE"
	[[ $output == *"exit 4"* ]]
	before=$(pids)
	cp "$DIR/it.ini" "$DIR/bad.ini"
	cp "$DIR/good.ini" "$DIR/it.ini"
	run -0 nclust reload "$INSTANCE"
	[[ $output == *"web: no change"* ]]
	logged "web: renamed from 'site'"
	is_now web site
	[ "$(pids)" = "$before" ]

	# again, and it is mended under the new name
	cp "$DIR/bad.ini" "$DIR/it.ini"
	run -1 nclust reload "$INSTANCE"
	cp "$DIR/good.ini" "$DIR/it.ini"
	rename web site
	run -0 nclust reload "$INSTANCE"
	[[ $output == *"site: name (was web): rolling restart"* ]]
	is_now site web
}

to_two() {
	begin
	write one "listen = 127.0.0.1:$first" \
		"command = $FIXTURES/serve --notify"
	write two "listen = 127.0.0.1:$PORT" \
		"command = $FIXTURES/serve --notify"
	run -0 nclust reload "$INSTANCE"
	[[ $output == *"one: new; two: new; web: removed"* ]]
}

# Two clusters, each with a port: $first and $PORT.
start_one_and_two() {
	first=$PORT
	free_port
	write one "listen = 127.0.0.1:$first" "command = $FIXTURES/serve --notify"
	write two "listen = 127.0.0.1:$PORT" "command = $FIXTURES/serve --notify"
	start_file
}

@test "one that could be either is neither: both are new, and it goes" {
	first=$PORT
	free_port
	write web "listen = 127.0.0.1:$first" "listen = 127.0.0.1:$PORT" \
		"command = $FIXTURES/serve --notify"
	start_file
	under_load "$first" to_two
	wait_until 10 '[ "$(names)" = "one two" ]'
	[[ $(http_get "$first") == pid=* ]]
	[[ $(http_get "$PORT") == pid=* ]]
}

@test "several at once are each known by their own" {
	start_one_and_two
	rename one blue
	rename two green
	run -0 nclust reload "$INSTANCE"
	[[ $output == *"blue: name (was one)"*"green: name (was two)"* ]]
	[ "$(addresses blue) $(addresses green)" = \
		"tcp:127.0.0.1:$first tcp:127.0.0.1:$PORT" ]
	has_name blue
	has_name green
}

# No name is gone, so none is renamed: each gets the other's settings.
@test "two that swap their names swap their ports, where the file names them" {
	start_one_and_two
	nclust restart "$INSTANCE"
	nclust restart "$INSTANCE"
	rename one three
	rename two one
	rename three two
	start_open "$first" "$PORT" --rate 60
	run -0 nclust reload "$INSTANCE"
	end_open
	[ "$LOST $(jq .refused <<<"$REPORT")" = "0 0" ]
	[[ $output == *"two: listen: rolling"*"one: listen: rolling"* ]]
	[ "$(addresses one) $(addresses two)" = \
		"tcp:127.0.0.1:$PORT tcp:127.0.0.1:$first" ]
}

@test "two that swap the ports they bind: each is told whose it is, and stays" {
	first=$PORT
	free_port
	write one "command = $FIXTURES/rude $first --graceful"
	write two "command = $FIXTURES/rude $PORT --graceful"
	start_file
	before="$(pids one) $(pids two)"
	rename one three
	rename two one
	rename three two
	run -1 nclust reload "$INSTANCE"
	[[ $output == *"in use by cluster 'one' of this nclust"* ||
		$output == *"in use by cluster 'two' of this nclust"* ]]
	wait_until 10 '[ "$(pids one) $(pids two)" = "$1" ]' "$before"
	[[ $(http_get "$first") == pid=* ]]
	[[ $(http_get "$PORT") == pid=* ]]
}

# The name in the middle stays, with other settings: the first one leaves, the
# last one is new.
@test "a chain of names loses nothing either, where the file names the ports" {
	start_one_and_two
	nclust restart "$INSTANCE"
	nclust restart "$INSTANCE"
	rename two three
	rename one two
	start_open "$first" "$PORT" --rate 60
	run -0 nclust reload "$INSTANCE"
	end_open
	[ "$LOST $(jq .refused <<<"$REPORT")" = "0 0" ]
	[[ $output == *"two: listen: rolling"* ]]
	wait_until 10 '[ "$(names | tr " " "\n" | sort | tr "\n" " ")" = \
		"three two " ]'
	[ "$(addresses two) $(addresses three)" = \
		"tcp:127.0.0.1:$first tcp:127.0.0.1:$PORT" ]
}

@test "a name that another is leaving under is refused, and nothing changes" {
	write web "listen = 127.0.0.1:$PORT" "command = $FIXTURES/serve --notify"
	write old 'stop-signal = USR1' 'stop-timeout = 1h' \
		"command = $FIXTURES/hear --notify"
	start_file
	nclust reload "$INSTANCE"
	sed -i '/^\[cluster:old\]/,$d' "$DIR/it.ini"
	nclust reload --no-wait "$INSTANCE"
	rename web old
	run -1 nclust reload "$INSTANCE"
	[[ $output == *"cluster 'old' is still stopping"* ]]
	[ "$(pids web | wc -w)" -eq 2 ]
	has_name web
	client stop --now "$INSTANCE"
}

@test "who follows the events of a cluster follows it under its new name" {
	write web "listen = 127.0.0.1:$PORT" "command = $FIXTURES/serve --notify"
	start_file
	nclust events -f "$INSTANCE/web" >"$DIR/followed" 3>&- &
	STARTED+=($!)
	nclust scale "$INSTANCE" 3
	wait_until 10 'file_has "$DIR/followed" "scaled to 3"'
	to_site
	wait_until 10 'file_has "$DIR/followed" "rollout 1 done"'
	file_has "$DIR/followed" "renamed from 'web'"
	file_has "$DIR/followed" 'site.0: worker'
}

there_and_back() {
	to_site
	client upgrade "$INSTANCE"
	is_now site web
	rename site web
	run -0 nclust reload "$INSTANCE"
	[[ $output == *"web: name (was site): rolling restart"* ]]
	is_now web site
	client upgrade "$INSTANCE"
	to_site
}

@test "another name, an upgrade, another name" {
	for command in "command = $FIXTURES/serve --notify" \
		"command = $FIXTURES/rude $PORT --graceful"; do
		begin
		write web "$command"
		[[ $command != *serve* ]] ||
			echo "listen = 127.0.0.1:$PORT" >>"$DIR/it.ini"
		start_file
		under_load "$PORT" there_and_back
		is_now site web
		client stop "$INSTANCE"
		wait_exit
	done
}

@test "another name, and nclust is killed: the next one takes it over by it" {
	write web 'orphans = keep' "command = $FIXTURES/rude $PORT --graceful"
	start_file
	start_open "$PORT" --rate 60
	to_site
	before=$(pids)
	kill_nclust
	start_file
	[ "$(pids)" = "$before" ]
	logged "took over 2 workers"
	is_now site web
	rename site web
	run -0 nclust reload "$INSTANCE"
	is_now web site
	end_open
	[ "$LOST $(jq .refused <<<"$REPORT")" = "0 0" ]
}

# The same settings, but those who live know the old name.
@test "its rollout has failed, and nclust is killed: the next one replaces them" {
	write web 'orphans = keep' "listen = 127.0.0.1:$PORT" \
		"command = sh -c 'test \$NCLUST_CLUSTER != site || \
		test -e $DIR/go || exit 4; exec $FIXTURES/serve --notify'"
	start_file
	rename web site
	start_open "$PORT" --rate 60
	run -1 nclust reload "$INSTANCE"
	[[ $output == *"exit 4"*"the old workers keep serving"* ]]
	[ "$(names)" = site ]
	kill_nclust
	touch "$DIR/go"
	start_file
	wait_until 20 'has_name site && [ "$(cluster .state)" = running ]'
	is_now site web
	end_open
	[ "$LOST $(jq .refused <<<"$REPORT")" = "0 0" ]
}

@test "one that has a process for each connection" {
	printf '%s\n' '#!/bin/sh' \
		'while read -r line && [ "${#line}" -gt 1 ]; do :; done' \
		'printf "HTTP/1.0 200 OK\r\n\r\n%s" "$NCLUST_CLUSTER"' \
		>"$DIR/tell"
	chmod 755 "$DIR/tell"
	printf '%s\n' '[cluster:web]' 'accept = yes' 'workers = 6' \
		"listen = 127.0.0.1:$PORT" "command = $DIR/tell" >"$DIR/it.ini"
	start_file
	[ "$(http_get "$PORT")" = web ]
	rename web site
	run -0 nclust reload "$INSTANCE"
	[[ $output == *"site: name (was web): rolling restart"* ]]
	[ "$(http_get "$PORT")" = site ]
	[ "$(names)" = site ]
}

@test "one that cannot start, or was stopped, starts under its new name" {
	write web "listen = 127.0.0.1:$PORT" "command = $FIXTURES/die --exit 3" \
		'backoff-min = 1m' 'backoff-max = 1m'
	start_nclust -c "$DIR/it.ini"
	wait_logged 'next try in' 2
	sed -i "s,^command.*,command = $FIXTURES/serve --notify," "$DIR/it.ini"
	rename web site
	run -0 nclust reload "$INSTANCE"
	is_now site web
	write other "command = $FIXTURES/hear --notify"
	run -0 nclust reload "$INSTANCE"
	nclust stop "$INSTANCE/site"
	rename site web
	run -0 nclust reload "$INSTANCE"
	has_name web
	[[ $(http_get "$PORT") == pid=* ]]
}

# Its rollout is told under the new name, and who waits for it gets an answer.
@test "while it is restarted: who waits hears of the end, and of one rollout" {
	write web "listen = 127.0.0.1:$PORT" \
		"command = sh -c 'test ! -p $DIR/hold || read go <$DIR/hold; \
		exec $FIXTURES/serve --notify'"
	start_file
	mkfifo "$DIR/hold"
	nclust restart "$INSTANCE/web" >"$DIR/said" 2>&1 3>&- &
	restarting=$!
	STARTED+=("$restarting")
	wait_until 10 '[ "$(cluster .state)" = rolling ]'
	rename web site
	nclust reload --no-wait "$INSTANCE"
	wait_logged 'rollout 1 superseded'
	exec 4<>"$DIR/hold"
	rm "$DIR/hold"
	exec 4>&-
	wait "$restarting"
	grep -F 'site: rollout 2 done' "$DIR/said"
	is_now site web
}
