# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# `nclust top`, as a person sees it on a terminal that tmux plays.

bats_require_minimum_version 1.5.0
load ../../lib

teardown() {
	[ -z "${TMUX_OF:-}" ] || "${TMUX_OF[@]}" kill-server || true
	nclust_teardown
}

# terminal COLUMNS ROWS COMMAND...: a shell, that goes on, runs it.
terminal() {
	# a server that was killed may still be ending
	TMUX_OF=(tmux -L "nclust-${DIR##*.}.$((TERMINALS += 1))" -f /dev/null)
	env -u TMUX -u COLUMNS -u NO_COLOR LC_ALL=C.UTF-8 "${TMUX_OF[@]}" \
		new-session -d -x "$1" -y "$2" \
		"stty -a >'$DIR/before'; ${*:3}; echo over \$?
		stty -a >'$DIR/after'; exec sleep 1000" 3>&-
}

# start_top COLUMNS ROWS [ARG]...
start_top() {
	terminal "$1" "$2" "'$NCLUST' top ${*:3}"
	sees "STATE"
	sees "pid $NCLUST_PID"
}

keys() {
	"${TMUX_OF[@]}" send-keys "$@"
}

screen() {
	"${TMUX_OF[@]}" capture-pane -p "$@"
}

has() {
	screen | grep -qE -- "$1"
}

hasnt() {
	! has "$1"
}

# sees PATTERN: it is on the screen soon.
sees() {
	poll_until 20 has "$1" && return 0
	echo "never seen: $1"
	screen
	return 1
}

loses() {
	poll_until 20 hasnt "$1" && return 0
	echo "still seen: $1"
	screen
	return 1
}

# selects PATTERN [ROW]: the line below the list tells of this one, and its row is in
# reverse video.
selects() {
	sees "^─ $1"
	screen -e | grep -E $'\033\\[([0-9]*;)*7[;m]' | grep -qE -- "${2:-${1%%:*}}"
}

top_pid() {
	pgrep -f "^$NCLUST top" | while read -r pid; do
		grep -qsaF "$DIR/" "/proc/$pid/environ" && echo "$pid"
	done
}

widest() {
	screen | wc -L
}

@test "80x24: clusters, listeners with a bar, workers, what happens" {
	need tmux
	free_port
	start_cluster -n 3 --ready alive:1ms -l "$AT" --intercept off -- \
		sleep 1000
	start_top 80 24
	sees "^3 of 3 ready  CPU \[.*\] .*  MEM \[.*\] "
	sees "^  SLOT▲ +PID  STATE +UP +RESTARTS  CPU% +MEM"
	sees "^it  running, 3 of 3 ready, generation 1"
	sees "tcp:$AT, queue \[ +\] 0 of [0-9]+, 0 dropped"
	sees "^  it.2 +$(worker_pid 2)  ready .* 0  +0.0 +[0-9]+K █"
	sees "it: 3 of 3 workers ready"
	[ "$(LC_ALL=C.UTF-8 widest)" -le 80 ]

	old=$(worker_pid 1)
	kill -KILL "$old"
	sees "it.1: worker $old killed by SIGKILL"
	sees "^  it.1 .* ready .* 1 "
	run ! has "^  it.1 +$old "
}

@test "a queue that fills is a bar, and CPU is that of the last second" {
	need tmux
	free_port
	start_cluster -n 1 --ready alive:1ms -l "$AT, backlog=4" \
		--intercept off -- sh -c 'while :; do :; done'
	start_top 80 24
	for _ in 1 2 3 4; do
		timeout 60 bash -c 'exec 4<>"/dev/tcp/${0%:*}/${0#*:}"
			sleep 50' "$AT" 2>/dev/null 3>&- &
		STARTED+=("$!")
	done
	sees "queue \[████████ .*\] 4 of 5|queue \[██████████\] 4 of 4"
	sees "^  it.0 .* [1-9][0-9.]*\.[0-9] [▏▎▍▌▋▊▉█]"
	freeze "$(worker_pid 0)"
	sees "^  it.0 .* 0\.0  "
}

