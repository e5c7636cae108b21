/* SPDX-License-Identifier: MIT */
#ifndef CORE_SLOT_H
#define CORE_SLOT_H

#include "core/backoff.h"
#include "core/event.h"
#include "core/worker.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A slot is one lasting place in a cluster.  It bears one worker after the
 * other; only while it is rolled, or its worker is not fit any more, it holds
 * two: beside `main` its successor, until that is ready and takes the place,
 * and from then on the predecessor, until it is gone.
 *
 * A slot is level-triggered: slot_settle() compares what is wanted with what
 * is there and does or asks for what is missing.  It may be called at any
 * time and any number of times.
 */
enum SMALL slot_step { /* what the rollout that has come to it does here */
	STEP_NONE,
	STEP_EXTRA, /* the new one first, beside the old one */
	STEP_FEWER, /* the old one goes first */
	STEP_HELD,  /* the new one beside the old one, which stays (canary.h) */
};

enum SMALL slot_end {
	SLOT_GOES_ON,
	SLOT_ENDED_WELL,
	SLOT_ENDED_BADLY,
};

enum SMALL gate { /* a successor of its unfit worker is on the way (gate.h) */
	GATE_SHUT,
	GATE_UNWELL,
	GATE_OUTGROWN,
	GATES,
};

struct slot {
	struct worker main;
	struct worker other; /* WORKER_NONE: there is none */
	struct backoff backoff;
	struct backoff mends; /* of replacing workers that are unfit (health.c) */
	nsec_t retry;         /* not filled before */
	nsec_t mend_at;       /* its gate is not opened before */
	nsec_t waits;         /* since then, as others start (line.h); or 0 */
	nsec_t last_age;
	struct ending last;
	unsigned restarts;
	unsigned life; /* of the cluster: an older one is forgotten */
	unsigned turn; /* the latest rollout that came to it */
	enum why last_why;
	enum slot_step step;
	bool proven; /* STEP_HELD: its new worker is ready */
	enum gate gate;
	bool busy;           /* its worker was when that was said last */
	enum slot_end ended; /* not started again */
};

struct cluster;

/* Returns false where it must be called again, with the next event. */
bool slot_settle(struct cluster *c, uint32_t i);

/* Its worker of that id, or NULL. */
struct worker *slot_find(struct cluster *c, uint32_t i, uint64_t id);

/* Tell a worker of the slot; false where its state does not know the event. */
bool slot_tell(struct cluster *c, uint32_t i, struct worker *w, enum worker_event event,
	const struct moment *more);

/* Ask for a worker, or get into line for it (line.h); false if there were enough
 * in this call. */
bool slot_spawn(struct cluster *c, uint32_t i, struct worker *place, unsigned generation);

/* Ask a worker of the slot to stop, for that reason, unless it was asked. */
void slot_stop(struct cluster *c, uint32_t i, struct worker *w, enum why why);

/* Is it of a generation that has failed? */
bool slot_is_rejected(const struct cluster *c, const struct worker *w);

/* The generation that a worker of the slot is of that is born now. */
unsigned slot_generation(const struct cluster *c, const struct slot *s);

/* A worker has ended, as `event` says (death.c). */
void slot_bury(struct cluster *c, uint32_t i, struct worker *w, enum worker_event event,
	const struct ending *ending);

#endif
