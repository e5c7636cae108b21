# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# The unit file that comes with nclust, as the real systemd runs it: hardened,
# with limits, sockets of its own, and over the death of nclust.
#
# takes long

bats_require_minimum_version 1.5.0
load ../../lib
load ../../systemd

setup_file() {
	local place

	place=$(mktemp -d "${TMPDIR:-/tmp}/nt.XXXXXX")
	export SYSTEMD_PLACE=$place
	systemd_boot "$place" || return 0
	in_systemd ip link set lo up
	in_systemd mkdir -p /etc/nclust /opt/nclust
	bring_to_systemd "$NCLUST" /opt/nclust/nclust
	bring_to_systemd "$FIXTURES" /opt/nclust/fixtures
	sed 's,@bindir@,/opt/nclust,' "$ROOT/etc/nclust@.service" |
		write_in /etc/systemd/system/nclust@.service
	in_systemd systemctl daemon-reload
}

teardown_file() {
	systemd_end
	rm -rf "$SYSTEMD_PLACE"
}

setup() {
	nclust_setup
	[ ! -e "$SYSTEMD_PLACE/why" ] || skip "$(cat "$SYSTEMD_PLACE/why")"
	NAME=s$BATS_TEST_NUMBER
	UNIT=nclust@$NAME.service
}

teardown() {
	if [ ! -e "$SYSTEMD_PLACE/why" ]; then
		[ -n "${BATS_TEST_COMPLETED:-}" ] || {
			in_systemd systemctl status "$UNIT" --no-pager
			in_systemd journalctl -u "$UNIT" --no-pager
		} | tail -n 60
		in_systemd systemctl stop "$UNIT" || true
	fi
	nclust_teardown
}

write_in() {
	in_systemd tee "$1" >/dev/null
}

# ini LINE...: the file of this test's unit.
ini() {
	printf '%s\n' "$@" | write_in "/etc/nclust/$NAME.ini"
}

# drop_in LINE...: [Service] of this test's unit, too.
drop_in() {
	in_systemd mkdir -p "/etc/systemd/system/$UNIT.d"
	printf '%s\n' '[Service]' "$@" |
		write_in "/etc/systemd/system/$UNIT.d/test.conf"
	in_systemd systemctl daemon-reload
}

start_unit() {
	in_systemd systemctl start "$UNIT"
}

ask_nclust() {
	in_systemd /opt/nclust/nclust "$@"
}

json() {
	ask_nclust status "$NAME" --json | jq -r "$1"
}

main_pid() {
	in_systemd systemctl show "$UNIT" -p MainPID --value
}

gets() {
	in_systemd curl -s -m 5 "http://127.0.0.1:$1/" >"$DIR/got"
}

said() {
	in_systemd journalctl -u "$UNIT" --no-pager -o cat | grep -qF -- "$1"
}

is() {
	[ "$("${@:2}")" = "$1" ]
}

SERVE=/opt/nclust/fixtures/serve
PYTHON='python3 -m http.server --bind 127.0.0.1'

@test "the unit is hardened: systemd-analyze finds no more than 4.0" {
	in_systemd systemd-analyze security --no-pager "$UNIT" >"$DIR/found"
	tail -n 1 "$DIR/found"
	awk 'END { for (i = 1; i <= NF; i++) if ($i ~ /^[0-9]+[.][0-9]$/) n = $i
		exit !(n != "" && n <= 4.0) }' "$DIR/found"
}

@test "the hardened unit leaves nclust the rights for balance = least" {
	[ -r /sys/kernel/btf/vmlinux ] || skip "the kernel has no BTF"
	ini '[cluster:web]' "command = $SERVE" 'listen = 127.0.0.1:8119' \
		'workers = 2' 'balance = least' 'user = nobody'
	start_unit
	is least json '.clusters[0].balance'
	gets 8119
	run ! said 'the kernel chooses'
}

@test "a server that binds by itself, as another user, in the hardened unit" {
	ini '[cluster:web]' "command = $PYTHON 8101" 'listen = 127.0.0.1:8101' \
		'workers = 2' 'user = nobody'
	start_unit
	is "active" in_systemd systemctl is-active "$UNIT"
	is 2 json '.clusters[0].ready'
	gets 8101
	old=$(json '.clusters[0].workers[0].pid')
	in_systemd kill -KILL "$old"
	poll_until 10 is "2 1" json \
		'.clusters[0] | "\(.ready) \(.workers[0].restarts)"'
	ask_nclust restart "$NAME"
	gets 8101
	run ! said "cannot"
}

@test "all that nclust does for a cluster is allowed in the hardened unit" {
	ini '[nclust]' 'http = 127.0.0.1:8103' '[cluster:web]' \
		"command = $SERVE --notify" 'listen = 127.0.0.1:8104' \
		'workers = 2..3' 'user = nobody' 'ready = notify' \
		'log = journal' 'cpu = spread' 'nice = 5' 'limit-nofile = 4096' \
		'cpu-weight = 50' 'pids-max = 20' 'memory-max = 200M' \
		'check = tcp' 'check-interval = 1s' 'shared-memory = 1M' \
		'on-ready = echo hook'
	start_unit
	poll_until 20 is 2 json '.clusters[0].ready'
	in_systemd curl -sf http://127.0.0.1:8103/readyz
	in_systemd curl -sf http://127.0.0.1:8103/metrics >"$DIR/metrics"
	grep -q '^nclust_worker_connections' "$DIR/metrics"
	ask_nclust restart "$NAME"
	gets 8104
	run ! in_systemd journalctl -u "$UNIT" --no-pager -o cat \
		--grep 'cannot|permitted|denied|fail|without'
}

