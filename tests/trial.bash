# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# What `nclust doctor` finds, for the tests of it: load after lib and life.

# fact NAME: its mark and what was found, of `doctor --json` in $output.
fact() {
	jq -r --arg name "$1" \
		'.facts[] | select(.name == $name) | "\(.mark) \(.found); \(.does)"' \
		<<<"$output"
}

# try STATUS ARG...: `doctor --json ARG...`, which has to end so; $output is an
# object then, and of the trial nothing is left.
try() {
	local wanted=$1

	shift
	run --separate-stderr nclust doctor --json "$@"
	echo "$output${stderr:+ stderr: $stderr}"
	[ "$status" -eq "$wanted" ]
	jq -e 'type == "object"' <<<"$output" >/dev/null
	nothing_is_left
}

nothing_is_left() {
	local pid

	[ -z "$(ls -A "$NCLUST_RUNTIME_DIR")" ]
	for pid in $(ours_that_stay); do
		echo "left: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")"
		[[ " ${STARTED[*]} " == *" $pid "* ]]
	done
}

# told FILTER: of the object.
told() {
	jq -r "$1" <<<"$output"
}

# the_line WORD...: the command line that it says to use.
the_line() {
	[ "$(told '.run | join(" ")')" = "$*" ]
}
