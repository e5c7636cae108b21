/* SPDX-License-Identifier: MIT */
#include "supervisor/accept/visits.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/news.h"
#include "supervisor/common/trouble.h"
#include "supervisor/control/carry_clients.h"
#include "supervisor/control/control.h"
#include "supervisor/health/health.h"
#include "supervisor/hooks/carry_hooks.h"
#include "supervisor/instance/manager.h"
#include "supervisor/intercept/spare_gate.h"
#include "supervisor/limits/limits.h"
#include "supervisor/messages/messages.h"
#include "supervisor/node/carry_node.h"
#include "supervisor/scaling/scaling.h"
#include "supervisor/sockets/carry_sockets.h"
#include "supervisor/upgrade/carry_core.h"
#include "supervisor/workers/carry_workers.h"
#include "supervisor/workers/ports.h"

/* What each room carries through an upgrade (common/carried.h), in the order in which it is
 * written.  A struct comes before the structs that refer to it: settings, listeners and memory
 * before clusters, and clusters before the hooks and clients that wait for them. */
/* clang-format off */
static const struct plain_row instance_rows[] = {
	CARRY_REFERRED(CARRY_SETTINGS, &carried_cluster, CARRY_OF_SETTINGS),
	CARRY_GROUP(CARRY_INSTANCE, supervisor, settings, &carried_instance),
	CARRY_REFERRED(CARRY_LISTENER, &carried_listener, CARRY_OF_LISTENERS),
	CARRY_POINTERS(CARRY_INHERITED, supervisor, sockets.inherited.list,
		&carried_inherited, sockets.inherited.count),
	CARRY_REFERRED(CARRY_SEGMENT, &carried_segment, CARRY_OF_SEGMENTS),
	CARRY_BESIDE(&carried_services),
	CARRY_BESIDE(&carried_ending),
	CARRY_INSIDE(CARRY_HOOKS, supervisor, commands.hooks, &carried_hooks),
	CARRY_INSIDE(CARRY_CLIENTS, supervisor, control, &carried_control),
	CARRY_LIST(CARRY_CLIENT, supervisor, control.first, &carried_client,
		client, next),
	CARRY_GROUP(CARRY_HISTORY, supervisor, news.history, &carried_history),
	CARRY_GROUP(CARRY_MANAGER, supervisor, instance.manager, &carried_manager),
};

/* The number of slots comes before lists by slot, Node's servers before the workers that use them,
 * and workers before the connections that they serve. */
static const struct plain_row cluster_rows[] = {
	CARRY_GROUP(CARRY_TROUBLE, service, trouble, &carried_trouble),
	CARRY_GROUP(CARRY_SCALING, service, scaling, &carried_scaling),
	CARRY_INSIDE(CARRY_PORTS, service, life.ports, &carried_ports),
	CARRY_GROUP(CARRY_CORE, service, core, &carried_core),
	CARRY_BESIDE(&carried_holdings),
	CARRY_GROUP(CARRY_NODE, service, node, &carried_node_cluster),
	CARRY_BESIDE(&carried_children),
	CARRY_GROUP(CARRY_ACCEPTING, service, accepting, &carried_accepting),
	CARRY_GROUP(CARRY_BROKER, service, broker, &carried_broker),
};

static const struct plain_row worker_rows[] = {
	CARRY_GROUP(CARRY_HEALTH, child, health, &carried_health),
	CARRY_GROUP(CARRY_CHANNEL, child, channel, &carried_channel),
	CARRY_GROUP(CARRY_NODE, child, node, &carried_node_worker),
	CARRY_APART(child, limited, &carried_limited),
	CARRY_APART(child, trap.gate, &carried_gate),
};
/* clang-format on */

const struct carried carried_of_instance = {
	CARRIED_ROWS(instance_rows, supervisor),
};
const struct carried carried_of_cluster = {
	CARRIED_ROWS(cluster_rows, service),
};
const struct carried carried_of_worker = {
	CARRIED_ROWS(worker_rows, child),
};
