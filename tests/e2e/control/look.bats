# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# What `status` looks like: on a screen, in narrow lines, with many workers; and
# what it advises, which works.

bats_require_minimum_version 1.5.0
load ../../lib

# advised TEXT: the command that is advised with this text.
advised() {
	nclust status "$INSTANCE" | sed '1,/^what to do next$/d' |
		grep -F -- "$1" | sed 's/.*: \(nclust .*\)/\1/'
}

# do_advised TEXT: run that command, as a user does who copies it.
do_advised() {
	local command

	command=$(advised "$1")
	[[ $command == nclust\ * ]] || {
		nclust status "$INSTANCE"
		return 1
	}
	run timeout $((20 * PATIENCE)) bash -c "nclust() { '$NCLUST' \"\$@\"; }
		$command"
}

no_advice() {
	[[ $(nclust status "$INSTANCE") != *"what to do next"* ]]
}

widest() {
	awk '{ if (length > n) n = length } END { print n + 0 }' <<<"$1"
}

# on_screen COMMAND...: in a terminal of 80x24; see screen.
on_screen() {
	TMUX_OF=(tmux -L "nclust-${DIR##*.}" -f /dev/null)
	env -u TMUX -u COLUMNS LC_ALL=C.UTF-8 "${TMUX_OF[@]}" new-session -d \
		-x 80 -y 24 "$*; echo over; exec sleep 1000" 3>&-
}

screen() {
	"${TMUX_OF[@]}" capture-pane -p
}

screen_has() {
	screen | grep -qF -- "$1"
}

teardown() {
	[ -z "${TMUX_OF:-}" ] || "${TMUX_OF[@]}" kill-server || true
	nclust_teardown
}

# start_many COUNT: of these number 17 fails until $DIR/disk is there.
start_many() {
	start_nclust -n "$1" --ready alive:1ms --backoff-min 100s \
		--backoff-max 100s -- sh -c '
		[ "$NCLUST_SLOT" != 17 ] || [ -e "$0/disk" ] || {
			echo "cannot open the disk" >&2
			exit 3
		}
		exec sleep 1000' "$DIR"
	wait_until 30 '[ "$(cluster .ready)" -eq "$1" ] &&
		[ "$(worker_state 17)" = backoff ]' $(($1 - 1))
}

@test "200 workers fit a screen, and it says what to do about the one that fails" {
	need tmux
	start_many 200
	on_screen "'$NCLUST' status it"
	poll_until 10 screen_has over

	run screen
	[[ ${lines[0]} == "it  pid $NCLUST_PID, version "* ]]
	[[ $output == *"199 of 200 ready"* ]]
	[[ $output == *"  it.0-16 "*"17 pids  ready "* ]]
	[[ $output == *"  it.17 "*"backoff "*"exit 3"*"cannot open the disk"* ]]
	[[ $output == *"  it.18-199 "*"182 pids  ready "* ]]
	[ "$(widest "$output")" -le 80 ]
	# the commands stand on the screen as they are to be typed
	[[ $output == *"nclust logs it.17"* ]]
	[[ $output == *"nclust restart it.17"* ]]

	"$NCLUST" restart it.17 >/dev/null 2>&1 || true
	wait_until 10 'advised "its output" | grep -q .'
	do_advised "its output"
	[ "$status" -eq 0 ]
	[[ $output == *"it.17 | cannot open the disk"* ]]
	touch "$DIR/disk"
	do_advised "to try now"
	[ "$status" -eq 0 ]
	run -0 nclust status it
	[[ $output == *"200 of 200 ready"* ]]
	[[ $output != *"to try now"* ]]
	[ "${#lines[@]}" -lt 10 ]

	# each of them, if that is wanted, and one
	[ "$(nclust status it --all | grep -c " ready ")" -eq 200 ]
	[ "$(nclust status -a it | grep -c " ready ")" -eq 200 ]
	run -0 nclust status it.3
	[[ $output == *"  it.3  "*"$(worker_pid 3)  ready"* ]]
	[[ $output != *"it.4"* ]]
}

@test "status --watch groups as well, and keeps the advice on a low screen" {
	need tmux
	start_many 30
	on_screen "'$NCLUST' status it --watch"
	poll_until 10 screen_has "it.18-29"
	poll_until 10 screen_has "nclust restart it.17"
	"${TMUX_OF[@]}" resize-window -x 60 -y 9
	poll_until 10 screen_has "..."
	poll_until 10 screen_has "nclust restart it.17"
	run screen
	[ "$(widest "$output")" -le 60 ]
	"${TMUX_OF[@]}" send-keys C-c
	poll_until 10 screen_has over
}

