/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_BEQUEST_H
#define SUPERVISOR_BEQUEST_H

#include "supervisor/common/part.h"

extern const struct part orphans_part;

/*
 * What we leave to the next nclust, should we be killed: written down while we
 * live (`orphans = keep`), beside the table of workers, whenever it changes.
 */
void bequest_due(struct supervisor *sup);  /* it has changed */
void bequest_look(struct supervisor *sup); /* write it now, if it has */

/* We go on in the place of another nclust: with its files. */
void bequest_resume(struct supervisor *sup);

/* A worker's own entry follows what is known of it. */
void bequest_child(const struct child *child);

/* Of a cluster that may have no process at the moment (`accept`): what says that
 * its listeners are to outlive us, where they are.  To be called again when its
 * settings have changed. */
void bequest_anchor(struct service *service);

#endif
