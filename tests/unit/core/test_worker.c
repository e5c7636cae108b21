/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "core/heap.h"
#include "core/worker.h"

#include <signal.h>
#include <stdlib.h>

static struct cluster_settings settings;
static struct actions out;
static struct moment at;
static struct worker w;

static void set_up(void)
{
	settings = (struct cluster_settings){
		.ready = READY_NOTIFY,
		.ready_alive = SECOND,
		.start_timeout = 60 * SECOND,
		.stop_count = 2,
		.stop = {{SIGQUIT, 10 * SECOND}, {SIGTERM, 5 * SECOND}},
	};
	out.count = 0;
	at = (struct moment){
		.now = 100 * SECOND,
		.settings = &settings,
		.pid = 81,
		.why = WHY_STOP,
		.out = &out,
	};
	worker_init(&w, 7, 1);
}

static void be(enum worker_state state)
{
	if (state == WORKER_UNWANTED)
		(void)worker_handle(&w, ON_STOP, &at);
	if (state == WORKER_ASKED || state == WORKER_UNWANTED)
		return;
	(void)worker_handle(&w, ON_SPAWNED, &at);
	if (state == WORKER_READY || state == WORKER_LEAVING ||
		state == WORKER_DRAINING)
		(void)worker_handle(&w, ON_READY, &at);
	if (state == WORKER_LEAVING)
		(void)worker_handle(&w, ON_LEAVING, &at);
	if (state == WORKER_DRAINING)
		(void)worker_handle(&w, ON_DRAIN, &at);
	if (state == WORKER_STOPPING)
		(void)worker_handle(&w, ON_STOP, &at);
	if (state == WORKER_KILLED)
		(void)worker_handle(&w, ON_KILL, &at);
	if (state == WORKER_SPARE)
		(void)worker_handle(&w, ON_GATE, &at);
	ck_assert_int_eq(w.state, state);
	out.count = 0;
}

