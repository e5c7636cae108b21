/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/workers/recipe.h"

/* How the CPUs are divided among the workers of a cluster: `threads` and `cpu`.
 * Computed at each start: a worker started before a `scale` keeps its share. */

/* Which of `cpus` a slot is pinned to, counted from 0 and modulo their number. */
struct budget_range {
	unsigned first;
	unsigned count;
	bool whole; /* the slots together have all CPUs: affinity_sort() */
};
struct budget_range budget_range(
	const struct cluster_settings *settings, uint32_t slot, unsigned workers, unsigned cpus);

/* The CPUs that the worker is pinned to (free with CPU_FREE()); NULL: the worker is not pinned, or
 * the CPUs are not known. */
cpu_set_t *budget_cpus(const struct worker_place *place, size_t *size);

/* What the worker of a slot may cost of nclust's descriptors, so that all that are wanted fit; none
 * is left for the last slots of too many, so that the others are replaced when they die. */
enum budget_files { BUDGET_NONE, BUDGET_LEAST, BUDGET_NOTIFY, BUDGET_ALL };
enum budget_files budget_files(const struct service *service, uint32_t slot);
