/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_DRAIN_STATE_H
#define SUPERVISOR_DRAIN_STATE_H

#include <stdbool.h>

/*
 * What this room alone knows of the connections of a worker, of a cluster and of
 * all: these structs are in those of common/state.h.
 */
struct drain;
struct drains;
struct steer;

struct worker_traffic {
	struct drain *drain; /* heap, under way (drain.h); or NULL */
	unsigned lane;       /* whose sockets it has (steer.h) */
	unsigned busy;       /* connections, at the drain's last look */
	bool withdrawn;      /* it waits for no connection any more (drain.h) */
	bool in_lane;        /* it is counted in its lane (steer.h) … */
	bool takes;          /* … as one that takes connections */
	bool drains;         /* … or that is to be emptied */
};

struct cluster_traffic {
	struct steer *steer; /* NULL: never needed */
	bool blind_told;     /* that connections cannot be seen */
};

struct traffic {
	struct drains *drains; /* NULL: none is under way */
	int thawer; /* pidfd of who waits for our end (thaw.h), or -1 */
};

#endif
