/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CONTROL_STATE_H
#define SUPERVISOR_CONTROL_STATE_H

#include "base/nsec.h"

#include <stdbool.h>

/*
 * What this room alone knows of all, of a cluster and of a worker: these structs
 * are in those of common/state.h.
 */
struct clients;

struct control {
	struct clients *clients;
	int reserve_fd; /* given up to accept and refuse at EMFILE */
};

/* The last rollout that is over. */
struct outcome {
	char *text; /* heap: what was told of it; or NULL */
	unsigned of;
	bool failed;
};

/* When a worker was last in a status. */
struct shown {
	nsec_t cpu_then; /* its CPU time */
	nsec_t at;
};

#endif
