/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_MESSAGES_STATE_H
#define SUPERVISOR_MESSAGES_STATE_H

#include "base/nsec.h"

#include <ev.h>
#include <stdbool.h>

/* What this room alone knows: it is in struct supervisor of common/state.h. */
struct channel;

struct channels {
	struct channel *dirty; /* those that have something to send */
	bool brokers_dirty;    /* so have some of broker.h */
	ev_timer retry;        /* for those that could not send a descriptor, or have
			   lines that were put off */
	unsigned turn;         /* of the loop (ev_iteration()) … */
	nsec_t turn_ends;      /* … and when no more lines are obeyed in it */
};

#endif
