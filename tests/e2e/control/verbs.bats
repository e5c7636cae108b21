# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# The verbs, as a user and a script see them: what they print, whom they mean,
# and their exit statuses.

bats_require_minimum_version 1.5.0
load ../../lib

start_quick() {
	start_cluster --ready notify --stop-signal KILL "$@" \
		-- "$FIXTURES/deaf" --notify
}

# A file with two clusters, of the instance `it`.
write_two() {
	cat >"$DIR/it.ini" <<-INI
	[cluster:web]
	command = $FIXTURES/deaf --notify
	workers = 2
	ready = notify
	stop-signal = KILL
	[cluster:api]
	command = $FIXTURES/deaf --notify
	workers = 1
	ready = notify
	stop-signal = KILL
	INI
}

# on_terminal COMMAND...: run it on a terminal of its own; $output, $status.
on_terminal() {
	run python3 -c 'import os, pty, sys
status = pty.spawn(sys.argv[1:], lambda fd: os.read(fd, 4096))
sys.exit(os.waitstatus_to_exitcode(status))' "$@" </dev/null
}

# --- status --------------------------------------------------------------------

@test "status shows each worker, as a table and as JSON" {
	free_port
	start_cluster -n 2 -l "127.0.0.1:$PORT, name=http" --ready notify \
		-- "$FIXTURES/serve" --notify
	kill -SEGV "$(worker_pid 1)"
	wait_until 10 '[ "$(worker 1 .restarts)" -eq 1 ]'
	wait_ready

	run -0 nclust status
	[[ $output == *"it"*"pid $NCLUST_PID"* ]]
	[[ $output == *"2 of 2 ready"* ]]
	[[ $output == *"127.0.0.1:$PORT"*"queue 0 of "* ]]
	[[ $output == *"killed by SIGSEGV"* ]]
	[[ $output == *"$(worker_pid 0)"* ]]

	run -0 nclust status it --json
	[ "${#lines[@]}" -eq 1 ]
	jq -e '.name == "it" and .pid == '"$NCLUST_PID"' and
		(.clusters[0] | .wanted == 2 and .ready == 2 and
		.state == "running" and .rollout == null and
		(.listeners[0] | .name == "http" and .queue == 0 and
			.queue_limit > 0 and .dropped == 0) and
		(.workers[1] | .state == "ready" and .restarts == 1 and
			.last_exit.kind == "signal" and
			.last_exit.code == 11 and
			(.last_exit.text | startswith("killed by SIGSEGV"))) and
		.workers[0].last_exit == null)' <<<"$output"
}

@test "status exits 0 if all are ready, 1 if some, 2 if none, 3 if not there" {
	start_quick -n 2
	run -0 nclust status it

	# one that is down and will not be back soon
	nclust stop it
	wait_exit
	run nclust status it
	[ "$status" -eq 3 ]
	run nclust status it --json
	[ "$status" -eq 3 ]
	run nclust status
	[ "$status" -eq 3 ]

	start_nclust -n 2 --ready notify --stop-signal KILL --backoff-min 60s \
		--backoff-max 60s --log inherit -- \
		sh -c 'test "$NCLUST_SLOT" = 0 || exit 1
			exec "$0" --notify' "$FIXTURES/deaf"
	wait_until 10 '[ "$(worker_state 0)" = ready ] &&
		[ "$(worker_state 1)" = backoff ]'
	run nclust status it
	[ "$status" -eq 1 ]
	[[ $output == *"backoff"* ]]
	[[ $output == *"exit 1"* ]]
	run nclust status it.0
	[ "$status" -eq 0 ]
	run nclust status it.1
	[ "$status" -eq 2 ]
	kill -KILL "$(worker_pid 0)"
	nclust scale it 1 --no-wait
	wait_until 10 '[ "$(worker 0 "[.restarts > 0, .state] == [true, \"ready\"]")" = true ]'
	run -0 nclust status it
}

