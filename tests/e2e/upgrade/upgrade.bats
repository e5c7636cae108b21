#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154,SC2314
#
# nclust replaces itself by the binary on disk: it works, or nothing changes.

bats_require_minimum_version 1.5.0
load ../../lib
load ../../upgrade

setup() {
	upgrade_setup
}

@test "the process, the workers and their ages stay, and all goes on working" {
	serve_two
	since=$(worker 1 .uptime)

	run -0 upgrade
	[[ $output == *"upgraded from "*" with 2 workers"* ]]

	still_the_same 1
	all_cloexec
	[ "$(jq -n "$(worker 1 .uptime) >= $since")" = true ]
	works
}

@test "the answer as JSON, at once, and by a signal" {
	serve_two --signal-USR2 upgrade

	run -0 upgrade --json
	[ "$(jq .ok <<<"$output")" = true ]
	still_the_same 1

	upgrade --no-wait
	wait_until 10 '[ "$(upgrades)" -eq 2 ]'
	kill -USR2 "$NCLUST_PID"
	wait_until 10 '[ "$(upgrades)" -eq 3 ]'
	still_the_same 3
	works
}

@test "20 upgrades in a row under load: nothing lost, nothing grows" {
	# pages of a file that is not on the disk yet would count as dirty
	sync "$DIR/nclust"
	serve_two
	upgrade
	fds=$(settled_descriptors)
	memory=$(private_memory)
	start_open "$PORT" --rate 300

	for ((i = 0; i < 20; i++)); do
		upgrade
	done

	end_open
	[ "$LOST" -eq 0 ]
	still_the_same 21
	same_descriptors "$fds"
	later=$(private_memory)
	echo "$memory KiB, then $later KiB"
	[ "$later" -le $((memory + 16)) ]
	[ "$later" -le 600 ]
	works
}

@test "another binary is executed, by the path that nclust was started from" {
	serve_two
	old=$(stat -c %i "$DIR/nclust")
	put "$PROGRAM"
	[ "$(stat -c %i "$DIR/nclust")" != "$old" ]

	upgrade

	[ "$(stat -L -c %i "/proc/$NCLUST_PID/exe")" = \
		"$(stat -c %i "$DIR/nclust")" ]
	[ "$(cat "/proc/$NCLUST_PID/comm")" = nclust ]
	[ "$(tr '\0' ' ' <"/proc/$NCLUST_PID/cmdline")" = \
		"$DIR/nclust --name $INSTANCE -n 2 --listen 127.0.0.1:$PORT --ready notify -- $FIXTURES/serve --notify " ]
	works
}

@test "a link is followed anew; a relative path means what it meant" {
	mkdir "$DIR/one" "$DIR/two" "$DIR/bin"
	mv "$DIR/nclust" "$DIR/one/nclust"
	cp "$DIR/one/nclust" "$DIR/two/nclust"
	ln -s ../one/nclust "$DIR/bin/nclust"
	cd "$DIR"
	NCLUST=bin/nclust
	serve_two
	ln -sfn ../two/nclust "$DIR/bin/nclust"

	upgrade

	[ "$(readlink "/proc/$NCLUST_PID/exe")" = "$DIR/two/nclust" ]
	works
}

# refused WORDS: the upgrade fails and says so; nothing has changed.
refused() {
	run -1 upgrade
	echo "$output"
	[[ $output == *"upgrade failed, nothing was changed: "*"$1"* ]] || return 1
	still_the_same 0
}

@test "a binary that is none: absent, a directory, unreadable, garbage, cut" {
	serve_two
	fds=$(settled_descriptors)

	rm "$DIR/nclust"
	refused "No such file or directory"
	mkdir "$DIR/nclust"
	refused "is not a plain file"
	rmdir "$DIR/nclust"
	put "$PROGRAM"
	chmod 644 "$DIR/nclust"
	refused "Permission denied"
	echo 'echo hello' >"$DIR/nclust"
	chmod 755 "$DIR/nclust"
	refused "Exec format error"
	# another machine's: e_machine is at 18
	put "$PROGRAM"
	printf '\xf3\x00' | dd of="$DIR/nclust" bs=1 seek=18 conv=notrunc \
		status=none
	refused ""
	# begun, and not yet all there
	put "$PROGRAM"
	truncate -s 200000 "$DIR/nclust"
	refused "killed by SIG"
	: >"$DIR/nclust"
	refused "Exec format error"

	same_descriptors "$fds"
	put "$PROGRAM"
	upgrade
	works
}

