/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ENVIRONMENT_H
#define SUPERVISOR_ENVIRONMENT_H

#include "os/socket/peer.h"
#include "os/spawn/spawn.h"
#include "supervisor/messages/channel.h"
#include "supervisor/common/state.h"

/*
 * Fill the parts of a spawn plan that differ by worker: argv (templates
 * replaced), the environment of INTERFACE.md section 2, the descriptors.  The
 * strings live in the supervisor's scratch memory until the next call, which
 * is reused: in the steady state nothing is allocated.  -1: out of memory.
 */
struct worker_place {
	const struct recipe *recipe;
	uint32_t slot;
	uint64_t serial;
	unsigned lane;          /* steer.h */
	unsigned workers;       /* wanted in all */
	int output[2];          /* write ends for stdout and stderr, or -1 */
	int notify;             /* where it says that it is ready, or -1 */
	int channel;            /* its end of the message channel, or -1 … */
	enum channel_kind kind; /* … of this kind */

	/* accept: the connection that it is there for, and nothing else */
	const struct peer *peer; /* NULL: none */
	int connection;
	const char *path; /* of a unix listener, or NULL */
	unsigned same;    /* connections of that address; 0: not counted */
};

int environment_fill(struct supervisor *sup, const struct worker_place *place,
	struct spawn_plan *plan);

#endif
