/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_FALLBACK_STATE_H
#define SUPERVISOR_FALLBACK_STATE_H

#include "base/nsec.h"
#include "supervisor/common/role.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What only this room knows of the instance: the process that answers.  It is in
 * struct supervisor of common/state.h. */
struct fallback {
	struct role_life life;
	int channel;
	uint32_t orders; /* given to it, and to those before it */
	uint32_t heard;  /* the last one that it has answered */
	ev_io counts;
	ev_timer look;
	ev_timer hangs; /* it is to have answered by then */
	uint32_t last;  /* number of a cluster */
};

/* That of a cluster no worker is ready.  It is in struct service. */
struct outage {
	uint32_t number;  /* of the cluster, for that process; or 0 */
	uint32_t order;   /* the last one for it */
	nsec_t since;     /* or 0: one is, or none is wanted yet */
	nsec_t next_try;  /* of one that has died; or 0 */
	bool crashed;     /* one has, since the last was ready */
	bool answered;    /* clients are, by us, … */
	bool told;        /* … and that was reported */
	bool lacks_told;  /* … or that it has too many open files */
	bool yielded;     /* a worker that is not ready has clients */
	uint64_t answers; /* so many were, in all */
};

#endif
