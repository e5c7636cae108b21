/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "os/socket/endpoint.h"
#include "supervisor/sockets/state.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct visit {
	struct peer peer;
	bool stopped; /* its process has got a stop signal */
};

/* Kinds of trouble that are logged only now and then. */
enum accepting_trouble { TROUBLE_LACK, TROUBLE_COMMAND, TROUBLE_CRASH, TROUBLES };

#define LEAVING_MAX 16

struct accepting {
	struct service *service;
	unsigned limit;       /* of processes that run at once; after a scale more may run */
	struct visit *visits; /* by slot: those of the latest processes */
	uint32_t visit_slots;

	bool open;                     /* nclust accepts; else a stop is under way or over */
	bool unwatched;                /* no listener is watched: there was no free slot */
	struct listener_set listeners; /* holds a use of each */
	ev_io *acceptors;              /* one for each listener */
	size_t next;                   /* the listener after the one served last */

	ev_timer due;        /* for these: */
	nsec_t paused_until; /* after a lack of descriptors or processes; or 0 */
	nsec_t leave_at;     /* when to close `leaving`; or 0 */
	int pending;         /* an accepted connection that waits for its start; or -1 */
	struct peer pending_peer;
	size_t pending_index;     /* of its listener */
	nsec_t said_at[TROUBLES]; /* when each kind of trouble was logged last */

	/* Refused connections stay open for a moment: data that arrives after a close would reset
	 * them before the client reads the answer. */
	int leaving[LEAVING_MAX]; /* the oldest first */
	unsigned leaving_count;

	uint64_t served; /* processes that were started */
	uint64_t refused;
	uint64_t timed_out;
	uint64_t not_started; /* connections whose command could not be executed */
	uint64_t exits[256];  /* by exit status */
	uint64_t signals[65]; /* by the signal that killed the process */
	uint64_t unknown;     /* taken over, so their exit status is not known */
};
