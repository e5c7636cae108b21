/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "supervisor/hooks/hooks.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <stdio.h>

/*
 * How many hooks are run at a time, and what is told of those that fail.  None is run.
 */
#define WEB \
	"[cluster:web]\ncommand = /bin/web\nworkers = 2\nready = notify\n" \
	"drain = off\non-ready = ready\non-exit = exit\non-crash = crash\n" \
	"on-rollout = rollout\non-scale = scale\non-stop = stop\n" \
	"[cluster:other]\ncommand = /bin/other\nready = notify\non-ready = ready\n"

ROOM_HEARS("news", "hooks")

/* ---- the commands ---- */

#define RUNS_MAX 512

static struct run {
	char command[32];
	helper_over *over;
	void *owner;
	bool is_over;
} runs[RUNS_MAX];
static unsigned run_count;
static int cannot_start;

REPLACED(struct helper *, helper_start)
(const struct helper_plan *plan, struct error *err)
{
	struct run *run = &runs[run_count];

	if (cannot_start != 0) {
		error_set(err, cannot_start, "cannot execute 'it'");
		return NULL;
	}
	ck_assert_uint_lt(run_count, RUNS_MAX);
	snprintf(run->command, sizeof(run->command), "%s", plan->command->list[0]);
	run->over = plan->over;
	run->owner = plan->owner;
	run->is_over = false;
	return (struct helper *)&runs[run_count++];
}

REPLACED(void, helper_forget)(struct helper *h)
{
	(void)h;
}

static void over(unsigned at, int status)
{
	const struct pidfd_end end = {.code = status};

	runs[at].is_over = true;
	runs[at].over(runs[at].owner, &end, false);
}

REPLACED(void, helpers_free)(struct supervisor *sup)
{
	(void)sup;
	for (unsigned i = 0; i < run_count; i++)
		if (!runs[i].is_over)
			over(i, 0);
}

/* ---- */

static struct service *web;

static void begin(void)
{
	run_count = 0;
	cannot_start = 0;
	web = room_web(WEB);
}

static void end(void)
{
	room_stop();
	hooks_on_shutdown(&room);
	room_end();
}

FIXTURE(begin, end)

TEST(it_is_run_after_the_core_has_spoken)
{
	room_tell(room_child(web, 1), EVENT_READY);
	ck_assert_uint_eq(run_count, 0);
	room_pass(MSEC);
	ck_assert_uint_eq(run_count, 1);
	ck_assert_str_eq(runs[0].command, "ready");
}

/* So many events of one worker. */
static void tell_scales(unsigned count)
{
	struct error err;

	for (unsigned i = 0; i < count; i++)
		ck_assert_int_eq(service_scale(web, 2 + i % 2, &err), 0);
	for (int i = 0; i < 100; i++)
		room_pass(2 * MSEC);
}

TEST(so_many_run_at_once_and_the_others_wait)
{
	tell_scales(HOOKS_AT_ONCE + 3);
	ck_assert_uint_eq(run_count, HOOKS_AT_ONCE);
	over(0, 0);
	ck_assert_uint_eq(run_count, HOOKS_AT_ONCE + 1);
	ck_assert(hooks_are_under_way(&room, web));
	over(1, 0);
	over(2, 0);
	ck_assert(!hooks_are_under_way(&room, web));
	ck_assert_uint_eq(run_count, HOOKS_AT_ONCE + 3);
}

TEST(too_many_are_dropped_and_that_is_told)
{
	tell_scales(HOOKS_AT_ONCE + HOOKS_QUEUED + 10);
	for (unsigned i = 0; i < run_count; i++)
		over(i, 0);
	ck_assert(room_logged("web: hooks are not run from now on, because 16 are running and 128 "
			      "waiting"));
	ck_assert(!room_logged("hooks were not run"));
	room_pass(MINUTE);
	ck_assert(room_logged("web: 26 hooks were not run"));
	ck_assert_uint_lt(run_count, HOOKS_AT_ONCE + HOOKS_QUEUED + 10);
	ck_assert_uint_ge(run_count, HOOKS_QUEUED);
}

TEST(a_flood_of_one_cluster_delays_no_other)
{
	struct service *other = room_cluster("other");
	unsigned before;

	tell_scales(HOOKS_AT_ONCE + HOOKS_QUEUED + 10);
	before = run_count;
	room_tell(room_child(other, 1), EVENT_READY);
	room_pass(MSEC);
	ck_assert_uint_eq(run_count, before + 1);
	ck_assert_str_eq(runs[before].command, "ready");
}

TEST(a_failure_is_told_once_until_it_goes_well)
{
	const char *first;

	tell_scales(4);
	over(0, 1);
	over(1, 1);
	first = strstr(room_log(), "web: the hook on-scale ('scale') failed: exit 1");
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_null(strstr(first + 1, "web: the hook on-scale"));
	over(2, 0);
	over(3, 7);
	ck_assert(room_logged("failed: exit 7"));
}

TEST(one_that_cannot_be_started_holds_nothing_up)
{
	cannot_start = ENOENT;
	tell_scales(3);
	ck_assert(room_logged("the hook on-scale ('scale') failed: cannot "
			      "execute 'it': No such file or directory"));
	ck_assert(!hooks_are_under_way(&room, NULL));
}

TEST(the_end_waits_for_a_moment_and_no_longer)
{
	tell_scales(1);
	ck_assert(hooks_are_under_way(&room, NULL));
	room_pass(SECOND);
	ck_assert(hooks_are_under_way(&room, NULL));
	room_pass(2 * SECOND);
	ck_assert(!hooks_are_under_way(&room, NULL));
}
