/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

#include <ev.h>
#include <stdbool.h>

/*
 * The life of the instance: its service manager, its start and its stop.  It is a
 * member of struct supervisor (common/state.h).
 */
struct manager;
struct reread;

struct instance {
	struct manager *manager; /* NULL: no service manager */
	struct reread *reread;   /* of a reload under way, or NULL */
	bool reload_restarts;    /* the reload restarts all workers */
	bool reload_drops;       /* the reload's new workers may listen on fewer addresses */
	bool ready_once;         /* each cluster has been ready, or has ended */
	bool start_failed;
	bool stopping; /* the whole instance stops */
	bool stop_at_once;
	bool by_itself; /* no verb and no signal has ended it */
	bool over;
	int status;           /* the exit status */
	unsigned last_orders; /* how often processes below nclust were signalled at the end */
	ev_timer stop_waits;  /* when to report what a stop waits for, or to signal these again */
	nsec_t stop_since;    /* when that stop began */
	nsec_t read_at;       /* the file of the settings was read: CLOCK_REALTIME */
};

/* When a change of a cluster is over. */
enum awaited {
	AWAITED_NOTHING,
	AWAITED_ROLLOUT, /* until the latest one is over, or a newer one that took its place */
	AWAITED_SETTLED, /* until all wanted workers are ready */
	AWAITED_FEWER,   /* until no worker beyond those wanted is left */
	AWAITED_END,
};

/* How far a cluster has got.  It is in struct service. */
struct stage {
	bool started_once; /* all wanted workers were ready */
	bool scaled;       /* by the operator: a reload keeps the number */
	bool waits;        /* not started yet: it waits for other clusters */
	bool stop_asked;   /* the cluster is to stop */
	bool stop_waits;   /* the stop waits for other clusters */
	bool leaving;      /* dropped by a reload: free it when it has ended */
	bool ended;
	int status;           /* of REPORT_ENDED */
	enum awaited awaited; /* of the last change; a reload begins with none */
	bool live;            /* the last reload has put settings in force that need no rollout */
};
