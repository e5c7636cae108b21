/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_BEQUEST_H
#define SUPERVISOR_BEQUEST_H

#include "supervisor/common/part.h"

extern const struct part orphans_part;

/*
 * What we leave to the next nclust, should we be killed: written down while we
 * live (`orphans = keep`), beside the table of workers, whenever it changes.
 */
void bequest_look(struct supervisor *sup); /* write it, if sup->changed */

/* Of a cluster that may have no process at the moment (`accept`): say in the state
 * file that its listeners are to outlive us, if they are. */
void orphans_on_settings(struct service *service);

#endif
