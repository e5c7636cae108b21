# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# Privilege: what workers have left of it, and what nobody can make nclust do.

bats_require_minimum_version 1.5.0
load ../../lib

# leaked FILTER: of what the fixture `leak` found, once it has written it.
leaked() {
	poll_until 10 test -s "$DIR/out/leak" || return 1
	jq -c "$1" "$DIR/out/leak"
}

# start_leak OPTION...: one worker that tells what it has.
start_leak() {
	mkdir -p "$DIR/out"
	chmod 777 "$DIR/out"
	start_cluster -n 1 --ready notify --stop-signal KILL "$@" \
		-- "$FIXTURES/leak" --to "$DIR/out/leak" --notify
}

proc_status() {
	sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status" | tr -s '\t ' ' '
}

# refused_with STATUS WORDS NCLUST-ARG...: it fails so, and nothing has run.
refused_with() {
	local wanted=$1 words=$2

	shift 2
	run timeout 20 "$NCLUST" --name it "$@"
	[ "$status" -eq "$wanted" ]
	[[ $output == *"$words"* ]]
	[ ! -e "$DIR/ran" ]
}

# --- Dropping --------------------------------------------------------------------

@test "a worker under another user has nothing of root left, for good" {
	need_root
	need setpriv
	# what nclust itself has must not stay: a group more
	mkdir -m 777 "$DIR/out"
	setpriv --groups=0,4711 "$NCLUST" --name it -n 1 --ready notify \
		--stop-signal KILL --user nobody \
		-- "$FIXTURES/leak" --to "$DIR/out/leak" --notify \
		>>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
	pid=$(worker_pid 0)
	gid=$(id -g nobody)

	[ "$(proc_status "$pid" Uid)" = "65534 65534 65534 65534" ]
	[ "$(proc_status "$pid" Gid)" = "$gid $gid $gid $gid" ]
	[ "$(leaked .groups)" = "[$gid]" ]
	for set in CapInh CapPrm CapEff CapAmb; do
		[ "$(proc_status "$pid" "$set")" = 0000000000000000 ]
	done
}

@test "root cannot be regained" {
	need_root
	start_cluster -n 1 --ready notify --stop-signal KILL --user nobody \
		--log inherit --pass systemd -- python3 -c '
import os, socket
for how in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0),
            lambda: os.setgid(0), lambda: os.setgroups([0])):
    try:
        how()
        print("REGAINED", flush=True)
    except PermissionError:
        print("refused", flush=True)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
import time; time.sleep(600)'
	wait_logged refused 4
	run ! logged REGAINED
}

@test "the groups are those of the user, and the group that was asked for" {
	need_root
	need unshare
	sed 's/^\(audio:.*:\)$/\1nobody/' /etc/group >"$DIR/group"
	grep -q '^audio:.*:nobody' "$DIR/group" || skip "needs a group 'audio'"
	audio=$(awk -F: '$1 == "audio" { print $3 }' /etc/group)
	mkdir -m 777 "$DIR/out"
	unshare -m --propagation private sh -c \
		'mount --bind "$0" /etc/group && exec "$@"' "$DIR/group" \
		"$NCLUST" --name it -n 1 --ready notify --stop-signal KILL \
		--user nobody --group '#4712' \
		-- "$FIXTURES/leak" --to "$DIR/out/leak" --notify \
		>>"$LOG" 2>&1 </dev/null 3>&- &
	STARTED+=($!)
	NCLUST_PID=$!
	wait_ready
	[ "$(leaked .gid)" = 4712 ]
	[ "$(leaked '.groups | sort')" = "[$audio,4712]" ]
}

