# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2119,SC2120
#
# fallback = 503 | FILE: what HTTP clients get while no worker is ready.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	free_port
	# a worker that begins when it may: by a file
	printf '#!/bin/sh\nwhile [ ! -e %s/go ]; do sleep 0.05; done\n%s\n' \
		"$DIR" 'exec "$@"' >"$DIR/gated"
	chmod 755 "$DIR/gated"
	SERVE=("$FIXTURES/serve" --notify)
}

teardown() {
	end_keepers
	nclust_teardown
}

# start_fallback [OPTION]...: one worker at $AT that says when it is ready.
start_fallback() {
	start_nclust -n 1 --listen "$AT" --ready notify --fallback 503 \
		--fallback-after 200ms "$@"
}

# ask [URL]: the whole answer, without the carriage returns.
ask() {
	curl -si --max-time "$((10 * PATIENCE))" "${1:-http://$AT/}" | tr -d '\r'
}

is_503() {
	[[ $(ask "$@") == "HTTP/1.1 503 "* ]]
}

is_200() {
	[[ $(ask "$@") == "HTTP/1.0 200 "* ]]
}

responder_pid() {
	pgrep -P "$NCLUST_PID" -f -- '--role fallback'
}

answered() {
	[ "$(cluster .fallback.active)" = "${1:-true}" ]
}

# has_line TEXT: is it one of `output`?
has_line() {
	grep -qxF -- "$1" <<<"$output"
}

