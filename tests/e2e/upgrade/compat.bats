#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
#
# What nclust(1) promises under COMPATIBILITY: whoever has written a file or a program
# for an earlier version need not touch it.  tests/compat has what each version took
# and answered.  Its state is in tests/unit/upgrade/test_carry.c, and
# `make upgrade-from REV=COMMIT` takes over from a real one.

bats_require_minimum_version 1.5.0
load ../../lib

VERSIONS=$ROOT/tests/compat

setup() {
	nclust_setup
}

# The instance's settings, all of the cluster `plain`, and of each other cluster the
# one that it is called after.
settings_of() {
	"$NCLUST" config --json -c "$1" | jq -S '.settings | [to_entries[] |
		.key as $where | ($where | sub("^cluster:"; "")) as $name |
		.value | to_entries[] |
		select($where == "nclust" or $name == "plain" or .key == $name) |
		select([$name, .key] != ["plain", "directory"]) | # beside the file
		{"\($where) \(.key)": .value.value}] | add' |
		sed "s,$(realpath "${1%/*}")/,,"
}

@test "a file of an earlier version is accepted, and means the same" {
	local dir differs

	for dir in "$VERSIONS"/*/; do
		cp "$dir/all.ini" "$DIR/all.ini"
		(cd "$DIR" && "$NCLUST" config --check -c all.ini)
		settings_of "$DIR/all.ini" >"$DIR/now"
		differs=$(jq -rn --slurpfile once "$dir/all.json" \
			--slurpfile now "$DIR/now" '$once[0] | to_entries[] |
			select($now[0][.key] != .value) |
			"\(.key): \(.value) then, \($now[0][.key]) now"')
		echo "$differs"
		[ -z "$differs" ]
	done
}

@test "a client of an earlier version finds all that it looks for" {
	local dir

	for dir in "$VERSIONS"/*/; do
		rm -rf "$DIR/it"
		mkdir "$DIR/it"
		cp "$dir/it.ini" "$FIXTURES/serve" "$FIXTURES/talk" "$DIR/it"
		INSTANCE=it start_cluster -c "$DIR/it/it.ini"
		"$VERSIONS/client" "$NCLUST_RUNTIME_DIR/it/control" \
			"$dir/answers" ${RECORD:+--record}
		wait_exit
	done
}