@test "a numeric user is written #N; what only looks like one is refused" {
	need_root
	start_leak --user '#4242' --group '#4343'
	[ "$(leaked '[.uid, .gid, .groups]')" = '[4242,4343,[4343]]' ]
	nclust stop it

	for user in 0day 1000 0 -1 '#-1' '#4294967295' '#x' '#' '' nosuchuser; do
		run "$NCLUST" --name it -n 1 "--user=$user" -- touch "$DIR/ran"
		[ "$status" -eq 78 ] || [ "$status" -eq 64 ]
		[ ! -e "$DIR/ran" ]
	done
	# an id without a name, so without a group
	refused_with 64 group -n 1 --user '#4242' -- touch "$DIR/ran"
}

@test "an ordinary user cannot ask for another one" {
	need_root
	need setpriv
	cp "$NCLUST" "$DIR/nclust-copy"
	mkdir -m 700 "$DIR/theirs"
	chown 65534 "$DIR/theirs"
	run setpriv --reuid 65534 --regid 65534 --clear-groups \
		env NCLUST_RUNTIME_DIR="$DIR/theirs" \
		"$DIR/nclust-copy" --user root -n 1 -- touch "$DIR/theirs/ran"
	[ "$status" -ne 0 ]
	[[ $output == *nclust:* ]]
	[ ! -e "$DIR/theirs/ran" ]
}

@test "a drop that fails means no worker, never one that is root" {
	need_root
	need strace
	local call
	for call in setresuid setresgid setgroups; do
		run timeout 20 strace -f -o "$DIR/trace" -e "trace=$call" \
			-e "inject=$call:error=EAGAIN" \
			"$NCLUST" --name it -n 1 --user nobody --give-up 2/1m \
			--backoff-min 10ms -- touch "$DIR/ran"
		[ "$status" -ne 0 ]
		[ "$status" -ne 124 ]
		[ ! -e "$DIR/ran" ]
		[[ $output == *"cannot "*"temporarily unavailable"* ]]
		grep -q INJECTED "$DIR/trace"
	done
}

@test "a setuid or setgid nclust does nothing" {
	need_root
	need setpriv
	local mode
	for mode in 4755 2755; do
		install -m "$mode" "$NCLUST" "$DIR/nclust-copy"
		run setpriv --reuid 65534 --regid 65534 --clear-groups \
			"$DIR/nclust-copy" -n 1 -- touch "$DIR/ran"
		[ "$status" -eq 77 ]
		[[ $output == *setuid* ]]
		run setpriv --reuid 65534 --regid 65534 --clear-groups \
			"$DIR/nclust-copy" status
		[ "$status" -eq 77 ]
	done
}

@test "with file capabilities the environment does not choose the directory" {
	need_root
	need setcap
	cp "$NCLUST" "$DIR/nclust-copy"
	setcap cap_net_bind_service+ep "$DIR/nclust-copy" ||
		skip "no file capabilities here"
	mkdir -m 700 "$DIR/theirs"
	chown 65534 "$DIR/theirs"
	run setpriv --reuid 65534 --regid 65534 --clear-groups \
		env NCLUST_RUNTIME_DIR="$DIR/theirs" \
		XDG_RUNTIME_DIR="$DIR/theirs" \
		"$DIR/nclust-copy" -n 1 --name it -- true
	[ ! -e "$DIR/theirs/it" ]
	[ ! -e "$DIR/theirs/nclust" ]
}

@test "with file capabilities no state of anybody's is read" {
	need_root
	need setcap
	cp "$NCLUST" "$DIR/nclust-copy"
	setcap cap_net_bind_service+ep "$DIR/nclust-copy" ||
		skip "no file capabilities here"
	run setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$DIR/nclust-copy" --check-state 0 </dev/null
	[ "$status" -eq 65 ]
	[[ $output == *"file capabilities"* ]]
}

# --- Capabilities, no-new-privs, limits --------------------------------------------

