/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/descriptors.h"

#include <sys/epoll.h>

static bool has_said(const struct eventset *s)
{
	struct pollfd at = {.fd = s->wake, .events = POLLIN};

	return poll(&at, 1, 0) == 1;
}

static void add(const struct eventset *s, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	ck_assert_int_eq(epoll_ctl(s->set, EPOLL_CTL_ADD, fd, &event), 0);
}

TEST(it_says_once_that_there_is_something_until_it_is_armed_again)
{
	struct eventset s;
	int ends[2];

	ck_assert_int_eq(eventset_open(&s), 0);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	add(&s, ends[0]);
	ck_assert(!has_said(&s));
	ck_assert_int_eq(write(ends[1], "x", 1), 1);
	ck_assert(has_said(&s));
	eventset_take(&s);
	/* without asynchronous I/O it says so as long as it is true */
	ck_assert(has_said(&s) == (s.wake == s.set));
	eventset_arm(&s);
	eventset_arm(&s);
	ck_assert(has_said(&s));
	eventset_take(&s);
	ck_assert_int_eq(epoll_ctl(s.set, EPOLL_CTL_DEL, ends[0], NULL), 0);
	eventset_arm(&s);
	ck_assert(!has_said(&s));
	eventset_arm(&s);
	eventset_close(&s); /* also while it is armed */
	ck_assert_int_eq(s.set, -1);
	(void)close(ends[0]);
	(void)close(ends[1]);
}
