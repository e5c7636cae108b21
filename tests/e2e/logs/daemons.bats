# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034
#
# log = journal and syslog: with the real daemons, and with one that is gone, or
# does not read.

bats_require_minimum_version 1.5.0
load ../../lib

@test "journal: the real systemd-journald has each line, with its fields" {
	need_root
	cat >"$DIR/in" <<-'E'
	mkdir -p /run/systemd /run/log
	mount -t tmpfs none /run/systemd
	mount -t tmpfs none /run/log
	mkdir -p /run/systemd/journal /run/log/journal
	/lib/systemd/systemd-journald >/dev/null 2>&1 &
	journald=$!
	until [ -S /run/systemd/journal/socket ]; do sleep 0.1; done
	"$NCLUST" --name "$1" -n 2 --log journal --ready alive:1ms \
		--stop-signal KILL -- sh -c 'echo hello
		printf "no UTF-8 \377, a NUL \0.\n" >&2; exec sleep 1000' &
	nclust=$!
	for i in $(seq 100); do
		journalctl -D /run/log/journal -o json --no-pager \
			NCLUST_CLUSTER="$1" >"$2" 2>/dev/null
		[ "$(grep -c . "$2")" -ge 4 ] && break
		sleep 0.1
	done
	kill "$nclust"
	wait "$nclust"
	kill "$journald"
	wait "$journald"
	E
	export NCLUST
	unshare -m bash "$DIR/in" it "$DIR/got" >>"$LOG" 2>&1 3>&-
	jq -es 'map(select(.MESSAGE == "hello" and .PRIORITY == "6"
		and .SYSLOG_IDENTIFIER == "it" and .NCLUST_CLUSTER == "it"
		and .NCLUST_GENERATION == "1" and .NCLUST_STREAM == "stdout"
		and (.NCLUST_WORKER | tonumber) > 0
		and (.NCLUST_PID | tonumber) > 1) | .NCLUST_SLOT) | sort
		== ["0", "1"]' "$DIR/got"
	# what is no UTF-8 is there as bytes
	jq -es 'map(select(.PRIORITY == "4" and (.MESSAGE | type) == "array"
		and (.MESSAGE | index([255])) != null
		and (.MESSAGE | index([0])) != null)) | length == 2' "$DIR/got"
}

# rsyslog OPTIONS: the real one, at $DIR/dev-log; what it gets is in $DIR/sys.
rsyslog() {
	cat >"$DIR/rsyslog.conf" <<-E
	module(load="imuxsock" SysSock.Use="off")
	input(type="imuxsock" Socket="$DIR/dev-log" $1)
	template(name="t" type="string" string="%app-name%|%procid%|%syslogfacility-text%|%syslogseverity-text%|%msg%\n")
	*.* action(type="omfile" file="$DIR/sys" template="t")
	E
	rsyslogd -n -f "$DIR/rsyslog.conf" -i "$DIR/rsyslog.pid" \
		>>"$LOG" 2>&1 3>&- &
	STARTED+=($!)
	RSYSLOG=$!
	poll_until 10 test -S "$DIR/dev-log"
}

@test "syslog: the real rsyslogd takes RFC 5424" {
	rsyslog 'UseSpecialParser="off"'
	start_nclust -n 1 --log "syslog:local3:$DIR/dev-log" --ready alive:1ms \
		--stop-signal KILL -- \
		sh -c 'echo "to out"; echo "to err" >&2; exec sleep 1000'
	wait_ready
	pid=$(worker_pid 0)
	poll_until 10 file_has "$DIR/sys" "it.0|$pid|local3|info|to out"
	poll_until 10 file_has "$DIR/sys" "it.0|$pid|local3|warning|to err"
}

# What was said meanwhile has waited.
none_is_missing() {
	cat "$DIR/before" "$DIR/sys" | sed -n 's/.*line //p' | python3 -c '
import sys
got = [int(l) for l in sys.stdin]
missing = set(range(1, max(got) + 1)) - set(got)
# the one that was on its way when the daemon ended may be lost with it
sys.exit(len(missing) > 1 and f"missing: {missing}")'
}

@test "syslog:rfc3164: rsyslogd as Debian configures it, gone and back" {
	rsyslog ''
	start_nclust -n 1 --log "syslog:rfc3164:$DIR/dev-log" --ready alive:1ms \
		--stop-signal KILL -- \
		sh -c 'while :; do i=$((i + 1)); echo "line $i"; sleep 0.1; done'
	wait_ready
	poll_until 10 file_has "$DIR/sys" "it.0|$(worker_pid 0)|daemon|info| line"
	kill "$RSYSLOG"
	poll_until 10 is_gone "$RSYSLOG"
	rm -f "$DIR/dev-log"
	mv "$DIR/sys" "$DIR/before"
	rsyslog ''
	poll_until 20 file_has "$DIR/sys" "line" 20
	poll_until 20 none_is_missing
}

@test "a daemon that does not read: nobody waits, the loss is told to it" {
	cat >"$DIR/deaf" <<-'E'
	import os, socket, sys, time
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.bind(sys.argv[1])
	while not os.path.exists(sys.argv[2]):
	    time.sleep(0.05)
	while True:
	    print(s.recv(65536), flush=True)
	E
	python3 "$DIR/deaf" "$DIR/socket" "$DIR/go" >"$DIR/got" 2>&1 3>&- &
	STARTED+=($!)
	poll_until 10 test -S "$DIR/socket"
	start_nclust -n 1 --log "journal:$DIR/socket file:$DIR/web" \
		--ready alive:1ms --stop-signal KILL -- sh -c \
		'seq 200000; while :; do echo late; sleep 0.1; done'
	poll_until 30 file_has "$DIR/web" late
	wait_logged "are dropped until it takes them again: it was too slow"
	: >"$DIR/go"
	poll_until 20 file_has "$DIR/got" "lines of output were dropped, it was too slow"
	poll_until 20 file_has "$DIR/got" "MESSAGE=late"
}
