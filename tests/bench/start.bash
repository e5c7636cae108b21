# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # scripts/bench has the rest
#
# Few and many workers started at once, and 1,000 killed at once, beside multiwatch and
# in turns with it, for scripts/bench: with the runtime directory in memory and on an
# ext4, as each worker has a socket file in it.
#
# With a journal, as mkfs makes it: without one, an ext4 looks at each inode that was
# freed in the last minutes before it takes another (find_inode_bit() in
# fs/ext4/ialloc.c), whoever makes the file.  So each start there takes longer than the
# one before, by up to 0.3 ms a worker.
#
# START_ROUNDS is how many turns; the medians count.

START_ROUNDS=${START_ROUNDS:-10}

# An ext4 in a mount namespace of ours (scripts/bench), or else some disk; sets PLACE.
open_disk() {
	start_disk=$(mktemp -d -p "${TMPDIR:-/var/tmp}") || return
	chmod 755 "$start_disk"
	PLACE=$start_disk
	if [ -n "${BENCH_MOUNTS-}" ] && truncate -s 1G "$start_disk/image" &&
		mkfs.ext4 -q "$start_disk/image" && mkdir "$start_disk/ext4" &&
		mount -o loop "$start_disk/image" "$start_disk/ext4"; then
		PLACE=$start_disk/ext4
	else
		note "no ext4 of our own can be mounted here"
	fi
}

close_disk() {
	! mountpoint -q "$start_disk/ext4" || umount "$start_disk/ext4"
	rm -rf "$start_disk"
	start_disk=
}

kind_of() {
	df --output=fstype "$1" | tail -n 1
}

# start_of N WHERE
start_of() {
	local round who turns
	local -A start massacre

	for ((round = 0; round < START_ROUNDS; round++)); do
		turns="nclust multiwatch"
		((round % 2 == 0)) || turns="multiwatch nclust"
		for who in $turns; do
			"on_$who" "$1" || return
			start[$who]+=" $USEC"
			if [ "$1" = 1000 ]; then
				sleep 0.3
				ask massacre
				massacre[$who]+=" $ANSWER"
			fi
			close_watch
		done
	done
	row "$1 workers started, $2" "$(whole "${start[nclust]}")" \
		"$(whole "${start[multiwatch]}")" 1.1 µs
	[ "$1" = 1000 ] || return 0
	row "$1 killed at once and replaced, $2" \
		"$(whole "${massacre[nclust]}")" \
		"$(whole "${massacre[multiwatch]}")" 1.1 µs
}

figure_start() {
	local NCLUST_RUNTIME_DIR=$NCLUST_RUNTIME_DIR memory=$NCLUST_RUNTIME_DIR
	local n PLACE

	export NCLUST_RUNTIME_DIR
	note "the baseline is multiwatch"
	open_disk || return
	mkdir -m 755 "$PLACE/run"
	for NCLUST_RUNTIME_DIR in "$memory" "$PLACE/run"; do
		for n in 64 500 1000; do
			start_of "$n" "$(kind_of "$NCLUST_RUNTIME_DIR")" || return
		done
	done
	close_disk
}
