/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_BUDGET_H
#define SUPERVISOR_BUDGET_H

#include "os/affinity.h"
#include "supervisor/workers/environment.h"

#include <sched.h>

/* How the CPUs are divided among the workers of a cluster: `threads` and `cpu`.
 * Computed at each start: a worker started before a `scale` keeps its share. */

/* How many CPUs nclust may use, by affinity and cgroup quota: at least 1. */
unsigned budget_usable(void);

/* Which of `cpus` a slot is pinned to, counted from 0 and modulo their number. */
struct budget_range {
	unsigned first;
	unsigned count;
	bool whole; /* the slots together have all CPUs: affinity_sort() */
};
struct budget_range budget_range(
	const struct cluster_settings *settings, uint32_t slot, unsigned workers, unsigned cpus);

/* The CPUs that the worker is pinned to (free with CPU_FREE()); NULL: the worker is not pinned, or
 * the CPUs are not known.  `map`: see affinity_some(). */
cpu_set_t *budget_cpus(const struct worker_place *place, struct affinity_map **map, size_t *size);

#endif
