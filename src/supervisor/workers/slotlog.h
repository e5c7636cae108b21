/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SLOTLOG_H
#define SUPERVISOR_SLOTLOG_H

#include "supervisor/common/state.h"

/*
 * What the workers of a slot have written last, for `nclust logs`: in a file that
 * the logger writes (logger/remember.h), and that clients read.  nclust makes it
 * when the first worker's output is captured, and keeps it as long as the cluster.
 */

/* Where the logger is to keep this worker's lines, too; -1: nowhere. */
int slotlog_of(const struct child *child);
/* Why the lines of the cluster's next worker are not kept; NULL: they are. */
const char *slotlog_missing(const struct service *service);
void slotlog_free(struct service *service);

/* The one that comes after this number, of all clusters or of one, or of one slot
 * of it (or SLOT_ALL); NULL: that was the last. */
const struct slotlog *slotlog_after(const struct supervisor *sup, uint64_t number,
	const struct service *only, uint32_t slot, const struct service **of);

/* The name of one for the keeper of `orphans = keep`; the slot of such a name, or
 * SLOT_ALL if it is of another cluster. */
uint64_t slotlog_id(const struct service *service, uint32_t slot);
uint32_t slotlog_slot(const struct service *service, uint64_t id);
/* Go on with the one of an earlier nclust.  Takes over the descriptor. */
void slotlog_take(struct service *service, uint32_t slot, int fd);

#endif
