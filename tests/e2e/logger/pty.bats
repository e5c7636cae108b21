# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2154
#
# A pseudo-terminal for the workers' output: programs hold no line back, and it is
# as wide as the place that a line has.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	unset PYTHONUNBUFFERED COLUMNS LINES NO_COLOR
	TMUX_OF=(tmux -L "nclust-${DIR##*.}" -f /dev/null)
}

teardown() {
	"${TMUX_OF[@]}" kill-server 2>/dev/null || true
	end_keepers
	nclust_teardown
}

# on_screen ARG...: nclust in a terminal of 100x30.
on_screen() {
	need tmux
	env -u TMUX LC_ALL=C.UTF-8 "${TMUX_OF[@]}" new-session -d -x 100 -y 30 \
		"$(printf '%q ' "$NCLUST" --name "$INSTANCE" "$@") ${ELSEWHERE:-};
		exec sleep 1000" 3>&-
	poll_until 10 nclust_pid
}

nclust_pid() {
	NCLUST_PID=$(status_json 2>/dev/null | jq .pid 2>/dev/null)
	[ -n "$NCLUST_PID" ]
}

screen() {
	"${TMUX_OF[@]}" capture-pane -p "$@"
}

screen_has() {
	screen | grep -qF -- "$1"
}

wait_screen() {
	poll_until 10 screen_has "$1" && return 0
	echo "never on the screen: $1"
	screen
	return 1
}

# A program that writes a line, and holds it back where it is no terminal; then one
# by stderr, which it never holds back.
HOLDS='import os, time
print("said", flush=False)
os.write(2, b"went on\n")
time.sleep(1000)'

TELLS='import os, sys, time
def tell(*words):
    os.write(int(os.environ.get("TO", "2")), (" ".join(map(str, words)) + "\n").encode())
def of(what, *how):
    try:
        return what(*how)
    except OSError as e:
        return type(e).__name__
'

@test "what a program holds back elsewhere is on the terminal at once" {
	on_screen -n 2 -- python3 -c "$HOLDS"
	wait_screen 'it.0 | said'
	wait_screen 'it.1 | said'
}

@test "without it that is not so, nor with orphans = keep" {
	for option in --pty=no --orphans=keep; do
		on_screen -n 1 "$option" -- python3 -c "$HOLDS"
		wait_screen 'it.0 | went on'
		run -1 screen_has said
		kill -TERM "$NCLUST_PID"
		poll_until 10 is_gone "$NCLUST_PID"
		"${TMUX_OF[@]}" kill-server
	done
}

@test "each stream is a terminal of its own, and none that controls" {
	on_screen -n 1 -- python3 -c "$TELLS"'
tell("differ", os.ttyname(1) != os.ttyname(2), "TERM" in os.environ)
tell("reads", of(os.read, 1, 1))
tell("controls", of(os.open, "/dev/tty", os.O_RDWR))
os.open("/dev/stderr", os.O_WRONLY)
tell("controls", of(os.open, "/dev/tty", os.O_RDWR), "now")
time.sleep(1000)'
	wait_screen 'it.0 | differ True True'
	wait_screen 'it.0 | reads OSError'
	wait_screen 'it.0 | controls OSError'
	wait_screen 'it.0 | controls OSError now'
}

@test "a stream that goes elsewhere is no terminal" {
	ELSEWHERE="2>'$DIR/err'" on_screen -n 1 -- python3 -c "$TELLS"'
tell(os.isatty(1), os.isatty(2))
time.sleep(1000)'
	poll_until 10 grep -qF 'it.0 | True False' "$DIR/err"
}

@test "its size is what the prefix leaves, and follows" {
	on_screen -n 11 --workers 11 -- python3 -c "$TELLS"'
seen = None
while True:
    now = [tuple(os.get_terminal_size(i)) for i in (1, 2)]
    if now != seen:
        tell("sizes", *now)
    seen = now
    time.sleep(0.02)'
	wait_screen 'it.0  | sizes (92, 30) (92, 30)'
	"${TMUX_OF[@]}" resize-window -x 140 -y 40
	wait_screen 'it.10 | sizes (132, 40) (132, 40)'
	# so it is after an upgrade, and for the next logger
	run -0 nclust upgrade it
	"${TMUX_OF[@]}" resize-window -x 130 -y 35
	wait_screen 'it.10 | sizes (122, 35) (122, 35)'
	kill -KILL "$(logger_pid)"
	"${TMUX_OF[@]}" resize-window -x 120 -y 34
	wait_screen 'it.10 | sizes (112, 34) (112, 34)'
}

@test "colours pass, and nothing else that moves a cursor" {
	on_screen -n 1 -- sh -c 'test -t 1 && printf "\033[31mred\033[0m\033[2Jrest\n"
		exec sleep 1000'
	wait_screen 'red\x1b[2Jrest'
	screen -e | grep -qF $'\e[31mred'
}

