/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <signal.h>

/* Must a quiet moment be sought for its stop signal? */
static bool needs_drain(const struct process *p)
{
	const struct cluster_settings *s = p->settings;

	return !p->timed_out && s->drain_timeout > 0 &&
		(s->drain == DRAIN_QUIET || s->drain == DRAIN_AUTO);
}

void stops_note_drain(struct world *w, const struct action *a)
{
	struct process *p = witness_process(w, a->worker);

	if (p->life != LIFE_ALIVE || p->slot != a->slot || p->going)
		world_complain(w, "somebody drains who is not there");
	if ((!needs_drain(p) && !p->timed_out) || a->span != p->settings->drain_timeout)
		world_complain(w, "that is not how it is to be drained");
	p->draining = true;
	p->gone_by = world_patient(w) + a->span;
	witness_goes(w, p);
}

/* The first signal gives more time to one that drains by itself. */
static nsec_t step_takes(const struct process *p)
{
	const struct cluster_settings *s = p->settings;
	nsec_t wait = s->stop[p->steps].timeout;

	if (p->steps > 0 || p->draining || !p->ready || s->drain == DRAIN_OFF || needs_drain(p))
		return wait;
	return wait < s->drain_timeout ? s->drain_timeout : wait;
}

static void check_step(struct world *w, const struct process *p)
{
	if (p->going && !w->at_once && world_patient(w) < p->gone_by)
		world_complain(w, "the next step of a stop comes too early");
}

static void note_abort(struct world *w, struct process *p)
{
	if (p->unfit != WHY_WATCHDOG && p->unfit != WHY_STALL)
		world_complain(w, "it is aborted for nothing");
	p->aborted = true;
	p->steps = p->settings->stop_count;
	p->gone_by = world_patient(w) + p->settings->stop[0].timeout;
	witness_goes(w, p);
}

void stops_note_signal(struct world *w, const struct action *a, const struct event *cause)
{
	struct process *p = witness_process(w, a->worker);

	if (p->life != LIFE_ALIVE || p->slot != a->slot || p->killed)
		world_complain(w, "a signal to somebody who is not there");
	if (a->signal == SIGABRT) {
		note_abort(w, p);
		return;
	}
	check_step(w, p);
	if (p->steps >= p->settings->stop_count || a->signal != p->settings->stop[p->steps].signal)
		world_complain(w, "that is not the next stop signal");
	if (p->steps == 0 && !p->draining && cause->kind != EVENT_SPAWNED && needs_drain(p))
		world_complain(w, "its quiet moment was not waited for");
	p->gone_by = world_patient(w) + step_takes(p);
	p->draining = false;
	p->steps++;
	witness_goes(w, p);
}

void stops_note_kill(struct world *w, const struct action *a)
{
	struct process *p = witness_process(w, a->worker);

	if (p->life != LIFE_ALIVE || p->slot != a->slot || p->killed)
		world_complain(w, "SIGKILL to somebody who is not there");
	check_step(w, p);
	if (!w->at_once && p->steps < p->settings->stop_count)
		world_complain(w, "SIGKILL before all was tried");
	p->gone_by = world_patient(w) + 10 * SECOND;
	p->draining = false;
	p->killed = true;
	witness_goes(w, p);
}
