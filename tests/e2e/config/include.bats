# SPDX-License-Identifier: MIT
#
# A configuration of several files, with defaults and variables: what workers
# get of it, and what a reload makes of a change in any of the files.

load ../../lib
bats_require_minimum_version 1.5.0

# file NAME LINE...: a file below our directory.
file() {
	mkdir -p "$DIR/$(dirname "$1")"
	printf '%s\n' "${@:2}" >"$DIR/$1"
}

# start_shop [OPTION]...: from another directory than that of the file.
start_shop() {
	(
		cd /
		exec "$NCLUST" -c "$DIR/$INSTANCE.ini" "$@" >>"$LOG" 2>&1 \
			</dev/null 3>&-
	) &
	NCLUST_PID=$!
	STARTED+=("$NCLUST_PID")
	wait_ready
}

pids() {
	status_json | jq -c --arg c "$1" \
		'[.clusters[] | select(.name == $c).workers[].pid]'
}

@test "included files, defaults and variables come to the workers" {
	export SHOP_WORDS="two words" SHOP_DIR=$DIR
	free_port
	file "$INSTANCE.ini" '[nclust]' 'include = conf.d/*.ini' \
		'[defaults]' 'ready = notify' 'workers = 2' \
		'env = WORDS="${SHOP_WORDS}!"' 'env = MODE=test' \
		"listen = unix:\${SHOP_DIR}/{cluster}.sock"
	file conf.d/web.ini '[cluster:web]' \
		"command = $FIXTURES/leak --notify --to out.{slot+10} {cluster}" \
		'env = MODE=own' 'env = DEBUG_PORT={slot+9229}'
	file conf.d/jobs.ini '[cluster:jobs]' \
		"command = $FIXTURES/leak --notify --to jobs '\${HOME}'" \
		'workers = 1' 'env-file = jobs.env'
	file conf.d/jobs.env 'FROM=file {slot}'
	start_shop

	# relative to the file that says so, not to where nclust was started
	[ "$(jq -c '[.argv[-1], .env.MODE, .env.WORDS, .env.DEBUG_PORT]' \
		"$DIR/conf.d/out.10")" = '["web","own","two words!","9229"]' ]
	[ "$(jq -r .env.DEBUG_PORT "$DIR/conf.d/out.11")" = 9230 ]
	[ "$(jq -c '[.argv[-1], .env.MODE, .env.FROM]' "$DIR/conf.d/jobs")" = \
		'["${HOME}","test","file {slot}"]' ]
	[ -S "$DIR/web.sock" ]
	[ -S "$DIR/jobs.sock" ]

	run -0 nclust config "$INSTANCE"
	[[ $output == *"; $DIR/conf.d/web.ini:2"$'\n'"command = "* ]]
	[[ $output == *"; $DIR/$INSTANCE.ini:5"$'\n'"workers = 2"* ]]
}

