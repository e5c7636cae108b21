/* SPDX-License-Identifier: MIT */
#include "core/worker.h"

#include "base/scope.h"

#include <signal.h>

struct report *worker_report(struct actions *out, enum report_kind kind, uint32_t slot,
	const struct worker *w, nsec_t now)
{
	struct report *report = actions_report(out, kind, slot, w->id);

	report->pid = w->pid;
	report->why = w->why;
	report->age = w->pid == 0 ? 0 : now - w->born;
	return report;
}

static struct report *add_report(
	const struct worker *w, const struct moment *at, enum report_kind kind)
{
	return worker_report(at->out, kind, at->slot, w, at->now);
}

static void begin_start(struct worker *w, const struct moment *at)
{
	const struct cluster_settings *settings = at->settings;
	nsec_t unstalled = at->now - at->lost;

	w->pid = at->pid;
	w->born = at->now;
	w->deadline = nsec_add(unstalled, settings->start_timeout);
	if (settings->ready == READY_ALIVE ||
		(settings->ready == READY_AUTO && !at->says_ready && settings->spare == 0)) {
		w->opens = settings->ready == READY_AUTO && at->opens;
		w->proven_at = nsec_add(unstalled, settings->ready_alive);
		if (w->opens)
			w->proven_at = w->deadline;
		else if (settings->ready == READY_AUTO && w->proven_at < w->deadline)
			w->proven_at = nsec_min(nsec_add(w->proven_at, at->span), w->deadline);
	}
	add_report(w, at, REPORT_STARTED)->generation = w->generation;
}

nsec_t worker_interval(const struct worker *w, const struct cluster_settings *settings)
{
	return w->interval > 0 ? w->interval : settings->watchdog;
}

static void set_watchdog(struct worker *w, const struct moment *at)
{
	nsec_t interval = worker_interval(w, at->settings);

	w->granted = false;
	w->deadline = NSEC_NEVER;
	if (interval > 0)
		w->deadline = nsec_add(at->now - at->lost, interval);
}

static void note_interval(struct worker *w, const struct moment *at)
{
	w->interval = at->span;
}

static void watch_by_interval(struct worker *w, const struct moment *at)
{
	note_interval(w, at);
	set_watchdog(w, at);
}

static void become_ready(struct worker *w, const struct moment *at)
{
	struct report *report;

	w->ready_at = at->now;
	w->serves_since = at->now - at->lost;
	set_watchdog(w, at);
	report = add_report(w, at, REPORT_READY);
	report->generation = w->generation;
	if (w->gate_at > 0) /* the wait at the gate is no part of its start */
		report->age = w->gate_at - w->born;
}

static void wait_until(struct worker *w, nsec_t until)
{
	if (w->deadline < until)
		w->deadline = until;
}

/* The worker may ask again and again, but not without end. */
static void extend_as_asked(struct worker *w, const struct moment *at)
{
	nsec_t unstalled = at->now - at->lost;

	if (w->extend_by == 0)
		w->extend_by = nsec_add(unstalled, EXTEND_MAX);
	wait_until(w, nsec_min(nsec_add(unstalled, at->span), w->extend_by));
}

static void demand_port(struct worker *w, const struct moment *at)
{
	if (at->settings->ready == READY_AUTO)
		w->proven_at = NSEC_NEVER;
}

static void note_idle(struct worker *w, const struct moment *at)
{
	if (!w->opens || w->proven_at == NSEC_NEVER)
		return;
	w->proven_at = nsec_min(w->proven_at, at->now - at->lost);
	w->said |= at->opens;
}

static void note_why(struct worker *w, const struct moment *at)
{
	w->why = at->why;
}

static void send_stop_signal(struct worker *w, const struct moment *at)
{
	const struct stop_step *row = &at->settings->stop[w->stop_step];

	nsec_t span =
		at->settings->accept ? nsec_min(row->timeout, ACCEPT_STEP_MOST) : row->timeout;

	actions_add(at->out, ACTION_SIGNAL, at->slot, w->id)->signal = row->signal;
	w->deadline = nsec_add(at->now - at->lost, span);
}

