/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ORPHANS_STATE_H
#define SUPERVISOR_ORPHANS_STATE_H

#include "os/place/statefile.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What is left to the next nclust, and what an earlier one has left: these structs
 * are in those of common/state.h, and in struct listener.
 */
struct heritage;

struct orphans {
	struct statefile file;
	bool changed;              /* what the next nclust must know: to be written when
			  this turn ends */
	bool settled;              /* all workers of a cluster are ready, since this turn */
	bool has_past;             /* somebody else's workers may live: nothing of theirs is
			  removed, should we fail to take them over */
	bool failed;               /* a failed write was reported */
	uint32_t last_number;      /* of a service */
	struct heritage *heritage; /* what an earlier one has left; or NULL */
	int keeper_socket;         /* on which the next nclust calls, or -1 */
	bool fresh;                /* the keeper holds no listener and no segment yet */
};

/* Of a cluster, as it was written down (bequest.h). */
struct kept_cluster {
	uint32_t number; /* never used twice */
	bool knows_notify;
	bool knows_listen;
	bool roll;                  /* what was taken over is to be replaced */
	struct state_entry *anchor; /* says that its listeners are to outlive
					us, by_connection; or NULL */
};

/* Of a worker. */
struct worker_kept {
	struct state_entry *entry; /* in the state file, or NULL */
	uint64_t start;            /* adopted: with its pid, its identity */
	bool adopted;              /* not our child: an earlier nclust's */
	bool held;                 /* by the keeper */
};

#endif
