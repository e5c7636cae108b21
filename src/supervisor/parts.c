/* SPDX-License-Identifier: MIT */
#include "supervisor/accept/accepting.h"
#include "supervisor/common/guard.h"
#include "supervisor/common/news.h"
#include "supervisor/control/clients.h"
#include "supervisor/drain/drain.h"
#include "supervisor/health/health.h"
#include "supervisor/hooks/hooks.h"
#include "supervisor/instance/lifecycle.h"
#include "supervisor/intercept/intercept.h"
#include "supervisor/messages/channel.h"
#include "supervisor/node/node.h"
#include "supervisor/orphans/bequest.h"
#include "supervisor/upgrade/reexec.h"
#include "supervisor/workers/child.h"

/*
 * The one list of all rooms that are told, and the order in which they are.  The
 * order counts where this says so; `gone`, `drop`, `end`, `renew` and `status_worker`
 * go from the last to the first.
 *
 * - workers first: what the ground does is done when the rooms above hear of it.
 * - intercept before messages before orphans: the keeper of orphans is sent a new
 *   worker's descriptors in that order, which is its protocol's.
 * - messages before node, and `gone` the other way: what node gives back it may say
 *   over the channel.  Of `adopt` node looks which channel there is.
 * - node before drain: a Node worker is told to close its servers, and what it then
 *   does of itself the drain has not to do; of `stop` it takes what it can.
 * - drain before orphans: what is written down of a worker that is about to start
 *   has its lane.
 * - drain and accept before news: what they do for a report is logged before it.
 * - news before instance and hooks: the line that tells of a report comes before
 *   those of what it leads to.
 * - health last of those who hear a report: it may end workers.
 * - `status_worker`, backwards: checks, messages (which control puts), Node's.
 */
const struct part *const parts[] = {
	&workers_part,
	&guard_part,
	&intercept_part,
	&messages_part,
	&node_part,
	&drain_part,
	&accept_part,
	&orphans_part,
	&news_part,
	&instance_part,
	&hooks_part,
	&upgrade_part,
	&control_part,
	&health_part,
	NULL,
};
const unsigned part_count = sizeof(parts) / sizeof(*parts) - 1;
