/* SPDX-License-Identifier: MIT */
#ifndef CORE_BACKOFF_H
#define CORE_BACKOFF_H

#include "base/nsec.h"
#include "config/settings.h"

#include <stdbool.h>
#include <stdint.h>

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

#endif