@test "a binary that is another program" {
	serve_two
	put /bin/true
	refused "not an nclust that can take over (exit 0)"
	put /bin/ls
	refused "the new nclust says: "
	put /bin/false
	refused "(exit 1)"
	works
}

@test "a binary that others could have written to" {
	serve_two
	chmod 757 "$DIR/nclust"
	refused "can be written to by others"
	if [ "$(id -u)" -eq 0 ]; then
		chmod 775 "$DIR/nclust"
		refused "can be written to by others"
		put "$PROGRAM"
		chown 65534 "$DIR/nclust"
		refused "belongs to another user"
	fi
	works
}

@test "a binary that crashes over our state, or cannot read it" {
	serve_two
	put "$VARIANTS/nclust-crash"
	refused "killed by SIGABRT"
	put "$VARIANTS/nclust-alien"
	refused "the state has version 1.1, this nclust knows version 2"
	works
}

@test "a binary that hangs over our state is given 5 s, and nobody waits" {
	serve_two
	put "$VARIANTS/nclust-hang"
	upgrade >"$DIR/out" 2>&1 3>&- &
	asker=$!
	wait_until 5 'pgrep -f "^nclust --check-state" -P "$NCLUST_PID"'
	[ "$(http_get "$PORT" | cut -c1-4)" = pid= ]
	status_json >"$DIR/status"
	run -75 upgrade
	[[ $output == *"an upgrade is under way"* ]]

	status=0
	wait "$asker" || status=$?
	[ "$status" -eq 1 ]
	grep -F 'did not answer within 5 s' "$DIR/out"
	still_the_same 0
	run ! pgrep -P "$NCLUST_PID" -f check-state
	works
}

@test "a binary that is still being written is waited for, a second" {
	serve_two
	put "$PROGRAM"
	exec 7>>"$DIR/nclust"
	run -1 upgrade
	[[ $output == *"Text file busy"* ]]
	still_the_same 0

	upgrade 7>&- 3>&- &
	asker=$!
	wait_until 5 '[ "$(client events "$INSTANCE" --json |
		jq -s "map(select(.event == \"upgrade-waits\")) | length")" -ge 1 ]'
	exec 7>&-
	wait "$asker"
	still_the_same 1
	works
}

@test "what fails after the exec goes back to the nclust of before" {
	serve_two --log prefix
	start_open "$PORT" --rate 200
	put "$VARIANTS/nclust-fail"

	run -1 upgrade
	[[ $output == *"the old nclust continues: this one is built to fail"* ]]
	still_the_same 0
	fds=$(settled_descriptors)
	run -1 upgrade
	still_the_same 0
	run -1 upgrade

	still_the_same 0
	all_cloexec
	end_open
	same_descriptors "$fds"
	[ "$LOST" -eq 0 ]
	put "$PROGRAM"
	upgrade
	still_the_same 1
	works
}

@test "between two versions of the state, both ways" {
	free_port
	start_cluster -n 2 --listen "127.0.0.1:$PORT" --ready notify \
		-- "$FIXTURES/notify" 'READY=1\nSTATUS=well'
	WORKERS=$(workers)
	[ "$(worker 0 .status)" = well ]

	put "$VARIANTS/nclust-next"
	run -0 upgrade
	[[ $output =~ "from "([0-9.]+)" to "([0-9.]+)"+next" ]]
	still_the_same 1
	[ "$(worker 0 .status)" = well ]

	# the later one writes what this one does not know, and leaves some out
	put "$PROGRAM"
	run -0 upgrade
	[[ $output == *"+next to "* ]]
	still_the_same 2
	[ "$(worker 0 .status)" = null ]
	wait_logged "such as 'of-a-later-version', is not known to this one" ||
		wait_logged "such as 'of-a-later-version', are not known to this one"
	put "$VARIANTS/nclust-next"
	upgrade
	still_the_same 3
	works
}