@test "a progress bar is shown a line a second, and as it ends" {
	need script
	mkfifo "$DIR/go"
	on_screen -n 2 -- python3 -c '
import os, sys, time
if os.environ["NCLUST_SLOT"] == "1":
    os.write(1, b"another line\n")
    time.sleep(1000)
os.write(1, b"\x1b[?25lbegins\r\x1b[K\x1b[32m 10%\x1b[0m")
open(sys.argv[1]).read()
for i in range(200):
    os.write(1, b"\r\x1b[2Kthen %d%%" % i)
os.write(1, b"\r\x1b[K100%\x1b[?25h\r\nits next line\n")
time.sleep(1000)' "$DIR/go"
	wait_screen 'it.0 |  10%'
	wait_screen 'it.1 | another line'
	release "$DIR/go"
	wait_screen 'it.0 | its next line'
	screen_has 'it.0 | 100%'
	[ "$(screen | grep -c 'it.0 | then')" -lt 20 ]
	run ! screen_has 'begins'
	run ! screen_has '\x'
	run ! screen_has 'it.0 +'
	# so it is in what is shown of it later
	script -qec "$NCLUST logs it.0" /dev/null </dev/null >"$DIR/logs"
	grep -q '| 100%' "$DIR/logs"
	run ! grep -q 'then\|x1b' "$DIR/logs"
	nclust logs it.0 | grep -q 'then 0%'
}

# The log of a failed test is told; not as much of it as these tests write.
show_log() {
	tail -c 2000 "$LOG" | tail -n 20
}

@test "1 MB, and then the exit: nothing of it is lost" {
	for log in prefix auto; do
		LOG=$DIR/log.$log
		launch_nclust -n 1 --restart never --log "$log" --pty yes \
			--log-level error -- sh -c 'test -t 1 && test -t 2 &&
				{ seq 150000; seq -150000 -1 >&2; }'
		wait_exit 60
		sed -i 's/^it.0 | //' "$LOG"
		cmp <(grep -v - "$LOG") <(seq 150000)
		cmp <(grep - "$LOG") <(seq -150000 -1)
	done
}

@test "bytes stay what they are" {
	LOG=$DIR/raw
	launch_nclust -n 1 --restart never --pty yes --log-level error -- \
		python3 -c '
import os, sys
assert os.isatty(1)
os.write(1, bytes(range(256)) * 64 + b"\n\r\n\x04\x03\x11\x13 end")'
	wait_exit
	cmp "$LOG" <(python3 -c '
import sys
sys.stdout.buffer.write(bytes(range(256)) * 64 + b"\n\r\n\x04\x03\x11\x13 end")')
}

@test "the last words of a worker that has one are told" {
	launch_nclust -n 1 --pty yes --restart never --log off -- sh -c \
		'test -t 2 && echo "error: no disk" >&2; exit 3'
	wait_exit
	wait_logged 'error: no disk'
}

@test "the output goes on after an upgrade, and when the logger is killed" {
	local old

	mkfifo "$DIR/go"
	start_cluster -n 1 --pty yes --log prefix -- python3 -c '
import os, sys, time
print("begins", os.isatty(1))
while True:
    with open(sys.argv[1]) as go:
        print("said", go.read(), end="")' "$DIR/go"
	wait_logged 'it.0 | begins True'
	run -0 nclust upgrade it
	release "$DIR/go"
	poll_until 10 file_has "$LOG" 'it.0 | said go' 1
	old=$(logger_pid)
	kill -STOP "$old"
	release "$DIR/go"
	kill -KILL "$old"
	poll_until 10 file_has "$LOG" 'it.0 | said go' 2
	another_logger "$old"
	release "$DIR/go"
	poll_until 10 file_has "$LOG" 'it.0 | said go' 3
}

@test "its worker's user may open it, and nobody else" {
	need_root
	need setpriv
	start_cluster -n 1 --pty yes --log prefix --user nobody -- sh -c '
		echo "by its name" >/dev/stderr
		tty <&1
		tty <&2; exec sleep 1000'
	wait_logged 'it.0 | by its name'
	wait_logged 'it.0 | /dev/pts/'
	tty=$(sed -n 's/^it.0 | \(.dev.pts.*\)/\1/p' "$LOG" | head -n 1)
	[ "$(stat -c '%U %a' "$tty")" = 'nobody 620' ]
	run ! setpriv --reuid 65533 --regid 65533 --clear-groups \
		sh -c 'echo hello >"$0"' "$tty"
}

@test "where there are not enough of them, the rest are pipes" {
	need_root
	unshare -m true || skip "no namespaces here"
	nclust_under unshare -m sh -c 'mount -t devpts -o "$0" devpts /dev/pts && exec "$@"' \
		newinstance,ptmxmode=0666,max=1
	start_cluster -n 3 --pty yes --log prefix -- sh -c '
		test -t 1; echo "by stdout: $?"
		test -t 2; echo "by stderr: $?" >&2; exec sleep 1000'
	poll_until 10 file_has "$LOG" '| by stdout: 1' 2
	poll_until 10 file_has "$LOG" '| by stderr: 1' 3
	file_has "$LOG" '| by stdout: 0' 1
	[ "$(grep -c 'no pseudo-terminal' "$LOG")" -eq 1 ]
	logged 'No space left on device'
}

@test "it cannot be used with log = inherit" {
	cat >"$DIR/it.ini" <<-'E'
		[cluster:web]
		command = x
		log = inherit
		pty = yes
	E
	run -78 nclust -c "$DIR/it.ini"
	[[ $output == *"it.ini:4: cluster:web.pty: 'yes' cannot be used with 'log = inherit'"* ]]
}
