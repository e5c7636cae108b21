/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ENVIRONMENT_H
#define SUPERVISOR_ENVIRONMENT_H

#include "os/socket/peer.h"
#include "os/spawn/spawn.h"
#include "supervisor/common/state.h"

/* What goes through a worker's message channel (messages/channel.h). */
enum channel_kind {
	CHANNEL_NONE,
	CHANNEL_PLAIN, /* NCLUST_CHANNEL_FD: every line is a message */
	CHANNEL_NODE,  /* NODE_CHANNEL_FD: so speaks Node's cluster */
	CHANNEL_KINDS,
};

/*
 * Fill the parts of a spawn plan that differ by worker: argv (templates
 * replaced), the environment of INTERFACE.md section 2, the descriptors.  The
 * strings live in the supervisor's scratch memory until the next call for the same
 * `nth`; it is reused, so that most calls allocate nothing.  -1: out of memory.
 */
struct worker_place {
	const struct recipe *recipe;
	unsigned nth; /* of those that are started at once */
	uint32_t slot;
	uint64_t serial;
	unsigned lane;          /* steer.h */
	unsigned workers;       /* wanted in all */
	int output[2];          /* write ends for stdout and stderr, or -1 */
	int notify;             /* its end of the notify socket, or -1 */
	int channel;            /* its end of the message channel, or -1 … */
	enum channel_kind kind; /* … of this kind */
	int leader;             /* its NCLUST_LEADER_FD, or -1 */

	/* accept: the connection that the process serves */
	const struct peer *peer; /* NULL: none */
	int connection;
	const char *path; /* of a unix listener, or NULL */
	unsigned same;    /* connections of that address; 0: not counted */
};

/* A worker that is about to be started: its place, and the plan of its spawn,
 * to which rooms add what they give it (`prepare` in common/part.h). */
struct birth {
	struct worker_place place;
	struct spawn_plan plan;
	struct spawn_trap trap; /* plan.trap, if it has one */
};

int environment_fill(
	struct supervisor *sup, const struct worker_place *place, struct spawn_plan *plan);

/* Find a variable in the environment of any process, with its rights and within
 * a time limit (os/look/remote.h).  0; -1 and errno: as environ_find(). */
struct environ_look;
int environment_look(struct environ_look *look, pid_t pid, const char *key);

#endif
