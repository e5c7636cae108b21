/* SPDX-License-Identifier: MIT */
#ifndef CORE_SLOT_H
#define CORE_SLOT_H

#include "core/backoff.h"
#include "core/event.h"
#include "core/worker.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A slot is one lasting place in a cluster.  It has one worker after the other;
 * only while the slot is rolled, or its worker is unfit, it has two: beside
 * `main` its successor, until that is ready and takes the place, and from then on
 * the predecessor, until it is gone.
 *
 * A slot is level-triggered: slot_settle() compares what is wanted with what is
 * there and does or asks for what is missing.  It may be called at any time and
 * any number of times.
 */
enum SMALL slot_step { /* what the slot does in a rollout that has come to it */
	STEP_NONE,
	STEP_EXTRA, /* the new worker first, beside the old one */
	STEP_FEWER, /* the old worker goes first */
	STEP_HELD,  /* the new worker beside the old one, which stays (canary.h) */
};

enum SMALL slot_end {
	SLOT_GOES_ON,
	SLOT_ENDED_WELL,
	SLOT_ENDED_BADLY,
};

enum SMALL gate { /* a successor of its unfit worker is started (gate.h) */
	GATE_SHUT,
	GATE_UNWELL,
	GATE_OUTGROWN,
	GATES,
};

struct slot {
	struct worker main;
	struct worker other; /* WORKER_NONE: none */
	struct backoff backoff;
	struct backoff mends; /* of replacing workers that are unfit (health.c) */
	nsec_t retry;         /* the slot is not filled before */
	nsec_t mend_at;       /* the slot's gate is not opened before */
	nsec_t waits;         /* since when it waits for others to start (line.h); or 0 */
	nsec_t last_age;
	struct ending last;
	unsigned restarts;
	unsigned life; /* of the cluster; `ended` of an older one does not count */
	unsigned turn; /* the latest rollout that has come to the slot */
	enum why last_why;
	enum slot_step step;
	bool proven; /* STEP_HELD: the new worker is ready */
	enum gate gate;
	bool busy;           /* EVENT_BUSY said so last */
	enum slot_end ended; /* not started again */
};

struct cluster;

/* Returns false if it must be called again, with the next event. */
bool slot_settle(struct cluster *c, uint32_t i);

/* The slot's worker of that id, or NULL. */
struct worker *slot_find(struct cluster *c, uint32_t i, uint64_t id);

/* Hand an event to a worker of the slot; false if the worker's state does not know the event. */
bool slot_tell(struct cluster *c, uint32_t i, struct worker *w, enum worker_event event,
	const struct moment *more);

/* Ask for a worker, or get into line for it (line.h); false if this call has asked
 * for enough. */
bool slot_spawn(struct cluster *c, uint32_t i, struct worker *place, unsigned generation);

/* Ask a worker of the slot to stop, for that reason, unless it was asked before. */
void slot_stop(struct cluster *c, uint32_t i, struct worker *w, enum why why);

/* Is the worker of a generation that has failed? */
bool slot_is_rejected(const struct cluster *c, const struct worker *w);

/* The generation of the next worker of the slot. */
unsigned slot_generation(const struct cluster *c, const struct slot *s);

/* A worker has ended, as `event` says (death.c). */
void slot_bury(struct cluster *c, uint32_t i, struct worker *w, enum worker_event event,
	const struct ending *ending);

#endif
