/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_INSTANCE_STATE_H
#define SUPERVISOR_INSTANCE_STATE_H

#include "base/nsec.h"

#include <ev.h>
#include <stdbool.h>

/*
 * The life of the instance: its service manager, its start and its stop.  It is in
 * struct supervisor of common/state.h.
 */
struct manager;

struct instance {
	struct manager *manager; /* NULL: we are under none */
	bool ready_once;         /* every cluster was ready as a whole */
	bool start_failed;
	bool stopping; /* the whole instance */
	bool stop_at_once;
	bool over;
	int status; /* to exit with */
	unsigned last_orders_step;
	ev_timer last_orders; /* strays are being ended */
	ev_timer stop_waits;  /* it is told of (stopwait.h) … */
	nsec_t stop_since;    /* … and began then */
};

#endif
