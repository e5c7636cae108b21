/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "os/clock.h"
#include "supervisor/common/news.h"
#include "supervisor/messages/messages.h"
#include "supervisor/workers/service.h"

#include <sys/socket.h>
#include <time.h>

/* What becomes of what workers send. */

#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 3\nready = notify\n" \
	"ipc = on\nrelay = others\n"
#define CHANNEL 3 /* the worker's end: it has no other descriptor */

ROOM_PARTS(&messages_part, &news_part)

/* Each message takes nclust so long. */
static nsec_t each_takes;
static nsec_t taken;

REPLACED(nsec_t, clock_now)(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec + taken;
}

REPLACED(void, messages_show)
(const struct channel *c, const char *line, size_t len, bool valid)
{
	(void)c;
	(void)line;
	(void)len;
	(void)valid;
	taken += each_takes;
}

static struct service *web;

static void begin(void)
{
	each_takes = taken = 0;
	web = room_web(WEB);
}

static int channel_of(uint32_t slot)
{
	return room_fd(room_child(web, slot)->pid, CHANNEL);
}

static void say(uint32_t slot, const char *text)
{
	ck_assert_int_eq(send(channel_of(slot), text, strlen(text), 0), (int)strlen(text));
}

/* What the worker has got by now, which is all that is there. */
static const char *received(uint32_t slot)
{
	static char text[4096];
	ssize_t got;

	channels_flush(&room);
	got = recv(channel_of(slot), text, sizeof(text) - 1, MSG_DONTWAIT);
	text[got > 0 ? got : 0] = '\0';
	return text;
}

static const char *heard(uint32_t slot)
{
	room_pass(0);
	return received(slot);
}

FIXTURE(begin, room_end)

TEST(what_is_no_json_goes_nowhere_and_is_told_once)
{
	const char *first;

	say(0, "{\"a\":\n{]\n");
	ck_assert_str_eq(heard(1), "");
	first = strstr(room_log(), "web.0: a message that is not one value");
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_null(strstr(first + 1, "web.0: a message"));
}

TEST(a_line_counts_once_it_is_whole)
{
	say(0, "\"half");
	ck_assert_str_eq(heard(1), "");
	say(0, " a line\"\n");
	ck_assert_str_ne(heard(1), "");
}

/* After another turn of the loop: "12" if worker 1 was told two messages. */
static const char *told_in_a_turn(void)
{
	static char numbers[16];
	const char *at;
	size_t n = 0;

	room_pass(MSEC);
	at = received(1);
	while ((at = strstr(at, "\"message\":")) != NULL && n < 15) {
		at += 10;
		numbers[n++] = *at;
	}
	numbers[n] = '\0';
	return numbers;
}

TEST(what_takes_long_is_obeyed_in_several_turns_and_in_order)
{
	each_takes = 6 * MSEC;
	say(0, "1\n2\n3\n4\n5\n6\n7");
	ck_assert_str_eq(told_in_a_turn(), "12");
	say(0, "\n8\n");
	ck_assert_str_eq(told_in_a_turn(), "34");
	ck_assert_str_eq(told_in_a_turn(), "56");
	ck_assert_str_eq(told_in_a_turn(), "78");
}

TEST(what_was_put_off_counts_when_the_worker_has_died)
{
	each_takes = 6 * MSEC;
	say(0, "1\n2\n3\n4\n5\n");
	room_pass(0);
	room_killed(room_child(web, 0), SIGKILL);
	ck_assert_str_eq(told_in_a_turn(), "12345");
}