@test "status exits 2 while none is ready" {
	start_nclust -n 2 --ready notify --stop-signal KILL \
		-- "$FIXTURES/slow-ready" never
	run nclust status it
	[ "$status" -eq 2 ]
	[[ $output == *"0 of 2 ready"* ]]
}

@test "status tells the time to the next try" {
	start_nclust -n 1 --ready notify --backoff-min 50s --backoff-max 50s \
		-- "$FIXTURES/die" --exit 3
	wait_until 10 '[ "$(worker_state 0)" = backoff ]'
	run nclust status it
	[[ $output == *"exit 3"* ]]
	run nclust status it --json
	jq -e '.clusters[0].workers[0] | .pid == null and .next_try > 30 and
		.next_try < 61 and .last_exit.kind == "exit" and
		.last_exit.code == 3' <<<"$output"
}

@test "without a target status shows all instances, the others list them" {
	start_quick -n 1
	INSTANCE=other start_quick -n 2

	run -0 nclust status
	[[ $output == *"it  pid"*"other  pid"* ]]
	run -0 nclust status --json
	[ "${#lines[@]}" -eq 2 ]
	[ "$(jq -r .name <<<"$output" | tr '\n' ' ')" = "it other " ]

	for verb in restart reload stop events config "scale 2" "signal USR1"; do
		# shellcheck disable=SC2086
		run nclust $verb
		[ "$status" -eq 64 ]
		[[ $output == *"it"*"other"* ]]
	done
	[ "$(cluster .ready)" -eq 1 ]
	run nclust status nobody
	[ "$status" -eq 3 ]
	[[ $output == *"nobody"* ]]
}

@test "with none running, and with a name that is none, they exit 69" {
	for verb in restart reload stop events config "scale 2" "signal USR1"; do
		# shellcheck disable=SC2086
		run nclust $verb
		[ "$status" -eq 69 ]
		[[ $output == *"no instance is running"* ]]
		[[ $output == *"$NCLUST_RUNTIME_DIR"* ]]
	done
	start_quick -n 1
	run nclust restart othername
	[ "$status" -eq 69 ]
	run nclust scale othername/web 2
	[ "$status" -eq 69 ]
	run nclust restart it/nothing
	[ "$status" -eq 69 ]
	run nclust restart it.7
	[ "$status" -eq 69 ]
	run nclust restart iit
	[ "$status" -eq 69 ]
	[[ $output == *"did you mean 'it'"* ]]
	[ "$(cluster .generation)" -eq 1 ]
}

@test "targets: an instance, a cluster, a cluster alone, a slot" {
	write_two
	start_cluster -c "$DIR/it.ini"
	INSTANCE=other start_quick -n 1

	run -0 nclust status it/web --json
	[ "$(jq -r '[.clusters[].name] | join(",")' <<<"$output")" = web ]
	run -0 nclust status api --json
	[ "$(jq -r '.name + "/" + .clusters[0].name' <<<"$output")" = it/api ]
	run -0 nclust status web.1 --json
	[ "$(jq -c '[.clusters[].workers[].slot]' <<<"$output")" = '[1]' ]
	run -0 nclust status it/web.0 --json
	[ "$(jq -c '[.clusters[].workers[].slot]' <<<"$output")" = '[0]' ]
	run -0 nclust status other
	[[ $output != *web* ]]

	# each of them changes what it means, and nothing else
	before=$(nclust status it --json)
	nclust restart web.1
	after=$(nclust status it --json)
	pids() {
		jq -r ".clusters[] | select(.name == \"$2\")
			| .workers[] | select(.slot == $3) | .pid" <<<"$1"
	}
	[ "$(pids "$before" web 0)" = "$(pids "$after" web 0)" ]
	[ "$(pids "$before" web 1)" != "$(pids "$after" web 1)" ]
	[ "$(pids "$before" api 0)" = "$(pids "$after" api 0)" ]

	nclust scale api +2
	[ "$(CLUSTER=api cluster .ready)" -eq 3 ]
	[ "$(CLUSTER=web cluster .ready)" -eq 2 ]
	# which of two clusters?
	run nclust scale it 3
	[ "$status" -eq 64 ]
	[[ $output == *"2 clusters"* ]]
	nclust stop it/api
	[ "$(CLUSTER=api cluster .state)" = stopped ]
	[ "$(CLUSTER=web cluster .ready)" -eq 2 ]
}

