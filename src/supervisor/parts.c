/* SPDX-License-Identifier: MIT */
#include "supervisor/accept/accept.h"
#include "supervisor/common/daemon.h"
#include "supervisor/common/news.h"
#include "supervisor/control/control.h"
#include "supervisor/drain/drain.h"
#include "supervisor/fallback/fallback.h"
#include "supervisor/health/health.h"
#include "supervisor/hooks/hooks.h"
#include "supervisor/instance/instance.h"
#include "supervisor/leader/leader.h"
#include "supervisor/limits/limits.h"
#include "supervisor/logs/logs.h"
#include "supervisor/intercept/intercept.h"
#include "supervisor/messages/messages.h"
#include "supervisor/node/node.h"
#include "supervisor/order/order.h"
#include "supervisor/orphans/orphans.h"
#include "supervisor/scaling/scaling.h"
#include "supervisor/watch/watch.h"
#include "supervisor/web/web.h"
#include "supervisor/workers/child.h"

/*
 * All rooms that have hooks, in the order in which their hooks are called; `gone`, `drop`,
 * `shutdown` and `status_worker` are called from the last room to the first.  Reasons for the order:
 *
 * - workers first: it does its part before the rooms above it are called.
 * - workers, intercept and messages before orphans, which hands to the keeper what these have of a
 *   new worker, or anew.
 * - messages before node, and `gone` the other way: node still needs the channel then.  In `adopt`
 *   node looks which channel there is.
 * - node before drain: node stops the workers that it can stop by itself.
 * - drain before orphans: the state file's entry of a new worker has the worker's lane.
 * - drain and accept before news: they log what they do for a report before the report.
 * - news before instance and hooks: the line about a report comes before lines about its
 *   consequences.
 * - logs after hooks: in `shutdown` the commands of logs are forgotten before they are killed; logs
 *   ends before workers, which ends the logger.
 * - web after control: in `shutdown` web's address is free before clients hear of the end.
 * - fallback after scaling, which knows if the cluster is asleep on purpose.
 * - watch after news: the line about a rollout comes before the rollout that watch begins then.
 * - health last of the rooms with `report`, because it may end workers.
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
