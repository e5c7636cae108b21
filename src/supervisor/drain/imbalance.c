/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/imbalance.h"

#include "os/clock.h"
#include "os/process.h"
#include "protocol/json.h"
#include "supervisor/common/registry.h"
#include "supervisor/drain/steer.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"

#include <stdio.h>
#include <string.h>

/* A finding that one worker has most of the load. */
struct uneven {
	unsigned slot;
	unsigned percent;
	unsigned workers; /* among so many workers */
};

/* In percent of the CPU time of all workers.  Of two workers one may well have more than half. */
#define MOST 50
#define MOST_OF_TWO 80
/* CPU time in a worker's first seconds is not yet load. */
#define WARM (5 * SECOND)
/* An imbalance does not matter while the busiest worker uses less than a quarter of a CPU. */
#define BUSY 4

/* In Node's cluster module each connection wakes all workers, which keeps their load even. */
static bool may_judge(const struct service *service)
{
	const struct recipe *r = recipe_of(service, cluster_generation(service->core));

	return cluster_settings(service->core)->balance == BALANCE_AUTO &&
		!steer_spreads(service, cluster_generation(service->core)) &&
		(r == NULL || r->runtime == NODE_NONE);
}

/* Has one of the ready workers most of the load? */
static bool is_uneven(const struct service *service, struct uneven *found)
{
	const struct child *child;
	const nsec_t now = clock_now();
	nsec_t most = 0;
	nsec_t lived = 0; /* by the worker with most CPU time */
	nsec_t sum = 0;

	*found = (struct uneven){.workers = 0};
	for_each_child (child, children_of(service)) {
		nsec_t ran = process_ran(child->pid) - child->traffic.ran;
		const struct worker_view view = child_view(child);

		if (view.state != SLOT_READY || ran < 0)
			continue;
		if (now - view.ready_at < WARM)
			return false;
		found->workers++;
		sum += ran;
		if (ran <= most)
			continue;
		most = ran;
		lived = now - view.ready_at;
		found->slot = child->slot;
	}
	if (sum == 0 || most < lived / BUSY || found->workers < 2)
		return false;
	found->percent = (unsigned)(most * 100 / sum);
	return found->percent > (found->workers == 2 ? MOST_OF_TWO : MOST);
}

/* Returns how connections are spread: those of the first listener that is not shared. */
static const char *balance_of(const struct service *service)
{
	const struct recipe *r = recipe_of(service, cluster_generation(service->core));
	const struct listener *l;

	if (r != NULL && recipe_accepts(r))
		return "rr";
	for_each_listener (l, listeners_of(service, LISTENERS_IN_FORCE))
		if (l->spread != SPREAD_SHARED)
			return group_balance(l);
	return "share";
}

void imbalance_on_status(struct json_writer *w, const struct service *service)
{
	const struct listener *l;
	int error = 0; /* for which workers are not chosen as the settings say */
	struct uneven found;
	char text[160];

	for_each_listener (l, listeners_of(service, LISTENERS_IN_FORCE))
		if (error == 0 && l->chosen != l->spread)
			error = l->chosen_why;
	json_put_text(w, "balance", balance_of(service));
	if (error != 0)
		snprintf(text, sizeof(text), "the kernel refuses what the settings ask for: %s",
			strerror(error));
	else if (service->accepting == NULL && may_judge(service) && is_uneven(service, &found))
		snprintf(text, sizeof(text),
			"%s.%u has %u %% of the CPU time of %u workers; 'balance = rr' gives "
			"each a socket of its own",
			service->name, found.slot, found.percent, found.workers);
	else
		return;
	json_put_text(w, "balance_why", text);
}