/* What each state knows, and where it leads; all else is a surprise. */
struct known {
	bool known;
	enum worker_state next;
};
/* clang-format off */
#define TO(state) {true, WORKER_##state}
static const struct known next[WORKER_STATES][WORKER_EVENTS] = {
	[WORKER_ASKED] = {
		[ON_SPAWNED] = TO(STARTING), [ON_FAILED] = TO(NONE),
		[ON_STOP] = TO(UNWANTED), [ON_KILL] = TO(UNWANTED),
	},
	[WORKER_UNWANTED] = {
		[ON_SPAWNED] = TO(STOPPING), [ON_FAILED] = TO(NONE),
		[ON_STOP] = TO(UNWANTED), [ON_KILL] = TO(UNWANTED),
	},
	[WORKER_STARTING] = {
		[ON_ALIVE] = TO(STARTING), [ON_INTERVAL] = TO(STARTING),
		[ON_HUNG] = TO(STOPPING),
		[ON_PROVEN] = TO(READY), [ON_READY] = TO(READY),
		[ON_LEAVING] = TO(STARTING), [ON_EXTEND] = TO(STARTING),
		[ON_DRAIN] = TO(DRAINING), [ON_STOP] = TO(STOPPING),
		[ON_KILL] = TO(KILLED), [ON_DEADLINE] = TO(STARTING),
		[ON_GATE] = TO(SPARE), [ON_HOLD] = TO(SPARE),
		[ON_PASS] = TO(STARTING),
		[ON_EXIT] = TO(NONE),
	},
	[WORKER_READY] = {
		[ON_ALIVE] = TO(READY), [ON_INTERVAL] = TO(READY),
		[ON_HUNG] = TO(STOPPING),
		[ON_READY] = TO(READY), [ON_LEAVING] = TO(LEAVING),
		[ON_EXTEND] = TO(READY), [ON_DRAIN] = TO(DRAINING),
		[ON_STOP] = TO(STOPPING), [ON_KILL] = TO(KILLED),
		[ON_GATE] = TO(READY), [ON_PASS] = TO(READY),
		[ON_EXIT] = TO(NONE),
	},
	[WORKER_LEAVING] = {
		[ON_ALIVE] = TO(LEAVING), [ON_INTERVAL] = TO(LEAVING),
		[ON_HUNG] = TO(STOPPING),
		[ON_READY] = TO(LEAVING), [ON_LEAVING] = TO(LEAVING),
		[ON_EXTEND] = TO(LEAVING), [ON_DRAIN] = TO(DRAINING),
		[ON_STOP] = TO(STOPPING), [ON_KILL] = TO(KILLED),
		[ON_GATE] = TO(LEAVING), [ON_PASS] = TO(LEAVING),
		[ON_EXIT] = TO(NONE),
	},
	[WORKER_DRAINING] = {
		[ON_ALIVE] = TO(DRAINING), [ON_INTERVAL] = TO(DRAINING),
		[ON_HUNG] = TO(DRAINING),
		[ON_READY] = TO(DRAINING), [ON_LEAVING] = TO(DRAINING),
		[ON_EXTEND] = TO(DRAINING), [ON_DRAINED] = TO(STOPPING),
		[ON_STOP] = TO(DRAINING), [ON_KILL] = TO(KILLED),
		[ON_DEADLINE] = TO(STOPPING), [ON_GATE] = TO(DRAINING), [ON_PASS] = TO(DRAINING),
		[ON_EXIT] = TO(NONE),
	},
	[WORKER_STOPPING] = {
		[ON_ALIVE] = TO(STOPPING), [ON_INTERVAL] = TO(STOPPING),
		[ON_HUNG] = TO(STOPPING),
		[ON_READY] = TO(STOPPING), [ON_LEAVING] = TO(STOPPING),
		[ON_EXTEND] = TO(STOPPING), [ON_DRAINED] = TO(STOPPING),
		[ON_STOP] = TO(STOPPING), [ON_KILL] = TO(KILLED),
		[ON_DEADLINE] = TO(STOPPING), [ON_GRACE_OVER] = TO(KILLED),
		[ON_GATE] = TO(STOPPING), [ON_PASS] = TO(STOPPING),
		[ON_EXIT] = TO(NONE),
	},
	[WORKER_KILLED] = {
		[ON_ALIVE] = TO(KILLED), [ON_INTERVAL] = TO(KILLED),
		[ON_HUNG] = TO(KILLED),
		[ON_READY] = TO(KILLED), [ON_LEAVING] = TO(KILLED),
		[ON_EXTEND] = TO(KILLED), [ON_DRAINED] = TO(KILLED),
		[ON_STOP] = TO(KILLED), [ON_KILL] = TO(KILLED),
		[ON_DEADLINE] = TO(NONE), [ON_GATE] = TO(KILLED), [ON_PASS] = TO(KILLED),
		[ON_EXIT] = TO(NONE),
	},
	[WORKER_SPARE] = {
		[ON_ALIVE] = TO(SPARE), [ON_INTERVAL] = TO(SPARE),
		[ON_HUNG] = TO(SPARE),
		[ON_READY] = TO(SPARE), [ON_LEAVING] = TO(SPARE),
		[ON_EXTEND] = TO(SPARE), [ON_DRAIN] = TO(DRAINING),
		[ON_STOP] = TO(STOPPING),
		[ON_KILL] = TO(KILLED), [ON_GATE] = TO(SPARE),
		[ON_PASS] = TO(SPARE), [ON_RELEASE] = TO(STARTING),
		[ON_EXIT] = TO(NONE),
	},
};
/* clang-format on */

FIXTURE(set_up, NULL)

TEST_LOOP(every_state_knows_its_events_and_no_other, 0,
	WORKER_STATES *WORKER_EVENTS)
{
	enum worker_state from = (enum worker_state)(_i / WORKER_EVENTS);
	enum worker_event event = (enum worker_event)(_i % WORKER_EVENTS);
	const struct known *to = &next[from][event];

	if (from == WORKER_NONE)
		w.state = WORKER_NONE;
	else
		be(from);
	ck_assert_int_eq(worker_handle(&w, event, &at), to->known);
	ck_assert_int_eq(w.state, to->known ? to->next : from);
}

TEST(leaving_a_state_clears_its_deadline)
{
	be(WORKER_STARTING);
	ck_assert_int_eq(w.deadline, 160 * SECOND);
	(void)worker_handle(&w, ON_READY, &at);
	ck_assert_int_eq(worker_due(&w, 0), NSEC_NEVER);
}

TEST(who_has_to_say_that_it_is_ready_is_not_proven_by_living)
{
	be(WORKER_STARTING);
	ck_assert_int_eq(w.proven_at, NSEC_NEVER);
	ck_assert_int_eq(worker_due_event(&w, &settings), ON_DEADLINE);
}

TEST(alive_for_long_enough_is_ready)
{
	settings.ready = READY_ALIVE;
	be(WORKER_STARTING);
	ck_assert_int_eq(worker_due(&w, 0), 101 * SECOND);
	ck_assert_int_eq(worker_due_event(&w, &settings), ON_PROVEN);
}

