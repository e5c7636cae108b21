/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_INSTANCE_STATE_H
#define SUPERVISOR_INSTANCE_STATE_H

#include "base/nsec.h"

#include <ev.h>
#include <stdbool.h>

/*
 * The life of the instance: its service manager, its start and its stop.  It is
 * a member of struct supervisor (common/state.h).
 */
struct manager;
struct reread;

struct instance {
	struct manager *manager; /* NULL: there is none */
	struct reread *reread;   /* of a reload under way, or NULL */
	bool reload_restarts;    /* … which restarts all workers */
	bool reload_drops;       /* … whose workers may listen on less */
	bool ready_once;         /* every cluster was ready as a whole */
	bool start_failed;
	bool stopping; /* the whole instance */
	bool stop_at_once;
	bool others_told; /* that somebody else has stopped a worker */
	bool over;
	int status; /* to exit with */
	unsigned last_orders_step;
	ev_timer last_orders; /* strays are being ended */
	ev_timer stop_waits;  /* reports what a stop waits for (stopwait.h) … */
	nsec_t stop_since;    /* … and when the stop began */
};

/* What the last reload has set going in a cluster. */
enum awaited {
	AWAITED_NOTHING,
	AWAITED_ROLLOUT,
	AWAITED_SETTLED, /* as many workers as wanted, all ready */
	AWAITED_FEWER,   /* no worker beyond those wanted */
	AWAITED_END,
};

/* How far a cluster has got.  It is in struct service. */
struct stage {
	bool started_once; /* all wanted were ready */
	bool scaled;       /* by the operator: a reload keeps the number */
	bool held;         /* not started yet: it waits for others */
	bool stop_asked;   /* it is to stop … */
	bool stop_held;    /* … but it waits for others */
	bool leaving;      /* dropped by a reload: free when ended */
	bool ended;
	int status; /* of ACTION_ENDED */
	enum awaited awaited;
};

#endif
