/* SPDX-License-Identifier: MIT */
#include "fleet.h"

/*
 * The tool: a playbook with `serial`.  It comes to some hosts at a time, puts the
 * release there, says `nclust restart --canary --bake` and waits for the outcome of
 * all of them.  On a host where that fails it puts the release of before back.
 * After too many failures it stops, and brings the release of before back to all
 * hosts that have the new one, at once: each replaces its workers one by one.
 */
#define REACHES_IN (3 * SECOND) /* a connection, and the files */
#define EMPTY_IN \
	(5 * SECOND)            /* the load balancer has seen it, and all is
				   answered */
#define ABSENT_IN (10 * SECOND) /* it gives a connection up */
#define SILENT_IN (30 * SECOND) /* … one that it has */
#define AGAIN_IN MINUTE         /* to a host that did not answer */

static void later(struct fleet *f, const struct host *h, nsec_t after, enum thing_kind kind,
	enum outcome outcome)
{
	ahead_add(f, f->now + after,
		(struct thing){.kind = kind, .host = (unsigned)(h - f->hosts), .outcome = outcome});
}

static void set_out(struct fleet *f, struct host *h, bool out)
{
	traffic_leave(f, h);
	h->out = out;
	traffic_join(f, h);
}

/* ---- back ---- */

static void go_back(struct fleet *f, struct host *h)
{
	if (h->errand == ERRAND_BACK)
		return;
	h->errand = ERRAND_BACK;
	f->going_back++;
	later(f, h, REACHES_IN, THING_BACK, OUTCOME_REPLACED);
}

static void back(struct fleet *f, struct host *h)
{
	f->going_back--;
	if (h->down)
		return;
	if (h->cut) {
		f->going_back++;
		later(f, h, AGAIN_IN, THING_BACK, OUTCOME_REPLACED);
		return;
	}
	h->new_release = false;
	h->errand = ERRAND_OVER;
	h->replaced = false;
	if (host_runs_new(f, h))
		host_roll(f, h, 0, 0);
	set_out(f, h, false);
}

static void stop(struct fleet *f)
{
	if (!f->over) {
		f->result.took = f->now;
		f->result.stopped = true;
	}
	f->over = f->stopped = true;
	for (unsigned i = 0; i < f->plan.hosts; i++)
		if (f->hosts[i].new_release)
			go_back(f, &f->hosts[i]);
}

/* ---- one batch after the other ---- */

static void begin_batch(struct fleet *f)
{
	unsigned count = f->next == 0 && f->plan.first > 0 ? f->plan.first : f->plan.at_once;

	if (f->next == f->plan.hosts) {
		f->over = true;
		f->result.took = f->now;
		return;
	}
	f->begun = f->left = 0;
	while (f->left < count && f->next < f->plan.hosts) {
		struct host *h = &f->hosts[f->next++];

		f->begun++;
		f->left++;
		h->errand = ERRAND_REACHES;
		later(f, h, REACHES_IN, THING_REACHED, OUTCOME_REPLACED);
	}
}

static bool is_too_bad(const struct fleet *f)
{
	unsigned failed = f->result.failed + (f->plan.counts_absent ? f->result.absent : 0);

	return f->plan.failures > 0 && failed >= f->plan.failures;
}

static void end_batch(struct fleet *f)
{
	if (is_too_bad(f))
		stop(f);
	else if (f->plan.first > 0 && f->next == f->plan.first && f->plan.soak > 0)
		ahead_add(f, f->now + f->plan.soak, (struct thing){.kind = THING_SOAKED});
	else
		begin_batch(f);
}

/* Are the first hosts well?  Whatever answers there may have been wrong, that is
 * for a person to see (THING_NOTICED). */
static void soaked(struct fleet *f)
{
	for (unsigned i = 0; i < f->plan.first; i++)
		if (f->hosts[i].replaced && f->hosts[i].crashes > 0) {
			stop(f);
			return;
		}
	begin_batch(f);
}

static void end_errand(struct fleet *f, struct host *h, enum outcome outcome)
{
	if (h->errand == ERRAND_NONE || h->errand >= ERRAND_OVER)
		return; /* it was over before */
	h->errand = ERRAND_OVER;
	f->left--;
	if (outcome == OUTCOME_ABSENT) {
		f->result.absent++;
	} else if (outcome == OUTCOME_FAILED) {
		f->result.failed++;
		go_back(f, h);
	} else {
		f->result.replaced++;
		h->replaced = true;
		set_out(f, h, false);
	}
	if (f->left == 0 && !f->over)
		end_batch(f);
}

static void roll(struct fleet *f, struct host *h)
{
	h->errand = ERRAND_ROLLS;
	h->new_release = true;
	f->result.tried++;
	host_roll(f, h, f->plan.canary, f->plan.bake);
}

static void reached(struct fleet *f, struct host *h)
{
	if (!host_answers(h)) {
		later(f, h, ABSENT_IN, THING_OUTCOME, OUTCOME_ABSENT);
	} else if (f->plan.taken_out) {
		h->errand = ERRAND_EMPTIES;
		set_out(f, h, true);
		later(f, h, EMPTY_IN, THING_EMPTY, OUTCOME_REPLACED);
	} else {
		roll(f, h);
	}
}

void deployer_lost(struct fleet *f, struct host *h)
{
	if (h->errand == ERRAND_EMPTIES || h->errand == ERRAND_ROLLS)
		later(f, h, SILENT_IN, THING_OUTCOME, OUTCOME_ABSENT);
}

void deployer_told(struct fleet *f, struct host *h, bool done)
{
	if (h->errand == ERRAND_ROLLS && host_answers(h))
		later(f, h, 0, THING_OUTCOME, done ? OUTCOME_REPLACED : OUTCOME_FAILED);
}

void deployer_thing(struct fleet *f, const struct thing *thing)
{
	struct host *h = &f->hosts[thing->host];

	if (thing->kind == THING_BACK)
		back(f, h);
	else if (thing->kind == THING_OUTCOME)
		end_errand(f, h, thing->outcome);
	else if (thing->kind == THING_NOTICED)
		stop(f);
	else if (f->over)
		return;
	else if (thing->kind == THING_SOAKED)
		soaked(f);
	else if (thing->kind == THING_REACHED)
		reached(f, h);
	else if (thing->kind == THING_EMPTY && host_answers(h))
		roll(f, h);
}

void deployer_begin(struct fleet *f)
{
	begin_batch(f);
}

/* So too, if it was bad: everywhere is the release of before. */
bool deployer_is_done(const struct fleet *f)
{
	return f->over && f->going_back == 0 &&
		(f->plan.fault == FAULT_NONE || !f->first_answer || f->result.clean != 0);
}
