# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2030,SC2031
#
# Reload applies the difference, or nothing (FAULTS.md, C11 to C14).

bats_require_minimum_version 1.5.0
load ../../lib

# write_ini [LINE]...: cluster web of 2 with these lines more, by rename.
write_ini() {
	{
		printf '%s\n' '[cluster:web]' \
			"command = $FIXTURES/hear --notify" 'ready = notify'
		case $* in
		*workers*) ;;
		*) echo 'workers = 2' ;;
		esac
		printf '%s\n' "$@"
	} >"$DIR/it.ini.new"
	mv "$DIR/it.ini.new" "$DIR/it.ini"
}

start_file() {
	start_cluster -c "$DIR/it.ini"
}

pids() {
	CLUSTER=${1:-web} cluster '[.workers[].pid] | join(" ")'
}

config_has() {
	nclust config "$INSTANCE" | grep -qF -- "$1"
}

@test "nothing changed: nothing happens" {
	write_ini
	start_file
	before=$(pids)
	run nclust reload "$INSTANCE"
	[ "$status" -eq 0 ]
	[[ $output == *"no change"* ]]
	[ "$(pids)" = "$before" ]
	[ "$(cluster .generation)" -eq 1 ]
}

@test "a live key changes without a new process, and holds" {
	write_ini 'stop-timeout = 1h'
	start_file
	before=$(pids)
	write_ini 'stop-timeout = 50ms' 'stop-signal = USR1'
	run nclust reload "$INSTANCE"
	[ "$status" -eq 0 ]
	[[ $output == *stop-timeout* ]]
	[ "$(pids)" = "$before" ]

	# hear goes on after USR1: killed after 50 ms, not after an hour
	nclust stop "$INSTANCE"
	wait_exit
	logged 'did not end in time, sending SIGKILL' 2
}

@test "a key of the process rolls: new pids, and what it says" {
	write_ini
	start_file
	before=$(pids)
	write_ini 'env = COLOUR=green'
	run nclust reload "$INSTANCE"
	[ "$status" -eq 0 ]
	[[ $output == *env* ]]
	[ "$(pids)" != "$before" ]
	[ "$(cluster '"\(.ready) \(.generation)"')" = "2 2" ]
	tr '\0' '\n' <"/proc/$(worker_pid 1)/environ" | grep -qx COLOUR=green
}

@test "only the cluster that changed is rolled; new ones come, old ones go" {
	for name in one two three; do
		printf '%s\n' "[cluster:$name]" "workers = 1" "ready = notify" \
			"command = $FIXTURES/hear --notify"
	done >"$DIR/it.ini"
	start_file
	one=$(pids one)
	two=$(pids two)
	three=$(pids three)
	for name in one two four; do
		printf '%s\n' "[cluster:$name]" "workers = 1" "ready = notify" \
			"command = $FIXTURES/hear --notify"
		[ "$name" != two ] || echo "umask = 027"
		# else it would be one of before by another name
		[ "$name" != four ] || echo "env = A=1"
	done >"$DIR/it.ini"

	run nclust reload "$INSTANCE"
	[ "$status" -eq 0 ]
	[[ $output == *"four: new"* ]]
	[[ $output == *"three: removed"* ]]
	wait_until 10 '[ "$(status_json |
		jq -r "[.clusters[].name] | sort | join(\" \")")" = \
		"four one two" ]'
	wait_ready
	[ "$(pids one)" = "$one" ]
	[ "$(pids two)" != "$two" ]
	is_gone "$three"
}

@test "workers: changed in the file it counts, else a scale holds" {
	write_ini
	start_file
	nclust scale "$INSTANCE" 3
	write_ini 'stop-timeout = 5s'
	nclust reload "$INSTANCE"
	[ "$(cluster .wanted)" -eq 3 ]

	write_ini 'stop-timeout = 5s' 'workers = 1'
	nclust reload "$INSTANCE"
	wait_until 10 '[ "$(cluster ".workers | length")" -eq 1 ]'
	[ "$(cluster .wanted)" -eq 1 ]
}

