/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/settings.h"
#include "core/event.h"
#include "core/generation.h"
#include "core/slot.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A rollout replaces all workers of a cluster, or of one slot, by those of a new
 * generation.  It comes to a few slots at a time (`surge`, `max-unavailable`); a
 * slot's step is over when its new worker is ready and its old one gone.  The
 * first failure of a new worker ends the rollout, and changed slots go back to
 * the settings of before in the same way.  So they do when a worker that was only
 * guessed to be ready ends soon after, though the rollout is done.
 */
struct rollout {
	bool under_way;
	bool fresh; /* nothing ran: all slots start at once, and are watched */
	bool going_back;
	bool drops_ports;
	bool unprepared; /* it begins at EVENT_PREPARED */
	unsigned id;
	unsigned to;    /* generation */
	uint32_t scope; /* one slot, or SLOT_ALL */
	nsec_t since;

	unsigned turned; /* slots whose step has begun */
	unsigned done;   /* of these: their step is over */
	unsigned extra;  /* steps under way of each kind */
	unsigned fewer;

	/* Waves */
	unsigned wave;     /* slots of the wave; 0: no wave */
	unsigned held;     /* steps STEP_HELD under way */
	unsigned proven;   /* of these: their new worker is ready */
	unsigned canary;   /* slots of the first wave; 0: no canaries */
	bool of_canaries;  /* the wave is the first one */
	bool fleet;        /* the fleet is still to be held */
	bool unasked;      /* the canary was not asked for: it is there to be watched */
	nsec_t bake;       /* or BAKE_AUTO */
	nsec_t bake_until; /* unstalled clock; NSEC_NEVER: not baking */

	/* The search for the next slot: first slots without a ready worker, then one
	 * generation after the other. */
	unsigned pass; /* generation; 0: slots without a ready worker */
	bool busy_too; /* busy workers too, after the idle ones */
	uint32_t cursor;
	bool at_end;   /* no slot was left: a death wakes the search */
	uint32_t last; /* slot of the last step */

	/* Done, but each new worker is watched for `watch` from when it became ready. */
	nsec_t watch;   /* 0: not done, or over */
	nsec_t done_at; /* unstalled clock */
	unsigned from;  /* generation in force before, kept while `watch` lasts */
};

/* Begin the rollout that was `asked` for, with its settings; the command's known properties are
 * those of generation `like`. */
void rollout_begin(struct cluster *c, unsigned id, const struct event *asked, unsigned like);

/* Nothing runs: the generation of the rollout, just begun, is in force. */
void rollout_be_fresh(struct cluster *c);

/* How many slots the rollout has to come to. */
unsigned rollout_slots(const struct cluster *c);

/* A report of that rollout. */
struct report *rollout_report(struct cluster *c, enum report_kind kind, unsigned id);

/* Look for the next step; false if there is nothing to do for now. */
bool rollout_advance(struct cluster *c);

/* The slot is empty: it may be its turn. */
void rollout_offer(struct cluster *c, uint32_t i);

/* Has the rollout come to this slot? */
bool rollout_has_turned(const struct cluster *c, const struct slot *s);

/*
 * How many workers more and fewer than wanted there may be while workers are replaced by those of
 * that generation, in a rollout or through a gate.  By default one more; but a single worker that
 * must not have another one beside it (EVENT_ALONE) goes before its successor comes.
 */
struct pace {
	unsigned extra;
	unsigned fewer;
};
struct pace rollout_pace(const struct cluster *c, unsigned generation);

/* May the slot's worker go before its successor is ready? */
bool rollout_may_miss(const struct cluster *c, const struct slot *s, struct pace pace);

/* Does the rollout replace this worker? */
bool rollout_replaces(const struct cluster *c, const struct worker *w);

/* The slot has been settled: its step may be over. */
void rollout_look(struct cluster *c, uint32_t i);

/* The slot is not part of the cluster any more. */
void rollout_drop_slot(struct cluster *c, uint32_t i);

/* A slot became free, or was added: search again. */
void rollout_wake(struct cluster *c);

/* Would the end of this worker, unasked, fail the rollout: the one under way, or the
 * one that is done? */
bool rollout_fails_with(const struct cluster *c, const struct worker *w);

/* The generation that has to be known beside the one in force; or that one. */
unsigned rollout_keeps(struct cluster *c);

/*
 * All ways in which a rollout fails once it was accepted (service_roll() and
 * control/requests.c refuse some at once):
 *  - a worker of the new generation has failed: it has died or could not be started
 *    (death.c), was not ready in time (slot.c), or was found unwell while it was watched
 *    (health.c);
 *  - the command `before` has failed (EVENT_PREPARED, which also says that it is done);
 *  - the cluster stops or has given up, or stops already when the rollout is asked for: at
 *    that slot, or (SLOT_ALL) before the first.
 * `ending`: of that worker, if it has ended; or NULL.
 */
void rollout_fail(struct cluster *c, uint32_t i, const struct worker *w,
	const struct ending *ending, enum why why);
void rollout_on_prepared(struct cluster *c, const struct event *e);
void rollout_fail_by_stop(struct cluster *c, unsigned id, uint32_t slot);

/* The cluster stops: fail the rollouts that are under way and waiting. */
void rollout_fail_all(struct cluster *c);
