/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SEGMENT_H
#define SUPERVISOR_SEGMENT_H

#include "supervisor/common/state.h"

/*
 * `shared-memory`: a segment is what the workers of a cluster share.  nclust only
 * holds it: while there is one that asks for the same size, it is this one, over
 * deaths, rollouts, reloads, upgrades and adoption.  Another size is another
 * segment, for the workers of the new settings.
 *
 * Counted: by the cluster (that in force, and the one of before while a rollout
 * may still go back to it) and by each recipe.
 */

/* One as the settings want it, of those that the service has (NULL: it is new)
 * or that an earlier nclust had, or a new one; a use of it in *segment, NULL where
 * they want none.  -1 and `err`. */
int segment_open(struct supervisor *sup, struct segment **segment,
	const struct cluster_settings *settings, const struct service *known,
	struct error *err);
void segment_release(struct segment *segment); /* NULL: nothing */

/* The settings that want this one are to be in force.  It is taken over. */
void segment_change(struct service *service, struct segment *segment);
/* A rollout is over: settings of before are not needed any more, or are those in
 * force again. */
void segment_settle(struct service *service, bool failed);
/* None is needed any more. */
void segment_drop(struct service *service);

#endif
