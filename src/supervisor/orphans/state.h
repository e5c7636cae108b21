/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/place/statefile.h"

#include <stdbool.h>
#include <stdint.h>

/* `orphans = keep`: what nclust writes down for a next nclust, and what an earlier nclust has
 * left.  These structs are members of the structs in common/state.h. */
struct previous;

struct orphans {
	struct statefile file;
	bool changed;  /* the state for a next nclust must be written when this turn ends */
	bool settled;  /* in this turn all workers of a cluster became ready */
	bool has_past; /* workers of an earlier nclust may live: if they are not taken over, their
			  files stay */
	uint32_t last_number;      /* the highest number of a cluster so far */
	struct previous *previous; /* of the earlier nclust, during a take-over; or NULL */
	int keeper_socket;         /* where a next nclust connects to the keeper, or -1 */
	bool fresh;                /* a new keeper has no listeners and no segments yet */
};

/* What the state for a next nclust says of a cluster (write_state.h). */
struct saved_cluster {
	uint32_t number; /* never used twice */
	bool knows_notify;
	bool knows_listen;
	bool roll; /* workers that were taken over must be replaced */
	struct state_entry
		*anchor; /* accept = yes: keeps its listeners for a next nclust; or NULL */
};

/* The same of a worker. */
struct saved_worker {
	struct state_entry *entry; /* in the state file, or NULL */
	uint64_t start;            /* adopted: its start time, which with the pid identifies it */
	bool adopted;              /* an earlier nclust has started it: it is no child of nclust */
	bool in_keeper;            /* the keeper holds its descriptors */
};
