# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# nclust doctor: what this machine allows, and what nclust makes of it; with a
# command, how that will do (more of that in trial.bats).

bats_require_minimum_version 1.5.0
load ../../lib
load ../../life
load ../../trial

SERVERS=$SCRIPTS/servers

@test "doctor tells of kernel, CPUs, limits, privileges and directory" {
	run -0 nclust doctor
	[[ $output == *"$(uname -r)"* ]]
	[[ $output == *"CPU"* ]]
	[[ $output == *"accept queue"*"$(cat /proc/sys/net/core/somaxconn)"* ]]
	[[ $output == *"$NCLUST_RUNTIME_DIR"* ]]
	# a program that reads it gets no escape sequences
	[[ $output != *$'\e'* ]]
}

@test "doctor --json is one line of valid JSON" {
	run -0 nclust doctor --json
	[ "${#lines[@]}" -eq 1 ]
	jq -e 'type == "object" and length > 0' <<<"$output"
	[ "$(jq -r '.. | strings | select(contains("'"$(uname -r)"'"))' \
		<<<"$output" | wc -l)" -ge 1 ]
}

@test "doctor sees the CPUs that it may use" {
	need taskset
	cpu=$(taskset -cp $$ | sed 's/.*: \([0-9]*\).*/\1/')
	all=$(nclust doctor --json)
	one=$(taskset -c "$cpu" "$NCLUST" doctor --json)
	jq -e . <<<"$one" >/dev/null
	[ "$(nproc)" -eq 1 ] || [ "$all" != "$one" ]
}

@test "doctor runs as an ordinary user, and without /proc" {
	need_root
	need setpriv
	cp "$NCLUST" "$DIR/nclust-copy"
	mkdir -m 700 "$DIR/theirs"
	chown 65534 "$DIR/theirs"
	run -0 setpriv --reuid 65534 --regid 65534 --clear-groups \
		env NCLUST_RUNTIME_DIR="$DIR/theirs" "$DIR/nclust-copy" doctor
	run -0 setpriv --reuid 65534 --regid 65534 --clear-groups \
		env NCLUST_RUNTIME_DIR="$DIR/theirs" \
		"$DIR/nclust-copy" doctor --json
	jq -e . <<<"$output"
	need unshare
	run unshare -m --propagation private sh -c \
		'mount -t tmpfs none /proc && exec "$0" doctor --json' "$NCLUST"
	[ "$status" -le 1 ]
	jq -e . <<<"$output"
}

@test "doctor exits 1 where nclust could not run, and says why" {
	chmod 777 "$NCLUST_RUNTIME_DIR"
	run nclust doctor
	[ "$status" -eq 1 ]
	[[ $output == *"others may write"* ]]
}

@test "doctor takes no other words" {
	run nclust doctor --nothing
	[ "$status" -eq 64 ]
	run nclust doctor -l 8000
	[ "$status" -eq 64 ]
	[[ $output == *"a command"* ]]
}

# --- How ports can be taken over here --------------------------------------------

@test "doctor tells how ports can be taken over" {
	run -0 nclust doctor --json
	[[ $(fact "taking over ports") == "ok by their own sockets"* ]]
	[[ $(fact "seccomp notify") == "ok works"* ]]
	[[ $(fact pidfd_getfd) == "ok works"* ]]
	[[ $(fact process_vm_readv) == "ok works"* ]]
	[ -n "$(fact ptrace_scope)" ]
	[ -n "$(fact CAP_SYS_PTRACE)" ]
	[[ $output != *"looks into no other process"* ]]
}

@test "doctor under Docker's profile: sockets of nclust's, and what to do" {
	need_root
	run -0 "$FIXTURES/confine" docker -- "$NCLUST" doctor --json
	[[ $(fact "taking over ports") == "note by sockets of nclust's"* ]]
	[[ $(fact pidfd_getfd) == "note refused"*"--cap-add SYS_PTRACE"* ]]
	[[ $(fact CAP_SYS_PTRACE) == *"not held"* ]]
	[[ $(fact "seccomp notify") == "ok works, with no_new_privs"* ]]
}

@test "doctor where there are no notifications, or somebody else has them" {
	run -0 "$FIXTURES/confine" gvisor -- "$NCLUST" doctor --json
	[[ $(fact "taking over ports") == "warn not possible"*"LISTEN_FDS"* ]]
	[[ $(fact "seccomp notify") == "note missing"*"gVisor"* ]]
	run -0 "$FIXTURES/confine" stacked -- "$NCLUST" doctor --json
	[[ $(fact "taking over ports") == "warn not by this nclust"* ]]
	[[ $(fact "seccomp notify") == "note in use"* ]]
}

# --- Servers on trial ----------------------------------------------------------------

@test "trial: a server that binds by itself" {
	free_port
	run --separate-stderr nclust doctor -- \
		python3 -m http.server --bind 127.0.0.1 "$PORT"
	echo "$output $stderr"
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	[[ ${lines[0]} == "ok    socket "*"tcp:127.0.0.1:$PORT"*"binds itself"*"backlog 5"*"takes it over" ]]
	[[ $output == *"passed sockets "*"ignored"* ]]
	[[ $output == *"ready "*"when it calls listen"* ]]
	[[ $output == *"second copy "*"ready after"* ]]
	[[ $output == *"shared "*"tcp:127.0.0.1:$PORT, one socket"* ]]
	[[ $output == *"copies "*"will work"* ]]
	[[ $output == *"SIGTERM "*"killed by SIGTERM"* ]]
	[[ $output == *"request in flight "*"cut by SIGTERM"* ]]
	[[ ${lines[-1]} == "nclust -n auto -- python3 -m http.server --bind 127.0.0.1 $PORT" ]]
	# what it prints is no news
	[[ $output != *"Serving HTTP"* ]]
	nothing_is_left
}

