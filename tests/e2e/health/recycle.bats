# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# Workers that have grown too much, or too old, are replaced, one at a time.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	free_port
}

pids() {
	cluster '[.workers[] | select(.state == "ready") | .pid] | join(" ")'
}

@test "one that takes too much memory is replaced, and the figure is told" {
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready tcp --max-memory 64M \
		--log-level info -- "$FIXTURES/unwell"
	http_get "$PORT" /eat/100 >"$DIR/eaten"
	pid=$(sed -n 's/^pid=\([0-9]*\).*/\1/p' "$DIR/eaten")
	slot=$(sed -n 's/.*slot=//p' "$DIR/eaten")
	other=$(worker_pid $((1 - slot)))

	wait_until 20 '[ "$(worker_pid "$1")" != "$2" ] && [ "$(cluster .ready)" -eq 2 ] &&
		is_gone "$2"' "$slot" "$pid"
	wait_logged "worker $pid uses 10"
	logged "'max-memory' is 64 MiB"
	logged '(used too much memory)'
	[ "$(worker_pid $((1 - slot)))" = "$other" ]
}

@test "when all have grown, they go one at a time, and no request is lost" {
	start_cluster -n 3 -l "127.0.0.1:$PORT" --ready tcp --max-memory 40M \
		--log-level info -- sh -c '
			[ ! -e "$0" ] || exec "$1"
			exec "$1" --eat 60' "$DIR/fixed" "$FIXTURES/unwell"
	touch "$DIR/fixed"
	before=$(pids)
	start_load "$PORT"
	for pid in $before; do
		wait_until 30 'is_gone "$1"' "$pid"
	done
	wait_until 20 '[ "$(cluster .ready)" -eq 3 ]'
	end_load
	[ "$REFUSED" -eq 0 ] && [ "$LOST" -eq 0 ] && [ "$ANSWERED" -gt 0 ]
	# never two at a time: each begins when the one before has ended
	awk '/started worker/ && seen { started++ }
		/3 of 3 workers ready/ { seen = 1 }
		/used too much memory/ { ended++ }
		started - ended > 1 { bad = 1 }
		END { exit bad }' "$LOG"
}

@test "what forked processes share is not counted for each" {
	# 80 MiB, and five children that have the same pages
	start_cluster -n 1 --ready notify --max-memory 160M --log-level info \
		-- python3 -c '
import os, socket, time
memory = bytearray(os.urandom(1 << 20) * 80)
for i in range(5):
    if os.fork() == 0:
        time.sleep(1000)
to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
to.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(1000)'
	pid=$(worker_pid 0)
	# it was looked at: so often did nclust read one of these files
	[ "$(worker_pid 0)" = "$pid" ]
	poll_until 20 holds '[ "$(worker 0 ".uptime | floor")" -ge 4 ]'
	[ "$(worker_pid 0)" = "$pid" ]
	run ! grep -F max-memory "$LOG"
}

# eats_memory PLAN: a worker that holds 40 MiB, and 60 more when PLAN (Python)
# says eat() and until it says leave().
eats_memory() {
	start_cluster -n 1 --ready notify --max-memory "64M for 5s" \
		--log-level info -- python3 -c '
import os, socket, sys, time
held = [os.urandom(40 << 20)]
def eat(): held.append(os.urandom(60 << 20))
def leave(): held.pop()
to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
to.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
exec(sys.argv[1])
open(sys.argv[2], "w").close()
time.sleep(1000)' "$1" "$DIR/over"
}

@test "one that takes too much for a moment stays, and the moments do not add up" {
	eats_memory 'for i in range(2):
    eat(); time.sleep(2.2); leave(); time.sleep(2.2)'
	pid=$(worker_pid 0)
	wait_until 30 '[ -e "$DIR/over" ]'
	[ "$(worker_pid 0)" = "$pid" ]
	run ! grep -F max-memory "$LOG"
}

@test "one that takes too much for that long is replaced, and not before" {
	since=${EPOCHREALTIME/[.,]/}
	eats_memory 'eat()'
	pid=$(worker_pid 0)
	wait_logged "worker $pid uses 10"
	[ "$((${EPOCHREALTIME/[.,]/} - since))" -ge 5000000 ]
	logged "'max-memory' is 64 MiB for 5s"
	wait_until 20 'is_gone "$1"' "$pid"
}

@test "those that are old go one at a time" {
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready tcp --max-age 2s \
		--log-level info -- "$FIXTURES/unwell"
	before=$(pids)
	for pid in $before; do
		wait_until 30 'is_gone "$1"' "$pid"
	done
	wait_logged '(was too old)' 2
	wait_until 20 '[ "$(cluster .ready)" -ge 2 ]'
}
