/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RECYCLE_H
#define SUPERVISOR_RECYCLE_H

#include "supervisor/common/state.h"

/*
 * `max-memory`: what a worker and all of its processes have for themselves:
 * anonymous and shared memory (RssAnon and RssShmem of /proc/PID/status: cheap,
 * and without the pages of files, which the kernel takes back when it wants).
 * Processes of one tree share pages since their fork, which this counts each
 * time: so where there are several, a sum over the limit is counted again by
 * their shares (Pss of smaps_rollup, which is dear).  Every 5 s, every second
 * once it is half way there.
 */
struct tree_use {
	unsigned processes;
	nsec_t cpu; /* used so far, also by those that have ended */
	uint64_t memory;
	uint64_t rss; /* of the worker's own process, with pages of files */
	bool stopped; /* that process is, by a signal */
};
/* The same of any worker, for `status`; false: it is gone.  One that has not run
 * since the last look is not looked at again for some seconds. */
bool recycle_look(struct child *child, struct tree_use *use);

void recycle_begin(struct service *service); /* somebody may have to be */
void recycle_free(struct service *service);

#endif
