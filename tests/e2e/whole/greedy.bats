# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# nclust is root, its workers are not: one that asks nclust for something without
# end does not keep nclust busy, and only itself waits.

bats_require_minimum_version 1.5.0
load ../../lib

# used: the CPU time of nclust and of its children that it has awaited, in ms.
used() {
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, "")
		print int(($12 + $13 + $14 + $15) * 1000 / hz) }' \
		"/proc/$NCLUST_PID/stat"
}

# first_served PID...: on a busy machine they get the CPU that they ask for; where
# each session has a share of its own, theirs is the largest.
first_served() {
	renice -n -20 -p "$@" >/dev/null
	for pid in "$@"; do
		echo -20 2>/dev/null >"/proc/$pid/autogroup" || true
	done
}

# stays_calm HOW PERCENT OPTION...
stays_calm() {
	local before asked workers

	need_root
	free_port
	nclust_under setsid
	start_nclust -n 2 --ready notify --user nobody --log prefix "${@:3}" \
		-- python3 "$SCRIPTS/servers/greedy.py" "$1" "$PORT"
	wait_logged greedy
	wait_ready 60
	mapfile -t workers < <(cluster '.workers[].pid')
	first_served "$NCLUST_PID" "${workers[@]}"
	wait_logged "nclust now spends at most" 1 60
	before=$(used)
	asked=$(microseconds)
	for _ in {1..20}; do
		run -0 timeout 2 "$NCLUST" status it
		sleep 0.2
	done
	asked=$((($(microseconds) - asked) / 1000))
	echo "$(($(used) - before)) ms of $asked"
	[ $((($(used) - before) * 100)) -lt $((asked * $2)) ]
	[ "$(grep -c "nclust now spends at most" "$LOG")" -eq 1 ]
}

@test "a flood of notify messages is read at a tenth of a CPU" {
	stays_calm notify 30 --watchdog 2s --intercept off
	run ! grep -F "it.1: worker" "$LOG"
	is_alive "$(worker_pid 1)"
}

@test "calls of bind without end are answered at a tenth of a CPU" {
	stays_calm bind 30 --watchdog 0 --intercept on --limit-nofile 5000
}

@test "a flood of lines that are no messages is read at a tenth of a CPU" {
	stays_calm message 30 --watchdog 0 --intercept off --ipc on
	run ! grep -F "it.1: worker" "$LOG"
	is_alive "$(worker_pid 1)"
}

@test "ten workers that flood get two tenths of a CPU together" {
	stays_calm all 50 -n 10 --watchdog 0 --intercept off
	run -0 grep "nclust now spends at most" "$LOG"
	[[ $output == *"it: its workers together keep nclust busy"* ]]
}
