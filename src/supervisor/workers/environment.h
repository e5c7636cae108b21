/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ENVIRONMENT_H
#define SUPERVISOR_ENVIRONMENT_H

#include "os/socket/peer.h"
#include "os/spawn/spawn.h"
#include "supervisor/common/state.h"

/* The protocol of a worker's message channel (messages/channel.h). */
enum channel_kind {
	CHANNEL_NONE,
	CHANNEL_PLAIN, /* NCLUST_CHANNEL_FD: every line is a message */
	CHANNEL_NODE,  /* NODE_CHANNEL_FD: the protocol of Node's cluster module */
	CHANNEL_KINDS,
};

/* What differs between workers of a generation. */
struct worker_place {
	const struct recipe *recipe;
	unsigned nth; /* index among the workers that are started together */
	uint32_t slot;
	uint64_t serial;
	unsigned lane;          /* steer.h */
	unsigned workers;       /* how many workers the cluster is to have */
	int output[2];          /* write ends for stdout and stderr, or -1 */
	int notify;             /* its notify socket, or -1 */
	int channel;            /* the worker's end of its message channel, or -1 */
	enum channel_kind kind; /* of `channel` */
	int leader;             /* the file behind NCLUST_LEADER_FD, or -1 */

	/* accept = yes: the connection that the process serves */
	const struct peer *peer; /* NULL: no connection */
	int connection;
	const char *path; /* of a unix listener, or NULL */
	unsigned same;    /* connections from the same address; 0: not counted */
};

/* A worker that is about to be started: its place, and the plan of its spawn,
 * to which rooms add what they give it (`prepare` in common/part.h). */
struct birth {
	struct worker_place place;
	struct spawn_plan plan;
	struct spawn_trap trap; /* plan.trap, if the worker's calls are trapped */
};

/* Fill in the parts of a spawn plan that differ by worker: argv, environment and descriptors
 * (INTERFACE.md section 2).  The strings are in scratch memory, which the next call for the same
 * `nth` uses again.  -1: out of memory. */
int environment_fill(
	struct supervisor *sup, const struct worker_place *place, struct spawn_plan *plan);

/* Find a variable in the environment of any process, with that process' rights and within a time
 * limit (os/look/remote.h).  0; -1 and errno as of environ_find(). */
struct environ_look;
int environment_look(struct environ_look *look, pid_t pid, const char *key);

#endif
