/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_INSTANCE_STATE_H
#define SUPERVISOR_INSTANCE_STATE_H

#include "base/nsec.h"

#include <ev.h>
#include <stdbool.h>

/*
 * What this room alone knows of a stop.  It is in the struct of common/state.h.
 */
struct stop {
	bool failed;          /* the start */
	ev_timer last_orders; /* strays are being ended */
	unsigned last_orders_step;
	ev_timer waits; /* it is told of (stopwait.h) … */
	nsec_t since;   /* … and began then */
};

#endif