@test "capabilities are exactly those that were named" {
	need_root
	start_leak --user nobody --capabilities 'net_bind_service kill'
	pid=$(worker_pid 0)
	# CAP_KILL is 5, CAP_NET_BIND_SERVICE is 10
	for set in CapPrm CapEff CapBnd CapAmb; do
		[ "$(proc_status "$pid" "$set")" = 0000000000000420 ]
	done
	nclust stop it
	rm "$DIR/out/leak"

	start_leak --capabilities none
	pid=$(worker_pid 0)
	[ "$(leaked .uid)" = 0 ]
	for set in CapPrm CapEff CapBnd CapAmb CapInh; do
		[ "$(proc_status "$pid" "$set")" = 0000000000000000 ]
	done
	nclust stop it
	for word in net_bind_servize all 99 cap_; do
		run "$NCLUST" --name it -n 1 "--capabilities=$word" \
			-- touch "$DIR/ran"
		[ "$status" -eq 78 ] || [ "$status" -eq 64 ]
		[ ! -e "$DIR/ran" ]
	done
}

@test "no-new-privs is set where it was asked for, and only there" {
	start_leak
	[ "$(leaked .no_new_privs)" = 0 ]
	nclust stop it
	rm "$DIR/out/leak"
	start_leak --no-new-privs
	[ "$(leaked .no_new_privs)" = 1 ]
}

@test "core dump limits and the like are not touched" {
	# the soft limit for descriptors nclust raises for itself alone
	(
		ulimit -S -c 100
		ulimit -S -n 300
		start_leak
		[ "$(leaked '.limits.core[0]')" = $((100 * 1024)) ]
		[ "$(leaked '.limits.nofile[0]')" = 300 ]
		pid=$(status_json | jq .pid)
		[ "$(prlimit -p "$pid" -c --output SOFT --noheadings --raw)" \
			= $((100 * 1024)) ]
		nclust stop it
	)
}

# --- Nobody's shell ------------------------------------------------------------------

@test "a command is split into words, and no shell ever sees it" {
	mkdir "$DIR/out"
	cd "$DIR"
	cat >it.ini <<-'INI'
	[cluster]
	command = ./leak --to out/leak --notify "; touch ran" $(touch ran) `touch ran` |touch '&&' > $HOME * ~
	workers = 1
	ready = notify
	stop-signal = KILL
	INI
	ln -s "$FIXTURES/leak" leak
	start_cluster -c "$DIR/it.ini"
	[ "$(leaked '.argv[4:]')" = '["; touch ran","$(touch","ran)","`touch","ran`","|touch","&&",">","$HOME","*","~"]' ]
	[ ! -e "$DIR/ran" ]
}

@test "a program of no known format is not given to a shell" {
	printf 'touch %s/ran\n' "$DIR" >"$DIR/script"
	chmod 755 "$DIR/script"
	refused_with 126 "" -n 1 -- "$DIR/script"
	PATH=$DIR:$PATH refused_with 126 "" -n 1 -- script
}

@test "format strings are text: in commands, names, environment, status" {
	local evil='%n%s%x%5000d%1$n'

	# what is told of it has it as it is
	run -127 "$NCLUST" --name it -n 1 -- "$DIR/$evil"
	[[ $output == *"$DIR/$evil"* ]]
	run "$NCLUST" "--name=$evil" -n 1 -- true
	[[ $output == *"$evil"* ]]
	run "$NCLUST" status "$evil"
	[ "$status" -eq 64 ]
	[[ $output == *"$evil"* ]]
	run "$NCLUST" "$evil"
	[[ $output == *"$evil"* ]]
	run "$NCLUST" -c "$DIR/$evil"
	[[ $output == *"$evil"* ]]
	printf '[cluster]\n%s = %s\ncommand = x\n' "$evil" "$evil" \
		>"$DIR/it.ini"
	run "$NCLUST" -c "$DIR/it.ini"
	[ "$status" -eq 78 ]
	[[ $output == *"$evil"* ]]

	start_cluster -n 1 --ready notify --stop-signal KILL --env "A=$evil" \
		-l "unix:$DIR/$evil" -- "$FIXTURES/notify" \
		"READY=1\nSTATUS=$evil\nERRNO=2" "$evil"
	[ -S "$DIR/$evil" ]
	[ "$(worker 0 .status)" = "$evil" ]
	[ "$(status_json | jq -r '.clusters[0].command[2]')" = "$evil" ]
	run -0 nclust status it
	[[ $output == *"$evil"* ]]
	run -0 nclust config it
	[[ $output == *"A=$evil"* ]]
}

