/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "os/fdpass.h"
#include "supervisor/common/news.h"
#include "supervisor/workers/readiness.h"
#include "supervisor/workers/service.h"

#include <stdio.h>

/* What workers say of themselves (sd_notify(3)), and whose word for it counts. */
#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 2\nready = notify\n" \
	"drain = off\nstart-timeout = 10s\n"

ROOM_PARTS(&news_part, &plain_part);

/* ---- the socket ---- */

static const char *said; /* the next message, or NULL */
static struct ucred sender;

int fdpass_receive(int fd, void *data, size_t size, struct fdpass_message *m)
{
	(void)fd;
	if (said == NULL)
		return 0;
	*m = (struct fdpass_message){
		.len = (ssize_t)strlen(said),
		.has_cred = true,
		.cred = sender,
	};
	m->cut = (size_t)m->len > size;
	(void)memcpy(data, said, m->cut ? size : (size_t)m->len);
	said = NULL;
	return 1;
}

static struct service *web;
static struct child *first;

static void begin(void)
{
	room_begin(WEB);
	web = room_cluster("web");
	room_tick(web);
	first = room_child(web, 0);
	sender = (struct ucred){.pid = first->pid};
}

static void say(const char *text)
{
	said = text;
	readiness_drain(first);
	ck_assert_ptr_null(said);
}

static bool is_ready(void)
{
	struct slot_view view;

	service_view_slot(web, 0, &view);
	return view.state == SLOT_READY;
}

START_TEST(ready_1_makes_it_ready)
{
	say("STATUS=loading");
	ck_assert(!is_ready());
	say("READY=1\nSTATUS=serving");
	ck_assert(is_ready());
	ck_assert_str_eq(first->life.status, "serving");
}
END_TEST

START_TEST(anothers_word_does_not_count_and_is_told_once)
{
	const char *told;

	sender.pid = room_child(web, 1)->pid;
	say("READY=1");
	say("READY=1");
	ck_assert(!is_ready());
	told = strstr(room_log(), "web.0: refused a notify message");
	ck_assert_ptr_nonnull(told);
	ck_assert_ptr_null(strstr(told + 1, "web.0: refused"));
}
END_TEST

START_TEST(a_process_of_its_session_speaks_for_it)
{
	sender.pid = room_child(web, 1)->pid;
	room_joins_session(sender.pid, first->pid);
	say("READY=1");
	ck_assert(is_ready());
}
END_TEST

START_TEST(what_is_no_message_is_not_obeyed)
{
	static char much[64 * 1024];

	(void)memset(much, 'x', sizeof(much) - 1);
	(void)memcpy(much, "READY=1\n", 8);
	say(much);
	say("");
	ck_assert(!is_ready());
}
END_TEST

START_TEST(a_start_that_takes_long_may_ask_for_more)
{
	room_pass(9 * SECOND);
	say("EXTEND_TIMEOUT_USEC=5000000");
	room_pass(4 * SECOND);
	ck_assert_uint_eq(room_signalled(first->pid, SIGTERM), 0);
	room_pass(2 * SECOND);
	ck_assert_uint_eq(room_signalled(first->pid, SIGTERM), 1);
}
END_TEST

START_TEST(one_that_promises_signs_of_life_and_gives_none_is_ended)
{
	say("READY=1\nWATCHDOG_USEC=2000000");
	room_pass(1500 * MSEC);
	say("WATCHDOG=1");
	room_pass(1500 * MSEC);
	ck_assert_uint_eq(room_signalled(first->pid, SIGABRT), 0);
	room_pass(SECOND);
	ck_assert_uint_eq(room_signalled(first->pid, SIGABRT), 1);
}
END_TEST

START_TEST(who_talks_without_end_does_not_fill_the_log)
{
	unsigned told = 0;

	say("READY=1");
	for (int i = 0; i < 1000; i++)
		say("ERRNO=5");
	for (const char *at = room_log();
		(at = strstr(at, "web.0: worker 4194305 says")) != NULL; at++)
		told++;
	ck_assert_uint_ge(told, 1);
	ck_assert_uint_le(told, 10);
	room_pass(2 * SECOND);
	say("ERRNO=28");
	ck_assert(room_logged("says: No space left on device"));
}
END_TEST

START_TEST(a_status_is_harmless_on_a_terminal)
{
	say("STATUS=\033[2Jgone");
	ck_assert_ptr_null(strchr(first->life.status, '\033'));
}
END_TEST

static void add(TCase *all)
{
	tcase_add_checked_fixture(all, begin, room_end);
	tcase_add_test(all, ready_1_makes_it_ready);
	tcase_add_test(all, anothers_word_does_not_count_and_is_told_once);
	tcase_add_test(all, a_process_of_its_session_speaks_for_it);
	tcase_add_test(all, what_is_no_message_is_not_obeyed);
	tcase_add_test(all, a_start_that_takes_long_may_ask_for_more);
	tcase_add_test(
		all, one_that_promises_signs_of_life_and_gives_none_is_ended);
	tcase_add_test(all, who_talks_without_end_does_not_fill_the_log);
	tcase_add_test(all, a_status_is_harmless_on_a_terminal);
}

int main(void)
{
	return room_run("workers/readiness", add);
}
