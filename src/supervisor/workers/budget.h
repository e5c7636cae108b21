/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_BUDGET_H
#define SUPERVISOR_BUDGET_H

#include "supervisor/workers/environment.h"

#include <sched.h>

/*
 * How the CPUs are divided among the workers of a cluster: `threads` and `cpu`.
 * Reckoned at each birth: who was born before a `scale` keeps what it has.
 */

/* How many CPUs we may use: affinity and cgroup quota, at least 1. */
unsigned budget_usable(void);

/* How many threads the worker shall compute with; 0: it is not told. */
unsigned budget_threads(
	const struct supervisor *sup, const struct worker_place *place);

/* Which of `cpus` a slot is pinned to, counted from 0 and modulo their number. */
struct budget_range {
	unsigned first;
	unsigned count;
};
struct budget_range budget_range(const struct cluster_settings *settings,
	uint32_t slot, unsigned workers, unsigned cpus);

/* The CPUs that it is pinned to (heap, CPU_ALLOC); NULL: none, or it cannot be
 * told. */
cpu_set_t *budget_cpus(const struct worker_place *place, size_t *size);

#endif
