/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_REACH_H
#define SUPERVISOR_REACH_H

#include "supervisor/common/state.h"

/*
 * To reach workers behind a shared listener: nclust opens connections, and finds out
 * who has accepted each (volley.h).  What is sent by it, and what comes back, is the
 * business of who wanted it: nclust only hands the connection on.  One that another
 * worker has taken is closed again.  A worker that takes none in time is not reached.
 */
struct reach {
	struct reach *next;
	struct service *service; /* set by reach_begin(), as what follows */
	nsec_t until;            /* it goes on while it is of use, … */
	nsec_t most;             /* … but not longer */
	bool *reached;           /* heap: by slot */
	uint32_t slots;
	char host[80]; /* for "Host:" */

	/* The owner's: */
	uint32_t slot;   /* this one; SLOT_ALL: each ready worker, once */
	char first;      /* the first byte of the request */
	nsec_t patience; /* since the last one was reached */
	/* The worker has taken this connection, on which `sent` (0 or 1) bytes
	 * were sent.  It is closed afterwards.  False: it could not be used. */
	bool (*got)(struct reach *r, const struct child *child, int fd, size_t sent);
	/* All are reached, or the time is over, or the cluster is about to go:
	 * call reach_end(). */
	void (*over)(struct reach *r);
	void *owner;
};

/* -1 and `err`: it cannot be done; over() is not called. */
int reach_begin(struct reach *r, struct service *service, struct error *err);
/* It is over, or nobody wants it any more. */
void reach_end(struct reach *r);
/* Is this worker to be reached, and is not yet? */
bool reach_wants(const struct reach *r, const struct child *child);
/* May connections of ours wait at its listener?  Those that nobody took stay there for
 * a while after they were given up; reach_cleared(): there are none any more. */
bool reach_may_wait(const struct service *service);
void reach_cleared(const struct service *service);
/* The cluster is about to go. */
void reach_drop(struct service *service);

#endif
