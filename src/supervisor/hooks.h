/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HOOKS_H
#define SUPERVISOR_HOOKS_H

#include "supervisor/state.h"

/*
 * `on-EVENT`: commands that are run when something happens to a cluster, with
 * the facts in their environment.  They never hold nclust up: they wait in a
 * queue of HOOKS_QUEUED for one of HOOKS_AT_ONCE places, what does not fit is
 * counted and dropped, and one that runs for longer than HOOK_PATIENCE is killed
 * with its group.  Each runs as the workers of its cluster do (helper.h).
 */
#define HOOKS_AT_ONCE 16
#define HOOKS_QUEUED 128
#define HOOK_PATIENCE (1 * MINUTE)

/* Something was told by the core: run what the settings say. */
void hooks_on_report(struct service *service, const struct report *report);

/* Does one of its hooks wait for its turn?  Then it may not be freed. */
bool hooks_wait_for(const struct service *service);

/* All is over but the hooks: true when they are too, or have had their
 * moment. */
bool hooks_are_over(struct supervisor *sup);
void hooks_fini(struct supervisor *sup);

#endif
