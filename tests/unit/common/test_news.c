/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "protocol/json.h"
#include "supervisor/common/news.h"
#include "supervisor/common/trouble.h"
#include "supervisor/workers/reap.h"
#include "supervisor/workers/capture.h"
#include "supervisor/workers/service.h"

#include <fcntl.h>
#include <unistd.h>

/* What is told of, in which words and which order, and what is remembered of it. */
#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 2\nready = notify\n" \
	"drain = off\n"

static char heard[16 * 1024];
static bool captured; /* there is a logger, which answers later */

/* A room that hears all that is told. */
static void ear_on_told(struct supervisor *sup, struct service *service,
	const struct report *report, const char *json, const char *sentence)
{
	(void)sup;
	(void)service;
	(void)report;
	ck_assert_int_eq(json[0], '{');
	(void)strcat(strcat(heard, sentence), "\n");
}

static const struct part ear_part = {
	.name = "ear",
	.told = ear_on_told,
};

ROOM_PARTS(&news_part, &ear_part, &plain_part);

bool capture_ask_last(const struct child *child)
{
	(void)child;
	return captured;
}

static struct service *web;

static void begin(void)
{
	heard[0] = '\0';
	captured = false;
	room_begin(WEB);
	web = room_cluster("web");
	room_tick(web);
}

/* Its output is captured from now on. */
static struct child *capture(uint32_t slot)
{
	struct child *c = room_child(web, slot);

