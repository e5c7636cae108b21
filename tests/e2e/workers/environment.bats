# SPDX-License-Identifier: MIT
#
# What a worker is born into: variables, arguments, descriptors, signals, user,
# limits, directory, session.

load ../../lib
bats_require_minimum_version 1.5.0

# run_leak ARG... [:: WORD...]: one worker (or -n) that tells what it was given
# in $TO/dump.SLOT, with these words behind the command.
run_leak() {
	local options=()

	while [ $# -gt 0 ] && [ "$1" != :: ]; do
		options+=("$1")
		shift
	done
	[ $# -eq 0 ] || shift
	start_cluster -n 1 --ready notify "${options[@]}" -- \
		"$FIXTURES/leak" --notify --to "$TO/dump.{slot}" "$@"
}

dump() {
	jq -r "$1" "$TO/dump.${2:-0}"
}

setup() {
	nclust_setup
	# Workers of any user may write here.
	TO=$DIR/out
	mkdir "$TO"
	chmod 777 "$TO"
}

# --- Variables and words -----------------------------------------------------

@test "every dialect tells of the socket, and a program of each finds it" {
	local dialect

	free_port
	run_leak -n 2 -l "127.0.0.1:$PORT, name=http"
	[ "$(dump .env.LISTEN_FDS)" = 1 ]
	[ "$(dump .env.LISTEN_PID)" = "$(dump .pid)" ]
	[ "$(dump .env.LISTEN_PID 1)" = "$(dump .pid 1)" ]
	[ "$(dump .env.LISTEN_FDNAMES)" = http ]
	[ "$(dump .env.SERVER_STARTER_PORT)" = "127.0.0.1:$PORT=3" ]
	[ "$(dump .env.SERVER_STARTER_GENERATION)" = 1 ]
	[ "$(dump .env.EINHORN_FD_COUNT)" = 1 ]
	[ "$(dump .env.EINHORN_FD_0)" = 3 ]
	[ "$(dump .env.EINHORN_MASTER_PID)" = "$NCLUST_PID" ]
	[ "$(dump .env.EINHORN_CHILD_INDEX 1)" = 1 ]
	[ "$(dump .env.PORT)" = "$PORT" ]
	nclust stop "$INSTANCE"

	for dialect in listen einhorn starter; do
		start_cluster -n 1 -l "127.0.0.1:$PORT" --ready notify -- \
			"$FIXTURES/serve" --notify --from "$dialect"
		[[ $(http_get "$PORT") == pid=* ]]
		nclust stop "$INSTANCE"
	done
}

@test "pass chooses the dialects" {
	run_leak -l 127.0.0.1:0 --pass 'systemd port'
	[ "$(dump '[.env | keys[] | select(test("^(LISTEN_|SERVER_STARTER|EINHORN|PORT$)"))] | join(" ")')" = \
		"LISTEN_FDNAMES LISTEN_FDS LISTEN_PID PORT" ]
	nclust stop "$INSTANCE"
	run_leak -l 127.0.0.1:0 --pass none
	[ "$(dump '[.env | keys[] | select(test("^(LISTEN_|SERVER_STARTER|EINHORN|PORT$)"))] | join(" ")')" = "" ]
}

@test "pass = stdin puts the socket on descriptor 0, and nothing else" {
	free_port
	run_leak -l "127.0.0.1:$PORT" --pass stdin
	[ "$(dump '[.fds[].fd] | map(tostring) | join(" ")')" = "0 1 2" ]
	[[ $(dump '.fds[0].target') == socket:* ]]
	nclust stop "$INSTANCE"

	start_cluster -n 2 -l "127.0.0.1:$PORT" --pass stdin --ready notify \
		-- "$FIXTURES/serve" --from stdin --notify
	[[ $(http_get "$PORT") == pid=* ]]
	nclust restart "$INSTANCE"
	[[ $(http_get "$PORT") == *gen=2* ]]
}

@test "LISTEN_PID can be left out, for a program behind a wrapper" {
	free_port
	start_cluster -n 1 -l "127.0.0.1:$PORT" --listen-pid=no --ready notify \
		-- sh -c '"$0" --notify & wait' "$FIXTURES/serve"
	[[ $(http_get "$PORT") == pid=* ]]
	[ "$(http_get "$PORT" | sed 's/pid=\([0-9]*\).*/\1/')" != \
		"$(worker_pid 0)" ]
}

@test "nclust exec makes the wrapped program the one that LISTEN_PID names" {
	free_port
	start_cluster -n 1 -l "127.0.0.1:$PORT" --ready notify -- \
		sh -c '"$0" exec -- "$1" --notify & wait' "$NCLUST" \
		"$FIXTURES/serve"
	[[ $(http_get "$PORT") == pid=* ]]
}

@test "PORT is set where there is one TCP port, and never over the user's" {
	run_leak -l 127.0.0.1:0 -l 127.0.0.1:0,name=b -l "unix:$DIR/s"
	[ "$(dump .env.PORT)" = null ]
	nclust stop "$INSTANCE"
	free_port
	run_leak -l "127.0.0.1:$PORT" -l "unix:$DIR/s"
	[ "$(dump .env.PORT)" = "$PORT" ]
	nclust stop "$INSTANCE"
	run_leak -l 127.0.0.1:0 --env PORT=mine
	[ "$(dump .env.PORT)" = mine ]
	nclust stop "$INSTANCE"
	PORT=theirs run_leak -l 127.0.0.1:0
	[ "$(dump .env.PORT)" = theirs ]
}

@test "nclust's own variables: slot, workers, generation, names" {
	INI=$DIR/$INSTANCE.ini
	cat >"$INI" <<-END
		[cluster:web]
		command = $FIXTURES/leak --notify --to $TO/dump.{slot}
		workers = 2
		ready = notify
	END
	"$NCLUST" -c "$INI" >>"$LOG" 2>&1 </dev/null 3>&- &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
	for slot in 0 1; do
		[ "$(dump .env.NCLUST_NAME "$slot")" = "$INSTANCE" ]
		[ "$(dump .env.NCLUST_CLUSTER "$slot")" = web ]
		[ "$(dump .env.NCLUST_SLOT "$slot")" = "$slot" ]
		[ "$(dump .env.NODE_APP_INSTANCE "$slot")" = "$slot" ]
		[ "$(dump .env.NCLUST_WORKERS "$slot")" = 2 ]
		[ "$(dump .env.NCLUST_GENERATION "$slot")" = 1 ]
		[ -S "$(dump .env.NCLUST_SOCKET "$slot")" ]
	done
	[ "$(dump .env.NOTIFY_SOCKET 0)" != "$(dump .env.NOTIFY_SOCKET 1)" ]

	nclust restart "$INSTANCE"
	[ "$(dump .env.NCLUST_GENERATION)" = 2 ]
	[ "$(dump .env.NCLUST_SLOT 1)" = 1 ]
}

@test "templates in the command are replaced, other braces left alone" {
	free_port
	run_leak -n 2 -l "127.0.0.1:$PORT, name=http" -l "unix:$DIR/s, name=adm" \
		:: '{slot}' 'a{slot}b{port}' '{fd:http}' '{fd:adm}' '{name}' \
		'{other}' '{' '}' '{{slot}}' '{"json":1}' '{}' '${slot}'
	[ "$(dump '.argv[4:] | join(" ")' 1)" = \
		"1 a1b$PORT 3 4 $INSTANCE {other} { } {1} {\"json\":1} {} \$1" ]
	nclust stop "$INSTANCE"
	run_leak -l "127.0.0.1:$PORT" :: '{fd}'
	[ "$(dump '.argv[4]')" = 3 ]
}

@test "a template that cannot be filled is a mistake" {
	run -64 "$NCLUST" -l 127.0.0.1:0 -- true '{fd:nothing}'
	[[ $output == *"{fd:nothing}"* ]]
	run -64 "$NCLUST" -- true '{port}'
	[[ $output == *"{port}"* ]]
}

@test "env, env-file and clear-env" {
	cat >"$DIR/vars" <<-'END'
		# a comment
		FROM_FILE=1
		QUOTED="two words"
		BOTH=file

		EMPTY=
	END
	MINE=yes run_leak --env-file "$DIR/vars" --env BOTH=option \
		--env 'A=x = "y"'
	[ "$(dump .env.FROM_FILE)" = 1 ]
	[ "$(dump .env.QUOTED)" = "two words" ]
	[ "$(dump .env.BOTH)" = option ]
	[ "$(dump .env.EMPTY)" = "" ]
	[ "$(dump .env.A)" = 'x = "y"' ]
	[ "$(dump .env.MINE)" = yes ]

	# read anew by each rolling restart
	echo FROM_FILE=2 >"$DIR/vars"
	nclust restart "$INSTANCE"
	[ "$(dump .env.FROM_FILE)" = 2 ]
	nclust stop "$INSTANCE"

	MINE=yes run_leak --clear-env --env ONLY=this
	[ "$(dump .env.MINE)" = null ]
	[ "$(dump .env.PATH)" = null ]
	[ "$(dump .env.ONLY)" = this ]
	[ "$(dump .env.NCLUST_SLOT)" = 0 ]
}

@test "an env-file with a mistake, or none, starts nothing" {
	printf 'A=1\nnonsense\n' >"$DIR/vars"
	run -78 "$NCLUST" --env-file "$DIR/vars" -- touch "$DIR/ran"
	[[ $output == *"$DIR/vars:2: "* ]]
	run -78 "$NCLUST" --env-file "$DIR/absent" -- touch "$DIR/ran"
	[[ $output == *"$DIR/absent"*"No such file"* ]]
	run -78 timeout 5 "$NCLUST" --env-file /dev/zero -- touch "$DIR/ran"
	[ ! -e "$DIR/ran" ]
}

@test "PATH is searched as the worker's environment has it" {
	mkdir "$DIR/bin"
	ln -s "$FIXTURES/leak" "$DIR/bin/only-here"
	start_cluster -n 1 --env "PATH=$DIR/bin" --ready notify -- \
		only-here --notify --to "$TO/dump.0"
	[ "$(dump '.argv[0]')" = only-here ]
}

# --- Process attributes ------------------------------------------------------

@test "a worker leads its own session and process group" {
	run_leak -n 2
	for slot in 0 1; do
		[ "$(dump .sid "$slot")" = "$(dump .pid "$slot")" ]
		[ "$(dump .pgid "$slot")" = "$(dump .pid "$slot")" ]
		[ "$(dump .ppid "$slot")" = "$NCLUST_PID" ]
	done
	[ "$(dump '.fds[0].target')" = /dev/null ]
}

@test "a terminal with TOSTOP does not stop the workers" {
	cat >"$DIR/in-terminal" <<-'END'
		import os, pty, select, signal, sys, termios, time
		pid, terminal = pty.fork()
		if pid == 0:
		    settings = termios.tcgetattr(0)
		    settings[3] |= termios.TOSTOP
		    termios.tcsetattr(0, termios.TCSANOW, settings)
		    # in the background, as a shell's "nclust ... &"
		    job = os.fork()
		    if job == 0:
		        os.setpgid(0, 0)
		        os.execv(sys.argv[1], sys.argv[1:])
		    signal.signal(signal.SIGINT, lambda *_: os.kill(job, 15))
		    os._exit(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]))
		seen = b""
		end = time.monotonic() + 20
		while b"line 4" not in seen and time.monotonic() < end:
		    if select.select([terminal], [], [], 1)[0]:
		        seen += os.read(terminal, 4096)
		sys.stdout.write(seen.decode())
		os.write(terminal, b"\x03")  # the key of SIGINT
		_, status = os.waitpid(pid, 0)
		print("exit", os.waitstatus_to_exitcode(status))
	END
	for log in prefix inherit; do
		run timeout 30 python3 "$DIR/in-terminal" "$NCLUST" \
			--name "$INSTANCE" -n 1 --log "$log" --ready notify \
			-- "$FIXTURES/log-flood" --pause 20 --lines 6 --notify \
			--stay
		echo "$output"
		[[ $output == *"line 4"* ]]
		[[ ${lines[-1]} == "exit 0" ]]
	done
}

