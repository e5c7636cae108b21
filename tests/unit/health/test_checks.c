/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "supervisor/hooks/helper.h"
#include "supervisor/workers/service.h"

/*
 * Who is asked how he is, how often, and what comes of the answers: by commands, of
 * which none is run.
 */
#define WEB(more) "[cluster:web]\ncommand = /bin/web\nworkers = 2\ndrain = off\n" more
#define READY WEB("ready = exec:ask\ncheck-timeout = 2s\nstart-timeout = 30s\n")
#define RARE WEB("ready = exec:ask\ncheck = exec:ask\ncheck-interval = 20m\n")
#define CHECK \
	WEB("ready = notify\ncheck = exec:ask\ncheck-interval = 10s\n" \
	    "check-failures = 3\n")

ROOM_HEARS("health", "held", "news")

/* ---- the commands ---- */

#define QUESTIONS_MAX 256

static struct question {
	helper_over *over;
	struct child *of; /* NULL: nobody wants the answer any more */
	bool answered;
} questions[QUESTIONS_MAX];
static unsigned asked;

REPLACED(struct helper *, helper_start)
(const struct helper_plan *plan, struct error *err)
{
	(void)err;
	ck_assert_uint_lt(asked, QUESTIONS_MAX);
	questions[asked] = (struct question){plan->over, plan->owner, false};
	return (struct helper *)&questions[asked++];
}

REPLACED(void, helper_forget)(struct helper *helper)
{
	((struct question *)helper)->of = NULL;
}

REPLACED(void, helper_facts)
(struct buffer *facts, const struct service *service)
{
	(void)facts;
	(void)service;
}

REPLACED(void, helper_number)(struct buffer *facts, const char *key, uint64_t n)
{
	(void)facts;
	(void)key;
	(void)n;
}

/* How often was this worker asked? */
static unsigned asked_of(const struct child *child)
{
	unsigned count = 0;

	for (unsigned i = 0; i < asked; i++)
		count += questions[i].of == child;
	return count;
}

/* All questions that are open are answered so, by this worker if one is given. */
static void answer(const struct child *only, int status)
{
	const struct pidfd_end end = {.code = status};

	for (unsigned i = 0; i < asked; i++) {
		struct question *q = &questions[i];

		if (q->answered || q->of == NULL || (only != NULL && q->of != only))
			continue;
		q->answered = true;
		q->over(q->of, &end, false);
	}
}

/* ---- */

static struct service *web;

static void begin_with(const char *ini)
{
	asked = 0;
	web = room_web(ini);
}

static void begin_ready(void)
{
	begin_with(READY);
}

static void begin_check(void)
{
	begin_with(CHECK);
}

/* The clock says that the machine was started 1000 s ago. */
static void begin_rare(void)
{
	begin_with(RARE);
}

static bool is_ready(uint32_t slot)
{
	return child_view(room_child(web, slot)).state == SLOT_READY;
}

CASE(ready)
FIXTURE(begin_ready, room_end)

TEST(who_answers_well_is_ready)
{
	room_pass(10 * SECOND); /* it is asked once until it answers */
	ck_assert_uint_eq(asked_of(room_child(web, 0)), 1);
	ck_assert(!is_ready(0));
	answer(room_child(web, 0), 0);
	ck_assert(is_ready(0));
	ck_assert(!is_ready(1));
}

TEST(who_answers_badly_is_asked_again_until_he_does)
{
	for (int i = 0; i < 20; i++) {
		room_pass(500 * MSEC);
		answer(NULL, 1);
	}
	ck_assert_uint_ge(asked_of(room_child(web, 0)), 5);
	ck_assert(!is_ready(0));
	ck_assert(room_logged("is not ready yet: exit 1"));
	room_pass(2 * SECOND);
	answer(NULL, 0);
	ck_assert(is_ready(0));
}

TEST(who_is_ready_is_not_asked_for_that_any_more)
{
	unsigned before;

	room_pass(SECOND);
	answer(NULL, 0);
	before = asked;
	room_pass(20 * SECOND);
	ck_assert_uint_eq(asked, before);
}

CASE(check)
FIXTURE(begin_check, room_end)

/* Rounds pass, and each of them is answered so by slot 0. */
static void rounds(unsigned count, int status)
{
	for (unsigned i = 0; i < count * 10; i++) {
		room_pass(SECOND);
		answer(room_child(web, 1), 0);
		answer(room_child(web, 0), status);
	}
}

static void make_ready(void)
{
	room_tell(room_child(web, 0), EVENT_READY);
	room_tell(room_child(web, 1), EVENT_READY);
}

TEST(each_ready_worker_is_checked_once_in_a_round)
{
	room_tell(room_child(web, 0), EVENT_READY);
	for (int i = 0; i < 40; i++) {
		room_pass(SECOND);
		answer(NULL, 0);
	}
	ck_assert_uint_ge(asked_of(room_child(web, 0)), 3);
	ck_assert_uint_le(asked_of(room_child(web, 0)), 5);
	ck_assert_uint_eq(asked_of(room_child(web, 1)), 0);
}

TEST(who_fails_too_often_in_a_row_is_replaced)
{
	const struct child *first;

	make_ready();
	first = room_child(web, 0);
	rounds(2, 1);
	ck_assert_uint_eq(room_spawned(), 2);
	rounds(2, 1);
	ck_assert(room_logged("failed 3 checks in a row, 'ask': exit 1"));
	ck_assert_uint_eq(room_spawned(), 3);
	ck_assert_ptr_ne(room_child(web, 0), first);
}

TEST(one_good_answer_forgives_all_bad_ones_before)
{
	make_ready();
	rounds(2, 1);
	rounds(2, 0);
	rounds(2, 1);
	ck_assert_uint_eq(room_spawned(), 2);
	ck_assert(!room_logged("checks in a row"));
}

TEST(who_stops_is_not_checked_any_more)
{
	unsigned before;

	make_ready();
	rounds(1, 0);
	before = asked;
	service_stop(web, false);
	room_pass(20 * SECOND);
	ck_assert_uint_eq(asked, before);
}

TEST(nobody_hears_of_one_that_has_died)
{
	make_ready();
	for (int i = 0; i < 15 && asked == 0; i++)
		room_pass(SECOND);
	ck_assert_uint_ge(asked, 1);
	room_killed(questions[0].of, SIGKILL);
	ck_assert_ptr_null(questions[0].of);
	answer(NULL, 1);
}

CASE(both)
FIXTURE(begin_rare, room_end)

TEST(the_first_check_waits_for_no_interval_since_boot)
{
	for (int i = 0; i < 10; i++) {
		room_pass(SECOND);
		answer(NULL, 0);
	}
	ck_assert(is_ready(0));
	ck_assert_uint_eq(asked_of(room_child(web, 0)), 2);
}