@test "a reload reads the included files again, and an upgrade knows them" {
	local web jobs

	file "$INSTANCE.ini" '[nclust]' 'include = conf.d/*.ini' \
		'[defaults]' 'ready = notify' 'workers = 1'
	file conf.d/web.ini '[cluster:web]' \
		"command = $FIXTURES/slow-ready 0" 'env = A=1'
	file conf.d/jobs.ini '[cluster:jobs]' "command = $FIXTURES/slow-ready 0"
	start_shop
	web=$(pids web)
	jobs=$(pids jobs)

	file conf.d/web.ini '[cluster:web]' \
		"command = $FIXTURES/slow-ready 0" 'env = A=2'
	nclust reload "$INSTANCE"
	[ "$(pids web)" != "$web" ]
	[ "$(pids jobs)" = "$jobs" ]

	file conf.d/more.ini '[cluster:more]' "command = $FIXTURES/slow-ready 0"
	nclust reload "$INSTANCE"
	[ "$(pids more | jq length)" -eq 1 ]
	[ "$(pids jobs)" = "$jobs" ]

	# a mistake in one file, and nothing is changed
	web=$(pids web)
	file conf.d/web.ini '[cluster:web]' 'command = true' 'wrokers = 2'
	run -78 nclust reload "$INSTANCE"
	[[ $output == *"$DIR/conf.d/web.ini:3: cluster:web.wrokers: unknown key"* ]]
	[ "$(pids web)" = "$web" ]

	nclust upgrade "$INSTANCE"
	run -0 nclust config "$INSTANCE"
	[[ $output == *"; $DIR/conf.d/web.ini:3"$'\n'"env = A=2"* ]]
	[ "$(pids web)" = "$web" ]

	rm "$DIR"/conf.d/*.ini
	run -78 nclust reload "$INSTANCE"
	[[ $output == *"$INSTANCE.ini:2: nclust.include: 'conf.d/*.ini' matches no file"* ]]
	[ "$(pids web)" = "$web" ]
}

@test "a worker that is started anew has its slot's number again" {
	file "$INSTANCE.ini" '[cluster]' 'workers = 2' 'ready = notify' \
		"command = $FIXTURES/leak --notify --to $DIR/out.{slot}" \
		'env = PORT={slot+8000}' 'env = JAVA_TOOL_OPTIONS=-Dx={slot}' \
		'threads = 2'
	start_shop
	rm "$DIR/out.1"
	kill -KILL "$(worker_pid 1)"
	wait_until 5 '[ -s "$DIR/out.1" ] && jq -e . "$DIR/out.1" >"$DIR/null"'
	[ "$(jq -r .env.PORT "$DIR/out.1")" = 8001 ]
	[ "$(jq -r .env.JAVA_TOOL_OPTIONS "$DIR/out.1")" = \
		"-Dx=1 -XX:ActiveProcessorCount=2" ]
}

@test "workers of another user start beside a file of root's alone" {
	need_root
	mkdir -m 700 "$DIR/closed" "$DIR/closed/sub"
	mkdir -m 777 "$DIR/out"
	file closed/it.ini '[cluster]' 'workers = 1' 'user = nobody' \
		"command = $FIXTURES/leak --notify --to $DIR/out/leak" \
		'ready = notify' \
		"on-ready = sh -c 'pwd -P >$DIR/out/hook'"
	start_nclust -c "$DIR/closed/it.ini"
	wait_ready
	[ "$(jq -r .cwd "$DIR/out/leak")" = "$DIR/closed" ]
	wait_until 5 '[ -s "$DIR/out/hook" ]'
	[ "$(cat "$DIR/out/hook")" = "$DIR/closed" ]

	# also of another nclust, and with another command
	nclust upgrade it
	nclust restart it -- "$FIXTURES/leak" --notify --to "$DIR/out/again"
	[ "$(jq -r .cwd "$DIR/out/again")" = "$DIR/closed" ]

	# one that was asked for is entered with the rights of the user
	echo 'directory = sub' >>"$DIR/closed/it.ini"
	run ! nclust reload it
	[[ $output == *"cannot enter directory '$DIR/closed/sub'"* ]]
}

@test "what config shows of a file means the same elsewhere" {
	local name=$'a\nleader = yes'

	file "sub/$name.ini" '[cluster:web]' 'workers = 1' 'ready = notify' \
		'command = ./it --notify --to out' 'log = file:log'
	file sub/it.ini '[nclust]' 'include = a*.ini'
	cp "$FIXTURES/leak" "$DIR/sub/it"
	mkdir "$DIR/else"
	(cd "$DIR" && nclust config -c sub/it.ini >else/it.ini)
	run ! grep leader "$DIR/else/it.ini" -x
	start_nclust -c "$DIR/else/it.ini"
	wait_ready
	[ "$(jq -r .cwd "$DIR/sub/out")" = "$DIR/sub" ]
	[ -e "$DIR/sub/log" ]
}
