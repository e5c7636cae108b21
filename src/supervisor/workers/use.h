/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/*
 * What a worker and all of its processes use.  Memory is RssAnon and RssShmem of /proc/PID/status:
 * they are cheap to read, and leave out pages of files, which the kernel can take back.  A page that
 * processes share since a fork is counted for each of them.  So if several processes together are
 * over a limit, the sum is counted again by Pss of smaps_rollup, which is slow: after 20 ms the rest
 * is estimated.
 */
struct tree_use {
	unsigned processes;
	nsec_t cpu; /* CPU time so far, also of processes that have ended */
	uint64_t memory;
	uint64_t rss; /* of the main process, with pages of files */
	bool stopped; /* the main process is stopped by a signal */
};

/* What the last look at a worker has found. */
struct last_look {
	struct tree_use use;
	nsec_t ran; /* process_ran() before the look */
	nsec_t at;
	nsec_t took;
};

/* Measure; false: the worker is gone.  Returns the last values again for some seconds if the worker
 * has not run since, or if measuring takes long. */
bool use_look(struct child *child, struct tree_use *use);

/* Measure the CPU time alone, now. */
nsec_t use_cpu(const struct child *child);
/* Measure the memory alone, now; a sum over `limit` is counted again by Pss. */
uint64_t use_memory(const struct child *child, uint64_t limit);
