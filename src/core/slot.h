/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "config/settings.h"
#include "core/event.h"
#include "core/worker.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- random ---- */

/* splitmix64 (Steele, Lea, Flood: Fast splittable generators, 2014). */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* ---- backoff ---- */

/*
 * How long a slot stays empty after a death.  A worker that had served is
 * replaced at once, so that a request that kills does not take the service down.
 * After a worker that cannot start, and after each further death of a loop,
 * however slow, the slot waits longer each time.  A worker that was ready for a
 * minute, and for stable-after, ends the loop.  All zero is a fresh start.
 */
struct backoff {
	nsec_t delay;  /* the last wait, without its jitter; 0: none yet */
	bool forgiven; /* the loop's first death of a ready worker, which has no wait, has come */
};

/*
 * The wait after a death.  `was_ready`: it had been ready, and for
 * `ready_for`.  `random` is the state of the generator, moved on.
 */
nsec_t backoff_next(struct backoff *b, const struct cluster_settings *settings, bool was_ready,
	nsec_t ready_for, uint64_t *random);

/*
 * The wait after the machine, or nclust, had no descriptor, process or memory for a
 * worker: this is no fault of the program, and ends as suddenly as it began.  The more
 * slots, the longer each waits, so that all together try 1,000 times a second.
 */
nsec_t backoff_of_shortage(
	const struct cluster_settings *settings, uint32_t slots, uint64_t *random);

void backoff_reset(struct backoff *b);

/* ---- slot ---- */

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

enum SMALL gate_kind { /* a successor of its unfit worker is started (internal.h) */
	GATE_SHUT,
	GATE_UNWELL,
	GATE_OUTGROWN,
	GATES,
};

struct slot {
	struct worker main;
	struct worker other;
	struct backoff backoff;
	struct backoff mends; /* of replacing workers that are unfit (health.c) */
	nsec_t retry;         /* the slot is not filled before */
	nsec_t mend_at;       /* the slot's gate is not opened before */
	nsec_t due;   /* when the slot is to be settled, or earlier; NEVER (slot_set_due()) */
	nsec_t waits; /* since when it waits for others to start (internal.h); or 0 */
	nsec_t last_age;
	nsec_t lived; /* the same, if it died by itself before it was ready; or 0 */
	struct ending last;
	unsigned restarts;
	unsigned life; /* of the cluster; `ended` of an older one does not count */
	unsigned turn; /* the latest rollout that has come to the slot */
	enum why last_why;
	enum slot_step step;
	bool proven; /* STEP_HELD: the new worker is ready */
	enum gate_kind gate;
	bool busy;           /* EVENT_BUSY said so last */
	uint8_t early;       /* deaths since a worker of it was ready, but for stops */
	enum slot_end ended; /* not started again */
	unsigned
		did; /* the generation that did its work here since one was ready or failed; or 0 */
};

struct cluster;

/* Returns false if it must be called again, with the next event. */
bool slot_settle(struct cluster *c, uint32_t i);

/* Returns the slot that is due first; of equals the lowest. */
uint32_t slot_first(const struct cluster *c);
void slot_set_due(struct cluster *c, uint32_t i, nsec_t due);
/* Builds the heap of due slots (whole.h) anew, with so many leaves, for which there is room. */
void slots_arrange(struct cluster *c, uint32_t leaves);

/* The slot's worker of that id, or NULL. */
struct worker *slot_find(struct cluster *c, uint32_t i, uint64_t id);

/* Hand an event to a worker of the slot; false if the worker's state does not know the event. */
bool slot_tell(struct cluster *c, uint32_t i, struct worker *w, enum worker_event event,
	const struct moment *more);

/* Ask for a worker, or get into line for it (internal.h); false if this call has asked
 * for enough. */
bool slot_spawn(struct cluster *c, uint32_t i, struct worker *place, unsigned generation);

/* Ask a worker of the slot to stop, for that reason, unless it was asked before. */
void slot_stop(struct cluster *c, uint32_t i, struct worker *w, enum why why);

/* Is the worker of a generation that has failed? */
bool slot_is_rejected(const struct cluster *c, const struct worker *w);

/* The generation of the next worker of the slot. */
unsigned slot_generation(const struct cluster *c, const struct slot *s);