@test "lines end at 80 columns, or where COLUMNS says, and lose no word" {
	local words="the first the second the third and the fourth word of it"

	start_nclust -n 2 --backoff-min 100s --backoff-max 100s -- \
		sh -c 'echo "$0: 日本語"; exit 3' "$words"
	wait_until 10 '[ "$(worker_state 0)$(worker_state 1)" = backoffbackoff ]'
	run env -u COLUMNS LC_ALL=C.UTF-8 "$NCLUST" status it
	[ "$(widest "$output")" -gt 60 ]
	[ "$(widest "$output")" -le 80 ]
	[[ $(tr -s ' \n' ' ' <<<"$output") == *"$words: 日本語"* ]]
	run env COLUMNS=40 LC_ALL=C.UTF-8 "$NCLUST" status it
	[ "$(widest "$output")" -le 40 ]
	[[ $(tr -s ' \n' ' ' <<<"$output") == *"$words: 日本語"* ]]
	# less than that is not tried, and no number is none
	run env COLUMNS=1 "$NCLUST" status it
	[ "$(widest "$output")" -gt 30 ]
	run env COLUMNS=wide "$NCLUST" status it
	[ "$(widest "$output")" -gt 60 ]
	# what programs read is as it was
	[ "$(COLUMNS=40 nclust status it --json | wc -l)" -eq 1 ]
}

@test "what is advised works: a cluster that gave up, a worker that has ended" {
	cat >"$DIR/it.ini" <<-INI
	[cluster:well]
	ready = alive:1ms
	command = sleep 1000
	workers = 1
	[cluster:gone]
	ready = alive:1ms
	command = sh -c '[ -e $DIR/go ] || exit 4; exec sleep 1000'
	workers = 2
	give-up = 3/1m
	backoff-min = 10ms
	backoff-max = 10ms
	[cluster:once]
	ready = alive:1ms
	command = sh -c '[ \$NCLUST_SLOT = 0 ] || [ -e $DIR/go ] || exit 3; exec sleep 1000'
	workers = 2
	restart = never
	INI
	start_nclust -c "$DIR/it.ini"
	CLUSTER=gone wait_until 10 '[ "$(cluster .state)" = failed ]'
	CLUSTER=once wait_until 10 '[ "$(worker_state 1)" = failed ]'
	run nclust status it/well
	[[ $output != *"what to do next"* ]]

	touch "$DIR/go"
	do_advised "gone is not started again"
	[ "$status" -eq 0 ]
	[ "$(CLUSTER=gone cluster .ready)" -eq 2 ]
	do_advised "once.1 is not started again"
	[ "$status" -eq 0 ]
	[ "$(CLUSTER=once cluster .ready)" -eq 2 ]
}

@test "what is advised works: a restart that failed" {
	echo 'exec sleep 1000' >"$DIR/app"
	start_cluster -n 2 --ready alive:1ms -- sh "$DIR/app"
	echo 'exit 3' >"$DIR/app"
	run -1 nclust restart it
	echo 'exec sleep 1000' >"$DIR/app"
	do_advised "the last restart of it failed"
	[ "$status" -eq 0 ]
	[ "$(cluster .failed_restart)" = null ]
}

@test "what is advised works: a worker that is stopped" {
	start_cluster -n 2 --ready alive:1ms -- sleep 1000
	no_advice
	freeze "$(worker_pid 1)"
	wait_until 10 '[ "$(worker 1 .stopped)" != null ]'
	do_advised "it.1 is stopped by a signal"
	[ "$status" -eq 0 ]
	wait_until 10 '[ "$(worker 1 .stopped)" = null ]'
	no_advice
}

@test "what is advised works: a queue that was full" {
	free_port
	start_cluster -n 1 --ready alive:1ms -l "$AT, backlog=1" \
		--intercept off -- sleep 1000
	for _ in 1 2 3 4; do
		timeout 20 bash -c 'exec 4<>"/dev/tcp/${0%:*}/${0#*:}"
			sleep 20' "$AT" 2>/dev/null 3>&- &
		STARTED+=("$!")
	done
	wait_until 20 '[ "$(cluster ".listeners[0].dropped")" -gt 0 ]'
	do_advised "because its queue was full"
	[ "$status" -eq 0 ]
	[ "$(cluster .ready)" -eq 2 ]
}

@test "what is advised works: a worker that hangs" {
	free_port
	start_cluster -n 1 --ready alive:1ms --request-timeout 1s \
		-l "$AT" -- python3 -c '
import socket, time
s = socket.socket(fileno=3)
c = s.accept()[0]
c.recv(100)
time.sleep(1000)'
	curl -s --max-time 20 "http://$AT/" >/dev/null 3>&- &
	STARTED+=("$!")
	wait_until 10 'advised " hung " | grep -q .'
	do_advised " hung "
	[ "$status" -eq 0 ]
	[[ $output == *"it.0: worker "*" hangs: no answer to "* ]]
}

@test "what is advised works: a worker that is unhealthy" {
	start_cluster -n 1 --ready alive:1ms --check exec:false \
		--check-interval 100ms -- sleep 1000
	wait_until 10 'advised "its checks" | grep -q .'
	do_advised "its checks"
	[ "$status" -eq 0 ]
	[[ $output == *"failed 3 checks in a row"* ]]
}