@test "directory, umask, niceness and limits as asked for" {
	mkdir "$DIR/home"
	run_leak --directory "$DIR/home" --umask 027 --nice 5 \
		--limit-nofile 100:200 --limit-core 0 --limit-stack 4M:8M
	[ "$(dump .cwd)" = "$DIR/home" ]
	[ "$(dump .umask)" = 0027 ]
	[ "$(dump .nice)" = 5 ]
	[ "$(dump '.limits.nofile | join(" ")')" = "100 200" ]
	[ "$(dump '.limits.core | join(" ")')" = "0 0" ]
	[ "$(dump '.limits.stack | join(" ")')" = "4194304 8388608" ]
}

@test "the soft limit of descriptors is the caller's, not nclust's" {
	local mine

	mine=$(ulimit -Sn)
	run_leak
	[ "$mine" = unlimited ] || [ "$(dump '.limits.nofile[0]')" = "$mine" ]
}

@test "user and group, with all groups of the user and none of ours" {
	need_root
	run_leak --user daemon --env 'HOME2=$HOME'
	[ "$(dump .uid)" = "$(id -u daemon)" ]
	[ "$(dump .gid)" = "$(id -g daemon)" ]
	[ "$(dump '.groups | sort | map(tostring) | join(" ")')" = \
		"$(id -G daemon | tr ' ' '\n' | sort -n | tr '\n' ' ' | sed 's/ $//')" ]
	[ "$(dump .capabilities)" = 0000000000000000 ]
	[ "$(dump .env.HOME)" = "$(getent passwd daemon | cut -d: -f6)" ]
	[ "$(dump .env.USER)" = daemon ]
	nclust stop "$INSTANCE"
	rm "$TO/dump.0"

	run_leak --user '#54321' --group mail
	[ "$(dump .uid)" = 54321 ]
	[ "$(dump .gid)" = "$(getent group mail | cut -d: -f3)" ]
	# and there is no way back
	[ "$(awk '/^Uid:/ { print $2 $3 $4 $5 }' \
		"/proc/$(worker_pid 0)/status")" = 54321543215432154321 ]
}