@test "40x10, smaller and larger: it goes with the terminal" {
	need tmux
	start_cluster -n 3 --ready alive:1ms -- sleep 1000
	start_top 40 10
	sees "^  it.0 .*ready"
	[ "$(LC_ALL=C.UTF-8 widest)" -le 40 ]
	"${TMUX_OF[@]}" resize-window -x 140 -y 40
	sees "LAST EXIT"
	sees "^  it.2 "
	"${TMUX_OF[@]}" resize-window -x 10 -y 3
	loses "STATE"
	"${TMUX_OF[@]}" resize-window -x 1 -y 1
	"${TMUX_OF[@]}" resize-window -x 80 -y 24
	sees "RESTARTS"
	sees "^  it.2 "
	sees "^\? help"
	keys q
	sees "over 0"
}

@test "1,000 workers: those that are alike share a row, Enter opens it" {
	need tmux
	start_nclust -n 1000 --ready alive:1ms -- sleep 1000
	wait_ready 60
	start_top 80 24
	sees "^1000 of 1000 ready"
	sees "^  it.0-999 +1000 pids  ready "
	run ! has "it.5 "
	keys End
	selects it "it.0-999"
	keys Enter
	selects "it.0: ready"
	keys End
	selects "it.999: ready"
	keys PPage PPage
	selects "it.97[0-9]: ready"
	keys Home Down Enter
	sees "^  it.0-999 "
	keys q
	sees "over 0"
}

@test "sort, filter and select; a worker stays selected as rows move" {
	need tmux
	start_cluster -n 3 --ready alive:1ms -- sh -c '
		[ "$NCLUST_SLOT" != 1 ] || while :; do :; done
		exec sleep 1000'
	start_top 80 24
	keys j j j
	selects "it.1: ready"
	keys C
	sees "CPU%▼"
	poll_until 10 holds '[ "$(screen | grep -o "^  it\.." | head -n 1)" = "  it.1" ]'
	selects "it.1: ready"
	keys k
	selects "it: sh -c"
	keys C
	sees "CPU%▲"
	[ "$(screen | grep -o "^  it\.." | tail -n 1)" = "  it.1" ]
	keys S
	sees "SLOT▲"
	keys / i t . 2
	sees "^/it.2_"
	loses "^  it.1 "
	sees "^  it.2 "
	keys Enter
	sees "only 'it.2'"
	keys Escape
	sees "^  it.1 "
	keys '?'
	sees "sort by slot, up, restarts"
	keys q
	loses "sort by slot"
	keys q
	sees "over 0"
}

@test "restart asks: n does nothing, y replaces that worker" {
	need tmux
	start_cluster -n 2 --ready alive:1ms -- sleep 1000
	old=$(worker_pid 0)$(worker_pid 1)
	start_top 80 24
	keys j j j r
	sees "^restart it.1\? y/n"
	keys n
	sees "nothing was done"
	[ "$(worker_pid 0)$(worker_pid 1)" = "$old" ]
	keys r
	sees "^restart it.1\? y/n"
	[ "$(worker_pid 0)$(worker_pid 1)" = "$old" ]
	keys y
	sees "^it: .*(done|replaced)"
	[[ $(worker_pid 0)$(worker_pid 1) == "${old:0:${#old}/2}"* ]]
	[ "$(worker_pid 0)$(worker_pid 1)" != "$old" ]
}

@test "scale and stop, of what is selected" {
	need tmux
	start_cluster -n 2 --ready alive:1ms -- sleep 1000
	start_top 80 24
	keys +
	sees "select the cluster"
	keys j + + + -
	sees "^run 2 more of it\? y/n"
	keys y
	wait_until 10 '[ "$(cluster .ready)" -eq 4 ]'
	sees "^4 of 4 ready"
	keys -
	sees "^run 1 fewer of it\? y/n"
	keys y
	wait_until 10 '[ "$(cluster .wanted)" -eq 3 ]'
	keys Home s
	sees "^stop all workers of it, and nclust itself\? y/n"
	keys y
	wait_exit
	sees "connecting again"
}

