/* SPDX-License-Identifier: MIT */
#include "supervisor/accept/accepting.h"
#include "supervisor/common/guard.h"
#include "supervisor/common/news.h"
#include "supervisor/common/tally.h"
#include "supervisor/control/clients.h"
#include "supervisor/drain/drain.h"
#include "supervisor/fallback/fallback.h"
#include "supervisor/health/health.h"
#include "supervisor/hooks/hooks.h"
#include "supervisor/instance/lifecycle.h"
#include "supervisor/leader/leader.h"
#include "supervisor/limits/limits.h"
#include "supervisor/logs/logs.h"
#include "supervisor/intercept/intercept.h"
#include "supervisor/messages/channel.h"
#include "supervisor/node/node.h"
#include "supervisor/order/order.h"
#include "supervisor/orphans/bequest.h"
#include "supervisor/scaling/scaling.h"
#include "supervisor/watch/watch.h"
#include "supervisor/web/webrole.h"
#include "supervisor/workers/child.h"

/*
 * The one list of all rooms that have hooks, and the order in which these are
 * called.  The order matters for the reasons below; `gone`, `drop`, `end`,
 * `renew` and `status_worker` go from the last to the first.
 *
 * - workers first: the ground is done when the rooms above are called.
 * - intercept before messages before orphans: the keeper of orphans is sent a
 *   new worker's descriptors in that order, as its protocol requires.
 * - messages before node, and `gone` the other way: node gives things back over
 *   the channel.  In `adopt` node looks which channel there is.
 * - node before drain: of `stop` node takes what it can.
 * - drain before orphans: the state file's entry of a new worker has its lane.
 * - drain and accept before news: they log first what they do for a report.
 * - news before instance and hooks: the line about a report comes before the
 *   lines about its consequences.
 * - logs after hooks: in `end` its commands are forgotten before they are killed;
 *   and before the end of workers, which is that of the logger.
 * - web after control: in `end` its address is free before clients hear of it.
 * - fallback after scaling, which knows if the cluster is asleep on purpose.
 * - watch after news: the line about a rollout comes before what it begins then.
 * - health last of those with `report`: it may end workers.
 * - `status_worker`, backwards: checks, messages (which control puts), Node's.
 */
const struct part *const parts[] = {
	&workers_part,
	&limits_part,
	&guard_part,
	&intercept_part,
	&messages_part,
	&node_part,
	&drain_part,
	&accept_part,
	&leader_part,
	&orphans_part,
	&tally_part,
	&news_part,
	&instance_part,
	&hooks_part,
	&order_part,
	&logs_part,
	&control_part,
	&web_part,
	&scaling_part,
	&fallback_part,
	&watch_part,
	&health_part,
	NULL,
};
const unsigned part_count = sizeof(parts) / sizeof(*parts) - 1;