TEST(auto_demands_ready_from_a_command_known_for_it)
{
	settings.ready = READY_AUTO;
	be(WORKER_STARTING);
	ck_assert_int_eq(w.proven_at, 101 * SECOND);
	worker_init(&w, 8, 1);
	at.says_ready = true;
	be(WORKER_STARTING);
	ck_assert_int_eq(w.proven_at, NSEC_NEVER);
}

TEST(auto_demands_listen_from_a_command_known_to_listen)
{
	settings.ready = READY_AUTO;
	at.listens = true;
	be(WORKER_STARTING);
	ck_assert_int_eq(w.proven_at, NSEC_NEVER);
	ck_assert_int_eq(worker_due(&w, 0), 160 * SECOND);
	ck_assert_int_eq(worker_due_event(&w, &settings), ON_DEADLINE);
}

TEST(who_has_to_listen_is_not_proven_by_living)
{
	settings.ready = READY_LISTEN;
	be(WORKER_STARTING);
	ck_assert_int_eq(w.proven_at, NSEC_NEVER);
	ck_assert_int_eq(worker_due_event(&w, &settings), ON_DEADLINE);
}

TEST(what_is_known_of_the_command_is_nothing_to_alive)
{
	settings.ready = READY_ALIVE;
	at.says_ready = at.listens = true;
	be(WORKER_STARTING);
	ck_assert_int_eq(w.proven_at, 101 * SECOND);
}

TEST(a_start_timeout_does_not_come_before_the_proof)
{
	settings.ready = READY_ALIVE;
	settings.start_timeout = MSEC;
	be(WORKER_STARTING);
	ck_assert_int_eq(worker_due_event(&w, &settings), ON_PROVEN);
}

TEST(a_stop_goes_through_its_signals_and_ends_in_kill)
{
	be(WORKER_READY);
	(void)worker_handle(&w, ON_STOP, &at);
	ck_assert_int_eq(out.list[0].report.kind, REPORT_STOPPING);
	ck_assert_int_eq(out.list[1].signal, SIGQUIT);
	ck_assert_int_eq(worker_due(&w, 0), 110 * SECOND);
	ck_assert_int_eq(worker_due_event(&w, &settings), ON_DEADLINE);

	at.now = 110 * SECOND;
	(void)worker_handle(&w, ON_DEADLINE, &at);
	ck_assert_int_eq(out.list[2].report.kind, REPORT_STOP_TIMEOUT);
	ck_assert_int_eq(out.list[3].signal, SIGTERM);
	ck_assert_int_eq(worker_due(&w, 0), 115 * SECOND);
	ck_assert_int_eq(worker_due_event(&w, &settings), ON_GRACE_OVER);

	at.now = 115 * SECOND;
	(void)worker_handle(&w, ON_GRACE_OVER, &at);
	ck_assert_int_eq(out.list[4].report.signal, SIGKILL);
	ck_assert_int_eq(out.list[5].kind, ACTION_KILL);
	ck_assert_int_eq(worker_due(&w, 0), 125 * SECOND);

	at.now = 125 * SECOND;
	(void)worker_handle(&w, ON_DEADLINE, &at);
	ck_assert_int_eq(out.list[6].report.kind, REPORT_UNKILLABLE);
	ck_assert_int_eq(out.list[6].report.pid, 81);
}

TEST(an_extension_moves_the_deadline_but_never_nearer)
{
	be(WORKER_STARTING);
	at.span = 10 * SECOND;
	(void)worker_handle(&w, ON_EXTEND, &at);
	ck_assert_int_eq(w.deadline, 160 * SECOND);
	at.span = 90 * SECOND;
	(void)worker_handle(&w, ON_EXTEND, &at);
	ck_assert_int_eq(w.deadline, 190 * SECOND);
	at.span = NSEC_NEVER;
	(void)worker_handle(&w, ON_EXTEND, &at);
	ck_assert_int_eq(w.deadline, 100 * SECOND + EXTEND_MAX);
}

TEST(lost_time_is_granted_to_who_waits)
{
	at.lost = 5 * SECOND;
	be(WORKER_STARTING);
	ck_assert_int_eq(worker_due(&w, 5 * SECOND), 160 * SECOND);
	ck_assert_int_eq(worker_due(&w, 12 * SECOND), 167 * SECOND);
}