@test "a cluster that two instances have must be said with its instance" {
	for INSTANCE in it other; do
		write_two
		start_cluster -c "$DIR/it.ini"
	done
	run nclust restart web
	[ "$status" -eq 64 ]
	[[ $output == *"it/web"*"other/web"* ]]
	nclust restart other/web
	generation() {
		nclust status "$1" --json | jq '.clusters[0].generation'
	}
	[ "$(generation other/web)" -eq 2 ]
	[ "$(generation it/web)" -eq 1 ]
}

@test "status --watch shows each change, and leaves the terminal as it was" {
	need tmux
	local tmux=(tmux -L "nclust-${DIR##*.}" -f /dev/null)

	start_quick -n 1
	env -u TMUX "${tmux[@]}" new-session -d -x 90 -y 20 \
		"PS1='prompt\$ ' sh" 3>&-
	screen_has() {
		"${tmux[@]}" capture-pane -p | grep -qF -- "$1"
	}
	"${tmux[@]}" send-keys "'$NCLUST' status it --watch" Enter
	poll_until 10 screen_has "1 of 1 ready"
	nclust scale it 3
	poll_until 10 screen_has "3 of 3 ready"
	# it waits for one that has gone: it may come back
	nclust stop it
	poll_until 10 screen_has "no instance 'it' is running"
	start_quick -n 2
	poll_until 10 screen_has "2 of 2 ready"
	"${tmux[@]}" send-keys C-c
	"${tmux[@]}" send-keys "echo left with \$?" Enter
	poll_until 10 screen_has "left with"
	run ! screen_has "left with 1"
	# the cursor is there again, and what is typed is shown
	[ "$("${tmux[@]}" display-message -p '#{cursor_flag}')" = 1 ]
	"${tmux[@]}" kill-server
}

# --- Changes -------------------------------------------------------------------

@test "restart waits for the outcome, and its status is the outcome" {
	start_quick -n 2
	old=$(worker_pid 0)

	run -0 nclust restart it
	[[ $output =~ ^"it: rollout 1 done: "[0-9]+" worker"s?" replaced in "[0-9.]+" s (generation 2)"$ ]]
	[ "$(cluster .ready)" -eq 2 ]
	[ "$(worker_pid 0)" != "$old" ]
	run -0 nclust restart it --json
	jq -e .ok <<<"$output"
}

@test "a restart of all clusters tells what became of each" {
	write_two
	sed -i '0,/command = .*/s//command = '"${DIR//\//\\/}"'\/web --notify/' \
		"$DIR/it.ini"
	cp "$FIXTURES/deaf" "$DIR/web"
	start_cluster -c "$DIR/it.ini"
	run -0 nclust restart it
	[[ $output == "web: rollout 1 done: "*"; api: rollout 1 done: "* ]]

	printf '#!/bin/sh\nexit 7\n' >"$DIR/new"
	chmod 755 "$DIR/new"
	mv "$DIR/new" "$DIR/web"
	run -1 nclust restart it
	[[ $output == *"web: restart failed: "*"exit 7"*"; api: rollout 2 done: "* ]]
}

