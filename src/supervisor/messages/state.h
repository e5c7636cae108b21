/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_MESSAGES_STATE_H
#define SUPERVISOR_MESSAGES_STATE_H

#include "base/nsec.h"

#include <ev.h>

/* What this room alone knows of the instance: a member of struct supervisor in common/state.h. */
struct channel;

struct channels {
	struct channel *dirty; /* list of channels that have something to send */
	ev_timer retry;   /* for channels that could not send a descriptor, or have unread lines */
	unsigned turn;    /* the last turn of the loop with lines (ev_iteration()) */
	nsec_t turn_ends; /* when the time for lines in that turn is over */
};

#endif