TEST(one_stopped_before_its_birth_is_stopped_when_it_comes)
{
	be(WORKER_UNWANTED);
	ck_assert_uint_eq(out.count, 0);
	(void)worker_handle(&w, ON_SPAWNED, &at);
	ck_assert_int_eq(w.state, WORKER_STOPPING);
	ck_assert_int_eq(w.why, WHY_STOP);
	ck_assert_uint_eq(out.count, 3);
	ck_assert_int_eq(out.list[0].report.kind, REPORT_STARTED);
	ck_assert_int_eq(out.list[2].signal, SIGQUIT);
	ck_assert_int_eq(w.proven_at, NSEC_NEVER);
}

TEST(a_kill_keeps_the_reason_of_the_stop_before)
{
	be(WORKER_STARTING);
	(void)worker_handle(&w, ON_DEADLINE, &at);
	ck_assert_int_eq(out.list[0].report.kind, REPORT_START_TIMEOUT);
	at.why = WHY_START_TIMEOUT;
	(void)worker_handle(&w, ON_STOP, &at);
	at.why = WHY_STOP;
	(void)worker_handle(&w, ON_KILL, &at);
	ck_assert_int_eq(w.why, WHY_START_TIMEOUT);
}

TEST(one_whose_request_hangs_gets_its_hang_signal_first)
{
	settings.hang_signal = HANG_USR1;
	settings.stop_count = 1;
	at.why = WHY_REQUEST;
	be(WORKER_READY);
	(void)worker_handle(&w, ON_STOP, &at);
	ck_assert_int_eq(out.list[0].report.why, WHY_REQUEST);
	ck_assert_int_eq(out.list[1].signal, SIGUSR1);
	ck_assert_int_eq(worker_due(&w, 0), at.now + HANG_MOMENT);
	ck_assert_int_eq(worker_due_event(&w, &settings), ON_DEADLINE);

	at.now += HANG_MOMENT;
	(void)worker_handle(&w, ON_DEADLINE, &at);
	ck_assert_uint_eq(out.count, 3); /* that was no step of its stop */
	ck_assert_int_eq(out.list[2].signal, SIGQUIT);
	ck_assert_int_eq(worker_due(&w, 0), at.now + 10 * SECOND);
	ck_assert_int_eq(worker_due_event(&w, &settings), ON_GRACE_OVER);
}

TEST(no_other_gets_the_hang_signal)
{
	settings.hang_signal = HANG_USR1;
	be(WORKER_READY);
	(void)worker_handle(&w, ON_STOP, &at);
	ck_assert_int_eq(out.list[1].signal, SIGQUIT);
}

/* ---- draining ---- */

TEST(a_drain_asks_for_a_quiet_moment_and_sends_no_signal)
{
	settings.drain_timeout = 7 * SECOND;
	at.why = WHY_ROLL;
	be(WORKER_READY);
	(void)worker_handle(&w, ON_DRAIN, &at);
	ck_assert_uint_eq(out.count, 2);
	ck_assert_int_eq(out.list[0].report.kind, REPORT_DRAINING);
	ck_assert_int_eq(out.list[0].report.why, WHY_ROLL);
	ck_assert_int_eq(out.list[0].report.span, 7 * SECOND);
	ck_assert_int_eq(out.list[1].kind, ACTION_DRAIN);
	ck_assert_int_eq(out.list[1].span, 7 * SECOND);
	ck_assert_int_eq(worker_due(&w, 0), 107 * SECOND);
	ck_assert(worker_is_going(&w));
	ck_assert(!worker_is_serving(&w));
}

TEST_LOOP(the_stop_signal_follows_the_quiet_moment_or_the_deadline, 0, 2)
{
	settings.drain_timeout = 7 * SECOND;
	be(WORKER_DRAINING);
	ck_assert_int_eq(worker_due_event(&w, &settings), ON_DEADLINE);
	(void)worker_handle(&w, _i == 0 ? ON_DRAINED : ON_DEADLINE, &at);
	ck_assert_int_eq(out.list[0].report.kind, REPORT_STOPPING);
	ck_assert_int_eq(out.list[1].signal, SIGQUIT);
	ck_assert_int_eq(worker_due(&w, 0), 110 * SECOND);
}

TEST(who_drains_after_its_signal_has_more_time_for_it)
{
	be(WORKER_READY);
	at.span = 25 * SECOND;
	(void)worker_handle(&w, ON_STOP, &at);
	ck_assert_int_eq(worker_due(&w, 0), 125 * SECOND);
	worker_init(&w, 8, 1);
	at.span = 4 * SECOND; /* its own wait is longer */
	be(WORKER_STOPPING);
	ck_assert_int_eq(worker_due(&w, 0), 110 * SECOND);
}

