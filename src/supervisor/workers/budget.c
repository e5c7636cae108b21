/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/recipe.h"

#include "os/process.h"

/* The first CPU of a part.  The parts cover all CPUs, and do not overlap. */
static unsigned first_cpu(unsigned part, unsigned parts, unsigned cpus)
{
	return (unsigned)((uint64_t)part * cpus / parts);
}

struct budget_range budget_range(
	const struct cluster_settings *settings, uint32_t slot, unsigned workers, unsigned cpus)
{
	struct budget_range all_alone = {.first = slot, .count = 1};
	unsigned first;

	if (settings->threads == THREADS_OFF)
		return all_alone;
	if (settings->threads != THREADS_AUTO)
		return (struct budget_range){
			.first = (unsigned)((uint64_t)slot * settings->threads % cpus),
			.count = settings->threads,
		};
	if (workers == 0 || cpus < workers || slot >= workers)
		return all_alone;
	first = first_cpu(slot, workers, cpus);
	return (struct budget_range){
		.first = first,
		.count = first_cpu(slot + 1, workers, cpus) - first,
		.whole = true,
	};
}

cpu_set_t *budget_cpus(const struct worker_place *place, size_t *size)
{
	const struct cluster_settings *s = place->recipe->settings;
	struct budget_range range;

	if (s->cpu != CPU_SPREAD)
		return NULL;
	range = budget_range(s, place->slot, place->workers, affinity_count());
	return affinity_some(range.first, range.count, range.whole, size);
}
