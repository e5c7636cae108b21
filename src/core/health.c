/* SPDX-License-Identifier: MIT */
#include "core/internal.h"

#include "core/canary.h"

/* If nclust comes so late, the worker may have had no CPU either. */
#define LATE (10 * MSEC)
/* A worker that had no CPU says that it is alive within this time after it has one. */
#define MOMENT (500 * MSEC)
/* A worker that was fit for so many times stable-after ends a loop of replacements. */
#define MEND_STABLE 10

/* May the successor be unfit at once, too?  So if a check asks for what never exists, or
 * max-memory is less than the program needs.  (Not for a worker that owes an answer: it
 * serves no client, and its successor is found out no sooner than after request-timeout.) */
static bool may_go_on(enum why why)
{
	return why == WHY_CHECK || why == WHY_MEMORY;
}

/* How long the worker has to serve on until a successor is tried. */
static nsec_t mend_after(struct cluster *c, uint32_t i, const struct worker *w, enum why why)
{
	struct slot *s = &c->slots[i];
	const struct cluster_settings *settings =
		cluster_find_generation(c, w->generation)->settings;
	nsec_t stable = settings->stable_after;
	nsec_t at;

	if (!may_go_on(why) || w != &s->main)
		return 0;
	if (!may_go_on(w->unfit)) { /* else its wait has begun already */
		if (stable < SECOND)
			stable = SECOND;
		if (c->now - w->ready_at >= MEND_STABLE * stable)
			backoff_reset(&s->mends);
		at = nsec_add(c->now, backoff_next(&s->mends, settings, true, 0, &c->random));
		if (s->mend_at < at)
			s->mend_at = at;
	}
	return s->mend_at > c->now ? s->mend_at - c->now : 0;
}

/* Mark the worker unfit: it serves on, but a successor is wanted. */
static void mark_unfit(
	struct cluster *c, uint32_t i, struct worker *w, enum report_kind kind, enum why why)
{
	struct report *report = worker_report(c->out, kind, i, w, c->now);

	report->generation = w->generation;
	report->why = why;
	report->wait = mend_after(c, i, w, why);
	if (w->unfit == WHY_ITSELF)
		c->unfit++;
	w->unfit = why;
}

static void abort_hung(struct cluster *c, uint32_t i, struct worker *w, enum why why)
{
	struct moment at = {.why = why};
	bool on_trial = canary_is_on_trial(c, &c->slots[i], w) && !worker_is_going(w);

	(void)slot_tell(c, i, w, ON_HUNG, &at);
	if (on_trial) /* a new worker that is watched is not well */
		rollout_fail(c, i, w, NULL, why);
}

static void note_failure(struct cluster *c, uint32_t i, struct worker *w, enum why why)
{
	bool held = canary_is_one(c, &c->slots[i], w);

	if (worker_is_going(w))
		return;
	if (w->state == WORKER_SPARE) { /* no client would miss it */
		slot_stop(c, i, w, why);
		return;
	}
	if (canary_is_on_trial(c, &c->slots[i], w))
		rollout_fail(c, i, w, NULL, why);
	if (held) /* it goes with the rollout */
		return;
	if (w->state != WORKER_READY || w->unfit == WHY_CHECK || w->unfit == WHY_REQUEST)
		return;
	mark_unfit(c, i, w, REPORT_UNWELL, why);
}

void health_unwell(struct cluster *c, uint32_t i, struct worker *w, enum why why)
{
	if (why == WHY_CHECK || why == WHY_REQUEST)
		note_failure(c, i, w, why);
	else
		abort_hung(c, i, w, why);
}

void health_outgrown(struct cluster *c, uint32_t i, struct worker *w, enum why why)
{
	if (w->state == WORKER_SPARE && why == WHY_SOCKET)
		slot_stop(c, i, w, why); /* another worker gets the new socket */
	if (w->state != WORKER_READY || w->unfit != WHY_ITSELF)
		return;
	mark_unfit(c, i, w, REPORT_OUTGROWN, why);
}

void health_missed(struct cluster *c, uint32_t i, struct worker *w)
{
	const struct generation *g = cluster_find_generation(c, w->generation);
	nsec_t late = c->now - c->lost - w->deadline;

	/* newer settings expect no WATCHDOG=1 any more */
	if (worker_interval(w, g->settings) == 0) {
		w->deadline = NSEC_NEVER;
	} else if (late >= LATE && !w->granted) {
		w->granted = true;
		w->deadline += late + MOMENT;
	} else {
		abort_hung(c, i, w, WHY_WATCHDOG);
	}
}

void health_look(struct cluster *c, uint32_t i, struct worker *w)
{
	const struct cluster_settings *s;
	nsec_t most;

	if (w->state != WORKER_READY || w->unfit != WHY_ITSELF)
		return;
	s = cluster_find_generation(c, w->generation)->settings;
	most = s->accept ? s->accept_timeout : s->max_age + s->max_age / 1000 * w->age_share;
	w->retire_at = most > 0 ? nsec_add(w->serves_since, most) : NSEC_NEVER;
	if (health_due(w, c->lost) > c->now)
		return;
	if (s->accept)
		slot_stop(c, i, w, WHY_AGE);
	else
		health_outgrown(c, i, w, WHY_AGE);
}

nsec_t health_due(const struct worker *w, nsec_t lost)
{
	if (w->state != WORKER_READY || w->unfit != WHY_ITSELF)
		return NSEC_NEVER;
	return nsec_add(w->retire_at, lost);
}