/* ---- the watchdog ---- */

TEST(a_ready_worker_has_to_send_watchdog_in_time)
{
	settings.watchdog = 3 * SECOND;
	be(WORKER_STARTING);
	ck_assert_int_eq(worker_due(&w, 0), 160 * SECOND);
	(void)worker_handle(&w, ON_READY, &at);
	ck_assert_int_eq(worker_due(&w, 0), 103 * SECOND);
	ck_assert_int_eq(worker_due_event(&w, &settings), ON_HUNG);
	at.now = 102 * SECOND;
	(void)worker_handle(&w, ON_ALIVE, &at);
	ck_assert_int_eq(worker_due(&w, 0), 105 * SECOND);
	(void)worker_handle(&w, ON_LEAVING, &at);
	ck_assert_int_eq(worker_due(&w, 0), NSEC_NEVER);
}

TEST(a_worker_chooses_its_own_interval)
{
	settings.watchdog = 3 * SECOND;
	be(WORKER_STARTING);
	at.span = 9 * SECOND;
	(void)worker_handle(&w, ON_INTERVAL, &at);
	ck_assert_int_eq(worker_due(&w, 0), 160 * SECOND);
	(void)worker_handle(&w, ON_READY, &at);
	ck_assert_int_eq(worker_due(&w, 0), 109 * SECOND);
	at.span = SECOND;
	(void)worker_handle(&w, ON_INTERVAL, &at);
	ck_assert_int_eq(worker_due(&w, 0), 101 * SECOND);
	(void)worker_handle(&w, ON_ALIVE, &at);
	ck_assert_int_eq(worker_due(&w, 0), 101 * SECOND);
}

TEST(one_that_hangs_is_aborted_and_then_killed)
{
	be(WORKER_READY);
	at.why = WHY_WATCHDOG;
	(void)worker_handle(&w, ON_HUNG, &at);
	ck_assert_int_eq(out.list[0].report.kind, REPORT_UNWELL);
	ck_assert_int_eq(out.list[0].report.why, WHY_WATCHDOG);
	ck_assert_int_eq(out.list[1].signal, SIGABRT);
	ck_assert_int_eq(w.why, WHY_WATCHDOG);
	ck_assert_int_eq(worker_due(&w, 0), 110 * SECOND);
	ck_assert_int_eq(worker_due_event(&w, &settings), ON_GRACE_OVER);
	(void)worker_handle(&w, ON_GRACE_OVER, &at);
	ck_assert_int_eq(out.list[3].kind, ACTION_KILL);
}

/* ---- the heap of deadlines ---- */

TEST(the_heap_gives_the_earliest_first_and_of_equals_the_lowest)
{
	struct heap h = {0};
	nsec_t last = 0;
	uint32_t last_slot = 0;

	ck_assert_int_eq(heap_reserve(&h, 500), 0);
	ck_assert_int_eq(heap_first_due(&h), NSEC_NEVER);
	for (uint32_t i = 0; i < 500; i++)
		heap_set(&h, i, (i * 7919) % 83);
	for (uint32_t i = 0; i < 500; i += 3)
		heap_set(&h, i, (i * 104729) % 71);
	for (uint32_t i = 1; i < 500; i += 5)
		heap_set(&h, i, NSEC_NEVER);
	ck_assert_uint_eq(h.count, 400);
	while (h.count > 0) {
		uint32_t slot = heap_first(&h);

		ck_assert_int_ge(heap_first_due(&h), last);
		if (heap_first_due(&h) == last)
			ck_assert_uint_ge(slot, last_slot);
		last = heap_first_due(&h);
		last_slot = slot;
		heap_set(&h, slot, NSEC_NEVER);
		ck_assert_int_eq(heap_due(&h, slot), NSEC_NEVER);
	}
	heap_fini(&h);
}

TEST(the_heap_grows_and_keeps_what_it_has)
{
	struct heap h = {0};

	ck_assert_int_eq(heap_reserve(&h, 2), 0);
	heap_set(&h, 0, 5);
	heap_set(&h, 1, 4);
	ck_assert_int_eq(heap_reserve(&h, 1000), 0);
	heap_set(&h, 999, 3);
	ck_assert_uint_eq(heap_first(&h), 999);
	ck_assert_int_eq(heap_due(&h, 0), 5);
	ck_assert_int_eq(heap_due(&h, 500), NSEC_NEVER);
	heap_fini(&h);
}
