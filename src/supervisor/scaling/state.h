/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SCALING_STATE_H
#define SUPERVISOR_SCALING_STATE_H

#include <ev.h>

/* What only this room knows of the instance: a member of struct supervisor in common/state.h. */
struct scaler {
	ev_timer look;    /* the next look at any cluster */
	ev_io written;    /* its fd: inotify on the quota; data NULL: none */
	ev_timer recount; /* a moment after the quota was written */
};

#endif