@test "what is refused is shown" {
	need tmux
	echo 'exec sleep 1000' >"$DIR/app"
	start_cluster -n 2 --ready alive:1ms -- sh "$DIR/app"
	echo 'exit 3' >"$DIR/app"
	start_top 80 24
	keys j r y
	sees "^it.* exit 3"
	sees "^  last restart failed"
}

@test "however it is ended, the terminal is as before" {
	local pid

	need tmux
	start_cluster -n 2 --ready alive:1ms -- sleep 1000
	for signal in TERM HUP INT QUIT SEGV ABRT BUS; do
		start_top 80 24
		[ "$("${TMUX_OF[@]}" display -p '#{alternate_on}#{cursor_flag}')" = 10 ]
		pid=$(top_pid)
		kill -"$signal" "$pid"
		sees "over"
		poll_until 10 test -s "$DIR/after"
		diff "$DIR/before" "$DIR/after"
		[ "$("${TMUX_OF[@]}" display -p '#{alternate_on}#{cursor_flag}')" = 01 ]
		"${TMUX_OF[@]}" kill-server
		rm "$DIR/before" "$DIR/after"
	done
	# a key, too; and ^S, which stops other programs
	start_top 80 24
	keys C-s
	kill -KILL "$(worker_pid 1)"
	sees "killed by SIGKILL"
	keys C-c
	sees "over 0"
	poll_until 10 test -s "$DIR/after"
	diff "$DIR/before" "$DIR/after"
}

@test "a terminal that is gone ends it, where nobody hears SIGHUP" {
	need tmux
	start_cluster -n 2 --ready alive:1ms -- sleep 1000
	terminal 80 24 "trap '' HUP; '$NCLUST' top"
	sees "^2 of 2 ready"
	pid=$(top_pid)
	"${TMUX_OF[@]}" kill-server
	poll_until 10 is_gone "$pid"
}

@test "^Z gives the terminal back until fg" {
	need tmux
	start_cluster -n 2 --ready alive:1ms -- sleep 1000
	terminal 80 24 "bash --norc -i"
	keys "'$NCLUST' top" Enter
	sees "^2 of 2 ready"
	keys C-z
	sees "Stopped"
	[ "$("${TMUX_OF[@]}" display -p '#{alternate_on}#{cursor_flag}')" = 01 ]
	keys 'echo "as before: $((6 * 7))"' Enter
	sees "as before: 42"
	keys fg Enter
	sees "^2 of 2 ready"
	[ "$("${TMUX_OF[@]}" display -p '#{alternate_on}#{cursor_flag}')" = 10 ]
	keys j j
	selects "it.0: ready"
	keys q
	loses "of 2 ready"
	keys 'exit' Enter
	sees "over"
}

@test "an upgrade, an end and a new start: it goes on" {
	need tmux
	start_cluster -n 2 --ready alive:1ms -- sleep 1000
	start_top 80 24
	nclust upgrade it
	sees "^it  pid $NCLUST_PID, .*1 upgrade"
	sees "^2 of 2 ready"
	keys j r y
	sees "^it: .*(done|replaced)"

	nclust stop it
	sees "connecting again"
	wait_exit
	start_cluster -n 3 --ready alive:1ms -- sleep 1000
	sees "^3 of 3 ready"
	sees "^it  pid $NCLUST_PID,"
	selects "it: sleep 1000" "^it  running|it"
}

