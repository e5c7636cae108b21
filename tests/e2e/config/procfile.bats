# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2154
#
# `nclust -c Procfile`, as foreman reads it.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	unset PORT
	APP=$DIR/shop
	mkdir "$APP"
}

write_procfile() {
	printf '%s\n' "$@" >"$APP/Procfile.new"
	mv "$APP/Procfile.new" "$APP/Procfile"
}

# The variable of the worker in slot 0 of a cluster.
variable() {
	tr '\0' '\n' <"/proc/$(CLUSTER=$1 worker_pid 0)/environ" |
		sed -n "s/^$2=//p"
}

clusters() {
	status_json |
		jq -r '[.clusters[] | "\(.name)=\(.wanted)"] | sort | join(" ")'
}

@test "each line is a cluster, with PORT, .env and the file's directory" {
	write_procfile '# the shop' "web: $FIXTURES/hear" '' \
		"worker: GREETING=hello $FIXTURES/hear --to \$HOME/heard"
	printf '%s\n' '# secrets' 'SECRET="a b"' "HOME=$DIR" >"$APP/.env"
	start_cluster -c "$APP/Procfile"
	[ "$(clusters)" = "web=1 worker=1" ]
	[ "$(variable web PORT)" = 5000 ]
	[ "$(variable worker PORT)" = 5100 ]
	[ "$(variable web SECRET)" = "a b" ]
	[ "$(variable worker GREETING)" = hello ]
	[ "$(readlink "/proc/$(CLUSTER=web worker_pid 0)/cwd")" = "$APP" ]
	file_has "$DIR/heard" start
	# no shell is left between nclust and the program
	[ "$(readlink "/proc/$(CLUSTER=worker worker_pid 0)/exe")" = \
		"$(readlink -f "$FIXTURES/hear")" ]
	run -0 nclust config "$INSTANCE"
	[[ $output == *"$APP/Procfile:2"* ]]
}

@test "copies of a server share the port that it opens by itself" {
	free_port
	write_procfile "web: $FIXTURES/plain \$PORT --loopback"
	PORT=$PORT start_cluster -c "$APP/Procfile" -n web=2
	wait_listened "$PORT"
	[ "$(clusters)" = web=2 ]
	[ "$(variable web PORT)" = "$PORT" ]
	[[ $(http_get "$PORT") == pid=* ]]
	nclust restart "$INSTANCE"
	[[ $(http_get "$PORT") == pid=* ]]
}

@test "-l and an env of the command line win over PORT" {
	free_port
	write_procfile "web: $FIXTURES/serve --quick-start"
	start_cluster -c "$APP/Procfile" -l "$AT"
	[ "$(variable web PORT)" = "$PORT" ]
	[[ $(http_get "$PORT") == *slot=0* ]]
}

@test "a formation: how many of which, and none" {
	write_procfile "web: $FIXTURES/hear" "worker: $FIXTURES/hear" \
		"clock: $FIXTURES/hear"
	start_cluster -c "$APP/Procfile" -n web=2,clock=0
	[ "$(clusters)" = "web=2 worker=1" ]
	nclust stop "$INSTANCE"
	wait_exit
	start_cluster -c "$APP/Procfile" -n all=0,worker=3
	[ "$(clusters)" = "worker=3" ]
	nclust stop "$INSTANCE"
	wait_exit
	# as with any file, a number is for all
	start_cluster -c "$APP/Procfile" -n 2
	[ "$(clusters)" = "clock=2 web=2 worker=2" ]
	nclust stop "$INSTANCE"
	wait_exit

	for wrong in job=2 web=many web=2,3 all=0; do
		run -64 "$NCLUST" --name "$INSTANCE" -c "$APP/Procfile" \
			-n "$wrong"
		[[ $output == *workers* ]]
	done
}

@test "files of other systems and of shells: a byte order mark, CRLF, export" {
	printf '\xef\xbb\xbfweb: %s\r\n\r\njob: %s\r\n' "$FIXTURES/hear" \
		"$FIXTURES/hear" >"$APP/Procfile"
	printf '\xef\xbb\xbf# x\r\n  export PORT="7000"\r\n' >"$APP/.env"
	start_cluster -c "$APP/Procfile"
	[ "$(clusters)" = "job=1 web=1" ]
	[ "$(variable web PORT)" = 7000 ]
	[ "$(variable job PORT)" = 7100 ]
}

@test "a .env that never ends is told, and nothing is started" {
	write_procfile "web: $FIXTURES/hear"
	ln -s /dev/zero "$APP/.env"
	run -78 timeout 10 "$NCLUST" --name "$INSTANCE" -c "$APP/Procfile"
	[[ $output == *"$APP/.env': wanted a regular file"* ]]
}

@test "mistakes are told with file and line, and nothing is started" {
	write_procfile "web: $FIXTURES/hear" 'nonsense' ': x' "web: y" 'job:'
	run -78 "$NCLUST" --name "$INSTANCE" -c "$APP/Procfile"
	[[ $output == *"Procfile:2: wanted 'name: command'"* ]]
	[[ $output == *"Procfile:3: "* ]]
	[[ $output == *"Procfile:4: 'web' is given twice, first in line 1"* ]]
	[[ $output == *"Procfile:5: job: wanted a command"* ]]
	run -78 "$NCLUST" config --check -c "$APP/Procfile"
	write_procfile "web: $FIXTURES/hear"
	run -0 "$NCLUST" config --check -c "$APP/Procfile"
	mkdir "$APP/dev"
	cp "$APP/Procfile" "$APP/dev/Procfile.dev"
	run -0 "$NCLUST" config --all -c "$APP/dev/Procfile.dev"
	# the instance is called as its directory
	[[ $output == *"name = dev"* ]]
}

@test "a reload adds, changes and removes lines, or tells what is wrong" {
	write_procfile "web: $FIXTURES/hear" "worker: $FIXTURES/hear"
	start_cluster -c "$APP/Procfile"
	web=$(CLUSTER=web worker_pid 0)
	write_procfile "web: $FIXTURES/hear" "clock: $FIXTURES/hear --end-on TERM"
	run -0 nclust reload "$INSTANCE"
	wait_until 10 '[ "$(clusters)" = "clock=1 web=1" ]'
	[ "$(CLUSTER=web worker_pid 0)" = "$web" ]
	write_procfile "web"
	run -78 nclust reload "$INSTANCE"
	[[ $output == *"Procfile:1: "* ]]
	[ "$(clusters)" = "clock=1 web=1" ]
}

@test "a command of the shell: variables, pipes, several, quotes that do not end" {
	write_procfile "one: echo \"\$PORT\" >one; exec $FIXTURES/hear" \
		"two: cd sub && echo here >two && $FIXTURES/hear | cat"
	mkdir "$APP/sub"
	start_cluster -c "$APP/Procfile"
	wait_until 10 '[ -s "$1/one" ] && [ -s "$1/sub/two" ]' "$APP"
	[ "$(cat "$APP/one")" = 5000 ]
	# a stop reaches all of a pipe
	pids=$(pgrep -s "$(CLUSTER=two worker_pid 0)")
	[ "$(wc -w <<<"$pids")" -ge 3 ]
	nclust stop "$INSTANCE"
	wait_exit
	for pid in $pids; do
		is_gone "$pid"
	done

	write_procfile "bad: echo it's"
	run start_cluster -c "$APP/Procfile"
	logged "nterminated quoted string"
}