static void begin_stop(struct worker *w, const struct moment *at)
{
	static const int signals[HANG_SIGNALS] = {
		[HANG_QUIT] = SIGQUIT,
		[HANG_ABRT] = SIGABRT,
		[HANG_USR1] = SIGUSR1,
		[HANG_USR2] = SIGUSR2,
	};
	int hang = signals[at->settings->hang_signal];

	w->stop_step = 0;
	w->extend_by = 0;
	add_report(w, at, REPORT_STOPPING)->signal = at->settings->stop[0].signal;
	if (w->why == WHY_REQUEST && hang != 0) {
		actions_add(at->out, ACTION_SIGNAL, at->slot, w->id)->signal = hang;
		w->tells = true;
		w->deadline = nsec_add(at->now - at->lost, HANG_MOMENT);
	} else {
		send_stop_signal(w, at);
	}
}

/* A worker that drains by itself, after its stop signal, has more time for it. */
static void ask_to_stop(struct worker *w, const struct moment *at)
{
	note_why(w, at);
	begin_stop(w, at);
	if (!w->tells)
		wait_until(w, nsec_add(at->now - at->lost, at->span));
}

/* It serves one connection, and may end by itself until then. */
static void let_finish(struct worker *w, const struct moment *at)
{
	const struct cluster_settings *settings = at->settings;
	nsec_t span = 0;

	if (at->why != WHY_AGE)
		span = at->why == WHY_ROLL ? settings->drain_timeout : settings->stop_timeout;
	span = nsec_add(at->now - at->lost, span);
	w->deadline = nsec_min(w->deadline, nsec_min(span, w->retire_at));
}

static void begin_drain(struct worker *w, const struct moment *at)
{
	nsec_t span = at->settings->drain_timeout;

	note_why(w, at);
	if (at->settings->accept) {
		let_finish(w, at);
		return;
	}
	w->deadline = nsec_add(at->now - at->lost, span);
	add_report(w, at, REPORT_DRAINING)->span = span;
	actions_add(at->out, ACTION_DRAIN, at->slot, w->id)->span = span;
}

static void begin_and_stop(struct worker *w, const struct moment *at)
{
	begin_start(w, at);
	w->proven_at = NSEC_NEVER;
	begin_stop(w, at);
}

static void tell_start_timeout(struct worker *w, const struct moment *at)
{
	(void)add_report(w, at, REPORT_START_TIMEOUT);
	w->deadline = NSEC_NEVER; /* the worker is stopped next */
}

/* A hung worker would not react to a polite signal, but may write a trace of where it is. */
static void abort_hung(struct worker *w, const struct moment *at)
{
	note_why(w, at);
	add_report(w, at, REPORT_UNWELL)->generation = w->generation;
	actions_add(at->out, ACTION_SIGNAL, at->slot, w->id)->signal = SIGABRT;
	w->stop_step = (uint8_t)(at->settings->stop_count - 1); /* the next step is SIGKILL */
	w->extend_by = 0;
	w->deadline = nsec_add(at->now - at->lost, at->settings->stop[0].timeout);
}

static void next_stop_step(struct worker *w, const struct moment *at)
{
	if (w->tells) {
		w->tells = false;
		send_stop_signal(w, at);
		return;
	}
	w->stop_step++;
	add_report(w, at, REPORT_STOP_TIMEOUT)->signal = at->settings->stop[w->stop_step].signal;
	send_stop_signal(w, at);
}

static void kill_group(struct worker *w, const struct moment *at)
{
	(void)actions_add(at->out, ACTION_KILL, at->slot, w->id);
	w->deadline = nsec_add(at->now - at->lost, KILL_GRACE);
}

