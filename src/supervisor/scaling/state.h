/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

#include <ev.h>

/* What only this room knows of the instance: a member of struct supervisor in common/state.h. */
struct scaler {
	ev_io written;    /* its fd: inotify on the quota; data NULL: none */
	ev_timer recount; /* a moment after the quota was written */
};

/* Of a worker: its CPU time at the last look at it, and when that was; or 0. */
struct measured {
	nsec_t cpu;
	nsec_t at;
};
