/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_BEQUEST_H
#define SUPERVISOR_BEQUEST_H

#include "supervisor/common/part.h"

extern const struct part orphans_part;

/* What the next nclust must know of clusters and listeners if this one is
 * killed (`orphans = keep`).  It is written beside the state file's table of
 * workers whenever it changes. */
void bequest_look(struct supervisor *sup); /* write it, if it changed */

/* An `accept` cluster may have no process at the moment: keep an entry in the
 * state file while its listeners are to outlive us. */
void orphans_on_settings(struct service *service);
/* That cluster has ended, and its entry is free. */
void bequest_forget(struct service *service);

#endif
