/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_MESSAGES_STATE_H
#define SUPERVISOR_MESSAGES_STATE_H

#include <ev.h>

/* What this room alone knows of the instance: a member of struct supervisor in common/state.h. */
struct channel;

struct channels {
	struct channel *dirty; /* list of channels that have something to send */
	ev_timer retry;        /* for channels that could not send a descriptor */
};

#endif
