/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_REACH_H
#define SUPERVISOR_REACH_H

#include "supervisor/common/state.h"

/*
 * Reaches workers behind a shared listener, for a caller who wants to send a request to one or to
 * each of them. nclust opens connections, finds out which worker has accepted each (probe_batch.h),
 * and hands a wanted worker's connection to the caller; the connection that another worker has
 * taken is closed.  A worker that takes none in time is not reached.
 */
struct reach {
	struct reach *next;
	struct service *service; /* set by reach_begin(), like the members below */
	nsec_t until;            /* when to give up, unless a worker is reached before */
	nsec_t most;             /* when to give up in any case */
	bool *reached;           /* heap, by slot: which workers were reached */
	uint32_t slots;
	char host[80]; /* for "Host:" */

	/* Set by the caller: */
	uint32_t slot;   /* the slot to reach; SLOT_ALL: each ready worker, once */
	char first;      /* the first byte of the request */
	nsec_t patience; /* since a worker was reached last */
	/* The worker has taken this connection, on which `sent` (0 or 1) bytes were sent.  The
	 * connection is closed afterwards.  False: the caller could not use it. */
	bool (*got)(struct reach *r, const struct child *child, int fd, size_t sent);
	/* All wanted workers are reached, the time is over, or the cluster ends: call
	 * reach_end(). */
	void (*over)(struct reach *r);
	void *owner;
};

/* -1 and `err`: nclust cannot reach workers of this cluster; over() is not called. */
int reach_begin(struct reach *r, struct service *service, struct error *err);
/* Ends it: the caller has been told that it is over, or does not want it any more. */
void reach_end(struct reach *r);
/* Is this worker wanted, and not yet reached? */
bool reach_wants(const struct reach *r, const struct child *child);
/* May connections that reach.c has opened wait at the cluster's listener?  A connection that no
 * worker took stays there for a while after nclust has given it up. reach_cleared(): none is
 * left. */
bool reach_may_wait(const struct service *service);
void reach_cleared(const struct service *service);
/* The cluster is about to go. */
void reach_drop(struct service *service);

#endif