@test "a broken file: exit 78, file:line, and the same processes" {
	write_ini
	start_file
	before=$(pids)
	write_ini 'wrokers = 3' 'stop-timeout = soon'
	run nclust reload "$INSTANCE"
	[ "$status" -eq 78 ]
	[[ $output == *"it.ini:5: "*workers* ]]
	[[ $output == *"it.ini:6: "*soon* ]]
	[ "$(pids)" = "$before" ]

	# the same by signal: nothing but the errors
	kill -HUP "$NCLUST_PID"
	wait_logged 'it.ini:5' 2
	[ "$(pids)" = "$before" ]
	[ "$(cluster '"\(.generation) \(.rollout)"')" = "1 null" ]

	rm "$DIR/it.ini"
	run nclust reload "$INSTANCE"
	[ "$status" -eq 78 ]
	[ "$(pids)" = "$before" ]

	write_ini 'stop-timeout = 5s'
	nclust reload "$INSTANCE"
	[ "$(pids)" = "$before" ]
}

@test "an address in use refuses all of it, and the old one is kept" {
	need perl
	free_port
	first=$PORT
	free_port
	write_ini "listen = 127.0.0.1:$first"
	start_file
	before=$(pids)
	perl -MIO::Socket::INET -e '
		$s = IO::Socket::INET->new(Listen => 1,
			LocalAddr => "127.0.0.1:$ARGV[0]") or die;
		open(F, ">$ARGV[1]"); close(F); sleep 600' \
		"$PORT" "$DIR/bound" 3>&- &
	STARTED+=($!)
	wait_until 10 '[ -e "$1" ]' "$DIR/bound"

	write_ini "listen = 127.0.0.1:$PORT" 'workers = 5' 'stop-timeout = 1s'
	run nclust reload "$INSTANCE"
	[ "$status" -eq 1 ]
	[[ $output == *"127.0.0.1:$PORT"*"in use"* ]]
	[ "$(pids)" = "$before" ]
	[ "$(cluster '"\(.wanted) \(.listeners[0].address)"')" = \
		"2 tcp:127.0.0.1:$first" ]
}

@test "a new address: served by the new workers, the old one kept till then" {
	free_port
	first=$PORT
	free_port
	printf '%s\n' '[cluster:web]' 'workers = 2' 'ready = notify' \
		"command = $FIXTURES/serve --notify" \
		"listen = 127.0.0.1:$first" >"$DIR/it.ini"
	start_file
	start_load "$first"
	sed -i "/^listen/a listen = 127.0.0.1:$PORT" "$DIR/it.ini"
	nclust reload "$INSTANCE"
	end_load
	[ "$REFUSED $LOST $LATE" = "0 0 0" ]
	[ "$(cluster '.listeners | length')" -eq 2 ]

	sed -i "/127.0.0.1:$first/d" "$DIR/it.ini"
	nclust reload "$INSTANCE"
	[[ $(http_get "$PORT") == pid=* ]]
	run http_get "$first"
	[[ $output == *"refused"* || $output == *"Couldn't connect"* ]]
}

@test "the listeners of a roll that failed are closed again" {
	free_port
	first=$PORT
	free_port
	write_ini "listen = 127.0.0.1:$first"
	start_file
	# live settings in between are none the worse
	write_ini "listen = 127.0.0.1:$first" 'stop-timeout = 5s'
	nclust reload "$INSTANCE"
	write_ini "listen = 127.0.0.1:$PORT" 'stop-timeout = 5s'
	sed -i "s,^command.*,command = $FIXTURES/die --exit 4," "$DIR/it.ini"
	run nclust reload "$INSTANCE"
	[ "$status" -eq 1 ]

	[ "$(cluster '.listeners[].address')" = "tcp:127.0.0.1:$first" ]
	run ! port_is_taken "$PORT"
	port_is_taken "$first"
}

