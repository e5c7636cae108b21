/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SHOWLOGS_H
#define SUPERVISOR_SHOWLOGS_H

#include "supervisor/control/clients.h"

/*
 * What `logs` answers: the files that have what the workers have written
 * (workers/slotlog.h), open for reading alone, some with each answer.  The client
 * reads them, so that nclust has neither this work nor anything to follow.  One that
 * follows, and has got all, is answered when there is one more.
 *
 * The target is the name of a cluster, or "", and c->only_slot a slot of it.
 */
void showlogs_begin(struct client *c);

/* A hook: one more is kept. */
void control_on_log_begun(struct supervisor *sup);

#endif
