/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SHOWLOGS_H
#define SUPERVISOR_SHOWLOGS_H

#include "supervisor/control/clients.h"

/*
 * The answer of `logs`: files with the output of workers (workers/slotlog.h),
 * open for reading alone, some with each answer.  The client reads them, so that
 * nclust has neither this work nor anything to follow.  A client that follows,
 * and has got all files, is answered when there is a further one.
 *
 * The target is the name of a cluster, or "", and c->only_slot a slot of it.
 */
void showlogs_begin(struct client *c);

/* The client follows, and a further file is kept. */
void showlogs_look(struct client *c);

#endif
