/* SPDX-License-Identifier: MIT */
#ifndef CORE_IMAGE_H
#define CORE_IMAGE_H

#include "base/plain.h"
#include "core/cluster.h"

/*
 * A cluster in parts that can be carried to another process, and be put
 * together there: it goes on as if nothing had happened.  The parts are the
 * core's own structs, whose tables say what is in them; pointers are none of
 * it, so settings come beside them.
 *
 * To be looked at between two calls of cluster_handle(), whose actions have all
 * been carried out.
 */
enum image_part {
	IMAGE_CLUSTER,    /* one; its settings: of the rollout that waits */
	IMAGE_SLOT,       /* one for each slot in use; no settings */
	IMAGE_GENERATION, /* by number, ascending; each has settings */
	IMAGE_PARTS,
};
extern const struct plain_table image_tables[IMAGE_PARTS];
extern const struct plain_table image_report_table; /* struct report */

uint32_t image_count(const struct cluster *c, enum image_part part);
const void *image_part(const struct cluster *c, enum image_part part, uint32_t n);
/* NULL: it has none. */
struct cluster_settings *image_settings(const struct cluster *c, enum image_part part, uint32_t n);
/* When the slot is to be settled; part of it, but not of its struct. */
nsec_t image_due(const struct cluster *c, uint32_t slot);

/* For how long yet that worker is to be drained (ACTION_DRAIN, which is not asked
 * for again); -1: it is not. */
nsec_t image_drain_left(const struct cluster *c, uint32_t slot, uint64_t worker, nsec_t now);

/* An empty one, with room for so many slots and generations.  NULL: no memory,
 * or more than there can be.  cluster_free() frees it at any stage. */
struct cluster *image_new(uint32_t slots, uint32_t generations);
/* Where the members of the next part of that kind go, all empty: IMAGE_CLUSTER
 * first.  NULL: there is no room for more. */
void *image_add(struct cluster *c, enum image_part part);
/* Of the latest part of that kind; the reference is handed over. */
void image_set_settings(struct cluster *c, enum image_part part, struct cluster_settings *settings);
void image_set_due(struct cluster *c, uint32_t slot, nsec_t due);
/* All parts are there.  NULL, or why they do not make a cluster. */
const char *image_finish(struct cluster *c);

#endif
