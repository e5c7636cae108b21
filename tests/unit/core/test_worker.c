/* SPDX-License-Identifier: MIT */
#include "../unit.h"

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
	static const enum worker_event paths[WORKER_STATES][3] = {
		[WORKER_ASKED] = {WORKER_EVENTS},
		[WORKER_UNWANTED] = {ON_STOP, WORKER_EVENTS},
		[WORKER_STARTING] = {ON_SPAWNED, WORKER_EVENTS},
		[WORKER_READY] = {ON_SPAWNED, ON_READY, WORKER_EVENTS},
		[WORKER_LEAVING] = {ON_SPAWNED, ON_READY, ON_LEAVING},
		[WORKER_DRAINING] = {ON_SPAWNED, ON_READY, ON_DRAIN},
		[WORKER_STOPPING] = {ON_SPAWNED, ON_STOP, WORKER_EVENTS},
		[WORKER_KILLED] = {ON_SPAWNED, ON_KILL, WORKER_EVENTS},
		[WORKER_SPARE] = {ON_SPAWNED, ON_GATE, WORKER_EVENTS},
	};

	for (int i = 0; i < 3 && paths[state][i] != WORKER_EVENTS; i++)
		(void)worker_handle(&w, paths[state][i], &at);
	ck_assert_int_eq(w.state, state);
	out.count = 0;
}

/* Where each event leads from each state, by its first letter (T: stopping, P: spare);
 * all else is a surprise. */
static const char names[] = "NAUSRLDTKP";
static const char *const next[WORKER_STATES] = {
	[WORKER_NONE] = "......................",
	[WORKER_ASKED] = "SN...........UU.......",
	[WORKER_UNWANTED] = "TN...........UU.......",
	[WORKER_STARTING] = "..RSSRSSSSTD.TKS.TNPS.",
	[WORKER_READY] = "...RRRLRRRTD.TK..TNRR.",
	[WORKER_LEAVING] = "...LLLLLLLTD.TK..TNLL.",
	[WORKER_DRAINING] = "...DDDDDDDDDTDKT.TNDD.",
	[WORKER_STOPPING] = "...TTTTTTTT.TTKTKTNTT.",
	[WORKER_KILLED] = "...KKKKKKKK.KKKN.KNKK.",
	[WORKER_SPARE] = "...PPPPPPPPD.TK..TNPPS",
};

FIXTURE(set_up, NULL)

TEST_LOOP(every_state_knows_its_events_and_no_other, 0, (int)WORKER_STATES *(int)WORKER_EVENTS)
{
	enum worker_state from = (enum worker_state)(_i / WORKER_EVENTS);
	enum worker_event event = (enum worker_event)(_i % WORKER_EVENTS);
	const char *to = strchr(names, next[from][event]);

	if (from == WORKER_NONE)
		w.state = WORKER_NONE;
	else
		be(from);
	ck_assert_int_eq(worker_handle(&w, event, &at), to != NULL);
	ck_assert_int_eq(w.state, to != NULL ? to - names : from);
}

TEST(leaving_a_state_clears_its_deadline)
{
	be(WORKER_STARTING);
	ck_assert_int_eq(w.deadline, 160 * SECOND);
	(void)worker_handle(&w, ON_READY, &at);
	ck_assert_int_eq(worker_due(&w, 0), NSEC_NEVER);
}

TEST_LOOP(a_life_is_a_proof_where_no_other_is_demanded, 0, 5)
{
	static const struct {
		enum ready_mode mode;
		bool says_ready, proves;
	} rows[] = {
		{READY_NOTIFY, false, false},
		{READY_LISTEN, false, false},
		{READY_ALIVE, true, true},
		{READY_AUTO, false, true},
		{READY_AUTO, true, false},
	};

	settings.ready = rows[_i].mode;
	at.says_ready = rows[_i].says_ready;
	be(WORKER_STARTING);
	ck_assert_int_eq(w.proven_at, rows[_i].proves ? 101 * SECOND : NSEC_NEVER);
	ck_assert_int_eq(worker_due(&w, 0), rows[_i].proves ? 101 * SECOND : 160 * SECOND);
	ck_assert_int_eq(
		worker_due_event(&w, &settings), rows[_i].proves ? ON_PROVEN : ON_DEADLINE);
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
	ck_assert_int_eq(worker_due_event(&w, &settings), ON_LAST_STOP_WAIT);

	at.now = 115 * SECOND;
	(void)worker_handle(&w, ON_LAST_STOP_WAIT, &at);
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
	ck_assert_int_eq(worker_due_event(&w, &settings), ON_LAST_STOP_WAIT);
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
	ck_assert_int_eq(worker_due_event(&w, &settings), ON_LAST_STOP_WAIT);
	(void)worker_handle(&w, ON_LAST_STOP_WAIT, &at);
	ck_assert_int_eq(out.list[3].kind, ACTION_KILL);
}
