/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "supervisor/messages/messages.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static struct queue q;
static const char *data;
static int fd;

static int some_fd(void)
{
	int got = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_ne(got, -1);
	return got;
}

static bool is_open(int which)
{
	return fcntl(which, F_GETFD) != -1;
}

static void begin(void)
{
	q = (struct queue){0};
}

static void end(void)
{
	queue_clear(&q);
}

static int put(const char *line, size_t len, int with, size_t limit)
{
	const struct queue_part whole = {line, len};

	return queue_put(&q, &whole, 1, with, limit);
}

FIXTURE(begin, end)

TEST(lines_are_sent_together)
{
	ck_assert_int_eq(put("one", 3, -1, 100), 0);
	ck_assert_int_eq(put("two", 3, -1, 100), 0);
	ck_assert_uint_eq(queue_lines(&q), 2);
	ck_assert_uint_eq(queue_piece(&q, &data, &fd), 8);
	ck_assert_mem_eq(data, "one\ntwo\n", 8);
	ck_assert_int_eq(fd, -1);
	queue_sent(&q, 8);
	ck_assert_uint_eq(queue_piece(&q, &data, &fd), 0);
	ck_assert_ptr_null(q.bytes.data); /* no memory while it is empty */
}

TEST(a_line_is_in_it_whole_or_not_at_all)
{
	ck_assert_int_eq(put("12345", 5, -1, 8), 0);
	errno = 0;
	ck_assert_int_eq(put("12", 2, -1, 8), -1);
	ck_assert_int_eq(errno, ENOBUFS);
	ck_assert_uint_eq(queue_len(&q), 6);
	ck_assert_int_eq(put("1", 1, -1, 8), 0);
	queue_sent(&q, 7);
	ck_assert(q.in_line);
	ck_assert_uint_eq(queue_lines(&q), 1);
	ck_assert_int_eq(put("123456", 6, -1, 8), 0);
	ck_assert_uint_eq(queue_piece(&q, &data, &fd), 8);
	ck_assert_mem_eq(data, "\n123456\n", 8);
	queue_sent(&q, 1);
	ck_assert(!q.in_line);
}

TEST(a_descriptor_goes_with_the_first_byte_of_its_line)
{
	int a = some_fd();
	int b = some_fd();

	ck_assert_int_eq(put("x", 1, -1, 100), 0);
	ck_assert_int_eq(put("aa", 2, a, 100), 0);
	ck_assert_int_eq(put("y", 1, -1, 100), 0);
	ck_assert_int_eq(put("bb", 2, b, 100), 0);
	ck_assert_uint_eq(queue_piece(&q, &data, &fd), 2);
	ck_assert_int_eq(fd, -1);
	queue_sent(&q, 1); /* in part */
	ck_assert_uint_eq(queue_piece(&q, &data, &fd), 1);
	queue_sent(&q, 1);
	ck_assert_uint_eq(queue_piece(&q, &data, &fd), 5);
	ck_assert_mem_eq(data, "aa\ny\n", 5);
	ck_assert_int_eq(fd, a);
	queue_sent(&q, 1);
	ck_assert(!is_open(a)); /* it went with that byte */
	ck_assert_uint_eq(queue_piece(&q, &data, &fd), 4);
	ck_assert_int_eq(fd, -1);
	queue_sent(&q, 4);
	ck_assert_uint_eq(queue_piece(&q, &data, &fd), 3);
	ck_assert_int_eq(fd, b);
	queue_clear(&q);
	ck_assert(!is_open(b));
}

TEST(descriptors_are_bounded)
{
	int more = some_fd();

	for (int i = 0; i < QUEUE_MARKS_MAX; i++)
		ck_assert_int_eq(put("x", 1, some_fd(), 1000), 0);
	ck_assert_int_eq(put("x", 1, more, 1000), -1);
	ck_assert(is_open(more)); /* the caller's still */
	ck_assert_uint_eq(queue_lines(&q), QUEUE_MARKS_MAX);
	(void)close(more);
}

TEST(its_room_is_used_again)
{
	char line[1000];

	memset(line, 'x', sizeof(line));
	for (int i = 0; i < 10000; i++) {
		ck_assert_int_eq(put(line, sizeof(line), -1, 1U << 20), 0);
		if (i > 0)
			queue_sent(&q, sizeof(line) + 1);
	}
	ck_assert_uint_le(q.bytes.cap, 16384);
}
