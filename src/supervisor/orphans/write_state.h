/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

void orphans_on_prepare(struct child *child, struct birth *birth);
void orphans_on_born(struct child *child);
void orphans_on_gone(struct child *child);
void orphans_on_report(struct service *service, const struct report *report);
void orphans_on_let_go(struct holding *holding);
void orphans_on_go_on(struct supervisor *sup);
void orphans_on_shutdown(struct supervisor *sup);
int orphans_on_renew(struct supervisor *sup, struct error *err);
void orphans_on_logger(struct supervisor *sup, enum logger_step step);
void orphans_on_write_down(struct supervisor *sup);

/* `orphans = keep`: the state of clusters and listeners is written down for a next nclust, in case
 * this one is killed.  supervisor.c calls this in each turn; it writes if orphans.changed is set.
 */
void orphans_write_changes(struct supervisor *sup);

/* An `accept = yes` cluster may have no process at the moment: claim an entry in the state file for
 * it, if its listeners must outlive nclust. */
void orphans_on_reloaded(struct service *service);
/* The cluster has ended: free its entry, and let the keeper drop its descriptors. */
void orphans_forget(struct service *service);
