/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/descriptors.h"

TEST(one_description_at_a_time_has_the_lock)
{
	scoped_fd file = lockfd_make("test");
	scoped_fd one = descriptors_again(file, O_RDWR);
	scoped_fd other = descriptors_again(file, O_RDWR);

	ck_assert_int_ne(one, -1);
	ck_assert_int_ne(other, -1);
	ck_assert(lockfd_take(one));
	ck_assert(lockfd_take(one)); /* it has it already */
	ck_assert(!lockfd_take(other));
	lockfd_drop(one);
	ck_assert(lockfd_take(other));
	ck_assert(!lockfd_take(one));
}

TEST(nothing_can_be_put_into_it)
{
	scoped_fd file = lockfd_make("test");
	scoped_fd one = descriptors_again(file, O_RDWR);

	ck_assert(lockfd_is_one(one));
	ck_assert_int_eq(write(one, "x", 1), -1);
	ck_assert_int_eq(ftruncate(one, 10), -1);
	ck_assert(!lockfd_is_one(STDERR_FILENO));
	ck_assert(!lockfd_is_one(-1));
}