@test "trial: the same as one JSON object" {
	free_port
	try 0 -- "$FIXTURES/plain" "$PORT" --loopback
	[ "$(told .ok)" = true ]
	[ "$(told '.sockets | length')" -eq 1 ]
	[ "$(told '.sockets[0].address')" = "tcp:127.0.0.1:$PORT" ]
	[ "$(told '.sockets[0].how')" = "taken over" ]
	[ "$(told '.sockets[0].shared')" = same ]
	[ "$(told .ready.sign)" = listen ]
	[ "$(told .stop.exit)" = "killed by SIGTERM" ]
	[ "$(told .stop_in_request.request)" = lost ]
	the_line nclust -n auto -- "$FIXTURES/plain" "$PORT" --loopback
}

@test "trial: a server that takes its socket from LISTEN_FDS" {
	try 0 -- "$FIXTURES/serve"
	[ "$(told '.sockets[0].how')" = passed ]
	[ "$(told .ready.sign)" = alive ]
	[ "$(told .stop.exit)" = "exit 0" ]
	[ "$(told .stop_in_request.request)" = answered ]
	the_line nclust -n auto -l 8000 -- "$FIXTURES/serve"
}

@test "trial: READY=1, also where it comes late" {
	try 0 -- "$FIXTURES/serve" --notify
	[ "$(told .ready.sign)" = notify ]
	the_line nclust -n auto -l 8000 --ready notify -- \
		"$FIXTURES/serve" --notify
	try 0 -- "$FIXTURES/serve" --notify --delay 1500
	[ "$(told .ready.sign)" = notify ]
	[ "$(told '.ready.after >= 1.5')" = true ]
}

@test "trial: gunicorn takes it too, and has an address of its own" {
	must_have gunicorn
	free_port
	try 0 -- gunicorn --chdir "$SERVERS" --worker-tmp-dir "$DIR" \
		-b "127.0.0.1:$PORT" app:app
	[ "$(told '.sockets[0].how')" = passed ]
	[ "$(told .stop_in_request.request)" = answered ]
	[[ $(told '.run | join(" ")') == "nclust -n auto -l 127.0.0.1:$PORT --ready notify -- gunicorn "* ]]
}

@test "trial: FastCGI on standard input" {
	must_have php-cgi
	try 0 -- php-cgi
	[ "$(told '.sockets[0].how')" = passed ]
	the_line nclust -n auto -l 8000 --pass stdin -- php-cgi
}

@test "trial: a wrapper that forks, and LISTEN_PID" {
	try 0 -- sh -c "'$FIXTURES/serve' --from listen; exit 0"
	[ "$(told '.sockets[0].how')" = passed ]
	the_line nclust -n auto -l 8000 --listen-pid=no -- \
		sh -c "'$FIXTURES/serve' --from listen; exit 0"
}

@test "trial: nginx, on two addresses, and the signal at which it drains" {
	must_have nginx
	free_port
	nginx_conf "daemon off;"
	try 0 -- nginx -c "$DIR/nginx.conf"
	[ "$(told '[.sockets[].shared] | join(" ")')" = "same same" ]
	[[ $(told '[.sockets[].options] | join(" ")') == *"IPv6 only"* ]]
	[ "$(told .stop_in_request.request)" = lost ]
	the_line nclust -n auto --stop-signal QUIT -- nginx -c "$DIR/nginx.conf"
}

nginx_conf() {
	cat >"$DIR/nginx.conf" <<-END
		$1
		worker_processes 1;
		error_log stderr;
		pid $DIR/nginx.pid;
		events {}
		http {
			access_log off;
			client_body_temp_path $DIR/body;
			proxy_temp_path $DIR/proxy;
			fastcgi_temp_path $DIR/fastcgi;
			uwsgi_temp_path $DIR/uwsgi;
			scgi_temp_path $DIR/scgi;
			server {
				listen 127.0.0.1:$PORT;
				listen [::1]:$PORT;
				return 200 "hello";
			}
		}
	END
}

@test "trial: one that goes to the background is told of, and gone" {
	must_have nginx
	free_port
	nginx_conf ""
	try 1 -- nginx -c "$DIR/nginx.conf"
	[[ $(fact start) == "bad it ends with exit 0"*"daemon mode"* ]]
	[ "$(told .run)" = null ]
	poll_until 5 port_is_free
}

port_is_free() {
	! port_is_taken "$PORT"
}

@test "trial: redis, which speaks no HTTP" {
	must_have redis-server
	free_port
	try 0 -- redis-server --port "$PORT" --save "" --bind 127.0.0.1
	[ "$(told .stop_in_request.request)" = "no HTTP" ]
	the_line nclust -n auto -- \
		redis-server --port "$PORT" --save "" --bind 127.0.0.1
}

@test "trial: Node, and options of its socket" {
	must_have node
	free_port
	try 0 -- node "$SERVERS/plain.js" "$PORT"
	[[ $(told '.sockets[0].options') == *"backlog 511"* ]]
	the_line nclust -n auto -- node "$SERVERS/plain.js" "$PORT"
	try 0 -- "$FIXTURES/binder" tcp4 reuseport "bind=127.0.0.1:$PORT" \
		listen=5 serve
	[[ $(told '.sockets[0].options') == *"SO_REUSEPORT"* ]]
}

@test "trial: a server of files, which answers at the first line" {
	must_have busybox
	free_port
	try 0 -- busybox httpd -f -p "127.0.0.1:$PORT" -h "$DIR"
	[ "$(told .stop_in_request.request)" = lost ]
}
