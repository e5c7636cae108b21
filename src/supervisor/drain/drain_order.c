/* SPDX-License-Identifier: MIT */
#include "os/clock.h"
#include "base/nsec.h"
#include "supervisor/drain/internal.h"
#include "supervisor/workers/service.h"
#include "supervisor/common/registry.h"

/* Looks for idle workers, which a rollout drains first because that is quick. */

static struct child *only_worker_in(const struct service *service, uint32_t slot)
{
	struct child *const *in = service->children[slot];

	if (in[0] != NULL && in[1] != NULL)
		return NULL;
	return in[0] != NULL ? in[0] : in[1];
}

/* Are there several workers to choose from, and will the rollout drain them? */
static bool needs_order(const struct service *service, const struct rollout_view *rollout)
{
	const struct cluster_settings *s = cluster_settings(service->core);

	return !service->kind->by_connection && cluster_state(service->core) != CLUSTER_STOPPING &&
		cluster_ready(service->core) > 1 && s->drain_timeout > 0 &&
		(s->drain == DRAIN_QUIET || s->drain == DRAIN_AUTO) &&
		(!rollout->under_way || rollout->of == cluster_wanted(service->core));
}

void drain_on_choose(struct service *service)
{
	nsec_t until = clock_now() + TURN_SPAN;
	struct rollout_view rollout = cluster_view_rollout(service->core);
	bool busy = true;

	if (!needs_order(service, &rollout))
		return;
	for (uint32_t i = 0; busy && i < service->child_slots && clock_now() < until; i++) {
		struct child *child = only_worker_in(service, i);
		struct event event = {.kind = EVENT_BUSY, .slot = i};

		if (child == NULL || child->traffic.drain != NULL ||
			(rollout.under_way && child->generation == rollout.to))
			continue;
		busy = drain_is_busy(child);
		event.worker = child->worker;
		event.held = busy;
		service_tell(service, &event);
	}
}
