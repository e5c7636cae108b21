/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/*
 * `shared-memory`: a segment is memory that the workers of a cluster share.
 * nclust holds it, over deaths, rollouts, reloads, upgrades and adoption, as
 * long as the settings ask for the same size.  When the size changes, the
 * workers of the new settings get a new segment.
 *
 * Uses are counted: of the cluster (the segment in force, and the former one
 * while a rollout may still go back to it) and of each recipe.
 */

/* Add a use of the segment that the settings ask for: a segment of `known` (NULL: the service is
 * new), of an earlier nclust, or a new one.  *segment is NULL if they ask for none.  -1 and
 * `err`. */
int segment_open(struct supervisor *sup, struct segment **segment,
	const struct cluster_settings *settings, const struct service *known, struct error *err);
void segment_release(struct segment *segment); /* NULL: nothing */

/* The settings that ask for this segment come into force; takes over the caller's use. */
void segment_change(struct service *service, struct segment *segment);
/* A rollout is over: release the former segment.  If the rollout has failed,
 * the former settings, and so the former segment, are in force again. */
void segment_settle(struct service *service, bool failed);
/* The service is dropped: release its segments. */
void segment_drop(struct service *service);
