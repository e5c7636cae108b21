/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/internal.h"

#include "os/clock.h"
#include "os/privilege.h"
#include "os/process.h"
#include "protocol/json.h"
#include "supervisor/common/news.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/sockets.h"
#include "supervisor/common/registry.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>

/* In percent of the CPU time of all workers.  Of two workers one may well have more than half. */
#define MOST 50
#define MOST_OF_TWO 80
/* CPU time in a worker's first seconds is not yet load. */
#define WARM (5 * SECOND)
/* An imbalance does not matter while the busiest worker uses less than a quarter of a CPU. */
#define BUSY 4

static bool is_auto(const struct cluster_settings *s)
{
	return s->balance == BALANCE_AUTO && s->sticky == STICKY_OFF && s->max_requests == 0;
}

/* In Node's cluster module each connection wakes all workers, which keeps their load even. */
static bool may_judge(const struct service *service)
{
	const struct recipe *r = recipe_of(service, cluster_generation(service->core));

	return is_auto(cluster_settings(service->core)) && (r == NULL || r->runtime == NODE_NONE);
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

/* Can the kernel choose workers in turn, by eBPF? */
static int check_can_choose(void)
{
	if (privilege_has(CAP_BPF) || privilege_has(CAP_SYS_ADMIN))
		return 0;
	errno = EPERM;
	return -1;
}

/* A spare can be checked before it serves, if it has a socket of its own. */
static bool checks_spares(const struct service *service, unsigned generation)
{
	const struct recipe *r = recipe_of(service, generation);

	return r != NULL && r->runtime == NODE_NONE && is_auto(r->settings) &&
		r->settings->spare > 0 && r->settings->check.kind == PROBE_HTTP;
}

static void decide_for_spares(struct service *service, unsigned generation)
{
	if (check_can_choose() == -1) {
		news_say_of(
			service, LOG_NOTE, "balance", "spares are not asked: %s", strerror(errno));
		return;
	}
	service->traffic.uneven = (struct uneven){.generation = generation};
}

void imbalance_decide(struct service *service, unsigned generation)
{
	struct uneven *known = &service->traffic.uneven;
	struct uneven found;
	const char *name = service->name;

	if (known->generation != 0)
		return;
	if (checks_spares(service, generation)) {
		decide_for_spares(service, generation);
		return;
	}
	if (!may_judge(service) || !is_uneven(service, &found))
		return;
	if (check_can_choose() == -1) {
		news_say_of(service, LOG_NOTE, "balance",
			"%s.%u uses %u %% of the CPU time of all workers, but "
			"they still share a socket: %s",
			name, found.slot, found.percent, strerror(errno));
		return;
	}
	*known = found;
	known->generation = generation;
	news_say_of(service, LOG_NOTE, "balance",
		"%s.%u has %u %% of the CPU time of all workers: from now on "
		"each gets a socket of its own, as with 'balance = rr'",
		name, found.slot, found.percent);
}

bool imbalance_spreads(const struct service *service, unsigned generation)
{
	const struct uneven *known = &service->traffic.uneven;
	const struct recipe *r = recipe_of(service, generation);

	return known->generation != 0 && generation >= known->generation &&
		is_auto(r != NULL ? r->settings : cluster_settings(service->core));
}

/* Returns the errno for which workers are not chosen as the settings say; 0: they are. */
static int why_not_as_set(const struct service *service)
{
	const struct listener *l;

	for_each_listener (l, listeners_of(service, LISTENERS_IN_FORCE))
		if (l->chosen != l->spread && l->chosen_why != 0)
			return l->chosen_why;
	return 0;
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
	const struct uneven *known = &service->traffic.uneven;
	const int error = why_not_as_set(service);
	struct uneven found;
	char text[128];

	json_put_text(w, "balance", balance_of(service));
	if (error != 0) {
		snprintf(text, sizeof(text), "the kernel refuses what the settings ask for: %s",
			strerror(error));
		json_put_text(w, "balance_why", text);
		return;
	}
	if (!may_judge(service) || service->kind->by_connection)
		return;
	if (known->generation == 0 && !is_uneven(service, &found))
		return;
	if (known->generation != 0 && known->workers == 0)
		snprintf(text, sizeof(text), "spares are asked");
	else if (known->generation != 0)
		snprintf(text, sizeof(text), "%s.%u had %u %% of the CPU time of %u workers",
			service->name, known->slot, known->percent, known->workers);
	else
		snprintf(text, sizeof(text),
			"%s.%u has %u %% of the CPU time of %u workers; a "
			"restart gives each a socket of its own",
			service->name, found.slot, found.percent, found.workers);
	json_put_text(w, "balance_why", text);
}