@test "a file that is renamed over and over is read whole, old or new" {
	write_ini 'env = A=1' 'env = B=1'
	start_file
	(
		while [ ! -e "$DIR/enough" ]; do
			write_ini 'env = A=2' 'env = B=2'
			write_ini 'env = A=1' 'env = B=1'
		done
	) 3>&- &
	STARTED+=($!)
	for i in 1 2 3 4 5 6 7 8; do
		nclust reload "$INSTANCE" >/dev/null
		run nclust config "$INSTANCE"
		a=$(grep -o 'A=[12]' <<<"$output")
		b=$(grep -o 'B=[12]' <<<"$output")
		[ "${a#A=}" = "${b#B=}" ]
	done
	touch "$DIR/enough"
}

@test "a storm of HUPs is one roll at a time, and the last file wins" {
	write_ini
	start_file
	for i in 1 2 3 4 5 6 7 8 9 10; do
		write_ini "env = STEP=$i"
		kill -HUP "$NCLUST_PID"
	done
	wait_until 20 'tr "\0" "\n" <"/proc/$(worker_pid 1)/environ" |
		grep -qx STEP=10'
	wait_until 10 '[ "$(cluster .state)" = running ]'
	[ "$(cluster '"\(.ready) \(.workers | length)"')" = "2 2" ]
	tr '\0' '\n' <"/proc/$(worker_pid 0)/environ" | grep -qx STEP=10
}

@test "HUP reads the file and rolls everything once" {
	write_ini
	start_file
	before=$(pids)
	write_ini 'stop-timeout = 5s'
	kill -HUP "$NCLUST_PID"
	wait_until 10 '[ "$(cluster .generation)" -eq 2 ]'
	[ "$(pids)" != "$before" ]
	config_has '5s'
	[ "$(grep -c 'rollout [0-9]* done' "$LOG")" -eq 1 ]
}

@test "HUP without a file is a rolling restart" {
	start_cluster -n 2 --ready notify -- "$FIXTURES/hear" --notify
	before=$(pids it)
	kill -HUP "$NCLUST_PID"
	wait_until 10 '[ "$(cluster .generation)" -eq 2 ]'
	[ "$(pids it)" != "$before" ]
	run nclust reload "$INSTANCE"
	[ "$status" -eq 1 ]
	[[ $output == *"no configuration file"* ]]
}

@test "HUP that was ignored at the start does nothing" {
	write_ini
	trap '' HUP
	start_file
	trap - HUP
	before=$(pids)
	write_ini 'env = A=1'
	kill -HUP "$NCLUST_PID"
	kill -USR1 "$NCLUST_PID"
	wait_logged USR1
	[ "$(pids)" = "$before" ]
	[ "$(cluster '"\(.generation) \(.rollout)"')" = "1 null" ]
}

@test "settings whose roll failed are rolled back; the next reload sees them" {
	write_ini
	start_file
	before=$(pids)
	write_ini 'directory = /' "command = $FIXTURES/die --exit 4" 2>/dev/null
	sed -i '0,/^command/{/^command/d}' "$DIR/it.ini"
	run nclust reload "$INSTANCE"
	[ "$status" -eq 1 ]
	[[ $output == *"exit 4"* ]]
	[ "$(pids)" = "$before" ]
	[ "$(cluster .command[0])" = "$FIXTURES/hear" ]

	# who dies now comes back by the old settings
	kill -KILL "$(worker_pid 0)"
	wait_until 10 '[ "$(worker 0 .restarts)" -eq 1 ]'
	wait_ready
	[ "$(readlink "/proc/$(worker_pid 0)/exe")" = "$(realpath \
		"$FIXTURES/hear")" ]

	# the same file again is still a difference, and fails again
	run nclust reload "$INSTANCE"
	[ "$status" -eq 1 ]
	# and the old file is none
	write_ini
	run nclust reload "$INSTANCE"
	[ "$status" -eq 0 ]
	[[ $output == *"no change"* ]]
}

