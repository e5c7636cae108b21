# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016
#
# nclust doctor: what this machine allows, and what nclust makes of it.

bats_require_minimum_version 1.5.0
load ../lib

@test "doctor tells of kernel, CPUs, limits, privileges and directory" {
	run -0 nclust doctor
	[[ $output == *"$(uname -r)"* ]]
	[[ $output == *"CPU"* ]]
	[[ $output == *"accept queue"*"$(cat /proc/sys/net/core/somaxconn)"* ]]
	[[ $output == *"$NCLUST_RUNTIME_DIR"* ]]
	# a program that reads it gets no escape sequences
	[[ $output != *$'\e'* ]]
}

@test "doctor --json is one line of valid JSON" {
	run -0 nclust doctor --json
	[ "${#lines[@]}" -eq 1 ]
	jq -e 'type == "object" and length > 0' <<<"$output"
	[ "$(jq -r '.. | strings | select(contains("'"$(uname -r)"'"))' \
		<<<"$output" | wc -l)" -ge 1 ]
}

@test "doctor sees the CPUs that it may use" {
	need taskset
	cpu=$(taskset -cp $$ | sed 's/.*: \([0-9]*\).*/\1/')
	all=$(nclust doctor --json)
	one=$(taskset -c "$cpu" "$NCLUST" doctor --json)
	jq -e . <<<"$one" >/dev/null
	[ "$(nproc)" -eq 1 ] || [ "$all" != "$one" ]
}

@test "doctor runs as an ordinary user, and without /proc" {
	need_root
	need setpriv
	cp "$NCLUST" "$DIR/nclust-copy"
	mkdir -m 700 "$DIR/theirs"
	chown 65534 "$DIR/theirs"
	run -0 setpriv --reuid 65534 --regid 65534 --clear-groups \
		env NCLUST_RUNTIME_DIR="$DIR/theirs" "$DIR/nclust-copy" doctor
	run -0 setpriv --reuid 65534 --regid 65534 --clear-groups \
		env NCLUST_RUNTIME_DIR="$DIR/theirs" \
		"$DIR/nclust-copy" doctor --json
	jq -e . <<<"$output"
	need unshare
	run unshare -m --propagation private sh -c \
		'mount -t tmpfs none /proc && exec "$0" doctor --json' "$NCLUST"
	[ "$status" -le 1 ]
	jq -e . <<<"$output"
}

@test "doctor exits 1 where nclust could not run, and says why" {
	chmod 777 "$NCLUST_RUNTIME_DIR"
	run nclust doctor
	[ "$status" -eq 1 ]
	[[ $output == *"others may write"* ]]
}

@test "doctor takes no other words" {
	run nclust doctor --nothing
	[ "$status" -eq 64 ]
	run nclust doctor -- true
	[ "$status" -eq 64 ]
	[ -n "$output" ]
}

# --- How ports can be taken over here --------------------------------------------

# fact NAME: its mark and what was found, of `doctor --json` in $output.
fact() {
	jq -r --arg name "$1" \
		'.facts[] | select(.name == $name) | "\(.mark) \(.found); \(.does)"' \
		<<<"$output"
}

@test "doctor tells how ports can be taken over" {
	run -0 nclust doctor --json
	[[ $(fact "taking over ports") == "ok by their own sockets"* ]]
	[[ $(fact "seccomp notify") == "ok works"* ]]
	[[ $(fact pidfd_getfd) == "ok works"* ]]
	[[ $(fact process_vm_readv) == "ok works"* ]]
	[ -n "$(fact ptrace_scope)" ]
	[ -n "$(fact CAP_SYS_PTRACE)" ]
	[[ $output != *"looks into no other process"* ]]
}

@test "doctor under Docker's profile: sockets of nclust's, and what to do" {
	need_root
	run -0 "$FIXTURES/confine" docker -- "$NCLUST" doctor --json
	[[ $(fact "taking over ports") == "note by sockets of nclust's"* ]]
	[[ $(fact pidfd_getfd) == "note refused"*"--cap-add SYS_PTRACE"* ]]
	[[ $(fact CAP_SYS_PTRACE) == *"not held"* ]]
	[[ $(fact "seccomp notify") == "ok works, with no_new_privs"* ]]
}

@test "doctor where there are no notifications, or somebody else has them" {
	run -0 "$FIXTURES/confine" gvisor -- "$NCLUST" doctor --json
	[[ $(fact "taking over ports") == "warn not possible"*"LISTEN_FDS"* ]]
	[[ $(fact "seccomp notify") == "note missing"*"gVisor"* ]]
	run -0 "$FIXTURES/confine" stacked -- "$NCLUST" doctor --json
	[[ $(fact "taking over ports") == "warn not by this nclust"* ]]
	[[ $(fact "seccomp notify") == "note taken"* ]]
}
