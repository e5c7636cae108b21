# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2154
#
# `nclust restart -- COMMAND`: another command without a file.

bats_require_minimum_version 1.5.0
load ../../lib

teardown() {
	end_keepers
	nclust_teardown
}

# write_ini COMMAND [LINE]...
write_ini() {
	printf '%s\n' '[cluster:web]' "command = $1" 'workers = 2' \
		'ready = notify' "${@:2}" >"$DIR/it.ini.new"
	mv "$DIR/it.ini.new" "$DIR/it.ini"
}

# The last word of the command of each worker that runs.
runs() {
	local pid

	for pid in $(CLUSTER=${1:-web} cluster '.workers[].pid'); do
		tr '\0' '\n' <"/proc/$pid/cmdline" | tail -n 1
	done | sort -u | tr '\n' ' '
}

pids() {
	CLUSTER=${1:-web} cluster '[.workers[].pid] | join(" ")'
}

# The origin of the command, and the command.
configured() {
	nclust config "$INSTANCE" --json |
		jq -r '.settings["cluster:web"].command | "\(.origin): \(.value)"'
}

start_two() {
	free_port
	write_ini "$FIXTURES/serve --notify --delay 1" "listen = $AT" "$@"
	start_cluster -c "$DIR/it.ini"
}

serve() { # DELAY: tells one command from another
	nclust restart "$INSTANCE/web" "${@:2}" -- \
		"$FIXTURES/serve" --notify --delay "$1"
}

@test "a new command under load: kept by a restart and shown with its origin" {
	start_two
	start_load "$PORT" --clients 4
	run -0 serve 2
	[ "$(runs)" = "2 " ]
	[ "$(cluster '.command | last')" = 2 ]
	[ "$(configured)" = "restart: $FIXTURES/serve --notify --delay 2" ]
	nclust config "$INSTANCE" | grep -A1 -Fx '; restart' |
		grep -Fx "command = $FIXTURES/serve --notify --delay 2"

	before=$(pids)
	nclust restart "$INSTANCE"
	[ "$(pids)" != "$before" ]
	[ "$(runs)" = "2 " ]

	# back by hand: the file's own again
	run -0 serve 1
	[ "$(configured)" = "$DIR/it.ini:2: $FIXTURES/serve --notify --delay 1" ]
	end_load
	[ "$ANSWERED" -gt 0 ]
	[ "$REFUSED $LOST $LATE" = "0 0 0" ]

	run -0 serve 2
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(worker 0 .restarts)" -ge 1 ]'
	wait_ready
	[ "$(runs)" = "2 " ]
}

@test "a command that fails: exit 1, and the old workers serve on" {
	start_two
	before=$(pids)
	run -1 nclust restart "$INSTANCE/web" -- "$FIXTURES/die" --exit 7
	[[ $output == *"exit 7"* ]]
	[ "$(pids)" = "$before" ]
	[[ $(http_get "$PORT") == *slot=* ]]
	[ "$(configured)" = "$DIR/it.ini:2: $FIXTURES/serve --notify --delay 1" ]
	# nor later, when workers are replaced
	nclust restart "$INSTANCE"
	[ "$(runs)" = "1 " ]

	run -1 nclust restart "$INSTANCE/web" -- "$DIR/nothing-here"
	[[ $output == *nothing-here* ]]
	[ "$(runs)" = "1 " ]
	# an earlier one of this kind is what it goes back to
	run -0 serve 2
	run -1 nclust restart "$INSTANCE/web" -- "$DIR/nothing-here"
	[ "$(runs)" = "2 " ]
	[ "$(configured)" = "restart: $FIXTURES/serve --notify --delay 2" ]
}

@test "a canary of the new command that dies in its trial: all as before" {
	start_two
	before=$(pids)
	run -1 nclust restart "$INSTANCE/web" --canary 1 --bake 30s -- \
		"$FIXTURES/serve" --notify --die-after 100
	[ "$(pids)" = "$before" ]
	[ "$(runs)" = "1 " ]
	run -0 serve 3 --canary 1 --bake 50ms
	[ "$(runs)" = "3 " ]
}

@test "--no-wait returns at once, and the command is kept if it comes up" {
	start_two
	run -0 serve 2 --no-wait
	wait_until 10 '[ "$(cluster .rollout)" = null ] && [ "$(runs)" = "2 " ]'
	[[ $(configured) == restart:* ]]
}

@test "a reload keeps it until the file has another command" {
	start_two
	run -0 serve 2
	before=$(pids)
	run -0 nclust reload "$INSTANCE"
	[[ $output == *"no change"* ]]
	[ "$(pids)" = "$before" ]
	[[ $(configured) == restart:* ]]

	write_ini "$FIXTURES/serve --notify --delay 1" "listen = $AT" \
		"env = COLOUR=green"
	run -0 nclust reload "$INSTANCE"
	[[ $output != *command* ]]
	[ "$(runs)" = "2 " ]
	tr '\0' '\n' <"/proc/$(worker_pid 1)/environ" | grep -qx COLOUR=green
	[[ $(configured) == restart:* ]]

	write_ini "$FIXTURES/serve --notify --delay 3" "listen = $AT" \
		"env = COLOUR=green"
	run -0 nclust reload "$INSTANCE"
	[[ $output == *command* ]]
	[ "$(runs)" = "3 " ]
	[ "$(configured)" = "$DIR/it.ini:2: $FIXTURES/serve --notify --delay 3" ]
}

