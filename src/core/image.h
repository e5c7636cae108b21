/* SPDX-License-Identifier: MIT */
#ifndef CORE_IMAGE_H
#define CORE_IMAGE_H

#include "base/plain.h"
#include "core/cluster.h"

/*
 * A cluster in parts that can be carried to another process, and be put together
 * there: it goes on as if nothing had happened.  The parts are the core's own
 * structs, whose tables list their members without pointers, so settings come
 * beside them.
 *
 * Valid between two calls of cluster_handle(), when all actions have been carried
 * out.
 */
enum image_part {
	IMAGE_CLUSTER,    /* one; its settings: of the waiting rollout */
	IMAGE_SLOT,       /* one for each slot in use; no settings */
	IMAGE_GENERATION, /* by number, ascending; each has settings */
	IMAGE_PARTS,
};
extern const struct plain_table image_tables[IMAGE_PARTS];
extern const struct plain_table image_report_table; /* struct report */

uint32_t image_count(const struct cluster *c, enum image_part part);
const void *image_part(const struct cluster *c, enum image_part part, uint32_t n);
/* The settings of a part; NULL: it has none. */
struct cluster_settings *image_settings(const struct cluster *c, enum image_part part, uint32_t n);
/* When the slot is to be settled; a part of the slot, but not of its struct. */
nsec_t image_due(const struct cluster *c, uint32_t slot);

/* How much longer that worker is to be drained (ACTION_DRAIN, which is not sent
 * again); -1: it is not drained. */
nsec_t image_drain_left(const struct cluster *c, uint32_t slot, uint64_t worker, nsec_t now);

/* An empty cluster, with room for so many slots and generations.  NULL: out of
 * memory, or more than there can be. cluster_free() frees it at any stage. */
struct cluster *image_new(uint32_t slots, uint32_t generations);
/* Add the next part of that kind, all empty: IMAGE_CLUSTER first.  NULL: no room for
 * more. */
void *image_add(struct cluster *c, enum image_part part);
/* Set the settings of the latest part of that kind; the reference is handed over. */
void image_set_settings(struct cluster *c, enum image_part part, struct cluster_settings *settings);
void image_set_due(struct cluster *c, uint32_t slot, nsec_t due);
/* All parts are there.  NULL, or why they make no cluster. */
const char *image_finish(struct cluster *c);

#endif
