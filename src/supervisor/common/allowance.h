/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

#include <stdbool.h>

struct child;

/*
 * How much of nclust's time a worker may cost by the things that it can do as often as it likes:
 * notify messages, messages to other workers, trapped calls.  The cost is nclust's CPU time, and
 * the time for which the loop sleeps while it looks at the worker.
 *
 * A worker has a tenth of a CPU on average, and 1 s at once; all workers of a cluster together have
 * twice that.  When the allowance is used up, nclust stops reading a descriptor by which the
 * worker asks, so that this worker alone waits, in its own system calls, and nothing is lost.  An
 * upgrade does not carry allowances: each worker begins with all of it.
 */
struct allowance {
	nsec_t whole_at;     /* when the whole allowance will be there again */
	struct rests *rests; /* heap; NULL: nclust reads all that the worker sends */
};

/* Stop reading a descriptor of the worker, or go on when the rest is `over`. */
typedef void allowance_rest(struct child *child, bool over);

/* allowance_begin() before and allowance_end() after doing something for the worker charge the time
 * between.  If the allowance is used up, `rest` is called, and again when that is over; the first
 * time `what` the worker does is logged. */
nsec_t allowance_begin(void);
void allowance_end(struct child *child, allowance_rest *rest, nsec_t begun, const char *what);

/* Has `rest` been called, and is it not over?  Then the caller must not read from the worker. */
bool allowance_rests(const struct child *child, allowance_rest *rest);

/* Is half of the allowance left?  Work that is not essential is done only then. */
bool allowance_is_ample(const struct child *child);

/* Forget the rest, before the descriptor is closed. */
void allowance_stop(struct child *child, allowance_rest *rest);
