# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# What a user waits for, beside the same server started by hand, for scripts/bench:
# the first command until both workers are ready, and a saved file until the new
# worker answers.  In turns, HAND_ROUNDS times; the best of each counts.

HAND_ROUNDS=${HAND_ROUNDS:-9}

# says PORT: sets SAID, the last line of an answer; it fails while there is none.
says() {
	local fd line

	SAID=
	{ exec {fd}<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return
	printf 'GET / HTTP/1.0\r\n\r\n' >&"$fd"
	while IFS= read -r -t 5 line <&"$fd"; do
		SAID=$line
	done
	exec {fd}>&-
}

# until_says PORT PATTERN: polls, and leaves the CPUs to the server.
until_says() {
	# shellcheck disable=SC2053 # a pattern
	until says "$1" && [[ $SAID == $2 ]]; do
		read -r -t 0.001 -u "$pause"
	done
}
exec {pause}<> <(:)

# by_hand COMMAND...: two, each with a port of its own; sets TOOK.
by_hand() {
	local a b start pids=()

	a=$(free_port) b=$(free_port)
	start=${EPOCHREALTIME/./}
	"$@" "$a" >/dev/null &
	pids+=($!)
	"$@" "$b" >/dev/null &
	pids+=($!)
	until_says "$a" '*'
	until_says "$b" '*'
	TOOK=$((${EPOCHREALTIME/./} - start))
	kill -KILL "${pids[@]}"
	wait "${pids[@]}" 2>/dev/null
}

# by_command COMMAND...: until nclust says that both are ready; sets TOOK.
by_command() {
	local port start lines line

	port=$(free_port)
	start=${EPOCHREALTIME/./}
	exec {lines}< <(exec ./nclust -n 2 --name hand -- "$@" "$port" 2>&1)
	started+=($!)
	while read -r -t 30 -u "$lines" line; do
		[[ $line != *"2 of 2 workers ready"* ]] || break
	done
	TOOK=$((${EPOCHREALTIME/./} - start))
	stop_last
	exec {lines}<&-
	[[ $line == *"2 of 2 workers ready"* ]]
}

first_command() {
	local what=$1 round nclust=() hand=()

	shift
	for ((round = 0; round < HAND_ROUNDS; round++)); do
		by_hand "$@"
		hand+=("$TOOK")
		by_command "$@" || {
			note "no two workers of $what"
			return 1
		}
		nclust+=("$TOOK")
	done
	row "first command to two ready workers: $what" "$(best "${nclust[@]}")" \
		"$(best "${hand[@]}")" 2 µs
}

# save VERSION: as an editor does.
save() {
	sed "s/pid=/v$1 pid=/" "$PLAIN_JS" \
		>"$BENCH_DIR/site/server.js"
}

saved() {
	local round port own start pid server=$BENCH_DIR/site/server.js
	local after=() alone=() ms=1000

	mkdir -p "$BENCH_DIR/site"
	save 0
	port=$(free_port) own=$(free_port)
	begin ./nclust -n 1 --name saved --log off \
		--watch "$BENCH_DIR/site/*.js" -- node "$server" "$port"
	wait_ready saved || return
	for ((round = 1; round <= HAND_ROUNDS; round++)); do
		start=${EPOCHREALTIME/./}
		save "$round"
		until_says "$port" "v$round *"
		after+=($((${EPOCHREALTIME/./} - start)))
		until_holds 10 "the old worker stays" settled saved || return
		start=${EPOCHREALTIME/./}
		node "$server" "$own" &
		pid=$!
		until_says "$own" "v$round *"
		alone+=($((${EPOCHREALTIME/./} - start)))
		kill -KILL "$pid"
		wait "$pid" 2>/dev/null
	done
	stop_last
	most "save to the new worker's first answer" \
		$(($(best "${after[@]}") / ms)) \
		$(($(best "${alone[@]}") * 13 / 10 / ms + 50)) ms
	note "its own start: $(($(best "${alone[@]}") / ms)) ms;" \
		"the bound is 1.3 times that and 50 ms"
}

# Its rollout is over, and the old worker is gone.
settled() {
	[ "$(./nclust status "$1" --json | jq -c '.clusters[0] |
		[.state, (.workers | length)]')" = '["running",1]' ]
}

figure_hand() {
	first_command "C" "$ROOT/build/fixtures/plain"
	first_command "Node" node "$PLAIN_JS"
	saved
}
