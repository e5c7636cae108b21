/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SLOTLOG_H
#define SUPERVISOR_SLOTLOG_H

#include "supervisor/common/state.h"

/* A slotlog has the latest output of the workers of a slot, for `nclust logs`.  The logger writes
 * its file (logger/remember.h), and clients read it.  nclust makes it for the first captured output
 * of the slot, and keeps it as long as the cluster. */

/* The file for this worker's lines; -1: there is none. */
int slotlog_of(const struct child *child);
/* Why lines of the cluster's next worker would not be kept; NULL: they would. */
const char *slotlog_missing(const struct service *service);
void slotlog_free(struct service *service);

/* The slotlog with the next higher number, of all clusters or `only` of one, and of one slot (or
 * SLOT_ALL); NULL: there is no more. */
const struct slotlog *slotlog_after(const struct supervisor *sup, uint64_t number,
	const struct service *only, uint32_t slot, const struct service **of);

/* The id of a slotlog at the keeper; the slot of such an id, or SLOT_ALL if it belongs to another
 * cluster. */
uint64_t slotlog_id(const struct service *service, uint32_t slot);
uint32_t slotlog_slot(const struct service *service, uint64_t id);
/* Go on with the slotlog of an earlier nclust; takes over the descriptor. */
void slotlog_take(struct service *service, uint32_t slot, int fd);

#endif
