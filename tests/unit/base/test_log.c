/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

START_TEST(a_line_is_written_whole)
{
	char line[64] = "";
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	log_to(ends[1], "nclust: ", LOG_NOTE);
	log_note("web: %d of 2", 1);
	ck_assert_int_gt(read(ends[0], line, sizeof(line) - 1), 0);
	ck_assert_str_eq(line, "nclust: web: 1 of 2\n");
}
END_TEST

/* As a service manager gives it; the test is killed if this blocks. */
START_TEST(a_full_socket_drops_lines)
{
	char line[64] = "";
	int ends[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	log_to(ends[1], "nclust: ", LOG_NOTE);
	for (int i = 0; i < 100000; i++)
		log_note("much");
	ck_assert_int_eq(read(ends[0], line, 13), 13);
	ck_assert_str_eq(line, "nclust: much\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tc = tcase_create("log");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, a_line_is_written_whole);
	tcase_add_test(tc, a_full_socket_drops_lines);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
