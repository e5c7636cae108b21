# SPDX-License-Identifier: MIT
# shellcheck disable=SC2034 # what life.bash reads
#
# tests/e2e/intercept/unmodified.bats for servers whose compilers and runtimes are too
# large for every check; run by scripts/wild, which builds them.

load ../lib
load ../life
bats_require_minimum_version 1.5.0

SETUP_LEVEL=wild
HERE=$ROOT/tests/wild
BUILT=$ROOT/build/wild

# A small heap and no second compiler: it starts faster.
JAVA=(java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx64m -cp "$BUILT")

setup() {
	life_setup
	AT_ONCE=$CLIENTS
}

@test "Go, net/http, a static program" {
	start_cluster -n 2 -- "$BUILT/server" "$PORT"
	lead_a_life
}

@test "Java, ServerSocket" {
	must_have java
	AT_ONCE=1
	start_cluster -n 2 -- "${JAVA[@]}" PlainSocket "$PORT"
	lead_a_life
}

@test "Java, HttpServer" {
	must_have java
	start_cluster -n 2 -- "${JAVA[@]}" PlainHttp "$PORT"
	lead_a_life
}

@test "Ruby, webrick, on IPv4 and IPv6" {
	must_have ruby
	ADDRESSES=2
	SHUTS=yes
	start_cluster -n 2 -- ruby "$HERE/plain-webrick.rb" "$PORT"
	lead_a_life
}

@test "Ruby, puma" {
	must_have puma
	DRAINS=yes
	start_cluster -n 2 -- puma --environment production --threads 1:2 \
		--bind "tcp://127.0.0.1:$PORT" "$HERE/config.ru"
	lead_a_life
}