static void kill_late(struct worker *w, const struct moment *at)
{
	add_report(w, at, REPORT_STOP_TIMEOUT)->signal = SIGKILL;
	kill_group(w, at);
}

static void kill_now(struct worker *w, const struct moment *at)
{
	if (w->why == WHY_ITSELF)
		note_why(w, at);
	kill_group(w, at);
}

static void report_unkillable(struct worker *w, const struct moment *at)
{
	(void)add_report(w, at, REPORT_UNKILLABLE);
}

static void come_to_gate(struct worker *w, const struct moment *at)
{
	w->gate_at = at->now;
	(void)add_report(w, at, REPORT_SPARE);
}

static void note_said(struct worker *w, const struct moment *at UNUSED)
{
	w->said = true;
}

/* The worker goes on starting, with all of its time. */
static void pass_gate(struct worker *w, const struct moment *at)
{
	nsec_t unstalled = at->now - at->lost;

	if (w->gate_at == 0)
		w->gate_at = at->now;
	if (w->state == WORKER_STARTING) {
		w->released = true;
		w->deadline = nsec_add(unstalled, at->settings->start_timeout);
	}
	if (w->state == WORKER_STARTING && w->said)
		w->proven_at = unstalled;
	(void)actions_add(at->out, ACTION_RELEASE, at->slot, w->id);
}

static void release_spare(struct worker *w, const struct moment *at)
{
	pass_gate(w, at);
	if (at->settings->ready == READY_ALIVE)
		w->proven_at = at->now - at->lost;
	(void)add_report(w, at, REPORT_RELEASED);
}

/* clang-format off */
#define IN(state) (1U << WORKER_##state)
#define UP \
	(1U << WORKER_STARTING | 1U << WORKER_READY | 1U << WORKER_LEAVING)
#define ALIVE \
	(UP | 1U << WORKER_DRAINING | 1U << WORKER_STOPPING | \
		1U << WORKER_KILLED | 1U << WORKER_SPARE)
#define STAYS WORKER_STATES /* the worker stays in its state */

/* What an event does to a worker in one of those states: the first row that fits
 * counts.  An event that fits no row is a surprise. */
