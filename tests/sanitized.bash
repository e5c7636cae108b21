# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034
#
# lib.bash reads this when scripts/check-asan runs the tests with the sanitized
# nclust: each report goes to $REPORTS/FOLDER.FILE.TEST.PID, where TEST is the
# test's number in its file; those of the logger, which has no environment, to
# $REPORTS/FOLDER.FILE.TEST.log.

SANITIZER_SAYS='ERROR: [A-Za-z]*Sanitizer|^[^ ]*\.[ch]:[0-9:]* runtime error:'

# What sanitized.list says of the test that runs, a line "WHAT REASON" each.
sanitized_entries() {
	local file=${BATS_TEST_FILENAME#"$ROOT/tests/e2e/"}

	file=${file%.bats} test=$BATS_TEST_DESCRIPTION awk '
	/^[^#[:space:]]/ {
		what = $1
		here = $2 == ENVIRON["file"]
		sub(/^[^ ]+ +[^ ]+ +/, "")
		here = here && ENVIRON["test"] ~ $0
	}
	/^\t/ && here { print what $0; here = 0 }' "$ROOT/tests/sanitized.list"
}

sanitized_setup() {
	local what reason leaks=1

	while read -r what reason; do
		[ "$what" = leaks ] || skip "$reason"
		leaks=0
	done < <(sanitized_entries)
	SANITIZED=${BATS_TEST_FILENAME#"$ROOT/tests/e2e/"}
	SANITIZED=$REPORTS/${SANITIZED//\//.}.$BATS_TEST_NUMBER
	# its own limit of core files would be that of all workers
	export ASAN_OPTIONS=detect_leaks=$leaks:disable_coredump=0:log_path=$SANITIZED
	export UBSAN_OPTIONS=print_stacktrace=1:log_path=$SANITIZED
}

sanitized_teardown() {
	[ -z "${SANITIZED:-}" ] ||
		grep -saE -A 40 "$SANITIZER_SAYS" "$LOG" >"$SANITIZED.log" ||
		rm -f "$SANITIZED.log"
}
