/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_DRAIN_STATE_H
#define SUPERVISOR_DRAIN_STATE_H

#include "base/nsec.h"
#include "os/look/connections.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * What only this room knows of the connections of a worker, of a cluster and of
 * the instance.  These structs are members of those in common/state.h.
 */
struct drain;
struct steer;

struct worker_traffic {
	struct drain *drain; /* heap, under way (drain.h); or NULL */
	unsigned lane;       /* whose sockets it has (steer.h) */
	unsigned busy;       /* connections, at the drain's last look */
	bool withdrawn;      /* it waits for no connection any more (drain.h) */
	bool in_lane;        /* it is counted in its lane (steer.h) … */
	bool takes;          /* … as one that takes connections */
	bool drains;         /* … or that is to be emptied */
	nsec_t ran;          /* CPU time, when it was ready (evidence.h) */
};

/* One worker had most of the load (evidence.h). */
struct uneven {
	unsigned generation; /* the first one after it; 0: nobody had */
	unsigned slot;
	unsigned percent;
	unsigned workers; /* among so many; 0: it is for spares */
};

struct cluster_traffic {
	struct steer *steer;  /* NULL: never needed */
	bool blind_told;      /* that connections cannot be seen */
	unsigned asked_again; /* in this rollout (drain.asked) */
	struct uneven uneven;
};

#define ASKERS_MOST 16
/* "http " and an address. */
#define ASKER_TEXT 56

/* A load balancer that asks whether it may send here. */
struct host_asker {
	char who[ASKER_TEXT];
	nsec_t last;
	nsec_t gap;       /* from the time before to that; 0: it came once */
	nsec_t period;    /* the longer one of the last two; 0: not known */
	unsigned answers; /* since `host.turned` */
};

/* The host as load balancers see it (host.h). */
enum host_waits { HOST_SETTLED, HOST_EMPTIES, HOST_RETURNS };
struct host_watch;

struct host {
	nsec_t since;              /* when it was drained; 0: it is not */
	nsec_t turned;             /* when it was drained or undrained last … */
	unsigned turn;             /* … and how often it was */
	bool empty;                /* it was, since it is drained */
	enum host_waits waits;     /* what a verb waits for … */
	nsec_t began;              /* … since then … */
	nsec_t until;              /* … at most until then */
	struct host_asker *askers; /* heap … */
	size_t asker_count;        /* … up to ASKERS_MOST */
	struct host_watch *watch;  /* heap; NULL: nobody has asked, or drained */
};

struct traffic {
	struct host host;
	struct drain *drains; /* all that are under way */
	unsigned drain_count;
	nsec_t turn_ends;
	nsec_t turn_left;        /* for looks of the drains */
	struct connections seen; /* at the last look, of whichever drain */
	int thawer;              /* pidfd of the helper (thaw.h), or -1 */
	int thaw_pipe;           /* to it, while there are drains; or -1 */
};

#endif