# --- Environment and files -------------------------------------------------------------

@test "the environment goes through untouched, but for what is nclust's" {
	export LD_BIND_NOW=1 LD_LIBRARY_PATH=$DIR/nothing TMPDIR=/tmp
	export LISTEN_FDS=3 LISTEN_PID=1 LISTEN_FDNAMES=a:b:c INVOCATION_ID=x
	export WATCHDOG_USEC=5000000 WATCHDOG_PID=1 NOTIFY_SOCKET=@nobody-$$
	export NCLUST_SLOT=99 EINHORN_FD_COUNT=7 SERVER_STARTER_PORT=1=2

	start_leak
	[ "$(leaked '[.env.LD_BIND_NOW, .env.LD_LIBRARY_PATH, .env.TMPDIR]')" \
		= "[\"1\",\"$DIR/nothing\",\"/tmp\"]" ]
	[ "$(leaked '.env | [.LISTEN_FDS, .LISTEN_FDNAMES, .WATCHDOG_USEC,
		.WATCHDOG_PID] | map(. // "-") | unique')" != '["3"]' ]
	[ "$(leaked '.env.LISTEN_PID == "1"')" = false ]
	[ "$(leaked '.env | has("WATCHDOG_USEC")')" = false ]
	[ "$(leaked '.env.NCLUST_SLOT')" = '"0"' ]
	[ "$(leaked '.env.EINHORN_FD_COUNT')" != '"7"' ]
	[ "$(leaked '.env | has("SERVER_STARTER_PORT")')" = false ]
	[ "$(leaked '.env.NOTIFY_SOCKET | startswith("/")')" = true ]
}

@test "env-file sets variables; one that cannot be read starts nothing" {
	printf '# a comment\nONE=1\nTWO="with spaces"\n\nTHREE=a=b\n' \
		>"$DIR/env"
	chmod 600 "$DIR/env"
	start_leak --env-file "$DIR/env" --env ONE=first
	[ "$(leaked '[.env.ONE, .env.THREE]')" = '["first","a=b"]' ]
	nclust stop it

	# as a shell reads it, and as editors of other systems leave it
	printf '\xef\xbb\xbfONE=1\r\n\texport\tTWO="2 3"\r\nexport=yes\r\n' >"$DIR/env"
	start_leak --env-file "$DIR/env"
	[ "$(leaked '[.env.ONE, .env.TWO, .env.export]')" = '["1","2 3","yes"]' ]
	nclust stop it
	printf 'A B=c\n' >"$DIR/env"
	refused_with 78 "$DIR/env:1: wanted KEY=VALUE" -n 1 \
		--env-file "$DIR/env" -- touch "$DIR/ran"

	refused_with 78 "$DIR/missing" -n 1 --env-file "$DIR/missing" \
		-- touch "$DIR/ran"
	refused_with 78 "$DIR" -n 1 --env-file "$DIR" -- touch "$DIR/ran"
	mkfifo "$DIR/fifo"
	refused_with 78 "$DIR/fifo" -n 1 --env-file "$DIR/fifo" \
		-- touch "$DIR/ran"
	printf 'no variable\n' >"$DIR/env"
	refused_with 78 "$DIR/env" -n 1 --env-file "$DIR/env" \
		-- touch "$DIR/ran"
}

@test "root takes no configuration that others may write" {
	need_root
	printf '[cluster]\ncommand = touch %s/ran\n' "$DIR" >"$DIR/it.ini"
	chmod 666 "$DIR/it.ini"
	refused_with 78 "$DIR/it.ini" -c "$DIR/it.ini"
	chmod 664 "$DIR/it.ini"
	chgrp 65533 "$DIR/it.ini" # root's own group may write
	refused_with 78 "$DIR/it.ini" -c "$DIR/it.ini"
}

@test "pidfile: written by rename, removed at the end, links refused" {
	echo precious >"$DIR/target"
	ln -s "$DIR/target" "$DIR/pid"
	refused_with 1 "$DIR/pid" -n 1 --pidfile "$DIR/pid" -- sleep 100
	[ "$(cat "$DIR/target")" = precious ]
	rm "$DIR/pid"

	# one that is there is replaced by a new file, not written into
	ln "$DIR/target" "$DIR/pid"
	start_leak --pidfile "$DIR/pid"
	[ "$(cat "$DIR/pid")" = "$NCLUST_PID" ]
	[ "$(cat "$DIR/target")" = precious ]
	[ "$(stat -c %a "$DIR/pid")" = 644 ]
	# the one who is refused leaves it alone
	run "$NCLUST" --name it -n 1 --pidfile "$DIR/pid" -- true
	[ "$status" -eq 75 ]
	[ "$(cat "$DIR/pid")" = "$NCLUST_PID" ]
	nclust stop it
	[ ! -e "$DIR/pid" ]

	refused_with 1 nothing -n 1 --pidfile "$DIR/nothing/pid" -- sleep 100
	mkdir "$DIR/open"
	chmod 777 "$DIR/open"
	refused_with 1 "$DIR/open" -n 1 --pidfile "$DIR/open/pid" -- sleep 100
	[ -z "$(ls -A "$DIR/open")" ]
}

@test "without a pidfile key there is none, and nothing is read back" {
	need strace
	run timeout 20 strace -f -o "$DIR/trace" -e trace=openat,open,readlink \
		"$NCLUST" --name it -n 1 --restart never --ready alive:10ms \
		--pidfile "$DIR/pid" -- true
	[ "$status" -eq 0 ]
	run ! grep -E "$DIR/pid\".*O_RD(ONLY|WR)" "$DIR/trace"
}

@test "owner and mode are never changed by a path" {
	need_root
	need strace
	run timeout 20 strace -f -o "$DIR/trace" \
		-e trace=chmod,chown,lchown,fchmodat,fchownat,setxattr \
		"$NCLUST" --name it -n 1 --restart never --ready alive:10ms \
		--control-group '#4711' --user nobody \
		-l "unix:$DIR/sock, mode=0660, owner=nobody, group=#4711" \
		-- true
	[ "$status" -eq 0 ]
	# relative to a directory that is held, and no link followed
	run ! grep -E '(l?chown|chmod)\(' <(grep -v 'f\?ch[a-z]*at(' "$DIR/trace")
	run ! grep -E 'at\(AT_FDCWD' "$DIR/trace"
}

# --- Signals -----------------------------------------------------------------------------

@test "it has no signal handlers, and a storm does not stop it" {
	start_cluster -n 2 --ready notify --stop-signal KILL \
		-- "$FIXTURES/deaf" --notify
	[ "$(proc_status "$NCLUST_PID" SigCgt)" = 0000000000000000 ]
	pids=$(status_json | jq -c '[.clusters[0].workers[].pid]')

	python3 - "$NCLUST_PID" <<-'E'
	import os, signal, sys
	for i in range(3000):
	    os.kill(int(sys.argv[1]), (signal.SIGUSR1, signal.SIGUSR2,
	        signal.SIGPIPE, signal.SIGWINCH, signal.SIGCHLD,
	        signal.SIGALRM, signal.SIGRTMIN + 3)[i % 7])
	E
	[ "$(status_json | jq -c '[.clusters[0].workers[].pid]')" = "$pids" ]
	[ "$(cluster .ready)" -eq 2 ]
	[ "$(proc_status "$NCLUST_PID" SigCgt)" = 0000000000000000 ]
}
