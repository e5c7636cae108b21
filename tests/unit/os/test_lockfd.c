/* SPDX-License-Identifier: MIT */
#include "os/lockfd.h"

#include "base/scope.h"

#include <check.h>
#include <stdlib.h>
#include <unistd.h>

START_TEST(one_description_at_a_time_has_the_lock)
{
	scoped_fd file = lockfd_make("test");
	scoped_fd one = lockfd_again(file);
	scoped_fd other = lockfd_again(file);

	ck_assert_int_ne(one, -1);
	ck_assert_int_ne(other, -1);
	ck_assert(lockfd_take(one));
	ck_assert(lockfd_take(one)); /* it has it already */
	ck_assert(!lockfd_take(other));
	lockfd_drop(one);
	ck_assert(lockfd_take(other));
	ck_assert(!lockfd_take(one));
}
END_TEST

START_TEST(the_last_duplicate_frees_the_lock)
{
	scoped_fd file = lockfd_make("test");
	scoped_fd one = lockfd_again(file);
	scoped_fd other = lockfd_again(file);
	scoped_fd copy = dup(one);

	ck_assert(lockfd_take(one));
	fd_close(&one);
	ck_assert(!lockfd_take(other));
	fd_close(&copy);
	ck_assert(lockfd_take(other));
}
END_TEST

START_TEST(nothing_can_be_put_into_it)
{
	scoped_fd file = lockfd_make("test");
	scoped_fd one = lockfd_again(file);

	ck_assert(lockfd_is_one(one));
	ck_assert_int_eq(write(one, "x", 1), -1);
	ck_assert_int_eq(ftruncate(one, 10), -1);
	ck_assert(!lockfd_is_one(STDERR_FILENO));
	ck_assert(!lockfd_is_one(-1));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("os/lockfd");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(all, one_description_at_a_time_has_the_lock);
	tcase_add_test(all, the_last_duplicate_frees_the_lock);
	tcase_add_test(all, nothing_can_be_put_into_it);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
