/* SPDX-License-Identifier: MIT */
#include "supervisor/accept/accepting.h"
#include "supervisor/common/news.h"
#include "supervisor/common/trouble.h"
#include "supervisor/control/clients.h"
#include "supervisor/health/health.h"
#include "supervisor/hooks/hooks.h"
#include "supervisor/instance/manager.h"
#include "supervisor/node/node.h"
#include "supervisor/sockets/carry_sockets.h"
#include "supervisor/upgrade/carry.h"
#include "supervisor/workers/carry_workers.h"
#include "supervisor/workers/ports.h"

/*
 * What each room carries through an upgrade (common/carried.h), in the order in
 * which it is written.  What is referred to comes before who refers to it:
 * settings, listeners and memory before clusters, and these before the hooks and
 * clients that wait for them.
 */
const struct carried *const carried_of_instance[] = {
	&carried_settings,
	&carried_instance,
	&carried_sockets,
	&carried_services,
	&carried_ending,
	&carried_hooks,
	&carried_clients,
	&carried_client_list,
	&carried_history,
	&carried_news,
	&carried_manager,
	NULL,
};

/* Room for the slots comes before all that is by slot, Node's servers before
 * the workers that use them, and workers before the connections they serve. */
const struct carried *const carried_of_cluster[] = {
	&carried_trouble,
	&carried_ports,
	&carried_early,
	&carried_core,
	&carried_holdings,
	&carried_node_cluster,
	&carried_children,
	&carried_accepting,
	NULL,
};

const struct carried *const carried_of_worker[] = {
	&carried_health,
	&carried_channel,
	&carried_node_worker,
	NULL,
};