static const struct transition {
	enum worker_event event;
	unsigned in;
	enum worker_state next;
	void (*run)(struct worker *w, const struct moment *at);
} transitions[] = {
	{ON_SPAWNED, IN(ASKED), WORKER_STARTING, begin_start},
	{ON_SPAWNED, IN(UNWANTED), WORKER_STOPPING, begin_and_stop},
	{ON_FAILED, IN(ASKED) | IN(UNWANTED), WORKER_NONE, NULL},
	{ON_PROVEN, IN(STARTING), WORKER_READY, become_ready},
	{ON_REFUSED, IN(STARTING), STAYS, demand_port},
	{ON_REFUSED, ALIVE, STAYS, NULL},
	{ON_IDLE, IN(STARTING), STAYS, note_idle},
	{ON_IDLE, ALIVE, STAYS, NULL},
	{ON_READY, IN(STARTING), WORKER_READY, become_ready},
	{ON_READY, IN(SPARE), STAYS, note_said},
	{ON_READY, ALIVE, STAYS, NULL},
	{ON_LEAVING, IN(READY), WORKER_LEAVING, NULL},
	{ON_LEAVING, ALIVE, STAYS, NULL},
	{ON_EXTEND, IN(STARTING) | IN(STOPPING), STAYS, extend_as_asked},
	{ON_EXTEND, ALIVE, STAYS, NULL},
	{ON_ALIVE, IN(READY), STAYS, set_watchdog},
	{ON_ALIVE, ALIVE, STAYS, NULL},
	{ON_INTERVAL, IN(STARTING), STAYS, note_interval},
	{ON_INTERVAL, IN(READY), STAYS, watch_by_interval},
	{ON_INTERVAL, ALIVE, STAYS, NULL},
	{ON_HUNG, UP, WORKER_STOPPING, abort_hung},
	{ON_HUNG, ALIVE, STAYS, NULL},
	{ON_DRAIN, UP | IN(SPARE), WORKER_DRAINING, begin_drain},
	{ON_DRAIN, IN(DRAINING), STAYS, let_finish},
	{ON_DRAINED, IN(DRAINING), WORKER_STOPPING, begin_stop},
	{ON_DRAINED, IN(STOPPING) | IN(KILLED), STAYS, NULL},
	{ON_STOP, IN(ASKED), WORKER_UNWANTED, note_why},
	{ON_STOP, UP | IN(SPARE), WORKER_STOPPING, ask_to_stop},
	{ON_STOP, ALIVE | IN(UNWANTED), STAYS, NULL},
	{ON_KILL, IN(ASKED), WORKER_UNWANTED, note_why},
	{ON_KILL, IN(UNWANTED) | IN(KILLED), STAYS, NULL},
	{ON_KILL, ALIVE, WORKER_KILLED, kill_now},
	{ON_DEADLINE, IN(STARTING), STAYS, tell_start_timeout},
	{ON_DEADLINE, IN(DRAINING), WORKER_STOPPING, begin_stop},
	{ON_DEADLINE, IN(STOPPING), STAYS, next_stop_step},
	{ON_DEADLINE, IN(KILLED), WORKER_NONE, report_unkillable},
	{ON_LAST_STOP_WAIT, IN(STOPPING), WORKER_KILLED, kill_late},
	{ON_LEFTOVERS, IN(STOPPING) | IN(KILLED), STAYS, NULL},
	{ON_LEFTOVERS, ALIVE, WORKER_STOPPING, begin_stop},
	{ON_EXIT, ALIVE, WORKER_NONE, NULL},
	{ON_GATE, IN(STARTING), WORKER_SPARE, come_to_gate},
	{ON_GATE, IN(SPARE), STAYS, NULL},
	{ON_GATE, ALIVE, STAYS, pass_gate},
	{ON_PASS, IN(SPARE), STAYS, NULL},
	{ON_PASS, ALIVE, STAYS, pass_gate},
	{ON_RELEASE, IN(SPARE), WORKER_STARTING, release_spare},
};
/* clang-format on */

void worker_init(struct worker *w, uint64_t id, unsigned generation)
{
	*w = (struct worker){
		.id = id,
		.generation = generation,
		.state = WORKER_ASKED,
		.ready_at = NSEC_NEVER,
		.proven_at = NSEC_NEVER,
		.deadline = NSEC_NEVER,
		.retire_at = NSEC_NEVER,
	};
}

bool worker_handle(struct worker *w, enum worker_event event, const struct moment *at)
{
	const struct transition *row = transitions;
	const struct transition *end = transitions + COUNT_OF(transitions);

	while (row < end && (row->event != event || (row->in & 1U << w->state) == 0))
		row++;
	if (row == end)
		return false;
	if (row->next != STAYS) {
		w->state = row->next;
		w->deadline = NSEC_NEVER; /* a deadline belongs to one state */
		w->proven_at = NSEC_NEVER;
	}
	if (row->run != NULL)
		row->run(w, at);
	return true;
}

nsec_t worker_due(const struct worker *w, nsec_t lost)
{
	if (w->state == WORKER_NONE)
		return NSEC_NEVER;
	return nsec_add(w->proven_at != NSEC_NEVER ? w->proven_at : w->deadline, lost);
}

enum worker_event worker_due_event(const struct worker *w, const struct cluster_settings *settings)
{
	if (w->state == WORKER_STARTING && w->proven_at != NSEC_NEVER)
		return ON_PROVEN;
	if (w->state == WORKER_STOPPING && !w->tells && w->stop_step + 1U >= settings->stop_count)
		return ON_LAST_STOP_WAIT;
	if (w->state == WORKER_READY)
		return ON_HUNG;
	return ON_DEADLINE;
}