@test "an upgrade keeps it, and knows what the file had" {
	start_two
	run -0 serve 2
	before=$(pids)
	nclust upgrade "$INSTANCE"
	[ "$(pids)" = "$before" ]
	[ "$(configured)" = "restart: $FIXTURES/serve --notify --delay 2" ]
	run -0 nclust reload "$INSTANCE"
	[[ $output == *"no change"* ]]
	nclust restart "$INSTANCE"
	[ "$(runs)" = "2 " ]
}

@test "orphans = keep: the next nclust goes on with it" {
	start_two 'orphans = keep'
	run -0 serve 2
	before=$(pids)
	kill_nclust
	start_cluster -c "$DIR/it.ini"
	[ "$(pids)" = "$before" ]
	[ "$(configured)" = "restart: $FIXTURES/serve --notify --delay 2" ]
	nclust restart "$INSTANCE"
	[ "$(runs)" = "2 " ]

	# the file has another one by now: that
	kill_nclust
	write_ini "$FIXTURES/serve --notify --delay 3" "listen = $AT" \
		'orphans = keep'
	start_cluster -c "$DIR/it.ini"
	wait_until 10 '[ "$(cluster .rollout)" = null ] && [ "$(runs)" = "3 " ]'
}

@test "a cluster of the command line takes another command, too" {
	start_cluster -n 1 --ready notify -- "$FIXTURES/hear" --notify
	run -0 nclust restart -- "$FIXTURES/hear" --notify --end-on TERM
	[ "$(runs it)" = "TERM " ]
	kill -HUP "$NCLUST_PID"
	wait_until 10 '[ "$(cluster .generation)" -eq 3 ]'
	[ "$(runs it)" = "TERM " ]
}

@test "words with blanks, quotes and braces arrive as they are" {
	start_two
	word=$'a  b "c" \'d\' ;e \\ ä {fd:x} {name}\n'
	run -0 nclust restart "$INSTANCE/web" -- sh -c \
		'exec "$0" --notify --to "$1"' "$FIXTURES/hear" "$DIR/x y;z"
	[ -s "$DIR/x y;z" ]
	run -0 nclust restart "$INSTANCE" # once more, from the settings
	[ "$(grep -c start "$DIR/x y;z")" -eq 4 ]
	run -1 nclust restart "$INSTANCE/web" -- "$FIXTURES/hear" "$word"
	[[ $output == *"'{fd:x}' names no listener"* ]]
	[ "$(grep -c start "$DIR/x y;z")" -eq 4 ]
}

@test "what it cannot be given to is refused, and nothing is changed" {
	printf '%s\n' '[cluster:web]' "command = $FIXTURES/hear" 'workers = 1' \
		'[cluster:job]' "command = $FIXTURES/hear" 'workers = 1' \
		>"$DIR/it.ini"
	start_cluster -c "$DIR/it.ini"
	before="$(pids web) $(pids job)"
	run -64 nclust restart "$INSTANCE" -- true
	[[ $output == *"2 clusters"* ]]
	run -64 nclust restart "$INSTANCE/web.0" -- true
	[[ $output == *slot* ]]
	run -64 nclust restart "$INSTANCE/web" --
	[[ $output == *"no command after '--'"* ]]
	run -64 nclust restart "$INSTANCE/web" -- $'\xff'
	[[ $output == *UTF-8* ]]
	run -64 nclust restart "$INSTANCE/web" -- "$(printf '%070000d' 1)"
	[[ $output == *"64 KiB"* ]]
	run -64 nclust reload "$INSTANCE" -- true
	[ "$before" = "$(pids web) $(pids job)" ]

	# by the protocol
	for command in '[]' '"true"' '[1]' '[""]' '["a",null]' '["a\u0000b"]'; do
		printf '{"jsonrpc":"2.0","id":1,"method":"restart","params":
			{"target":"web","command":%s}}' "$command" |
			tr -d '\n\t' >"$DIR/ask"
		echo >>"$DIR/ask"
		timeout 5 python3 - "$NCLUST_RUNTIME_DIR/$INSTANCE/control" \
			"$DIR/ask" <<'END' | grep -F '"error"'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile()
f.readline()
s.sendall(open(sys.argv[2], "rb").read())
print(f.readline())
END
	done
	[ "$before" = "$(pids web) $(pids job)" ]
}

@test "who may only look may not give a command" {
	need_root
	need setpriv
	start_cluster -n 1 --control-group '#4711' -- "$FIXTURES/hear"
	before=$(pids it)
	run -77 setpriv --reuid 65534 --regid 65534 --groups 4711 \
		"$NCLUST" restart "$INSTANCE" -- true
	[ "$(pids it)" = "$before" ]
}
