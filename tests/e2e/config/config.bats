# SPDX-License-Identifier: MIT
#
# INI files: what is accepted, how mistakes are told, and that a bad file never
# starts or changes anything.

load ../../lib
bats_require_minimum_version 1.5.0

# ini LINE...: our file, made of these lines.
ini() {
	INI=$DIR/$INSTANCE.ini
	printf '%s\n' "$@" >"$INI"
}

# refused [LINE-NUMBER TEXT]...: the file is refused by a run and by the check
# alike, with 78 and exactly these mistakes, each with its line, in order; and
# nothing was started.
refused() {
	local i checked

	run -78 "$NCLUST" config --check -c "$INI"
	checked=$output
	run -78 timeout "$((5 * PATIENCE))" "$NCLUST" -c "$INI"
	echo "$output"
	[ "$output" = "$checked" ]
	i=0
	while [ $# -gt 0 ]; do
		[[ ${lines[i]} == "$INI:$1: "*"$2"* ]] || {
			echo "wanted $1: $2"
			return 1
		}
		i=$((i + 1))
		shift 2
	done
	[ "${#lines[@]}" -eq "$i" ]
	[ ! -e "$DIR/ran" ]
	[ -z "$(ls -A "$NCLUST_RUNTIME_DIR")" ]
}

# A mistake in one line of a cluster that would else be sound.
refused_line() {
	ini '[cluster:web]' "command = touch $DIR/ran" "$1"
	refused 3 "$2"
}

start_file() {
	launch_file "$@"
	wait_ready
}

launch_file() {
	"$NCLUST" -c "$INI" "$@" >>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
}

# --- Mistakes ----------------------------------------------------------------

@test "all mistakes of a file are told at once, each with its line" {
	ini 'key = before' \
		'[cluster:web]' \
		"command = touch $DIR/ran" \
		'wrokers = 3' \
		'listen = 99999' \
		'no equals sign' \
		'stop-timeout = 5 parsecs' \
		'[clutser:api]' \
		'command = x' \
		'[cluster:open' \
		'[cluster:web]' \
		'[cluster:idle]' \
		'workers = 1'
	refused 1 "section" \
		4 "cluster:web.wrokers: unknown key; did you mean 'workers'?" \
		5 "cluster:web.listen: wanted a port from 0 to 65535, found '99999'" \
		6 "wanted 'key = value', found 'no equals sign'" \
		7 "cluster:web.stop-timeout: wanted a time" \
		8 "unknown section [clutser:api]; did you mean [cluster:api]?" \
		10 "wanted a ']'" \
		11 "section [cluster:web] is given twice, first in line 2" \
		12 "cluster:idle.command: wanted a command, found none"
}

@test "a key that is given twice is a mistake, unless it may be repeated" {
	ini '[cluster]' "command = touch $DIR/ran" 'nice = 1' 'nice = 2'
	refused 4 "cluster.nice: given twice, first in line 3"

	ini '[cluster]' 'command = true' 'env = A=1' 'env = B=2' \
		'listen = 127.0.0.1:0, name=a' 'listen = 127.0.0.1:0, name=b'
	"$NCLUST" config --check -c "$INI"
}

@test "numbers, sizes and times out of range say what is wanted" {
	refused_line 'workers =' "cluster:web.workers: wanted a number from 1"
	refused_line 'workers = 0' "found '0'"
	refused_line 'workers = -3' "found '-3'"
	refused_line 'workers = 2.5' "found '2.5'"
	refused_line 'workers = 3 men' "found '3 men'"
	refused_line 'workers = 99999999999999999999' "wanted a number from 1"
	refused_line 'nice = 20' "found '20'"
	refused_line 'umask = 8' "found '8'"
	refused_line 'stop-timeout = 5' "found '5'"
	refused_line 'stop-timeout = -1s' "found '-1s'"
	refused_line 'start-timeout = 0s' "found '0s'"
	refused_line 'backoff-jitter = 120%' "found '120%'"
	refused_line 'limit-nofile = many' "found 'many'"
	refused_line 'limit-core = 99999999999999999999G' "limit-core: wanted"
	refused_line 'give-up = 0/1m' "found '0/1m'"
	refused_line 'success-exit = 256' "found '256'"
	refused_line 'surge = most' "wanted 'all' or a whole number"
	refused_line 'watchdog = 1ms' "wanted 'off' or a time from 10ms"
	refused_line 'max-memory = 1k' "wanted 'off' or a size of at least"
	refused_line 'check-failures = 0' "found '0'"
	refused_line 'hang-signal = SIGHUP' "'off', 'QUIT', 'ABRT', 'USR1' or 'USR2', found 'SIGHUP'"
	ini '[cluster:web]' 'command = true' 'hang-signal = SIGQUIT' \
		'request-timeout = 5s'
	run -0 "$NCLUST" config -c "$INI"
	[[ $output == *"hang-signal = QUIT"* ]]
}

@test "probes, drain and hooks that are none say what is wanted" {
	refused_line 'ready = tpc' "'tcp', 'http:/path' or 'exec:COMMAND'"
	refused_line 'check = http://localhost/' "no host is needed"
	refused_line 'check = exec:' "wanted a command"
	refused_line 'drain = slowly' "'auto', 'quiet', 'signal' or 'off'"
	refused_line 'on-exti = true' "unknown key; did you mean 'on-exit'?"
	refused_line 'on-exit =' "wanted a command"
	refused_line 'bake = soon' "a time from 0s to 24h"
	refused_line 'orphans = adopt' "'stop' or 'keep'"
	run -64 "$NCLUST" --on-redy true -- true
	[[ $output == *"--on-redy"*"'--on-ready'"* ]]
}

@test "names that nobody bears are mistakes of the file" {
	refused_line 'user = no-such-user' "wanted a user that exists"
	# not the number, which is what made this a name of root elsewhere
	refused_line 'user = 0day' "wanted a user that exists, found '0day'"
	refused_line 'user = 0' "#0"
	refused_line 'group = no-such-group' "wanted a group that exists"
	refused_line 'stop-signal = TREM' "found 'TREM'"
	refused_line 'signal-FOO = all' "unknown signal 'FOO'"
	refused_line 'signal-USR1 = everyone' "found 'everyone'"
	refused_line 'no-new-privs = perhaps' "wanted 'yes' or 'no'"
	refused_line 'capabilities = flying' "found 'flying'"
	refused_line 'ready = maybe' "found 'maybe'"
	refused_line 'restart = sometimes' "found 'sometimes'"
	refused_line 'log = everywhere' "found 'everywhere'"
	refused_line 'pass = telepathy' "found 'telepathy'"
	ini '[cluster:web]' "command = touch $DIR/ran" 'ready = notify' \
		'chroot = /'
	refused 3 "'notify' cannot be used with 'chroot'"
}

@test "a missing, an empty and an unclosed command are mistakes" {
	ini '[cluster:web]' 'workers = 1'
	refused 1 "cluster:web.command: wanted a command"
	ini '[cluster:web]' 'command ='
	refused 2 "cluster:web.command: wanted a command, found ''"
	ini '[cluster:web]' "command = touch '$DIR/ran"
	refused 2 "cluster:web.command:"
	: >"$DIR/$INSTANCE.ini"
	run -78 "$NCLUST" -c "$INI"
}

@test "bytes that are no text are mistakes with their line" {
	INI=$DIR/$INSTANCE.ini
	printf '[cluster]\ncommand = touch %s/ran\nenv = A=\0B\n' "$DIR" >"$INI"
	refused 3 NUL
	printf '[cluster]\ncommand = touch %s/ran\nenv = A=\xff\xfe\n' "$DIR" \
		>"$INI"
	refused 3 UTF-8
	head -c 3000 "$NCLUST" >"$INI"
	run -78 "$NCLUST" -c "$INI"
	[[ ${lines[0]} == "$INI:1: "* ]]
}

@test "a line may be of any length" {
	local long

	long=$(head -c 100000 /dev/zero | tr '\0' 'x')
	ini '[cluster]' "command = $FIXTURES/leak --notify --to $DIR/dump" \
		'workers = 1' 'ready = notify' "env = LONG=${long}y"
	start_file
	[ "$(jq -r '.env.LONG | length' "$DIR/dump")" -eq 100001 ]

	ini '[cluster]' "command = touch $DIR/ran" "env = A=$long" 'nice = x'
	run -78 "$NCLUST" config --check -c "$INI"
	[ "$output" = "$INI:4: cluster.nice: wanted a whole number from -20 to 19, found 'x'" ]
}

@test "what the library would cut at ' ;' is a mistake where it matters" {
	refused_line 'env = A=1 ; B=2' "';'"
	ini '[cluster:web]' "command = touch $DIR/ran ; rm x"
	refused 2 "';'"
	refused_line 'check = exec:test -e x ; true' "';'"
	refused_line 'ready = exec:test -e x ; true' "';'"
	refused_line 'on-exit = echo a ; echo b' "';'"
	ini '[cluster:web]' 'command = true' 'workers = 3 ; three of them'
	"$NCLUST" config --check -c "$INI"
	[ "$("$NCLUST" config --json -c "$INI" | grep -c '"3"\|:3')" -ge 1 ]
}

@test "a byte order mark and CRLF line ends are accepted" {
	INI=$DIR/$INSTANCE.ini
	printf '\xef\xbb\xbf[cluster]\r\ncommand = %s 0\r\nworkers = 1\r\nready = notify\r\n' \
		"$FIXTURES/slow-ready" >"$INI"
	start_file
	[ "$(cluster .wanted)" -eq 1 ]
	[ "$(cluster '.command | join(" ")')" = "$FIXTURES/slow-ready 0" ]
}

@test "absent files, directories, pipes and devices are refused at once" {
	mkfifo "$DIR/fifo"
	for file in "$DIR/absent" "$DIR" "$DIR/fifo" /dev/zero /dev/null; do
		run -78 timeout $((10 * PATIENCE)) "$NCLUST" -c "$file"
		[[ ${lines[0]} == "$file: "* ]]
		[ "${#lines[@]}" -eq 1 ]
	done
	head -c 1100000 /dev/zero | tr '\0' '\n' >"$DIR/big.ini"
	run -78 "$NCLUST" -c "$DIR/big.ini"
	[[ $output == *"$DIR/big.ini"* ]]
}

@test "an unreadable file is refused, named" {
	need_root
	ini '[cluster]' 'command = true'
	chmod 600 "$INI"
	run -78 setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$NCLUST" -c "$INI"
	[[ $output == *"$INI"*"Permission denied"* ]]
}

@test "root refuses a file that others may write" {
	need_root
	ini '[cluster]' "command = touch $DIR/ran"
	chmod 666 "$INI"
	run -78 timeout 5 "$NCLUST" -c "$INI"
	[[ $output == *"$INI"*writable* ]]
	[ ! -e "$DIR/ran" ]
	chmod 664 "$INI"
	chgrp 1 "$INI" # not root's own, which may write
	run -78 timeout 5 "$NCLUST" -c "$INI"
	[ ! -e "$DIR/ran" ]
}

@test "an option's mistake on the command line says the option" {
	run -64 "$NCLUST" --wrokers 3 -- true
	[[ $output == *"--wrokers"*"--workers"* ]]
	run -64 "$NCLUST" --stop-timeout soon -- true
	[[ $output == "--stop-timeout: wanted a time"* ]]
	run -64 "$NCLUST" --workers
	[[ $output == *--workers* ]]
}

# --- What is accepted --------------------------------------------------------

@test "none takes back an env-file and a hook of [defaults]" {
	ini '[defaults]' "env-file = $DIR/absent" "on-ready = touch $DIR/hook" \
		'[cluster:web]' "command = $FIXTURES/slow-ready 0" \
		'workers = 1' 'ready = notify' 'env-file = none' 'on-ready = none'
	"$NCLUST" config --check -c "$INI"
	run -0 "$NCLUST" config -c "$INI"
	[[ $output != *absent* && $output != *hook* && $output != *none* ]]
	start_file
	nclust stop "$INSTANCE"
	[ ! -e "$DIR/hook" ]
	run ! grep 'none' "$LOG"
}

@test "the check says that an env-file is not there" {
	ini '[cluster:web]' 'command = true' "env-file = $DIR/absent"
	run -0 "$NCLUST" config --check -c "$INI"
	[ "${lines[0]}" = "$INI:3: cluster:web.env-file: there is no file '$DIR/absent' (yet), and no start without it" ]
	: >"$DIR/absent"
	run -0 "$NCLUST" config --check -c "$INI"
	[ "$output" = "no mistakes found" ]
}

@test "a limit that cannot be set is named" {
	run -126 timeout "$((5 * PATIENCE))" "$NCLUST" -n 1 \
		--limit-nofile 4000000000 -- true
	[[ $output == *"'limit-nofile'"* ]]
}

@test "the sample file is accepted, also with every line made a setting" {
	cp "$ROOT/etc/nclust.ini" "$DIR/sample.ini"
	grep -q '^;surge = ' "$DIR/sample.ini"
	"$NCLUST" config --check -c "$DIR/sample.ini"

	# What is shown as an example must be sound, too.
	sed 's/^;\([a-z-]* = \)/\1/; s/^;\(signal-[A-Z0-9]* = \)/\1/' \
		"$DIR/sample.ini" >"$DIR/all.ini"
	printf '%s\n' '[cluster:db]' 'command = x' >>"$DIR/all.ini" # of 'after'
	run "$NCLUST" config --check -c "$DIR/all.ini"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "what is shown as the effective settings reads as the same" {
	ini '[cluster:web]' 'command = ./web --quiet' 'drain = quiet' \
		'surge = all' 'canary = 2' 'bake = 5m' 'check-interval = 1s' \
		"check = exec:test -e 'a b' \\; x" 'ready = http:/up' \
		'watchdog = 0' 'stall = 60s' 'max-memory = 512M' \
		'max-age = 1h' 'on-exit = sh -c "a;b"' 'on-stop = true' \
		'orphans = keep' 'signal-USR1 = upgrade' 'listen = 8000'
	"$NCLUST" config -c "$INI" | sed '/^;/d' >"$DIR/first.ini"
	grep -Fx 'surge = all' "$DIR/first.ini"
	grep -Fx 'on-stop = true' "$DIR/first.ini"
	grep -Fx 'signal-USR1 = upgrade' "$DIR/first.ini"
	grep -Fx 'max-memory = 512M' "$DIR/first.ini"
	grep -Fx 'watchdog = off' "$DIR/first.ini"
	"$NCLUST" config -c "$DIR/first.ini" | sed '/^;/d' |
		diff "$DIR/first.ini" -
}

@test "a command is split as a shell would, without a shell" {
	ini '[cluster]' "command = $FIXTURES/leak --notify --to $DIR/dump \"two words\" 'sin\"gle' back\\ slash \"\" \$HOME *" \
		'workers = 1' 'ready = notify'
	start_file
	[ "$(jq -c '.argv[4:]' "$DIR/dump")" = \
		'["two words","sin\"gle","back slash","","$HOME","*"]' ]
}

@test "several clusters of one file start, and one [cluster] has the file's name" {
	ini '[nclust]' 'name = it' \
		'[cluster:web]' "command = $FIXTURES/slow-ready 0" \
		'workers = 2' 'ready = notify' \
		'[cluster:jobs]' "command = $FIXTURES/slow-ready 0" \
		'workers = 1' 'ready = notify'
	start_file
	[ "$(status_json | jq -r '[.clusters[] | "\(.name) \(.ready)"] | join(", ")')" = \
		"web 2, jobs 1" ]
	nclust stop "$INSTANCE"
	wait_exit

	INSTANCE=shop
	ini '[cluster]' "command = $FIXTURES/slow-ready 0" 'workers = 1' \
		'ready = notify'
	start_file
	[ "$(cluster .name)" = shop ]
	[ "$(status_json | jq -r .name)" = shop ]
}

@test "the command line overrules the file, in every cluster" {
	ini '[nclust]' 'name = other' \
		'[cluster:web]' "command = $FIXTURES/leak --notify --to $DIR/web" \
		'workers = 2' 'ready = notify' 'nice = 3' \
		'[cluster:jobs]' "command = $FIXTURES/leak --notify --to $DIR/jobs" \
		'ready = notify' 'nice = 4'
	start_file --name "$INSTANCE" -n 1 --nice 9
	[ "$(status_json | jq -c '[.clusters[].wanted]')" = '[1,1]' ]
	[ "$(jq .nice "$DIR/web")" -eq 9 ]
	[ "$(jq .nice "$DIR/jobs")" -eq 9 ]
	[ "$(status_json | jq -r .name)" = "$INSTANCE" ]
	run nclust config "$INSTANCE"
	echo "$output"
	[[ $output == *"; command line"$'\n'"nice = 9"* ]]
	[[ $output == *"$INI:"* ]]
}

@test "64 clusters of one file" {
	local i

	INI=$DIR/$INSTANCE.ini
	for ((i = 0; i < 64; i++)); do
		printf '[cluster:c%d]\ncommand = %s 0\nworkers = 1\nready = notify\nlisten = unix:%s/%d.sock\n' \
			"$i" "$FIXTURES/slow-ready" "$DIR" "$i"
	done >"$INI"
	start_file
	[ "$(status_json | jq '[.clusters[] | select(.ready == 1)] | length')" -eq 64 ]
	[ "$(ls "$DIR" | grep -c '\.sock$')" -eq 64 ]
	nclust stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
}

# --- Reload ------------------------------------------------------------------

pids() {
	status_json | jq -c '[.clusters[].workers[].pid]'
}

start_web() {
	free_port
	ini '[cluster:web]' "command = $FIXTURES/serve --notify" 'workers = 2' \
		'ready = notify' "listen = 127.0.0.1:$PORT"
	start_file
}

@test "a broken file is not reloaded: its mistakes are told, all goes on" {
	local before

	start_web
	before=$(pids)
	sed -i 's/^workers.*/wrokers = 7/' "$INI"
	run nclust reload "$INSTANCE"
	[ "$status" -eq 78 ]
	[[ $output == *"$INI:3: cluster:web.wrokers: unknown key"* ]]
	[ "$(pids)" = "$before" ]
	[[ $(http_get "$PORT") == pid=* ]]

	kill -HUP "$NCLUST_PID"
	wait_until 5 'grep -qF "$INI:3: cluster:web.wrokers" "$LOG"'
	rm "$INI"
	run nclust reload "$INSTANCE"
	[ "$status" -eq 78 ]
	[ "$(pids)" = "$before" ]
}

@test "a reload that needs an address in use is refused as a whole" {
	local before old

	start_web
	old=$PORT
	before=$(pids)
	free_port
	python3 -c '
import signal, socket, sys
s = socket.socket()
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
print("ready", flush=True)
signal.pause()' "$PORT" >"$DIR/ready" 3>&- &
	STARTED+=("$!")
	wait_until 5 '[ -s "$DIR/ready" ]'
	sed -i "s/^listen.*/listen = 127.0.0.1:$PORT/; s/^workers.*/workers = 3/" \
		"$INI"
	run nclust reload "$INSTANCE"
	[ "$status" -ne 0 ]
	[[ $output == *"127.0.0.1:$PORT"*"Address already in use"* ]]
	[ "$(pids)" = "$before" ]
	[[ $(http_get "$old") == pid=* ]]
}

@test "a reload applies the difference only" {
	local before

	start_web
	before=$(pids)
	nclust reload "$INSTANCE"
	[ "$(pids)" = "$before" ]

	sed -i 's/^workers.*/workers = 3/' "$INI"
	nclust reload "$INSTANCE"
	[ "$(cluster .ready)" -eq 3 ]
	[ "$(pids | jq -c '.[0:2]')" = "$before" ]

	echo 'env = NEW=1' >>"$INI"
	nclust reload "$INSTANCE"
	[ "$(cluster .ready)" -eq 3 ]
	[ "$(pids | jq --argjson old "$before" '[.[] | select(. as $p | $old | index($p))] | length')" -eq 0 ]
	[[ $(http_get "$PORT") == pid=* ]]
}

@test "a file that is renamed into place again and again is read whole" {
	local i end

	start_web
	cp "$INI" "$DIR/a"
	sed 's/^workers.*/workers = 3/' "$INI" >"$DIR/b"
	(
		while :; do
			cp "$DIR/a" "$DIR/next" && mv "$DIR/next" "$INI"
			cp "$DIR/b" "$DIR/next" && mv "$DIR/next" "$INI"
		done
	) 3>&- &
	STARTED+=("$!")
	for ((i = 0; i < 8; i++)); do
		nclust reload "$INSTANCE"
		end=$(cluster .wanted)
		[ "$end" -eq 2 ] || [ "$end" -eq 3 ]
	done
}

@test "a storm of HUP settles, and the last file wins" {
	local i

	start_web
	for ((i = 1; i <= 20; i++)); do
		sed -i '/^env/d' "$INI"
		echo "env = ROUND=$i" >>"$INI"
		kill -HUP "$NCLUST_PID"
	done
	wait_until 10 '[ "$(cluster .rollout)" = null ] &&
		[ "$(cluster .ready)" -eq 2 ] &&
		tr "\0" "\n" <"/proc/$(worker_pid 0)/environ" | grep -qx ROUND=20 &&
		tr "\0" "\n" <"/proc/$(worker_pid 1)/environ" | grep -qx ROUND=20'
	[ "$(cluster '.workers | length')" -eq 2 ]
	[ "$(cluster .generation)" -le 21 ]
	[[ $(http_get "$PORT") == pid=* ]]
}