@test "a worker of another user gets a privileged port from nclust" {
	need_root
	run unshare -n sh -c '
		ip link set lo up
		"$0" --name it -n 1 -l 127.0.0.1:80 --user daemon \
			--ready notify -- "$1" --notify >"$2" 2>&1 3>&- &
		until "$0" status it >/dev/null 2>&1; do sleep 0.02; done
		curl -sS --max-time 5 http://127.0.0.1/
		kill $!
		wait $!' "$NCLUST" "$FIXTURES/serve" "$LOG" 3>&-
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == pid=* ]]
}

@test "who is not root cannot have another user, and is told so" {
	need_root
	mkdir "$DIR/theirs"
	chown 65534 "$DIR/theirs"
	run timeout 5 setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$NCLUST" --runtime-directory "$DIR/theirs" --user daemon \
		-- touch "$DIR/theirs/ran"
	echo "$output"
	[ "$status" -eq 77 ]
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == *"'user' requires root"*"sudo"* ]]
	[ ! -e "$DIR/theirs/ran" ]

	# His own is no other.
	run timeout 5 setpriv --reuid 65534 --regid 65534 --init-groups \
		"$NCLUST" --runtime-directory "$DIR/theirs" -n 1 --user nobody \
		--group nogroup --restart never -- touch "$DIR/theirs/ran"
	echo "$output"
	[ "$status" -eq 0 ]
	[ -e "$DIR/theirs/ran" ]
}

