# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034 # who reads it uses them
#
# Servers to be replaced under load, for tests/e2e/drain/replace.bats and
# tests/bench/replace.bash.  None does anything to help but what it does by
# itself: most die at once on SIGTERM.
#
#   server_NAME    sets, for the port $PORT and the directory $DIR,
#
#     SERVER   how nclust is told of two of them: options, "--", command
#     AT       where they are reached
#     MODES    loads that make sense: short, keep, stream, chat
#     MIX      what is asked for (options of openload)
#     RATE     so often a second, in each mode; well below what they can
#
# It may start a process that it needs by `begin COMMAND...`, the caller's.

SERVERS_DIR=$ROOT/tests/e2e/servers
SERVERS_BUILT=$ROOT/build/servers
RUDE=$ROOT/build/fixtures/rude
SOME_SLOW=(--path /:9 --path /slow:1)

server_blocking() {
	SERVER=(-- "$RUDE" "$PORT" --blocking --work 5 --close)
	AT=$PORT MODES=short RATE=200 MIX=()
}

server_events() {
	SERVER=(-- "$RUDE" "$PORT" --slow 100)
	AT=$PORT MODES="short keep" RATE=80 MIX=("${SOME_SLOW[@]}")
}

# It takes the socket that nclust has bound.
server_inherited() {
	SERVER=(-l "127.0.0.1:$PORT" -- "$RUDE" --slow 100)
	AT=$PORT MODES="short keep" RATE=80 MIX=("${SOME_SLOW[@]}")
}

# Each answer takes 2 ms, and another one need not wait for it.
server_brief() {
	SERVER=(-l "127.0.0.1:$PORT" -- "$RUDE" --work 2)
	AT=$PORT MODES=short RATE=300 MIX=(--path /)
}

server_unix() {
	SERVER=(-l "unix:$DIR/socket" -- "$RUDE" --slow 100)
	AT=$DIR/socket MODES=short RATE=100 MIX=("${SOME_SLOW[@]}")
}

# It catches its stop signal, and goes on as before until it ends.
server_lingering() {
	SERVER=(-l "127.0.0.1:$PORT" -- "$RUDE" --late 200 --slow 15)
	AT=$PORT MODES=short RATE=150 MIX=(--path /slow)
}

# So does this one, which waits in accept(2).
server_lingering_accept() {
	SERVER=(-l "127.0.0.1:$PORT" -- "$RUDE" --blocking --late 100 --slow 8)
	AT=$PORT MODES=short RATE=80 MIX=(--path /slow)
}

server_unix_slow() {
	SERVER=(-l "unix:$DIR/socket" -- "$RUDE" --slow 400)
	AT=$DIR/socket MODES=short RATE=40 MIX=(--path / --path /slow)
}

# The kernel does not tell when bytes came and went on a unix socket: that a
# kept connection waits for a slow answer cannot be seen, so none is slow: each that
# is used all the time is a doubt for half of drain-timeout.
server_unix_kept() {
	server_unix
	SERVER=(--drain-timeout 3s "${SERVER[@]}")
	MODES=keep MIX=()
}

# Each stream takes half a second, or what CHUNKS × 50 ms says.
server_stream() {
	SERVER=(-- "$RUDE" "$PORT" --chunks "${CHUNKS:-10}")
	AT=$PORT MODES=stream RATE=20 MIX=(--path /stream)
}

# Each answer's header is sent at once, its body 60 ms later.
server_late() {
	SERVER=(-- "$RUDE" "$PORT" --chunks 1 --gap 60)
	AT=$PORT MODES=stream RATE=50 MIX=(--path /stream)
}

# A process for each connection, which has those of all others, too.
server_copies() {
	SERVER=(-- "$RUDE" "$PORT" --blocking --fork --keep --chunks 4 --gap 150)
	AT=$PORT MODES=stream RATE=10 MIX=(--path /stream)
}

server_chat() {
	SERVER=(-- "$RUDE" "$PORT")
	AT=$PORT MODES=chat RATE=50 MIX=()
}

# HTTP/1.0: each connection is a short one.
server_python() {
	mkdir -p "$DIR/files"
	echo hello >"$DIR/files/hello"
	SERVER=(-- python3 -m http.server --directory "$DIR/files" "$PORT")
	AT=$PORT MODES=short RATE=100 MIX=(--path /hello)
}

server_node() {
	SERVER=(-- node "$SERVERS_DIR/slow.js" "$PORT")
	AT=$PORT MODES="short keep" RATE=100 MIX=("${SOME_SLOW[@]}")
}

server_gunicorn() {
	SERVER=(-- gunicorn --chdir "$SERVERS_DIR" -w 1 --threads 4
		--worker-tmp-dir "$DIR" -b "127.0.0.1:$PORT" slow:app)
	AT=$PORT MODES="short keep" RATE=40 MIX=("${SOME_SLOW[@]}")
}

# Before a server that lives on; SIGTERM ends nginx at once.
server_nginx() {
	cat >"$DIR/nginx.conf" <<-END
		daemon off;
		$([ "$(id -u)" -ne 0 ] || echo "user root;")
		worker_processes 1;
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
				listen $PORT;
				location / {
					proxy_pass http://unix:$DIR/behind;
				}
			}
		}
	END
	begin "$RUDE" "$DIR/behind" --slow 100
	until [ -S "$DIR/behind" ]; do sleep 0.02; done
	SERVER=(-- nginx -c "$DIR/nginx.conf" -g "pid $DIR/nginx.{slot}.pid;")
	AT=$PORT MODES="short keep" RATE=100 MIX=("${SOME_SLOW[@]}")
}

# Go or Java, whichever is there.
build_server() {
	mkdir -p "$SERVERS_BUILT"
	if command -v go >/dev/null; then
		[ "$SERVERS_BUILT/slow" -nt "$SERVERS_DIR/slow.go" ] ||
			GOCACHE=$SERVERS_BUILT/cache GO111MODULE=off CGO_ENABLED=0 \
				go build -o "$SERVERS_BUILT/slow" \
				"$SERVERS_DIR/slow.go"
	else
		[ "$SERVERS_BUILT/Slow.class" -nt "$SERVERS_DIR/Slow.java" ] ||
			javac -d "$SERVERS_BUILT" "$SERVERS_DIR/Slow.java"
	fi
}

server_compiled() {
	build_server || return
	if [ -x "$SERVERS_BUILT/slow" ]; then
		SERVER=(-- "$SERVERS_BUILT/slow" "$PORT")
	else
		SERVER=(-- java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
			-Xmx64m -cp "$SERVERS_BUILT" Slow "$PORT")
	fi
	AT=$PORT MODES="short keep" RATE=100 MIX=("${SOME_SLOW[@]}")
}
