# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034 # what life.bash reads
#
# Servers that nobody here wrote, or that are written as any, and that open
# their port themselves.  No address is given to nclust, and no flag.  Of each:
# two copies answer on the one port, a queue outlives them both, one is killed
# under requests, both are replaced, there are three and one, and all are gone.

# takes long
load ../../lib
load ../../life
bats_require_minimum_version 1.5.0

SERVERS=$SCRIPTS/servers

setup() {
	life_setup
}

# A server of files tells who it is by /proc/self/stat, which has the session
# of who opens it.
serves_proc() {
	VISIT=(--say $'GET /self/stat HTTP/1.0\r\n\r\n' --want "$1")
	who_answers() {
		"$FIXTURES/visit" "$PORT" "${VISIT[@]}" --show |
			sed -n 's/^[0-9]* (.*) [A-Z] [0-9]* [0-9]* \([0-9]*\) .*/\1/p'
	}
}

@test "a C program" {
	start_cluster -n 2 -- "$FIXTURES/plain" "$PORT"
	lead_a_life
}

@test "a C program without shared libraries" {
	start_cluster -n 2 -- "$FIXTURES/plain-static" "$PORT"
	lead_a_life
}

# A kernel may be built without, or (as a guest of a host without) have it off.
need_32_bit() {
	local got=0

	[ "$(uname -m)" = x86_64 ] || skip "no 32-bit programs here"
	"$FIXTURES/plain-32" >"$DIR/tried" 2>&1 || got=$?
	[ "$got" -ne 126 ] || skip "this kernel runs no 32-bit programs"
}

@test "a 32-bit C program, as its libc binds" {
	need_32_bit
	start_cluster -n 2 -- "$FIXTURES/plain-32" "$PORT"
	lead_a_life
}

@test "a 32-bit C program, by socketcall and by calls of their own" {
	need_32_bit
	for how in socketcall direct; do
		start_cluster -n 2 -- "$FIXTURES/plain-32" "$PORT" --by "$how"
		both_answer
		port_is_learned
		nothing_stays
		: >"$LOG"
	done
}

@test "a C program over multipath TCP" {
	[ "$(cat /proc/sys/net/mptcp/enabled)" = 1 ] || skip "no MPTCP here"
	start_cluster -n 2 -- "$FIXTURES/plain" "$PORT" --mptcp
	both_answer
	death_under_load
	restart_under_load
	nothing_stays
}

@test "a C program that listens on no socket that listens, as haproxy" {
	start_cluster -n 2 -- "$FIXTURES/plain" "$PORT" --ask
	lead_a_life
}

@test "a C program that shuts the socket of all down when it ends" {
	SHUTS=yes
	start_cluster -n 2 -- "$FIXTURES/plain" "$PORT" --shut
	lead_a_life
}

@test "a Node script, as a worker of Node's cluster" {
	must_have node
	AT_ONCE=$CLIENTS
	TAKEN=" .opened by"
	start_cluster -n 2 -- node "$SERVERS/plain.js" "$PORT"
	lead_a_life
}

@test "a Node script that binds for itself" {
	must_have node
	AT_ONCE=$CLIENTS
	start_cluster -n 2 --ipc off -- node "$SERVERS/plain.js" "$PORT"
	lead_a_life
}

@test "python3 -m http.server" {
	must_have python3
	AT_ONCE=$CLIENTS
	serves_proc python3
	start_cluster -n 2 -- python3 -m http.server --directory /proc "$PORT"
	lead_a_life
}

@test "a Python script with asyncio, on IPv4 and IPv6" {
	must_have python3
	AT_ONCE=$CLIENTS
	ADDRESSES=2
	start_cluster -n 2 -- python3 "$SERVERS/plain-asyncio.py" "$PORT"
	lead_a_life
}

@test "gunicorn -w 1" {
	must_have gunicorn
	DRAINS=yes
	start_cluster -n 2 -- gunicorn --chdir "$SERVERS" -w 1 \
		--worker-tmp-dir "$DIR" --graceful-timeout 5 \
		-b "127.0.0.1:$PORT" app:app
	lead_a_life
}

@test "gunicorn -w 2 --reuse-port" {
	must_have gunicorn
	AT_ONCE=2
	DRAINS=yes
	start_cluster -n 2 -- gunicorn --chdir "$SERVERS" -w 2 --reuse-port \
		--worker-tmp-dir "$DIR" --graceful-timeout 5 \
		-b "127.0.0.1:$PORT" app:app
	lead_a_life
}

# start_nginx PARAMETERS: of both its `listen`.
start_nginx() {
	cat >"$DIR/nginx.conf" <<-END
		daemon off;
		worker_processes 2;
		error_log stderr;
		events {}
		http {
			access_log off;
			client_body_temp_path $DIR/body;
			proxy_temp_path $DIR/proxy;
			fastcgi_temp_path $DIR/fastcgi;
			uwsgi_temp_path $DIR/uwsgi;
			scgi_temp_path $DIR/scgi;
			server {
				listen $PORT $1;
				listen [::]:$PORT $1;
				return 200 "pid=\$pid\n";
			}
		}
	END
	start_cluster -n 2 --stop-signal QUIT -- \
		nginx -c "$DIR/nginx.conf" -g "pid $DIR/nginx.{slot}.pid;"
}

@test "nginx with two workers of its own, on IPv4 and IPv6" {
	must_have nginx
	AT_ONCE=$CLIENTS
	DRAINS=yes
	ADDRESSES=2
	start_nginx ""
	VISIT=(--six)
	both_answer
	VISIT=()
	lead_a_life
}

@test "nginx with reuseport: two sockets of its own at each address" {
	must_have nginx
	AT_ONCE=$CLIENTS
	ADDRESSES=2
	SOCKETS=4
	start_nginx reuseport
	both_answer
	port_is_learned
	death_under_load
	restart_under_load
	nothing_stays
}

@test "lighttpd" {
	must_have lighttpd
	AT_ONCE=$CLIENTS
	DRAINS=yes
	VISIT=(--say $'GET /index.html HTTP/1.0\r\n\r\n')
	echo hello >"$DIR/index.html"
	start_cluster -n 2 --env "DIR=$DIR" --env "PORT=$PORT" \
		--stop-signal INT -- \
		lighttpd -D -f "$SERVERS/plain-lighttpd.conf"
	lead_a_life
}

@test "redis-server, on IPv4 and IPv6" {
	must_have redis-server
	AT_ONCE=$CLIENTS
	ADDRESSES=2
	VISIT=(--say $'INFO server\r\nQUIT\r\n' --want process_id:)
	who_answered() {
		tr -d '\r' | sed -n 's/^process_id://p'
	}
	start_cluster -n 2 -- redis-server --port "$PORT" --save ""
	lead_a_life
}

@test "php -S" {
	must_have php
	AT_ONCE=$CLIENTS
	start_cluster -n 2 -- php -S "127.0.0.1:$PORT" "$SERVERS/app.php"
	lead_a_life
}

@test "a Perl script with HTTP::Daemon" {
	must_have perl
	start_cluster -n 2 -- perl "$SERVERS/daemon.pl" "$PORT"
	lead_a_life
}

@test "busybox httpd" {
	must_have busybox
	AT_ONCE=$CLIENTS
	serves_proc busybox
	start_cluster -n 2 -- busybox httpd -f -p "$PORT" -h /proc
	lead_a_life
}
