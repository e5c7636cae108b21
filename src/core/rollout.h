/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/settings.h"
#include "core/event.h"
#include "core/slot.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- generation ---- */

/* What a worker has shown of its command: it holds for all of the generation, and of the next. */
enum lesson {
	LESSON_SAYS_READY, /* READY=1 was seen */
	LESSON_LISTENS,    /* a worker was seen to listen */
	LESSON_SILENT,     /* a worker gave no sign of being ready, but lived */
	LESSON_UNGATED,    /* a worker could not be held back as a spare */
	LESSONS,
};

/*
 * The number and the settings of workers that were started together.  A generation is remembered
 * while one of its workers lives, it is in force, or a rollout goes to it or may go back to it; so
 * few at a time that a list is the quickest.
 */
struct generation {
	unsigned number;
	unsigned workers;    /* alive */
	unsigned starting;   /* of these, workers that make others wait (internal.h) */
	unsigned serving;    /* of these: ready or leaving by themselves */
	unsigned beside;     /* of these: beside an old worker that stays yet */
	unsigned command;    /* number of the command among the cluster's */
	bool knows[LESSONS]; /* of the command */
	enum why rejected;   /* why its starting workers go; WHY_ITSELF: they stay */
	struct cluster_settings *settings; /* a reference of its own */
};

struct generations {
	struct generation *list; /* by number, ascending */
	unsigned count;
	unsigned cap;
};

int generations_reserve(struct generations *g, unsigned count); /* 0 or -1 */
void generations_fini(struct generations *g);

/* Add a generation with the highest number yet.  The settings' reference is handed over. */
struct generation *generations_add(
	struct generations *g, unsigned number, struct cluster_settings *settings);

/* NULL: unknown.  The pointer is valid until the list is changed. */
struct generation *generations_find(const struct generations *g, unsigned number);

/* The oldest generation with workers that is newer than `number`; 0: none. */
unsigned generations_next(const struct generations *g, unsigned number);

/* Replace the settings `old`, wherever they are. */
void generations_replace(struct generations *g, const struct cluster_settings *old,
	struct cluster_settings *settings);

void generations_learn(struct generations *g, unsigned number, enum lesson lesson);

/* Forget generations without workers, but for two. */
void generations_forget(struct generations *g, unsigned keep, unsigned keep_too);

/* ---- rollout ---- */

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
	nsec_t bake_until; /* patient clock; NSEC_NEVER: not baking */

	/* The search for the next slot: first slots without a ready worker, then one
	 * generation after the other. */
	unsigned pass; /* generation; 0: slots without a ready worker */
	bool busy_too; /* busy workers too, after the idle ones */
	uint32_t cursor;
	bool at_end;   /* no slot was left: a death wakes the search */
	uint32_t last; /* slot of the last step */

	/* Done, but each new worker is watched for `watch` from when it became ready. */
	nsec_t watch;   /* 0: not done, or over */
	nsec_t done_at; /* patient clock */
	unsigned from;  /* generation in force before, kept while `watch` lasts */
};

/* rollout_request.c */
void rollout_ask(struct cluster *c, const struct event *e);

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

/* rollout_request.c: new settings without a rollout; the reference is handed over. */
void rollout_settings(struct cluster *c, const struct event *e);

/* ---- canary ---- */

/*
 * A wave: slots of a rollout whose new worker is held beside the old one, which
 * goes on serving, until the new workers of all these slots have proven
 * themselves; only then do the old ones go.  The first new worker that fails ends
 * the rollout, and nothing was lost.  There are two waves: the canaries, `canary`
 * slots that are watched for the time `bake`, and with `surge = all` the fleet,
 * all other slots.
 */
#define ALL_SLOTS UINT32_MAX

/* The rollout begins: which waves it has. */
void canary_begin(struct cluster *c, const struct event *asked);

/* Look if a wave is over; true if it was, and there is more to do. */
bool canary_advance(struct cluster *c);

/* The same for a rollout where nothing ran: all workers are watched, once all of
 * them are there; true when that is over. */
bool canary_advance_fresh(struct cluster *c, bool all_there);

/* How long each worker of the ending rollout is watched, from when it became ready; 0
 * if readiness is no guess, or the rollout's bake time is 0. */
nsec_t canary_watch(const struct cluster *c);

/* Does a canary take the place of its predecessor at once?  A canary that was not asked
 * for does where the settings, which may change meanwhile, allow no additional worker. */
bool canary_is_alone(const struct cluster *c);

/* Are new workers still to be held, but no more of them for now? */
bool canary_is_full(const struct cluster *c);

/* Is the new worker of this slot held beside the old one? */
bool canary_is_held(const struct cluster *c, const struct slot *s);

/* Is this worker held, or would it be, had it a predecessor? */
bool canary_is_one(const struct cluster *c, const struct slot *s, const struct worker *w);

/* Is this worker held, or of the canaries' generation and not held any more, as its
 * predecessor has ended by itself?  It is watched with the canaries. */
bool canary_is_on_trial(const struct cluster *c, const struct slot *s, const struct worker *w);

/* The slot has been settled, or let go: is its new worker ready? */
void canary_look(struct cluster *c, struct slot *s);

/* The slot is not held any more: its step goes on as any other. */
void canary_let_go(struct cluster *c, struct slot *s);

/* When the canaries have been watched for long enough; or NSEC_NEVER. */
nsec_t canary_due(const struct cluster *c);