@test "capabilities are what is asked for, and no others" {
	need_root
	run_leak --capabilities net_bind_service
	[ "$(dump .capabilities)" = 0000000000000400 ]
	nclust stop "$INSTANCE"
	run_leak --capabilities none
	[ "$(dump .capabilities)" = 0000000000000000 ]
	[ "$(awk '/^CapBnd:/ { print $2 }' "/proc/$(worker_pid 0)/status")" = \
		0000000000000000 ]
	nclust stop "$INSTANCE"
	rm "$TO/dump.0"
	run_leak --user daemon --capabilities net_bind_service
	[ "$(dump .uid)" = "$(id -u daemon)" ]
	[ "$(dump .capabilities)" = 0000000000000400 ]
}

@test "no-new-privs is set where asked for, else inherited" {
	run_leak
	[ "$(dump .no_new_privs)" = "$(awk '/^NoNewPrivs:/ { print $2 }' \
		/proc/self/status)" ]
	nclust stop "$INSTANCE"
	run_leak --no-new-privs
	[ "$(dump .no_new_privs)" = 1 ]
}

@test "chroot: the worker's root, with the socket from outside" {
	need_root
	free_port
	mkdir -p "$DIR/root/bin" "$DIR/root/proc"
	cp "$FIXTURES/serve" "$DIR/root/bin/serve"
	ldd "$FIXTURES/serve" | grep -o '/[^ ]*' | while read -r file; do
		install -D "$file" "$DIR/root$file"
	done
	start_cluster -n 1 -l "127.0.0.1:$PORT" --chroot "$DIR/root" \
		--directory /bin --ready alive:50ms -- /bin/serve
	[[ $(http_get "$PORT") == pid=* ]]
	[ "$(readlink "/proc/$(worker_pid 0)/root")" = "$DIR/root" ]
	[ "$(readlink "/proc/$(worker_pid 0)/cwd")" = "$DIR/root/bin" ]
}

@test "a directory, a root or a limit that cannot be had is told by its step" {
	run timeout 5 "$NCLUST" -n 1 --directory "$DIR/absent" -- true
	[ "$status" -eq 126 ]
	[[ $output == *"directory '$DIR/absent'"*"No such file or directory"* ]]
	[ "${#lines[@]}" -eq 1 ]
	need_root
	run timeout 5 "$NCLUST" -n 1 --chroot "$DIR/absent" --ready alive:1s \
		-- true
	[ "$status" -eq 126 ]
	[[ $output == *"$DIR/absent"* ]]
	echo "$output"
	[ "${#lines[@]}" -eq 1 ]
}

@test "cpu = spread pins each slot to one CPU in turn" {
	local cpus

	[ "$(nproc)" -ge 2 ] || skip "needs two CPUs"
	run_leak -n 3 --cpu spread
	cpus=$(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0)))')
	read -r -a cpus <<<"$cpus"
	for slot in 0 1 2; do
		[ "$(dump '.cpus | map(tostring) | join(" ")' "$slot")" = \
			"${cpus[slot % ${#cpus[@]}]}" ]
	done
	nclust stop "$INSTANCE"
	run_leak
	[ "$(dump '.cpus | length')" -eq "${#cpus[@]}" ]
}