@test "User= in the unit: it serves without any right, and takes orders of that user" {
	local at=/run/nclust-nobody

	drop_in User=nobody AmbientCapabilities= CapabilityBoundingSet= \
		RuntimeDirectory= RuntimeDirectory=nclust-nobody \
		"Environment=NCLUST_RUNTIME_DIR=$at"
	ini '[cluster:web]' "command = $PYTHON 8105" 'listen = 127.0.0.1:8105' \
		'workers = 2'
	start_unit
	is nobody in_systemd ps -o user= -p "$(main_pid)"
	in_systemd setpriv --reuid nobody --clear-groups \
		env "NCLUST_RUNTIME_DIR=$at" /opt/nclust/nclust restart "$NAME"
	gets 8105
	in_systemd systemctl reload "$UNIT"
	run ! in_systemd env "NCLUST_RUNTIME_DIR=$at" \
		/opt/nclust/nclust status "$NAME"
	[[ $output == *"it belongs to uid"* ]]
}

@test "systemctl reload takes the new settings, and a bad file changes nothing" {
	ini '[cluster:web]' "command = $SERVE --notify" 'listen = 0' 'workers = 1' 'ready = notify'
	start_unit
	old=$(main_pid)
	ini '[cluster:web]' "command = $SERVE --notify" 'listen = 0' 'workers = 3' 'ready = notify'
	in_systemd systemctl reload "$UNIT"
	is 3 json '.clusters[0].ready'
	ini '[cluster:web]' 'workers = many'
	run ! in_systemd systemctl reload "$UNIT"
	is 3 json '.clusters[0].ready'
	is "$old" main_pid
}

@test "a worker that takes more than memory-max is named, others go on" {
	ini '[cluster:web]' "command = $SERVE --notify" 'listen = 0' 'workers = 1' \
		'ready = notify' '[cluster:big]' \
		"command = python3 -c 'b = b\"x\" * (400 << 20)'" \
		'workers = 1' 'memory-max = 50M'
	start_unit || true
	poll_until 20 said "out of memory"
	is 1 json '.clusters[] | select(.name == "web") | .ready'
	is 0 json '.clusters[] | select(.name == "web") | .workers[0].restarts'
}

@test "nclust upgrades itself, and stays the main process of the unit" {
	ini '[cluster:web]' "command = $SERVE --notify" 'listen = 0' 'workers = 2' \
		'ready = notify'
	start_unit
	workers=$(json '[.clusters[0].workers[].pid]')
	old=$(main_pid)
	ask_nclust upgrade "$NAME"
	is 1 json .upgrades
	is "$workers" json '[.clusters[0].workers[].pid]'
	is "$(json .pid)" main_pid
	is active in_systemd systemctl is-active "$UNIT"
	in_systemd systemctl restart "$UNIT"
	is 2 json '.clusters[0].ready'
}

@test "orphans = keep: nclust is killed, systemd starts it, the workers serve on" {
	drop_in KillMode=process FileDescriptorStoreMax=64
	ini '[nclust]' '[cluster:web]' "command = $SERVE --notify" 'listen = 0' 'workers = 2' \
		'ready = notify' 'orphans = keep'
	start_unit
	workers=$(json '[.clusters[0].workers[].pid]')
	old=$(main_pid)
	in_systemd kill -KILL "$old"
	poll_until 20 another_main "$old"
	poll_until 20 is "$workers" json '[.clusters[0].workers[].pid]'
	is 2 json '.clusters[0].ready'
	in_systemd systemctl stop "$UNIT"
	run ! in_systemd pgrep -x serve
}

another_main() {
	local pid

	pid=$(main_pid)
	[ "$pid" -gt 0 ] && [ "$pid" != "$1" ] &&
		is active in_systemd systemctl is-active "$UNIT"
}

@test "a socket unit: it is served before nclust runs, and while it restarts" {
	printf '%s\n' '[Socket]' 'ListenStream=127.0.0.1:8102' \
		'FileDescriptorName=http' |
		write_in "/etc/systemd/system/nclust@$NAME.socket"
	ini '[cluster:web]' "command = $PYTHON 8102" 'listen = inherit:http' \
		'workers = 1'
	in_systemd systemctl daemon-reload
	in_systemd systemctl start "nclust@$NAME.socket"
	gets 8102
	is active in_systemd systemctl is-active "$UNIT"
	in_systemd systemctl stop "$UNIT"
	gets 8102
	is 1 json '.clusters[0].ready'
	in_systemd systemctl stop "nclust@$NAME.socket"
}

@test "when nclust fails to start, the unit fails with the sentence that says why" {
	ini '[cluster:web]' 'workers = many'
	run ! start_unit
	is 0 in_systemd systemctl show "$UNIT" -p NRestarts --value
	said "/etc/nclust/$NAME.ini:2: cluster:web.workers:"
}
