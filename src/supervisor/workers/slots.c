/* SPDX-License-Identifier: MIT */
#include "supervisor/common/news.h"
#include "supervisor/common/part.h"
#include "supervisor/common/registry.h"
#include "supervisor/workers/service.h"

/* The kind of most clusters: the core fills the slots. */

static int slots_reserve(struct service *service, unsigned slots)
{
	return cluster_reserve(service->core, slots);
}

static struct service_counts slots_count(const struct service *service)
{
	return (struct service_counts){
		.workers = cluster_wanted(service->core),
		.ready = cluster_ready(service->core),
		.alive = cluster_alive(service->core),
		.slots = cluster_slots(service->core),
	};
}

static void slots_view(const struct service *service, uint32_t slot, struct slot_view *view)
{
	cluster_view_slot(service->core, slot, view);
}

static uint32_t slots_next(struct service *service, bool first)
{
	return cluster_next_in_turn(service->core, first);
}

static void slots_scale(struct service *service, const struct scale_step *to)
{
	struct event event = {.kind = EVENT_SCALE, .scale = *to};

	service_change(service, &event);
}

static void slots_explain(struct service *service, const char *text, bool permanent)
{
	(void)permanent;
	news_expect(service->sup, text, 0);
}

const struct worker_kind slots_kind = {
	.reserve = slots_reserve,
	.count = slots_count,
	.view_slot = slots_view,
	.next_in_turn = slots_next,
	.scale = slots_scale,
	.explain = slots_explain,
};

const struct worker_kind *kind_of(const struct cluster_settings *settings)
{
	for (unsigned i = 0; settings->accept && i < part_count; i++)
		if (parts[i]->kind != NULL)
			return parts[i]->kind;
	return &slots_kind;
}
