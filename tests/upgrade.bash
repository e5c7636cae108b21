# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# What the tests of `nclust upgrade` share: `load ../../lib` and
# `load ../../upgrade` in a file, upgrade_setup in its setup().

upgrade_setup() {
	nclust_setup
	# its binary is ours to replace
	cp "$NCLUST" "$DIR/nclust"
	NCLUST=$DIR/nclust
}

# put BINARY: it is what stands on disk from now on.
put() {
	cp "$1" "$DIR/.new"
	mv -f "$DIR/.new" "$DIR/nclust"
}

# Whatever stands there: a client that works.
client() {
	"$PROGRAM" "$@"
}

nclust() {
	client "$@"
}

upgrade() {
	client upgrade "$INSTANCE" "$@"
}

upgrades() {
	status_json | jq .upgrades
}

workers() {
	status_json | jq -c '[.clusters[].workers[] | [.id, .pid]]'
}

# Same process, same workers, so many upgrades; and no descriptor more.
still_the_same() {
	[ "$(workers)" = "$WORKERS" ]
	[ "$(status_json | jq .pid)" = "${MAIN:-$NCLUST_PID}" ]
	[ "$(upgrades)" = "${1:-0}" ]
}

# All that an operator does still works, up to the end.
works() {
	client restart "$INSTANCE"
	client scale "$INSTANCE" 3
	[ "$(cluster .ready)" -eq 3 ]
	client stop "$INSTANCE"
	wait_exit
	[ "$status" -eq 0 ]
	[ ! -e "$NCLUST_RUNTIME_DIR/$INSTANCE" ]
}

# serve_two [OPTION]...: two workers that take their socket from outside.
serve_two() {
	free_port
	start_cluster -n 2 --listen "127.0.0.1:$PORT" --ready notify "$@" \
		-- "$FIXTURES/serve" --notify
	WORKERS=$(workers)
}

# No program that it may start gets any of its descriptors.
all_cloexec() {
	local info fd flags

	for info in "/proc/$NCLUST_PID/fdinfo/"*; do
		fd=${info##*/}
		[ "$fd" -gt 2 ] || continue
		flags=$(awk '/^flags/ { print $2 }' "$info" 2>/dev/null) || true
		[ -z "$flags" ] || ((8#$flags & 8#2000000)) || {
			echo "$fd: $(readlink "/proc/$NCLUST_PID/fd/$fd")"
			return 1
		}
	done
}

# By kind.  (An exec closes those of the spawner, until it needs them again:
# compare after two upgrades, not before and after one.)
descriptors() {
	find "/proc/$NCLUST_PID/fd" -mindepth 1 -printf '%l\n' 2>/dev/null |
		sed 's/[0-9]*\]$/]/; s/ (deleted)$//' | sort | uniq -c
}

# The same, once nclust has seen that its last clients are gone: the smallest of
# some looks.
settled_descriptors() {
	local i

	wait_begun
	for ((i = 0; i < 8; i++)); do
		printf '%s\n' "$(descriptors | tr '\n' ';')"
		status_json >/dev/null
	done | awk '{ sum = 0; n = split($0, part, ";")
		for (i = 1; i < n; i++) sum += part[i]
		if (NR == 1 || sum < least) { least = sum; line = $0 } }
		END { print line }' | tr ';' '\n'
}

# same_descriptors LIST: as many as they were, of each kind.
same_descriptors() {
	local now

	now=$(settled_descriptors)
	diff <(echo "$1") <(echo "$now")
}

# KiB of private memory that it has written to.
private_memory() {
	awk '/^Private_Dirty/ { sum += $2 } END { print sum }' \
		"/proc/$NCLUST_PID/smaps_rollup"
}

# fails_once CALL ERROR MOST: whichever of nclust's such calls fails while it
# replaces itself, it or its successor goes on with all.  (Not those of the
# dynamic loader, which nobody survives: mmap, openat, fstat, read; nor brk, of which
# strace says that it returns -ENOMEM: the kernel never does, it returns the old
# break, and glibc takes that for an address.)
fails_once() {
	local n

	for ((n = 1; n <= $3; n++)); do
		strace -qq -o "$DIR/trace" -p "$NCLUST_PID" -e "trace=$1" \
			-e "inject=$1:error=$2:when=$n" 3>&- 2>"$DIR/strace" &
		tracer=$!
		poll_until 10 holds 'grep -q "TracerPid:.*[1-9]" \
			"/proc/$NCLUST_PID/status"' || skip "strace cannot attach"
		status=0
		timeout 20 "$PROGRAM" upgrade "$INSTANCE" \
			>"$DIR/out" 2>&1 || status=$?
		kill -TERM "$tracer" 2>/dev/null || true
		wait "$tracer" || true
		if [ "$status" -gt 1 ] || is_gone "$NCLUST_PID" ||
			[ "$(workers)" != "$WORKERS" ]; then
			echo "after $1 number $n: $2: exit $status"
			cat "$DIR/out"
			return 1
		fi
		grep -q INJECTED "$DIR/trace" || break
	done
	echo "$1: $((n - 1)) failed"
}
