/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/budget.h"

#include "os/affinity.h"
#include "supervisor/common/registry.h"
#include "supervisor/workers/capture.h"

/* nclust's own descriptors, without those of clients and of short moments. */
#define OWN 36

/* The first CPU of a part.  The parts cover all CPUs, and do not overlap. */
static unsigned first_cpu(unsigned part, unsigned of, unsigned cpus)
{
	return (unsigned)((uint64_t)part * cpus / of);
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

enum budget_files budget_files(const struct service *service, uint32_t slot)
{
	const struct supervisor *sup = service->sup;
	const struct cluster_settings *s = cluster_settings(service->core);
	const struct recipe *r = recipe_of(service, cluster_generation(service->core));
	/* without its notify socket it would never be ready, or be taken for hung */
	bool notify =
		s->ready == READY_NOTIFY || s->watchdog != 0 || cluster_knows_notify(service->core);
	/* its pidfd, the trap of its calls, its channel or a socket of its own */
	unsigned least =
		2U + notify + (r != NULL && (r->runtime != NODE_NONE || recipe_spreads(r)));
	rlim_t own = OWN + sup->launch.descriptors / 64;
	rlim_t left = sup->launch.descriptors > own ? sup->launch.descriptors - own : 0;
	uint64_t workers = 0;
	uint64_t before = slot + cluster_most(service->core) - cluster_wanted(service->core);

	for (size_t i = 0; i < sup->service_count; i++) {
		before += sup->services[i] == service ? workers : 0;
		workers += cluster_most(sup->services[i]->core);
	}
	if (service->accepting != NULL)
		return BUDGET_ALL;
	if ((before + 1) * least > left)
		return BUDGET_NONE;
	if (!notify && workers * (least + 1) > left)
		return BUDGET_LEAST;
	/* two pipes, and what `nclust logs` keeps */
	return workers * (least + 4 - notify) > left && capture_asked(service, NULL) ? BUDGET_NOTIFY
										     : BUDGET_ALL;
}
