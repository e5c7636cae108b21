#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2154
#
# What is given away: the Debian package, the container image and the source archive,
# each made from the sources and tried.  `make package-tests`: some five minutes, as
# root; not part of scripts/check.

bats_require_minimum_version 1.5.0
load ../lib

PATH=$PATH:/usr/sbin:/sbin

setup() {
	nclust_setup
	SERVER=build/fixtures/plain-static
}

# elsewhere SCRIPT [ARG]...: what it writes outside of /dev/pts is gone afterwards.
elsewhere() {
	unshare --mount --propagation private sh -eu -c '
		mount -t tmpfs none "$1"
		cd "$1"
		mkdir upper work root
		mount -t overlay none root -o \
			"lowerdir=/,upperdir=$1/upper,workdir=$1/work"
		for dir in proc sys dev; do
			mount --rbind "/$dir" "root/$dir"
		done
		mount -t tmpfs -o mode=1777 none root/dev/shm
		cd root
		mkdir -p old.root
		pivot_root . old.root
		umount -l /old.root
		mount --make-rshared /
		shift
		exec sh -eu -c "$@"' - "$DIR" "$@"
}

# --- The package -------------------------------------------------------------

@test "the package is made from a clean clone, and lintian has nothing to say" {
	git clone -q "$ROOT" "$DIR/clone"
	make -s -C "$DIR/clone" deb
	cp "$DIR"/clone/build/nclust*_*.* "$BATS_FILE_TMPDIR"
	run lintian --fail-on error,warning \
		"$BATS_FILE_TMPDIR"/nclust_*.changes
	echo "$output"
	[ "$status" -eq 0 ]
	run -1 grep '^[EW]:' <<<"$output"
}

@test "installed, it rolls a real cluster; removed, it leaves nothing" {
	need_root
	cp "$BATS_FILE_TMPDIR"/nclust_*.deb "$BATS_TEST_TMPDIR/nclust.deb"
	cp -R "$ROOT/etc/debian/tests/roll" "$BATS_TEST_TMPDIR/roll"
	elsewhere '
		dpkg -i "$1/nclust.deb"
		dpkg -L nclust | while read -r file; do
			[ -d "$file" ] || echo "$file"
		done >/files
		grep -qx /usr/bin/nclust /files
		grep -qx /usr/share/man/man1/nclust.1.gz /files
		AUTOPKGTEST_TMP= "$1/roll"
		dpkg --purge nclust
		while read -r file; do
			! [ -e "$file" ] || { echo "left: $file"; exit 1; }
		done </files' - "$BATS_TEST_TMPDIR"
}

@test "autopkgtest finds the test in the source package, and it passes" {
	need_root
	git clone -q "$ROOT" "$DIR/clone"
	(cd "$DIR/clone" && scripts/make-deb --source)
	mkdir "$BATS_TEST_TMPDIR/made"
	cp "$DIR"/clone/build/nclust_* "$BATS_TEST_TMPDIR/made"
	run elsewhere '
		export DEBIAN_FRONTEND=noninteractive
		apt-get -qq update
		apt-get -qq install autopkgtest
		autopkgtest "$1"/nclust_*.dsc "$1"/nclust_*_*.deb -- null
		' - "$BATS_TEST_TMPDIR/made"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output =~ roll\ +PASS ]]
}

# --- The archive -------------------------------------------------------------

@test "the source archive is the same twice, and so is what it builds" {
	local place

	for place in one another/deeper; do
		git clone -q "$ROOT" "$DIR/$place"
		make -s -C "$DIR/$place" dist
		mkdir "$DIR/$place/from"
		tar -xzf "$DIR/$place"/build/nclust-*.tar.gz \
			-C "$DIR/$place/from" --strip-components=1
		make -s -j2 -C "$DIR/$place/from" nclust
	done
	cmp "$DIR"/one/build/nclust-*.tar.gz \
		"$DIR"/another/deeper/build/nclust-*.tar.gz
	cmp "$DIR/one/from/nclust" "$DIR/another/deeper/from/nclust"
}

# --- The image ---------------------------------------------------------------

@test "the image is small, and runs as root, as another user, and read-only" {
	need_root
	cd "$ROOT"
	PODMAN="podman --runtime runc" tests/packages/image "$SERVER" "" \
		"--user 1234:1234" --read-only "--read-only --user 1234:1234"
}

@test "an ordinary user can make it, and run it" {
	local place

	need_root
	place=$(mktemp -d /var/tmp/nclust.XXXXXX)
	(cd "$ROOT" && cp --parents etc/Containerfile scripts/make-image \
		tests/packages/image build/static/nclust "$SERVER" "$place")
	chmod -R go=rX "$place"
	run elsewhere '
		useradd -m -s /bin/sh shop
		mkdir -m 700 /tmp/of-shop
		chown shop /tmp/of-shop
		cd "$1"
		su shop -c "
			export XDG_RUNTIME_DIR=/tmp/of-shop
			PODMAN=\"podman --runtime runc --storage-driver vfs \
				--cgroup-manager cgroupfs\"
			export PODMAN
			tests/packages/image $2 \"\" --read-only"
		' - "$place" "$SERVER"
	rm -rf "$place"
	echo "$output"
	[ "$status" -eq 0 ]
}