@test "fallback = 503: until a worker is ready, and then no more" {
	start_fallback -- "$DIR/gated" "${SERVE[@]}"
	wait_until 10 answered
	output=$(ask)
	[ "${output%%$'\n'*}" = "HTTP/1.1 503 Service Unavailable" ]
	has_line "Retry-After: 1"
	has_line "Connection: close"
	[ "${output##*$'\n'}" = "503 Service Unavailable: starting" ]
	# HEAD has the same head, and no more
	[ "$(curl -s --head "http://$AT/" | tr -d '\r')" = \
		"${output%$'\n\n'*}" ]
	# one who sends much gets it, too
	head -c 3000000 /dev/zero >"$DIR/much"
	[ "$(curl -s -o "$DIR/body" -w '%{http_code}' -H Expect: \
		--data-binary "@$DIR/much" "http://$AT/")" = 503 ]
	logged "no worker was ready for 200ms: HTTP clients get 503 (starting)"
	wait_until 10 '[ "$(cluster .fallback.answers)" -eq 3 ]'
	run nclust status "$INSTANCE"
	[[ $output == *"nclust answers 503 now, 3 times so far"* ]]
	touch "$DIR/go"
	wait_ready
	wait_logged "a worker is ready: clients are its own again"
	for _ in {1..20}; do
		is_200
	done
	[ "$(cluster '.fallback | "\(.active) \(.answers)"')" = "false 3" ]
}

@test "who comes before fallback-after waits for a worker" {
	start_fallback --fallback-after 1h -- "$DIR/gated" "${SERVE[@]}"
	ask >"$DIR/answer" 3>&- &
	STARTED+=("$!")
	wait_until 10 '[ "$(cluster ".listeners[0].queue")" -eq 1 ]'
	touch "$DIR/go"
	wait "$!"
	[[ $(cat "$DIR/answer") == "HTTP/1.0 200 "* ]]
}

@test "a crash loop: the page says when the next try is" {
	start_fallback --backoff-min 20s --backoff-jitter 0% -- \
		"$FIXTURES/die" --exit 3
	wait_until 20 '[[ $(ask) == *"a crash, next try in "* ]]'
	output=$(ask)
	[[ ${output##*$'\n'} =~ ^"503 Service Unavailable: restarting after a crash, next try in "([0-9]+)" s"$ ]]
	[ "${BASH_REMATCH[1]}" -le 20 ]
	[[ $output == *"Retry-After: "[0-9]* ]]
}

@test "killed under load: each client gets 200 or 503, and none has to wait" {
	printf '#!/bin/sh\nsleep 0.6\nexec %s\n' "${SERVE[*]}" >"$DIR/slow"
	chmod 755 "$DIR/slow"
	start_cluster -n 1 --listen "$AT" --ready notify --fallback 503 \
		--fallback-after 100ms -- "$DIR/slow"
	printf 'url = "http://%s/"\noutput = /dev/null\n' "$AT" >"$DIR/one"
	for _ in {1..8}; do
		while [ ! -e "$DIR/over" ]; do
			curl -s --max-time 10 -o /dev/null \
				-w '%{http_code} %{exitcode}\n' "http://$AT/" ||
				true
		done >>"$DIR/codes" 3>&- &
		STARTED+=("$!")
	done
	for _ in 1 2 3; do
		wait_ready
		poll_until 10 is_200
		: >"$DIR/codes"
		kill -KILL "$(worker_pid 0)"
		wait_until 10 'grep -q ^503 "$DIR/codes"'
	done
	wait_ready
	touch "$DIR/over"
	wait "${STARTED[@]:1}"
	# what else there is: the one that the worker had accepted (52), 56)
	run -1 grep -vE '^(200 0|503 0|000 (52|56))$' "$DIR/codes"
	[ "$(grep -c ^000 "$DIR/codes")" -le 2 ]
}

@test "fallback = FILE: its text, read at the start and at a reload" {
	echo '<h1>soon</h1>' >"$DIR/soon.html"
	printf '[cluster:web]\ncommand = %s %s\nlisten = %s\nready = notify\n' \
		"$DIR/gated" "${SERVE[*]}" "$AT" >"$DIR/it.ini"
	printf 'fallback = %s/soon.html\nfallback-after = 100ms\n' "$DIR" \
		>>"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	wait_until 10 answered
	output=$(ask)
	has_line "HTTP/1.1 503 Service Unavailable"
	has_line "Content-Type: text/html; charset=utf-8"
	has_line "<h1>soon</h1>"
	head -c 65536 /dev/zero | tr '\0' x >"$DIR/soon.html"
	nclust reload "$INSTANCE" --no-wait
	wait_until 10 '[ "$(ask | tail -n 1 | wc -c)" -eq 65536 ]'
	# what is wrong is said, and changes nothing
	echo >>"$DIR/soon.html"
	run ! nclust reload "$INSTANCE"
	[[ $output == *":5: cluster:web.fallback: '$DIR/soon.html': wanted a file of 1 byte to 64k, found more"* ]]
	is_503
	# and off it goes
	sed -i 's/^fallback = .*/fallback = 503/' "$DIR/it.ini"
	nclust reload "$INSTANCE" --no-wait
	wait_until 10 '[[ $(ask) == *": starting" ]]'
	sed -i '/^fallback/d' "$DIR/it.ini"
	nclust reload "$INSTANCE" --no-wait
	wait_until 10 '[ "$(cluster .fallback)" = null ]'
	poll_until 10 holds '! responder_pid'
	ask >"$DIR/answer" 3>&- &
	STARTED+=("$!")
	wait_until 10 '[ "$(cluster ".listeners[0].queue")" -eq 1 ]'
	touch "$DIR/go"
	wait "$!"
	[[ $(cat "$DIR/answer") == "HTTP/1.0 200 "* ]]
}

# refused LINE... : the errors of a file with these lines.
refused() {
	printf '%s\n' "[cluster:web]" "command = true" "$@" >"$DIR/bad.ini"
	run -78 "$NCLUST" -c "$DIR/bad.ini"
	output=${output#"$DIR/bad.ini:"}
}

@test "what fallback cannot be is said with its line" {
	refused "listen = $AT" "fallback = $DIR/none.html"
	[ "$output" = "4: cluster:web.fallback: '$DIR/none.html': cannot open: No such file or directory" ]
	refused "fallback = $DIR"
	[ "$output" = "3: cluster:web.fallback: '$DIR': is no regular file" ]
	: >"$DIR/empty"
	refused "fallback = $DIR/empty"
	[ "$output" = "3: cluster:web.fallback: '$DIR/empty': wanted a file of 1 byte to 64k, found an empty one" ]
	printf 'a\0b' >"$DIR/nul"
	refused "fallback = $DIR/nul"
	[ "$output" = "3: cluster:web.fallback: '$DIR/nul': wanted text, found a NUL byte" ]
	refused "fallback = 503" "fallback-after = 10ms"
	[[ $output == "4: cluster:web.fallback-after: wanted a time "* ]]
	refused "fallback = 503" "intercept = off"
	[ "$output" = "3: cluster:web.fallback: has nowhere to answer: there is no listener, and 'intercept' is off" ]
	refused "listen = $AT" "accept = yes" "fallback = 503"
	[[ $output == "5: cluster:web.fallback: does not go with 'accept': "* ]]
}

@test "root takes no page that others can change" {
	need_root
	echo hello >"$DIR/page"
	chown 65534 "$DIR/page"
	refused "listen = $AT" "fallback = $DIR/page"
	[[ $output == "4: cluster:web.fallback: '$DIR/page': "*" belongs to user 65534, refused for root"* ]]
}

@test "the process that answers has no rights, and nobody notices its death" {
	start_fallback -- "$DIR/gated" "${SERVE[@]}"
	wait_until 10 answered
	is_503
	old=$(responder_pid)
	[ "$(id -u)" -ne 0 ] ||
		[ "$(awk '/^Uid:/ { print ($2 >= 65520 && $2 < 65534) }' \
			"/proc/$old/status")" -eq 1 ]
	grep -qx 'CapEff:[[:space:]]*0*' "/proc/$old/status"
	grep -qx 'NoNewPrivs:[[:space:]]*1' "/proc/$old/status"
	kill -KILL "$old"
	is_503
	poll_until 10 holds '[ "$(responder_pid)" != "$1" ]' "$old"
	is_503
}