@test "a restart that fails exits 1, with the reason, and the old ones stay" {
	cp "$FIXTURES/deaf" "$DIR/server"
	start_cluster -n 2 --ready notify --stop-signal KILL \
		-- "$DIR/server" --notify
	old=$(worker_pid 0)
	printf '#!/bin/sh\necho cannot find the database >&2; exit 7\n' \
		>"$DIR/new"
	chmod 755 "$DIR/new"
	mv "$DIR/new" "$DIR/server"

	run nclust restart it
	[ "$status" -eq 1 ]
	[[ $output == *"exit 7"* ]]
	[ "$(worker_pid 0)" = "$old" ]
	[ "$(cluster .ready)" -eq 2 ]
	run nclust restart it --json
	[ "$status" -eq 1 ]
}

@test "reload of a file with mistakes exits 78, told by line, changes nothing" {
	write_two
	start_cluster -c "$DIR/it.ini"
	old=$(CLUSTER=web worker_pid 0)
	echo 'workerz = 3' >>"$DIR/it.ini"
	echo 'nice = high' >>"$DIR/it.ini"

	run nclust reload it
	[ "$status" -eq 78 ]
	[[ ${lines[0]} == *"it.ini:11"*"workerz"*"did you mean 'workers'"* ]]
	[[ ${lines[1]} == *"it.ini:12"*"nice"* ]]
	[ "$(CLUSTER=web worker_pid 0)" = "$old" ]

	sed -i '$d' "$DIR/it.ini"
	sed -i '$d' "$DIR/it.ini"
	sed -i '0,/workers = 2/s//workers = 3/' "$DIR/it.ini"
	run -0 nclust reload it
	[ "$(CLUSTER=web cluster .ready)" -eq 3 ]
	[ "$(CLUSTER=web worker_pid 0)" = "$old" ]
	run -0 nclust reload it
}

@test "scale: a number, more, fewer, none, and what is no number" {
	start_quick -n 1
	run -0 nclust scale it 3
	[[ $output == *"3 workers"* ]]
	[ "$(cluster .ready)" -eq 3 ]
	nclust scale it +1
	nclust scale it -2
	[ "$(cluster .ready)" -eq 2 ]
	nclust scale 1
	[ "$(cluster .ready)" -eq 1 ]
	nclust scale it 0
	[ "$(cluster .wanted)" -eq 0 ]
	[ "$(nclust status it --json | jq -c '[.clusters[0].workers[].pid]')" \
		= '[]' ]
	nclust scale it 1
	for word in many 1.5 "" 10001 -- "1 2" 0x3; do
		# shellcheck disable=SC2086
		run nclust scale it $word
		[ "$status" -eq 64 ]
	done
	# less than none is refused, and nothing is parked
	nclust scale it 4
	run -64 nclust scale it -9
	[[ $output == *"'it' has 4 workers"* ]]
	[ "$(cluster .ready)" -eq 4 ]
	run -0 nclust scale it -3
	[ "$(cluster .wanted)" -eq 1 ]
	run nclust scale it.0 2
	[ "$status" -eq 64 ]
	[ "$(cluster .ready)" -eq 1 ]
}

@test "a scale whose new workers do not come up exits 1" {
	cp "$FIXTURES/deaf" "$DIR/server"
	start_cluster -n 1 --ready notify --stop-signal KILL \
		-- "$DIR/server" --notify
	printf '#!/bin/sh\nexit 7\n' >"$DIR/new"
	chmod 755 "$DIR/new"
	mv "$DIR/new" "$DIR/server"
	run nclust scale it 2
	[ "$status" -eq 1 ]
	[[ $output == *"exit 7"* ]]
}

@test "signal: the next in turn, all, one slot; and what is no signal" {
	free_port
	start_cluster -n 3 -l "127.0.0.1:$PORT" --ready notify --log inherit \
		-- "$FIXTURES/serve" --notify

	run -0 nclust signal it USR1
	[ "$output" = "SIGUSR1 sent to 1 worker" ]
	nclust signal it SIGUSR1
	nclust signal it "$(kill -l USR1)"
	wait_logged "signal=USR1" 3
	[ "$(grep signal=USR1 "$LOG" | sort -u | wc -l)" -eq 3 ]

	run -0 nclust signal it USR2 --all
	[ "$output" = "SIGUSR2 sent to 3 workers" ]
	wait_logged "signal=USR2" 3
	run -0 nclust signal it.1 HUP
	wait_logged "slot=1 signal=HUP"
	run -0 nclust signal it USR1 --json
	[ "$(jq .reached <<<"$output")" -eq 1 ]

	for word in NONE 0 65 -1 ""; do
		run nclust signal it "$word"
		[ "$status" -eq 64 ]
	done
	nclust scale it 0
	run nclust signal it USR1
	[ "$status" -eq 1 ]
	[[ $output == *"no worker"* ]]
}

