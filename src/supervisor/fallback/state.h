/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

/* What only this room knows of the instance.  It is in struct supervisor of common/state.h. */
struct fallback {
	ev_timer look;
	uint32_t last; /* the highest number of a cluster so far */
};

/* An outage: the cluster has no ready worker.  It is in struct service. */
struct outage {
	uint32_t number;  /* of the cluster, in orders; or 0 */
	nsec_t since;     /* or 0: a worker is ready, or none is wanted yet */
	nsec_t next_try;  /* of a worker that has died; or 0 */
	bool crashed;     /* a worker has died since one was ready last */
	bool answered;    /* the courier answers the cluster's clients */
	bool active;      /* and that was reported */
	bool yielded;     /* a worker that is not ready has clients */
	uint64_t answers; /* clients that were answered, in all */
};