@test "a roll to new settings that fails half-way goes back to the old ones" {
	write_ini
	start_file
	printf '%s\n' '#!/bin/sh' '[ "$NCLUST_SLOT" -eq 0 ] || exit 9' \
		"exec $FIXTURES/hear --notify" >"$DIR/half"
	chmod +x "$DIR/half"
	sed -i "s,^command.*,command = $DIR/half," "$DIR/it.ini"
	run nclust reload "$INSTANCE"
	[ "$status" -eq 1 ]
	[[ $output == *"web.1: exit 9"* ]]
	wait_until 10 '[ "$(cluster .state)" = running ]'
	[ "$(cluster .command[0])" = "$FIXTURES/hear" ]
	[ "$(cluster '[.workers[].generation] | max')" -ge 3 ]
	[ "$(cluster '"\(.ready) \(.workers | length)"')" = "2 2" ]
}

@test "what only a restart of nclust can change is refused, with the key" {
	write_ini
	start_file
	before=$(pids)
	printf '%s\n' '[nclust]' "pidfile = $DIR/pid" >>"$DIR/it.ini"
	run nclust reload "$INSTANCE"
	[ "$status" -eq 1 ]
	[[ $output == *pidfile*restart* ]]
	[ "$(pids)" = "$before" ]
}

@test "reload brings a cluster back that had given up" {
	write_ini 'give-up = 2/1m' 'backoff-min = 1ms' 'backoff-max = 1ms'
	sed -i "s,^command.*,command = $FIXTURES/die --exit 1," "$DIR/it.ini"
	printf '%s\n' '[cluster:other]' 'workers = 1' \
		"command = $FIXTURES/hear" >>"$DIR/it.ini"
	start_nclust -c "$DIR/it.ini"
	wait_logged 'web: gave up'
	sed -i "s,^command = .*die.*,command = $FIXTURES/hear --notify," \
		"$DIR/it.ini"
	nclust reload "$INSTANCE"
	CLUSTER=web wait_until 10 '[ "$(cluster .ready)" -eq 2 ]'
}

@test "the log level changes with a reload" {
	write_ini
	start_file
	{
		printf '%s\n' '[nclust]' 'log-level = debug'
		cat "$DIR/it.ini"
	} >"$DIR/it.ini.new"
	mv "$DIR/it.ini.new" "$DIR/it.ini"
	nclust reload "$INSTANCE"
	kill -WINCH "$NCLUST_PID"
	wait_logged 'received SIGWINCH'
}

# in_its_mounts COMMAND...: run it where nclust sees the same files.
in_its_mounts() {
	nsenter -t "$NCLUST_PID" -m "$@"
}

@test "a name service that does not answer holds up the reload alone" {
	need_root
	need nsenter
	unshare -m true 2>/dev/null || skip "needs mount namespaces"
	nclust_under unshare -m
	write_ini 'user = nobody'
	start_file
	before=$(pids)

	# whoever looks up a user waits for a writer from now on
	mkfifo -m 644 "$DIR/passwd"
	in_its_mounts mount --bind "$DIR/passwd" /etc/passwd
	write_ini 'user = nobody' 'stop-timeout = 1s'
	nclust reload "$INSTANCE" >"$DIR/said" 2>&1 3>&- &
	reload=$!
	poll_until 10 is_looking_up "$NCLUST_PID"
	[ "$(pids)" = "$before" ]
	kill -HUP "$NCLUST_PID" # begins the look-up again
	nclust restart "$INSTANCE"
	[ "$(cluster .generation)" -eq 2 ]
	run ! config_has 'stop-timeout = 1s'
	status=0
	wait "$reload" || status=$?
	[ "$status" -eq 1 ]
	grep -q 'not read within 5 s: .*name service' "$DIR/said"

	in_its_mounts umount /etc/passwd
	run nclust reload "$INSTANCE"
	[ "$status" -eq 0 ]
	config_has 'stop-timeout = 1s'
}

# is_looking_up PID: has it a child that waits in open(2) of a FIFO?
is_looking_up() {
	local child

	for child in $(cat "/proc/$1/task/$1/children"); do
		grep -qx wait_for_partner "/proc/$child/wchan" && return 0
	done
	return 1
}
