/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_WRITE_STATE_H
#define SUPERVISOR_WRITE_STATE_H

#include "supervisor/common/part.h"

extern const struct part orphans_part;

/* `orphans = keep`: the state of clusters and listeners is written down for a next nclust, in case
 * this one is killed.  supervisor.c calls this in each turn; it writes if orphans.changed is set.
 */
void orphans_write_changes(struct supervisor *sup);

/* An `accept = yes` cluster may have no process at the moment: claim an entry in the state file for
 * it, if its listeners must outlive nclust. */
void orphans_keep_anchor(struct service *service);
/* The cluster has ended: free its entry, and let the keeper drop its descriptors. */
void orphans_forget(struct service *service);

#endif