@test "l and Enter show what a worker has written, e what happened to it" {
	need tmux
	mkfifo "$DIR/fifo.0" "$DIR/fifo.1"
	start_cluster -n 2 --ready alive:1ms -- sh -c '
		printf "first of %s \033[31mred\033[0m \033[2J\n" "$NCLUST_SLOT"
		echo "an error" >&2
		while read -r line; do echo "got $line"; done <"$0/fifo.$NCLUST_SLOT"
		exec sleep 1000' "$DIR"
	start_top 80 24
	keys l
	sees "select a worker"
	keys End Enter
	sees "^it.1  what it has written"
	sees '^[0-9:]{8}  first of 1 red \\x1b\[2J'
	sees '^[0-9:]{8}  an error'
	run ! has "first of 0"
	# at once, from the one that lives now
	echo more >"$DIR/fifo.1"
	sees '  got more'
	keys Escape
	sees "STATE"
	# of all of a cluster
	keys Home Down l
	sees "^[0-9:]{8}  it.0 first of 0"
	sees "^[0-9:]{8}  it.1 first of 1"
	keys Escape
	sees "STATE"
	keys End e
	sees "^it.1  what happened"
	sees "it.1: worker $(worker_pid 1) ready"
	run ! has "it.0: worker"
	keys q
	sees "STATE"
	keys q
	sees "over 0"
}

@test "where nothing is kept of the output, it says what to set" {
	need tmux
	start_cluster -n 2 --log inherit --ready alive:1ms -- sleep 1000
	start_top 80 24
	keys End l
	sees "^it.1  what it has written"
	sees "nothing is kept"
}

@test "while nclust answers nobody, keys are heard" {
	need tmux
	start_cluster -n 2 --ready alive:1ms -- sleep 1000
	start_top 80 24
	kill -STOP "$NCLUST_PID"
	sees "no answer for [3-9]"
	keys '?'
	sees "sort by slot"
	keys q
	kill -CONT "$NCLUST_PID"
	sees "^2 of 2 ready"
	kill -STOP "$NCLUST_PID"
	keys q
	sees "over 0"
	kill -CONT "$NCLUST_PID"
}

@test "what workers say reaches the terminal as text" {
	need tmux
	start_cluster -n 1 --ready notify -- python3 -c '
import os, socket, time
to = os.environ["NOTIFY_SOCKET"]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.sendto(b"STATUS=\033]0;evil\007\033[2J ok\nREADY=1\n", to)
time.sleep(1000)'
	start_top 120 24
	keys End
	selects 'it.0: says .\\x1b\]0;evil\\x07\\x1b\[2J ok'
	[ "$("${TMUX_OF[@]}" display -p '#{pane_title}')" != evil ]
}

@test "colours are those of status, and NO_COLOR is heard" {
	need tmux
	start_cluster -n 2 --ready alive:1ms -- sleep 1000
	start_top 80 24
	screen -e | grep -q $'\033\\[32mready'
	"${TMUX_OF[@]}" kill-server
	terminal 80 24 "NO_COLOR=1 '$NCLUST' top"
	sees "^  it.1 .*ready"
	run ! grep -E $'\033\\[3[0-8]' <<<"$(screen -e)"
	keys C-c
	sees "over 0"
}

@test "without a terminal, a fit one or the library: a line says what to do" {
	local library

	start_cluster -n 1 --ready alive:1ms -- sleep 1000
	run -64 nclust top
	[[ $output == "nclust: top: needs a terminal"*"nclust status"* ]]
	[ "${#lines[@]}" -eq 1 ]
	run -64 nclust top it/web
	run -64 nclust top it extra
	need tmux
	terminal 80 24 "TERM=dumb '$NCLUST' top; TERM=nothing '$NCLUST' top"
	sees "TERM=dumb cannot be drawn on; 'nclust status --watch'"
	sees "the terminal type TERM=nothing is unknown"
	sees "over 64"
	"${TMUX_OF[@]}" kill-server

	need_root
	library=$(sed -n 's,.* \(/.*/libncursesw.so.6\)$,\1,p' \
		<(ldconfig -p) | head -n 1)
	unshare -m true || skip "cannot unshare"
	terminal 200 24 "unshare -m sh -c \"mount --bind /dev/null $library
		'$NCLUST' top\""
	sees "install the package libncursesw6; 'nclust status --watch'"
	sees "over 69"
}

@test "ncurses is in no other process of nclust" {
	need tmux
	start_cluster -n 1 --ready alive:1ms -- sleep 1000
	start_top 80 24
	grep -q ncursesw "/proc/$(top_pid)/maps"
	run ! grep -q ncurses "/proc/$NCLUST_PID/maps"
}
