/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_USE_H
#define SUPERVISOR_USE_H

#include "supervisor/common/state.h"

/*
 * What a worker and all of its processes use: CPU time, and memory that they
 * have for themselves, anonymous and shared (RssAnon and RssShmem of
 * /proc/PID/status: cheap, and without the pages of files, which the kernel
 * takes back when it wants).  Pages that processes of one tree share since
 * their fork are counted each time.  If there are several processes, a sum over
 * a limit is therefore counted again by their shares (Pss of smaps_rollup,
 * which is dear: after 20 ms the rest is estimated).
 */
struct tree_use {
	unsigned processes;
	nsec_t cpu; /* used so far, also by those that have ended */
	uint64_t memory;
	uint64_t rss; /* of the worker's own process, with pages of files */
	bool stopped; /* that process is, by a signal */
};

/* The last look at a worker, on the heap. */
struct last_look {
	struct tree_use use;
	nsec_t ran; /* process_ran() before it */
	nsec_t at;
	nsec_t took;
	nsec_t until; /* it holds in any case; 0: see use_look() */
};
void use_keep(struct child *child, const struct last_look *look);

/* Measure; false: the worker is gone.  If it has not run since the last call,
 * the old values are returned for some seconds; also if measuring takes long. */
bool use_look(struct child *child, struct tree_use *use);

/* Measure the CPU time alone, now. */
nsec_t use_cpu(const struct child *child);
/* Measure the memory alone, now; a sum over `limit` is counted again by Pss. */
uint64_t use_memory(const struct child *child, uint64_t limit);

#endif