@test "--no-wait returns at once" {
	start_quick -n 1
	nclust scale it 0
	export INSTANCE=slow
	start_nclust -n 2 --ready notify --stop-signal KILL \
		--start-timeout 600s -- "$FIXTURES/slow-ready" never

	run -0 timeout 5 "$NCLUST" restart slow --no-wait
	run -0 timeout 5 "$NCLUST" scale slow 3 --no-wait
	[ "$(cluster .wanted)" -eq 3 ]
	run -0 timeout 5 "$NCLUST" drain slow --no-wait
	[[ $output == "draining: "*"'nclust undrain'"* ]]
	run -0 timeout 5 "$NCLUST" undrain slow --no-wait
	[[ $output == "no longer draining: "* ]]
	run -0 timeout 5 "$NCLUST" stop slow --no-wait
	poll_until 10 is_gone "$NCLUST_PID"
}

@test "stop waits until it has ended; --now gives no grace" {
	start_quick -n 2
	run -0 nclust stop it
	[ "$output" = "it: stopped" ]
	poll_until 5 is_gone "$NCLUST_PID"
	wait_exit
	[ "$status" -eq 0 ]

	write_two
	start_cluster -c "$DIR/it.ini"
	run -0 nclust stop web
	[ "$output" = "web: stopped" ]
	run -0 nclust stop api
	[ "$output" = "api: stopped; it was the last cluster, so nclust ends" ]
	poll_until 5 is_gone "$NCLUST_PID"
	logged "no cluster runs any more: nclust ends"

	start_cluster -n 1 --ready notify --stop-timeout 600s \
		-- "$FIXTURES/deaf" --notify
	run -0 timeout 10 "$NCLUST" stop it --now
	poll_until 5 is_gone "$NCLUST_PID"
}

@test "a stop during a restart wins, and the restart is told so" {
	start_cluster -n 2 --ready notify --stop-signal KILL -- sh -c '
		[ "$NCLUST_GENERATION" != 1 ] || exec "$0" 1
		exec "$0" never' "$FIXTURES/slow-ready"
	nclust restart it >"$DIR/restart" 2>&1 3>&- &
	local restart=$!
	wait_until 5 '[ "$(cluster .rollout)" != null ]'
	nclust stop it
	status=0
	wait "$restart" || status=$?
	[ "$status" -eq 1 ] || [ "$status" -eq 75 ]
	[ -s "$DIR/restart" ]
}

@test "on a terminal a change shows its progress, elsewhere only the outcome" {
	start_quick -n 2
	on_terminal "$NCLUST" restart it
	[ "$status" -eq 0 ]
	[[ $output == *"it.0: worker "*" ready"* ]]
	[[ $output == *"it: rollout 1 done"* ]]
	[ "$(grep -c "rollout 1 done" <<<"$output")" -eq 1 ]

	run -0 nclust restart it
	[ "${#lines[@]}" -eq 1 ]
}

# --- events --------------------------------------------------------------------

