/* SPDX-License-Identifier: MIT */
#pragma once

#include "core/cluster.h"

/*
 * Workers that live already are added.  Those of an earlier nclust before the first
 * EVENT_TICK: first the generation in force and what was learned of its command
 * (-1: too late), then each worker: returns its id, or 0 where there is no place
 * for it.  Of two in one slot the older comes first.
 *
 * With `accept = yes` all workers come that way, whenever a client does: no slot is wanted, and
 * none is filled again.  Such a worker, if it does not end by itself, is stopped for its age, for
 * a newer generation, or with the cluster.
 */
struct adoption {
	uint32_t slot;
	uint64_t worker;     /* its id, if it has one; 0: the next */
	unsigned generation; /* at most the one in force */
	pid_t pid;
	unsigned restarts; /* of the worker's slot */
	nsec_t now;
	nsec_t born;
	nsec_t ready_at; /* NSEC_NEVER: the worker is starting */
	/* SLOT_DRAINING, SLOT_STOPPING: it was asked to go, as in struct worker_view */
	enum slot_state going;
	bool killed;
	unsigned stop_step;
	nsec_t due;
};
int cluster_adopt_begin(struct cluster *c, unsigned generation, bool says_ready, bool listens);
uint64_t cluster_adopt(struct cluster *c, const struct adoption *a);

/* All members, slots and generations were read (supervisor/upgrade/carry_core.c).  NULL, or why
 * they make no cluster. */
const char *cluster_restore(struct cluster *c);
