# SPDX-License-Identifier: MIT
# also under ASan
#
# One life of a cluster, from start to stop.  The same test runs under the
# sanitizers and under valgrind.

bats_require_minimum_version 1.5.0
load ../../lib

@test "a cluster starts, answers, loses a worker, rolls, scales and stops" {
	free_port
	start_cluster -n 2 -l "127.0.0.1:$PORT" --ready notify --log inherit \
		-- "$FIXTURES/serve" --notify

	[[ $(http_get "$PORT") == pid=*slot=* ]]
	[ "$(cluster .ready)" -eq 2 ]

	old=$(worker_pid 1)
	kill -KILL "$old"
	wait_until 10 '[ "$(worker 1 .restarts)" -eq 1 ]'
	wait_ready
	[ "$(worker_pid 1)" != "$old" ]

	generation=$(cluster .generation)
	nclust restart "$INSTANCE"
	[ "$(cluster .generation)" -gt "$generation" ]
	[ "$(cluster .ready)" -eq 2 ]

	nclust scale "$INSTANCE" 3
	[ "$(cluster .ready)" -eq 3 ]

	nclust stop "$INSTANCE"
	wait_exit 10
	[ "$status" -eq 0 ]
	run ! http_get "$PORT"
}
