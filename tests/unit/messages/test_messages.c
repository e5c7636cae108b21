/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include <sys/socket.h>

/* What becomes of what workers send. */

#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 3\nready = notify\n" \
	"ipc = on\nrelay = others\n"
#define CHANNEL 3 /* the worker's end: it has no other descriptor */

ROOM_HEARS("messages", "broker", "news")

static struct service *web;

static void begin(void)
{
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

	room_pass(0);
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