@test "events tells what happened, as lines and as JSON, of all or of some" {
	write_two
	start_cluster -c "$DIR/it.ini"
	nclust restart it/web
	nclust scale it/api 2

	run -0 nclust events it
	[[ $output == *"web: rollout 1 done"* ]]
	[[ $output == *"api"* ]]
	run -0 nclust events it --json
	jq -e '.time > 0 and .event and .text' <<<"$output" >/dev/null
	# as it was sent: milliseconds, no digits that a double makes up
	[[ ! $output =~ \"time\":[0-9]+\.[0-9]{4} ]]
	run -0 nclust events it/web --json
	[ "$(jq -r .cluster <<<"$output" | sort -u)" = web ]
	run -0 nclust events web.1 --json
	[ "$(jq -c '[.cluster, .slot]' <<<"$output" | sort -u)" = '["web",1]' ]
	[ "$(jq -r .event <<<"$output" | grep -cx ready)" -eq 2 ]
	run -0 nclust events web.1 --json -n 2
	[ "${#lines[@]}" -eq 2 ]
	[ "$(jq -c '[.cluster, .slot]' <<<"$output" | sort -u)" = '["web",1]' ]
	run -0 nclust events it -n 0
	[ -z "$output" ]
	run nclust events it -n some
	[ "$status" -eq 64 ]
}

@test "events -f goes on, of one slot only that, and ends with its reader" {
	start_quick -n 2
	nclust events it -f --json >"$DIR/all" 3>&- &
	STARTED+=($!)
	nclust events it.1 -f --json >"$DIR/one" 3>&- &
	STARTED+=($!)
	poll_until 5 file_has "$DIR/one" '"ready"'
	poll_until 5 file_has "$DIR/all" all-ready

	kill -KILL "$(worker_pid 0)"
	wait_until 5 '[ "$(worker 0 .restarts)" -eq 1 ]'
	kill -KILL "$(worker_pid 1)"
	poll_until 5 file_has "$DIR/one" '"exited"'
	poll_until 5 file_has "$DIR/all" '"exited"' 2
	[ "$(jq -r .slot "$DIR/one" | sort -u)" = 1 ]

	# as in `events -f | head`
	run -0 timeout 10 bash -c '"$0" events it -f | head -n 1' "$NCLUST"
	nclust stop it
	poll_until 5 is_gone "${STARTED[1]}"
}

# --- config, help, version, exec -------------------------------------------------

@test "config shows what is in effect and where it came from" {
	write_two
	start_cluster -c "$DIR/it.ini" --nice 3
	run -0 nclust config it
	[[ $output == *"[cluster:web]"* ]]
	[[ $output == *"nice = 3"* ]]
	[[ $output == *"it.ini:3"* ]]
	# what was set, unless all is wanted
	[[ $output != *"; default"* && $output != *"stop-timeout"* ]]
	run -0 nclust config it --all
	[[ $output == *"; default"$'\n'"stop-timeout = 30s"* ]]
	[[ $output == *"nice = 3"* ]]
	run -0 nclust config -c "$DIR/it.ini" -a
	[[ $output == *"; default"$'\n'"stop-timeout = 30s"* ]]
	run -0 nclust config -c "$DIR/it.ini"
	[[ $output != *"stop-timeout"* ]]
	run -0 nclust config it --json
	jq -e . <<<"$output" >/dev/null

	# and a file without a run
	run -0 nclust config -c "$DIR/it.ini" --check
	echo 'nicer = 1' >>"$DIR/it.ini"
	run nclust config -c "$DIR/it.ini" --check
	[ "$status" -eq 78 ]
	[[ $output == *"it.ini:11"* ]]
	run nclust config --check
	[ "$status" -eq 64 ]
}

@test "config of one cluster shows that one alone" {
	write_two
	start_cluster -c "$DIR/it.ini"
	run -0 nclust config web
	[[ $output == "[cluster:web]"*"workers = 2"* ]]
	[[ $output != *"[nclust]"* && $output != *api* ]]
	run -0 nclust config it/api.0 --all
	[[ $output == "[cluster:api]"*"stop-timeout = 30s"* ]]
	[[ $output != *cluster:web* ]]
	run -0 nclust config api --json
	[ "$(jq -c '.settings | keys' <<<"$output")" = '["cluster:api"]' ]
}

@test "reload of one cluster is refused, and says what does it" {
	write_two
	start_cluster -c "$DIR/it.ini"
	run -64 nclust reload web
	[[ $output == *"'nclust reload it'"*"'nclust restart web'"* ]]
	run -0 nclust reload it
}

@test "help and version" {
	run -0 "$NCLUST" --help
	[[ $output == *"nclust [OPTION]... -- COMMAND"* ]]
	[ "${#lines[@]}" -le 24 ]
	[ "$output" = "$(nclust help)" ]
	# without a word the same, as a usage error
	run -64 --separate-stderr "$NCLUST"
	[ -z "$output" ]
	[ "$stderr" = "$(nclust help)" ]
	run -0 nclust help
	for verb in status restart reload scale stop signal events config doctor \
		exec help version; do
		[[ $output == *" $verb "* ]]
	done
	for verb in status restart reload scale stop signal events config doctor \
		exec help version; do
		run -0 nclust help "$verb"
		[[ $output == *"usage: nclust $verb"* ]]
		run -0 nclust "$verb" --help
		[[ $output == *"usage: nclust $verb"* ]]
	done
	run nclust help nothing
	[ "$status" -eq 64 ]
	run -0 nclust version
	[[ $output =~ ^nclust\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
	[ "$output" = "$("$NCLUST" -V)" ]
	run -0 "$NCLUST" --version
	[[ $output =~ ^nclust\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
	run -0 nclust version --json
	jq -e .version <<<"$output"
	# an output that takes nothing is a failure
	run bash -c '"$0" help >/dev/full' "$NCLUST"
	[ "$status" -ne 0 ]
	run bash -c '"$0" version >/dev/full' "$NCLUST"
	[ "$status" -ne 0 ]
}

@test "words that are none are usage errors that say what was meant" {
	run "$NCLUST" node server.js
	[ "$status" -eq 64 ]
	[[ $output == *"nclust -n auto -- node server.js"* ]]
	run -64 "$NCLUST" ls
	[ "$output" = "unknown verb 'ls'; use: nclust status" ]
	run -64 "$NCLUST" start -- node server.js
	[ "$output" = "unknown verb 'start'; use: nclust -n auto -- node server.js" ]
	run -64 "$NCLUST" -i 4 -- node server.js
	[ "$output" = "-i: unknown option; use -n" ]
	run "$NCLUST" statsu
	[ "$status" -eq 64 ]
	[[ $output == *"status"* ]]
	run "$NCLUST" --workerz 2 -- true
	[ "$status" -eq 64 ]
	[[ $output == *"workers"* ]]
	run "$NCLUST"
	[ "$status" -eq 64 ]
	run "$NCLUST" status --jsn
	[ "$status" -eq 64 ]
	[[ $output == *"--json"* ]]
	run "$NCLUST" status one two
	[ "$status" -eq 64 ]
	run "$NCLUST" status a/b/c
	[ "$status" -eq 64 ]
	run "$NCLUST" -n 2 --
	[ "$status" -eq 64 ] || [ "$status" -eq 78 ]
	# a value that only stands after '='
	run -64 "$NCLUST" --listen-pid no -- true
	[[ $output == *"--listen-pid=no"* ]]
	# one nclust runs one file, and a verb reads one
	run -64 "$NCLUST" -c "$DIR/one.ini" -c "$DIR/two.ini"
	[[ $output == *"--config: is given twice"* ]]
	run -64 "$NCLUST" config -c "$DIR/one.ini" -c "$DIR/two.ini"
	[[ $output == *"--config: is given twice"* ]]
}

@test "exec makes LISTEN_PID its own, behind a wrapper that forks" {
	free_port
	start_cluster -n 1 -l "127.0.0.1:$PORT" --ready notify -- sh -c \
		'"$0" exec -- "$1" --from listen --notify; :' \
		"$NCLUST" "$FIXTURES/serve"
	[[ $(http_get "$PORT") == pid=* ]]
	# without it the program refuses what was meant for its parent
	run -0 env LISTEN_PID=1 LISTEN_FDS=1 WATCHDOG_PID=1 "$NCLUST" exec \
		sh -c 'echo "$LISTEN_PID $WATCHDOG_PID $$"'
	[[ $output =~ ^([0-9]+)\ ([0-9]+)\ ([0-9]+)$ ]]
	[ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[3]}" ]
	[ "${BASH_REMATCH[2]}" = "${BASH_REMATCH[3]}" ]
	run -0 env -u LISTEN_PID "$NCLUST" exec \
		sh -c 'echo "${LISTEN_PID-unset}"'
	[ "$output" = unset ]

	run -127 nclust exec -- "$DIR/nothing"
	run -127 nclust exec -- no-such-program-here
	run nclust exec -- "$DIR"
	[ "$status" -eq 126 ]
	printf 'garbage' >"$DIR/garbage"
	chmod 755 "$DIR/garbage"
	run nclust exec -- "$DIR/garbage"
	[ "$status" -eq 126 ]
	run nclust exec
	[ "$status" -eq 64 ]
}

# --- Where the instances are -------------------------------------------------------

@test "the runtime directory: by variable, by option, by user" {
	need_root
	need setpriv
	local copy=$DIR/nclust-copy xdg=$DIR/xdg
	local as=(setpriv --reuid 65534 --regid 65534 --clear-groups env
		-u NCLUST_RUNTIME_DIR)

	cp "$NCLUST" "$copy"
	mkdir -m 700 "$xdg"
	chown 65534:65534 "$xdg"
	# an ordinary user: XDG_RUNTIME_DIR/nclust
	"${as[@]}" "XDG_RUNTIME_DIR=$xdg" "$copy" --name mine -n 1 \
		--ready alive:10ms --stop-signal KILL -- sleep 1000 \
		>>"$LOG" 2>&1 </dev/null 3>&- &
	STARTED+=($!)
	mine_runs() {
		"${as[@]}" "XDG_RUNTIME_DIR=$xdg" "$copy" status mine \
			>/dev/null 2>&1
	}
	poll_until 10 mine_runs
	[ -S "$xdg/nclust/mine/control" ]
	# NCLUST_RUNTIME_DIR goes before it, the option before both
	run "${as[@]}" "XDG_RUNTIME_DIR=$xdg" "NCLUST_RUNTIME_DIR=$DIR/run" \
		"$copy" status
	[ "$status" -eq 3 ]
	run -0 "${as[@]}" "XDG_RUNTIME_DIR=$xdg" "NCLUST_RUNTIME_DIR=$DIR/run" \
		"$copy" status --runtime-directory "$xdg/nclust"

	# neither: anywhere.bats; a relative one is none
	run env NCLUST_RUNTIME_DIR=run "$NCLUST" -n 1 -- touch "$xdg/ran"
	[ "$status" -ne 0 ]
	[ ! -e "$xdg/ran" ]
	[[ $output == *"absolute"* ]]
}

@test "root's is /run/nclust" {
	need_root
	need unshare
	# in a mount namespace of its own
	run -0 unshare -m --propagation private env -u NCLUST_RUNTIME_DIR \
		bash -c 'mount -t tmpfs none /run &&
		"$0" --name mine -n 1 --ready alive:10ms -- sleep 1000 \
			2>/dev/null & nclust=$!
		until "$0" status mine >/dev/null 2>&1; do
			kill -0 $nclust || exit 1
		done
		stat -c "%a %u %F" /run/nclust /run/nclust/mine \
			/run/nclust/mine/control
		"$0" stop mine >/dev/null' "$NCLUST"
	[ "${lines[0]}" = "755 0 directory" ]
	[ "${lines[1]}" = "711 0 directory" ]
	[ "${lines[2]}" = "600 0 socket" ]
}
