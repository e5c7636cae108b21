/* SPDX-License-Identifier: MIT */
#include "core/event.h"

#include <assert.h>

struct action *actions_add(
	struct actions *out, enum action_kind kind, uint32_t slot, uint64_t worker)
{
	struct action *action;

	assert(out->count < ACTIONS_MAX);
	action = &out->list[out->count++];
	*action = (struct action){.kind = kind, .slot = slot, .worker = worker};
	return action;
}

struct report *actions_report(
	struct actions *out, enum report_kind kind, uint32_t slot, uint64_t worker)
{
	struct action *action = actions_add(out, ACTION_REPORT, slot, worker);

	action->report = (struct report){
		.kind = kind,
		.slot = slot,
		.worker = worker,
		.age = NSEC_NEVER,
		.ready_for = NSEC_NEVER,
		.wait = NSEC_NEVER,
		.span = NSEC_NEVER,
		.took = NSEC_NEVER,
	};
	return &action->report;
}
