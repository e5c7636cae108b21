# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2034,SC2119,SC2120,SC2154
#
# Messages to, from and between workers.

bats_require_minimum_version 1.5.0
load ../../lib
load ../../upgrade

setup() {
	upgrade_setup
	GOT=$DIR/got
	mkdir -m 777 "$GOT"
}

# start_talk [OPTION]...: three workers that write down what they get.
start_talk() {
	start_cluster -n 3 --ipc on --ready alive:50ms "$@" \
		-- "$FIXTURES/talk" "$GOT"
}

# send [OPTION]... [SLOT] JSON
send() {
	local options=()

	while [[ $1 == --* ]]; do
		options+=("$1")
		shift
	done
	[ $# -eq 1 ] || options+=("$INSTANCE.$1")
	client send "${options[@]}" "${@: -1}"
}

# wait_got SLOT LINE [TIMES]: so often at least, and whole.
wait_got() {
	poll_until 10 got "$@" && return 0
	echo "slot $1 never got: ${2:0:200}"
	head -c 2000 "$GOT/$1" || true
	return 1
}

got() {
	[ "$(grep -cxsF -- "$2" "$GOT/$1")" -ge "${3:-1}" ]
}

# Lines that it got.
count() {
	wc -l <"$GOT/$1"
}

# counter SLOT NAME
counter() {
	worker "$1" ".messages.$2"
}

# follow FILE [OPTION]...: events -f into it, and it does so already.
follow() {
	local file=$1

	shift
	: >"$file"
	client events -f "$@" >"$file" 3>&- &
	STARTED+=("$!")
	FOLLOWER=$!
	# what all tell is seen by it, too
	poll_until 10 sees "$file"
}

sees() {
	send 0 '["say","here"]'
	file_has "$1" here
}

# Of nclust, in KiB.
memory() {
	awk '/^VmRSS/ { print $2 }' "/proc/$NCLUST_PID/status"
}

# bytes N: a string of so many, quotes counted.
bytes() {
	printf '"%*s"' $(($1 - 2)) '' | tr ' ' x
}

@test "a worker finds its channel behind its sockets, and nobody else's" {
	free_port
	export NODE_CHANNEL_FD=7 NODE_UNIQUE_ID=8 NCLUST_CHANNEL_FD=9 \
		NODE_CHANNEL_SERIALIZATION_MODE=advanced
	start_cluster -n 1 -l "127.0.0.1:$PORT" --ipc on --ready alive:50ms \
		-- sh -c 'env | grep CHANNEL; env | grep NODE_UNI; exec sleep 99'
	wait_logged NCLUST_CHANNEL_FD=4
	[ "$(grep -cE 'NODE_(CHANNEL|UNIQUE)' "$LOG")" -eq 0 ]
	[[ $(readlink "/proc/$(worker_pid 0)/fd/4") == socket:* ]]
	[ ! -e "/proc/$(worker_pid 0)/fd/5" ]
}

@test "without ipc = on there is none, and send says so" {
	export NODE_CHANNEL_FD=7
	start_cluster -n 1 --ready alive:50ms \
		-- sh -c 'echo "${NODE_CHANNEL_FD-} ${NCLUST_CHANNEL_FD-}!"
			exec sleep 99'
	wait_logged ' !'
	run -1 client send 1
	[[ $output == *"none of its workers has a message channel"* ]]
	[ "$(worker 0 .messages)" = null ]
}

@test "a message goes to the next worker, to one slot or to all" {
	start_talk
	for i in 1 2 3 4; do
		run -0 send "{\"n\":$i}"
		[ "$output" = "sent to 1 worker" ]
	done
	wait_got 0 '{"n":1}'
	wait_got 1 '{"n":2}'
	wait_got 2 '{"n":3}'
	wait_got 0 '{"n":4}'
	[ "$(cat "$GOT"/* | wc -l)" -eq 4 ]
	send 1 '[null]'
	wait_got 1 '[null]'
	run -0 send --all -- -1.5e3
	[ "$output" = "sent to 3 workers" ]
	for slot in 0 1 2; do
		wait_got "$slot" -1.5e3
	done
	[ "$(counter 1 sent)" -eq 3 ]
	[ "$(send --json '"x"' | jq -c .reached)" = 1 ]
}

@test "what is no message for anybody is refused, with a sentence" {
	start_talk
	run -64 send '{"a":'
	[[ $output == *"wanted one value of JSON on one line"* ]]
	run -64 send $'[1,\n2]'
	run -64 client send
	run -69 client send nobody 1
	run -69 client send "$INSTANCE.7" 1
	run -64 send 1 "$(bytes 70000)"
	[[ $output == *"64 KiB"* ]]
	# who does not use our client is told the same
	run -0 sh -c 'printf "%s\n" "$1" | timeout 10 socat - "$2"' - \
		'{"jsonrpc":"2.0","id":1,"method":"send","params":{"message":"{"}}' \
		"unix:$NCLUST_RUNTIME_DIR/$INSTANCE/control"
	[[ $output == *"message: wanted one value of JSON on one line"* ]]
	[ "$(cat "$GOT"/* 2>/dev/null | wc -l)" -eq 0 ]
}

@test "a message is passed on as the bytes that it is" {
	cat >"$DIR/echo.py" <<-'END'
		import os, socket
		s = socket.socket(fileno=int(os.environ["NCLUST_CHANNEL_FD"]))
		for line in s.makefile("rb"):
		    s.sendall(line)
	END
	start_cluster -n 1 --ipc on --ready alive:50ms \
		-- python3 "$DIR/echo.py"
	odd='{"lone":"\ud800","nul":"\u0000","a":1,"a":2.50,"ü":[1e400]}'
	: >"$DIR/events"
	client events -f --json >"$DIR/events" 3>&- &
	STARTED+=("$!")
	echoes() {
		send "$odd"
		file_has "$DIR/events" '"message"'
	}
	poll_until 10 echoes
	grep -F ",\"message\":$odd}" "$DIR/events"
	python3 -c 'import json, sys; list(map(json.loads, sys.stdin))' \
		<"$DIR/events"
}

@test "what workers send is an event, for who follows" {
	start_talk
	follow "$DIR/all" --json
	follow "$DIR/one" "$INSTANCE.1" --json &
	wait_for_one() {
		send 1 '["say","one"]'
		file_has "$DIR/one" '"one"'
	}
	poll_until 10 wait_for_one
	send 2 '["say",{"a":[1,"ü"]}]'
	poll_until 10 file_has "$DIR/all" '"message":{"a":[1,"ü"]}}'
	line=$(grep -F '{"a":[1' "$DIR/all")
	[ "$(jq -c '[.event,.cluster,.slot,.worker,.size]' <<<"$line")" = \
		"[\"message\",\"$INSTANCE\",2,$(worker 2 .id),14]" ]
	[ "$(grep -cF '"slot":2' "$DIR/one")" -eq 0 ]
	# for people
	follow "$DIR/people"
	send 2 '["say",[7]]'
	poll_until 10 file_has "$DIR/people" "$INSTANCE.2: message of 3 bytes: [7]"
	# it is not remembered
	[ "$(client events | grep -c message)" -eq 0 ]
}

@test "what is no JSON is shown as a string and relayed to nobody" {
	start_talk --relay others
	follow "$DIR/all" --json
	send 1 '["end","[1][2]"]'
	poll_until 10 file_has "$DIR/all" '"json":false'
	[ "$(grep -F '"json":false' "$DIR/all" | jq -r .message)" = '[1][2]' ]
	send 1 '["say",3]'
	wait_got 2 "{\"from\":{\"cluster\":\"$INSTANCE\",\"slot\":1},\"message\":3}"
	[ "$(grep -cF '[1][2]' "$GOT/2")" -eq 0 ]
	[ "$(counter 1 invalid)" -eq 1 ]
	logged "is not relayed" 1
}

@test "relay = others: all but the sender get it, with its slot" {
	start_talk --relay others
	send 1 '["say",{"x":"\ud800"}]'
	relayed="{\"from\":{\"cluster\":\"$INSTANCE\",\"slot\":1},\"message\":{\"x\":\"\\ud800\"}}"
	wait_got 0 "$relayed"
	wait_got 2 "$relayed"
	send 1 '"behind"'
	wait_got 1 '"behind"'
	[ "$(count 1)" -eq 2 ]
}

# Two clusters: what web's workers send goes to those of jobs.
start_two() {
	mkdir -p "$GOT/web" "$GOT/jobs"
	cat >"$DIR/it.ini" <<-END
		[cluster:web]
		command = $FIXTURES/talk $GOT/web
		workers = 2
		ipc = ${1:-on}
		ready = alive:50ms
		$2
		[cluster:jobs]
		command = $FIXTURES/talk $GOT/jobs
		workers = 2
		ipc = on
		ready = alive:50ms
	END
}

@test "relay = CLUSTER: all of its workers get it, and nobody else" {
	start_two on "relay = jobs"
	start_cluster -c "$DIR/it.ini"
	run -64 client send '1'
	[[ $output == *"name one"* ]]
	client send web.1 '["say","job"]'
	relayed='{"from":{"cluster":"web","slot":1},"message":"job"}'
	wait_got jobs/0 "$relayed"
	wait_got jobs/1 "$relayed"
	client send jobs.0 '["say","answer"]'
	client send --all web '"end"'
	wait_got web/0 '"end"'
	wait_got web/1 '"end"'
	[ "$(count web/0)" -eq 1 ]
	[ "$(count web/1)" -eq 2 ]
}

@test "a reload switches relay at once, and ipc with new workers" {
	start_two off
	start_cluster -c "$DIR/it.ini"
	run -1 client send web 1
	old=$(CLUSTER=web worker_pid 0)
	start_two on
	client reload
	[ "$(CLUSTER=web worker_pid 0)" != "$old" ]
	client send web.0 '["say",1]'
	wait_got web/0 '["say",1]'
	old=$(CLUSTER=web worker_pid 0)
	start_two on "relay = others"
	client reload
	[ "$(CLUSTER=web worker_pid 0)" = "$old" ]
	client send web.0 '["say",2]'
	wait_got web/1 '{"from":{"cluster":"web","slot":0},"message":2}'
	[ "$(cat "$GOT"/jobs/* 2>/dev/null | wc -l)" -eq 0 ]
	start_two off
	client reload
	run -1 client send web 3
	start_two off "relay = nobody"
	run -78 client reload
	[[ $output == *"wanted 'off', 'others', a cluster of this file or"* ]]
}

@test "who does not read loses its own messages, and nobody else any" {
	start_talk --relay others
	send 1 '["deaf"]'
	wait_got 1 '["deaf"]'
	# each is less than has room for who gets no CPU for a while
	for ((round = 1; round <= 10; round++)); do
		send 0 '["flood",10000]'
		poll_until 30 holds '[ "$(count 2)" -ge $1 ]' $((round * 10000))
	done
	[ "$(count 2)" -eq 100000 ]
	wait_logged "$INSTANCE.1: does not read its messages" 1
	dropped=$(counter 1 dropped)
	[ "$dropped" -gt 0 ]
	[ "$(counter 2 dropped)" -eq 0 ]
	run -1 send 1 "$(bytes 60000)"
	run -0 send '"next"' # somebody else then
	[ "$(counter 1 dropped)" -eq $((dropped + 1)) ]

	kill -USR1 "$(worker_pid 1)"
	wait_logged "reads its messages again; $((dropped + 1)) were dropped"
	send 1 '"last"'
	wait_got 1 '"last"'
	# whole lines, in order, none twice
	[ "$(count 1)" -eq $((100000 - dropped + 2)) ]
	head -n -1 "$GOT/1" | tail -n +2 | jq -s 'map(.message) |
		length as $n | . == [range($n) | . % 10000]' | grep true
	[ "$(counter 1 queued)" -eq 0 ]
}

@test "an endless line costs its sender that line, and nclust no memory" {
	start_talk --relay others
	before=$(memory)
	send 1 '["endless",40]'
	wait_logged "a message of more than 1 MiB" 1 30
	[ "$(memory)" -lt $((before + 4096)) ]
	send 0 '["say","others go on"]'
	wait_got 2 "{\"from\":{\"cluster\":\"$INSTANCE\",\"slot\":0},\"message\":\"others go on\"}"
	send 1 '["end","it ends"]'
	send 1 '["say","well again"]'
	wait_got 0 "{\"from\":{\"cluster\":\"$INSTANCE\",\"slot\":1},\"message\":\"well again\"}"
	[ "$(counter 1 invalid)" -eq 1 ]
	[ "$(memory)" -lt $((before + 4096)) ]
}

@test "a message of 1 MiB goes through, one byte more does not" {
	start_talk --relay others
	send 1 '["big",1048577]'
	send 1 '["big",1048576]'
	poll_until 10 file_has "$GOT/0" message
	poll_until 10 file_has "$GOT/2" message
	[ "$(count 0)" -eq 1 ]
	[ "$(jq -r '.message | length' "$GOT/0")" -eq 1048574 ]
	[ "$(counter 0 dropped)" -eq 0 ]
}

@test "what a worker said last is heard, and its successor begins anew" {
	start_talk --relay others
	send 1 '["deaf"]'
	wait_got 1 '["deaf"]'
	for i in 1 2 3 4 5 6 7 8 9; do
		send 1 "$(bytes 50000)"
	done
	[ "$(counter 1 queued)" -gt 0 ]
	old=$(worker_pid 1)
	kill -KILL "$old"
	wait_until 10 '[ "$(worker 1 .restarts)" -eq 1 ]'
	wait_ready
	[ "$(count 1)" -eq 1 ]
	[ "$(counter 1 queued)" -eq 0 ]
	send 1 '"new"'
	wait_got 1 '"new"'

	# all at once in its socket: to speak, and to die
	kill -STOP "$(worker_pid 2)"
	send 2 '["flood",1000]'
	send 2 '["die"]'
	kill -CONT "$(worker_pid 2)"
	wait_got 0 "{\"from\":{\"cluster\":\"$INSTANCE\",\"slot\":2},\"message\":999}"
	[ "$(grep -c '"slot":2' "$GOT/0")" -eq 1000 ]
}

@test "a worker that closes its channel is none to send to" {
	start_talk
	send 1 '["close"]'
	wait_until 10 '[ "$(worker 1 .messages.open)" = false ]'
	run -1 send 1 '"lost"'
	for i in 1 2 3 4; do
		send "$i"
	done
	[ "$(count 1)" -eq 1 ]
	[ "$(worker_state 1)" = ready ]
}

@test "over a restart messages go to whoever has the slot" {
	start_talk --relay others
	send 1 '["say",1]'
	client restart
	send 1 '["say",2]'
	wait_got 0 "{\"from\":{\"cluster\":\"$INSTANCE\",\"slot\":1},\"message\":2}"
	[ "$(worker 1 .generation)" -eq 2 ]
}

@test "an upgrade cuts no message, neither half read nor half sent" {
	start_talk --relay others
	WORKERS=$(workers)
	send 2 '["half","[1,"]'
	wait_got 2 '["half","[1,"]'
	send 1 '["deaf"]'
	wait_got 1 '["deaf"]'
	for i in 1 2 3 4 5 6 7 8 9; do
		send 1 "$(bytes $((50000 + i)))"
	done
	queued=$(counter 1 queued)
	[ "$queued" -gt 0 ]
	[ "$(counter 2 received)" -eq 0 ]

	upgrade
	still_the_same 1
	[ "$(counter 1 queued)" -eq "$queued" ]
	[ "$(counter 1 sent)" -eq 10 ]
	kill -USR1 "$(worker_pid 1)"
	for i in 1 2 3 4 5 6 7 8 9; do
		wait_got 1 "$(bytes $((50000 + i)))"
	done
	[ "$(count 1)" -eq 10 ]
	send 2 '["end","2]"]'
	wait_got 0 "{\"from\":{\"cluster\":\"$INSTANCE\",\"slot\":2},\"message\":[1,2]}"
	[ "$(counter 2 received)" -eq 1 ]
	[ "$(counter 2 invalid)" -eq 0 ]
	all_cloexec
}

@test "with orphans = keep channels outlive nclust" {
	start_talk --orphans keep --relay others
	send 1 '["say","before"]'
	wait_got 2 "{\"from\":{\"cluster\":\"$INSTANCE\",\"slot\":1},\"message\":\"before\"}"
	# half a message is read, and lost with who read it
	send 0 '["half","1"]'
	wait_got 0 '["half","1"]'
	pids=$(cluster '[.workers[].pid] | join(" ")')
	kill_nclust
	start_talk --orphans keep --relay others
	[ "$(cluster '[.workers[].pid] | join(" ")')" = "$pids" ]
	send 0 '["end","2"]'
	send 0 '["say","whole"]'
	wait_got 1 "{\"from\":{\"cluster\":\"$INSTANCE\",\"slot\":0},\"message\":\"whole\"}"
	[ "$(grep -c '"slot":0' "$GOT/1")" -eq 1 ]
	send 1 '["say","after"]'
	wait_got 2 "{\"from\":{\"cluster\":\"$INSTANCE\",\"slot\":1},\"message\":\"after\"}"
	run -0 send --all 7
	for slot in 0 1 2; do
		wait_got "$slot" 7
	done
	client stop
	wait_exit
}

# all_accounted FILE N: so many messages were shown, or counted as missed.
all_accounted() {
	local shown missed

	shown=$(grep -c '"event":"message"' "$1")
	missed=$(grep -F messages-missed "$1" | jq -s 'map(.count) | add')
	[ $((shown + missed)) -ge "$2" ]
}

@test "a flood of messages hides no other event from who follows" {
	start_talk --relay others
	follow "$DIR/slow" --json
	# it does not read while they come
	kill -STOP "$FOLLOWER"
	send 1 '["flood",20000]'
	last="{\"from\":{\"cluster\":\"$INSTANCE\",\"slot\":1},\"message\":19999}"
	poll_until 30 got 2 "$last"
	client scale "$INSTANCE" 4
	kill -CONT "$FOLLOWER"
	poll_until 10 file_has "$DIR/slow" '"event":"scaled"'
	poll_until 10 file_has "$DIR/slow" '"event":"messages-missed"'
	is_alive "$FOLLOWER"
	poll_until 10 all_accounted "$DIR/slow" 20000
}

@test "workers of Node send and hear by process.send and process.on" {
	need node
	cat >"$DIR/app.js" <<-'END'
		const fs = require("fs");
		process.on("message", (m) => {
		  fs.appendFileSync(`${process.argv[2]}/${process.env.NCLUST_SLOT}`,
		    JSON.stringify(m) + "\n");
		  if (m.say) process.send(m.say);
		});
		process.send("ready");
		setInterval(() => {}, 1000);
	END
	start_cluster -n 3 --relay others --ready notify -- \
		node "$DIR/app.js" "$GOT"
	send 1 '{"say":{"odd":"\ud800\u0000"}}'
	relayed="{\"from\":{\"cluster\":\"$INSTANCE\",\"slot\":1},\"message\":{\"odd\":\"\\ud800\\u0000\"}}"
	wait_got 0 "$relayed"
	wait_got 2 "$relayed"
	upgrade
	send --all '["all"]'
	for slot in 0 1 2; do
		wait_got "$slot" '["all"]'
	done
}

# cached NAME: what the workers answer, without who answers.
cached() {
	local i

	for ((i = 0; i < 20; i++)); do
		http_get "$PORT" "$1"
	done | cut -d' ' -f2- | sort -u
}

@test "the example: workers that forget together" {
	free_port
	cp "$ROOT"/etc/examples/cache.* "$DIR"
	sed -i "s/8000/$PORT/; s/= 4/= 2/" "$DIR/cache.ini"
	start_cluster -c "$DIR/cache.ini" --directory "$DIR"
	old=$(cached /a)
	[ "$(cached /a)" = "$old" ]
	curl -sS -X DELETE "http://127.0.0.1:$PORT/a" | grep forgotten
	# none of the workers has it any more
	nobody_has() {
		[ "$(cached /a | grep -cxF -- "$1")" -eq 0 ]
	}
	while read -r line; do
		poll_until 10 nobody_has "$line"
	done <<<"$old"
	old=$(cached /a)
	client send --all '{"forget":"/a"}'
	while read -r line; do
		poll_until 10 nobody_has "$line"
	done <<<"$old"
}
