/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_FALLBACK_STATE_H
#define SUPERVISOR_FALLBACK_STATE_H

#include "base/nsec.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What only this room knows of the instance: the process that answers.  It is in
 * struct supervisor of common/state.h. */
struct fallback {
	pid_t pid; /* 0: it does not run */
	int pidfd;
	int channel;
	nsec_t started;
	nsec_t said;  /* when it was last told something */
	bool hurried; /* the one before ended just after its start */
	ev_io exit;
	ev_io counts;
	ev_timer restart;
	ev_timer look;
	uint32_t last; /* number of a cluster */
};

/* That of a cluster no worker is ready.  It is in struct service. */
struct outage {
	uint32_t number;  /* of the cluster, for that process; or 0 */
	nsec_t since;     /* or 0: one is, or none is wanted yet */
	nsec_t next_try;  /* of one that has died; or 0 */
	bool crashed;     /* one has, since the last was ready */
	bool answered;    /* clients are, by us */
	bool yielded;     /* a worker that is not ready has clients */
	uint64_t answers; /* so many were, in all */
};

#endif