	captured = true;
	c->output[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return c;
}

static unsigned place_of(const char *piece)
{
	const char *at = strstr(heard, piece);

	ck_assert_msg(at != NULL, "'%s' was not told:\n%s", piece, heard);
	return (unsigned)(at - heard);
}

START_TEST(an_end_is_told_with_how_it_was)
{
	room_killed(room_child(web, 0), SIGSEGV);
	(void)place_of("web.0: worker 4194305 killed by SIGSEGV");
	room_exits(room_child(web, 1), 7);
	(void)place_of("exit 7");
}
END_TEST

START_TEST(an_end_waits_for_the_last_output_and_what_comes_after_waits_too)
{
	struct child *c = capture(0);
	uint64_t serial = c->serial;

	room_exits(c, 1);
	room_tell(room_child(web, 1), EVENT_READY);
	ck_assert_ptr_null(strstr(heard, "exit 1"));
	ck_assert_ptr_null(strstr(heard, "ready"));
	ck_assert(news_pending(&room));
	reap_last_output(&room, serial, "panic: no config", false);
	ck_assert(!news_pending(&room));
	(void)place_of("last output: panic: no config");
	ck_assert_uint_lt(place_of("panic"), place_of("web.1: worker"));
}
END_TEST

START_TEST(it_does_not_wait_for_ever)
{
	room_exits(capture(0), 1);
	room_pass(900 * MSEC);
	ck_assert_ptr_null(strstr(heard, "exit 1"));
	room_pass(200 * MSEC);
	(void)place_of("exit 1");
	ck_assert_ptr_null(strstr(heard, "last output"));
}
END_TEST

START_TEST(an_answer_that_comes_too_late_is_for_nobody)
{
	struct child *c = capture(0);
	uint64_t serial = c->serial;

	room_exits(c, 1);
	room_pass(2 * SECOND);
	reap_last_output(&room, serial, "panic", false);
	ck_assert_ptr_null(strstr(heard, "panic"));
}
END_TEST

START_TEST(the_history_has_the_latest_of_it)
{
	size_t len;
	const char *lines;

	news_say(&room, LOG_NOTE, "first", "the first of all");
	for (int i = 0; i < 1000; i++)
		news_say(&room, LOG_NOTE, "count", "number %d", i);
	lines = news_history(&room, &len);
	ck_assert_uint_le(len, HISTORY_SIZE);
	ck_assert_uint_gt(len, HISTORY_SIZE / 3);
	ck_assert_int_eq(lines[0], '{');
	ck_assert_int_eq(lines[len - 1], '\n');
	ck_assert_ptr_null(memmem(lines, len, "the first", 9));
	ck_assert_ptr_nonnull(memmem(lines, len, "number 999", 10));
}
END_TEST

START_TEST(what_went_wrong_is_kept_for_the_status)
{
	struct buffer out;
	struct json_writer w;
	struct child *c = room_child(web, 0);

	trouble_set_cause(c, "it could not bind");
	room_exits(c, 1);
	buffer_init(&out, 4096);
	json_begin(&w, &out);
	json_open_object(&w);
	trouble_put_slot(&w, web, 0, room.launch.started);
	json_close_object(&w);
	ck_assert_ptr_nonnull(strstr(buffer_text(&out), "exit 1"));
	ck_assert_ptr_nonnull(strstr(buffer_text(&out), "it could not bind"));
	buffer_fini(&out);
}
END_TEST

START_TEST(an_end_that_was_asked_for_is_no_trouble)
{
	struct child *c = room_child(web, 0);
	uint64_t worker = c->worker;

	room_tell(c, EVENT_READY);
	room_tell(room_child(web, 1), EVENT_READY);
	service_stop(web, false);
	room_exits(c, 0);
	ck_assert_ptr_null(trouble_of(web, 0, worker));
	(void)place_of("web.0: worker 4194305 ended");
}
END_TEST

static unsigned told_of(struct child *c, unsigned tries)
{
	unsigned told = 0;

	while (tries-- > 0)
		told += news_spares(c);
	return told;
}

START_TEST(what_a_worker_repeats_is_told_less_and_less_and_counted)
{
	struct child *c = room_child(web, 0);

	ck_assert_uint_eq(told_of(c, 100), NEWS_SPARED);
	ck_assert_uint_eq(told_of(room_child(web, 1), 5), 5);
	room_pass(1100 * MSEC);
	(void)place_of("web.0: 92 messages about worker 4194305 left out");
	ck_assert_uint_eq(told_of(c, 9), NEWS_SPARED);
	room_pass(SECOND); /* of two */
	ck_assert_uint_eq(told_of(c, 9), 0);
	room_pass(1100 * MSEC);
	(void)place_of("web.0: 10 messages about worker 4194305 left out");

	/* minutes of it, ten times a second */
	heard[0] = '\0';
	for (int i = 0; i < 2000; i++) {
		room_pass(100 * MSEC);
		(void)news_spares(c);
		if (strlen(heard) > sizeof(heard) / 2)
			heard[0] = '\0';
	}
	ck_assert_uint_eq(c->life.said_span, NEWS_SPAN_MOST);
	ck_assert_uint_le(c->life.unsaid, 640);

	/* who does less is told of at once */
	room_pass(130 * SECOND);
	ck_assert_uint_eq(told_of(c, 1), 1);
	room_pass(64 * SECOND);
	ck_assert_uint_eq(told_of(c, 1), 1);
	ck_assert_uint_eq(c->life.said_span, 0);
}
END_TEST

START_TEST(what_was_left_out_of_one_that_ends_is_counted_before)
{
	struct child *c = room_child(web, 0);

	(void)told_of(c, NEWS_SPARED + 1);
	room_killed(c, SIGSEGV);
	ck_assert_uint_lt(
		place_of("web.0: 1 message about worker 4194305 left out"),
		place_of("web.0: worker 4194305 killed by SIGSEGV"));
}
END_TEST

static void add(TCase *all)
{
	tcase_add_checked_fixture(all, begin, room_end);
	tcase_add_test(all, an_end_is_told_with_how_it_was);
	tcase_add_test(all,
		an_end_waits_for_the_last_output_and_what_comes_after_waits_too);
	tcase_add_test(all, it_does_not_wait_for_ever);
	tcase_add_test(all, an_answer_that_comes_too_late_is_for_nobody);
	tcase_add_test(all, the_history_has_the_latest_of_it);
	tcase_add_test(all, what_went_wrong_is_kept_for_the_status);
	tcase_add_test(all, an_end_that_was_asked_for_is_no_trouble);
	tcase_add_test(
		all, what_a_worker_repeats_is_told_less_and_less_and_counted);
	tcase_add_test(
		all, what_was_left_out_of_one_that_ends_is_counted_before);
}

int main(void)
{
	return room_run("common/news", add);
}
