#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016
#
# max-requests: workers that got so many connections are replaced, one at a time.

bats_require_minimum_version 1.5.0
load ../../lib

setup() {
	nclust_setup
	free_port
}

# counted NCLUST-OPTION... -- COMMAND...
counted() {
	start_cluster --stable-after 100ms --log-level info "$@"
}

# by_kernel: the same, where the kernel counts for us; skips where it may not.
by_kernel() {
	need_root
	counted "$@"
	run ! logged 'by chance'
}

pids() {
	cluster '[.workers[] | select(.state == "ready") | .pid] | join(" ")'
}

# ask COUNT: so many connections, each with one request.
ask() {
	local i

	for ((i = 0; i < $1; i++)); do
		http_get "$PORT" >/dev/null
	done
}

requests() {
	worker "$1" .requests
}

both() {
	cluster '[.workers[].requests] | add'
}

# are_replaced PID...: under a load that loses nothing.
are_replaced() {
	local pid

	start_open "$AT" --rate 300
	for pid; do
		wait_until 60 'is_gone "$1"' "$pid"
	done
	end_open
	[ "$LOST" -eq 0 ]
	# never two at a time: each begins when the one before has ended
	awk '/started worker/ && seen { started++ }
		/of . workers ready/ { seen = 1 }
		/\(max-requests\)/ { ended++ }
		started - ended > 1 { bad = 1 }
		END { exit bad || !ended }' "$LOG"
}

@test "workers that share no socket, as balance is auto: no request is lost" {
	by_kernel -n 3 -l "$AT" --max-requests 300 -- "$FIXTURES/rude" --close
	[ "$(cluster .balance)" = rr ]
	# shellcheck disable=SC2046 # one word each
	are_replaced $(pids)
	logged "has had 'max-requests'" 3
}

@test "the one that has the least to do" {
	[ -r /sys/kernel/btf/vmlinux ] || skip "the kernel has no BTF"
	by_kernel -n 2 -l "$AT" --balance least --max-requests 300 -- \
		"$FIXTURES/rude" --close
	[ "$(cluster .balance)" = least ]
	# shellcheck disable=SC2046 # one word each
	are_replaced $(pids)
}

@test "one worker alone, which binds by itself" {
	by_kernel -n 1 --max-requests 100 -- "$FIXTURES/rude" --close "$PORT"
	pid=$(worker_pid 0)
	ask 80
	wait_until 20 '[ "$(requests 0)" -eq 80 ]'
	[ "$(worker_pid 0)" = "$pid" ]
	ask 40
	wait_until 70 'is_gone "$1"' "$pid"
	wait_logged '(max-requests)'
	wait_until 20 '[ "$(cluster .ready)" -eq 1 ]'
	[ "$(requests 0)" -lt 40 ]
}

@test "each has its own count, which an upgrade carries on, and no check is in it" {
	by_kernel -n 2 -l "$AT" --max-requests 1000 --check tcp \
		--check-interval 100ms -- "$FIXTURES/rude" --close
	ask 40
	# one that comes in the moment of a check may be missed
	wait_until 20 '[ "$(requests 0)" -ge 15 ] && [ "$(requests 1)" -ge 15 ]'
	wait_until 20 '[ "$(worker 0 .checks.ok)" -gt 50 ]'
	[ "$(both)" -le 40 ]
	nclust upgrade "$INSTANCE"
	[ "$(both)" -ge 30 ]
	ask 40
	wait_until 70 '[ "$(both)" -ge 60 ]'
	[ "$(both)" -le 80 ]
}

@test "a reload changes the number for those that run" {
	need_root
	cat >"$DIR/it.ini" <<-EOF
		[cluster:it]
		command = $FIXTURES/rude --close
		workers = 2
		listen = $AT
		stable-after = 100ms
		max-requests = 10000
	EOF
	start_cluster -c "$DIR/it.ini" --log-level info
	pid=$(worker_pid 0)
	ask 40
	wait_until 20 '[ "$(requests 0)" -ge 19 ]'
	sed -i 's/10000/15/' "$DIR/it.ini"
	nclust reload "$INSTANCE"
	[ "$(worker_pid 0)" = "$pid" ]
	wait_until 70 'is_gone "$1"' "$pid"
	wait_logged '(max-requests)'
}

@test "workers of Node's cluster: nclust counts what it gives them" {
	command -v node >/dev/null || skip "there is no node"
	cat >"$DIR/web.js" <<-EOF
		require('http').createServer((q, s) => {
			s.setHeader('connection', 'close')
			s.end('pid=' + process.pid)
		}).listen($PORT, '127.0.0.1')
	EOF
	counted -n 2 --max-requests 50 -- node "$DIR/web.js"
	wait_until 20 '[ "$(cluster .balance)" = rr ]'
	ask 30
	wait_until 20 '[ "$(requests 0)" -eq 15 ] && [ "$(requests 1)" -eq 15 ]'
	before=$(pids)
	ask 90
	for pid in $before; do
		wait_until 70 'is_gone "$1"' "$pid"
	done
	wait_logged '(max-requests)' 2
}

@test "where the kernel does not count, one line says what would help" {
	need_root
	[ "$(cat /proc/sys/kernel/unprivileged_bpf_disabled)" != 0 ] ||
		skip "everybody may use bpf(2) here"
	nclust_under setpriv --bounding-set=-bpf,-sys_admin
	counted -n 2 -l "$AT" --max-requests 10 -- "$FIXTURES/rude" --close
	before=$(pids)
	ask 60
	wait_logged "'max-requests' needs balance = rr or least"
	logged 'CAP_BPF would do'
	[ "$(grep -c 'needs balance' "$LOG")" -eq 1 ]
	[ "$(pids)" = "$before" ]
}
