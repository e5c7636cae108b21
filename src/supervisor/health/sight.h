/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SIGHT_H
#define SUPERVISOR_SIGHT_H

#include "os/look/connections.h"
#include "supervisor/common/state.h"

/* What a worker and all processes below it do, seen from outside; for stall.c, hang.c and away.c.
 * The caller zeroes the struct and looks at the processes, then, if needed, at the connections,
 * which costs some us for each. */
#define SIGHT_PROCESSES 256

struct sight {
	struct connections all;
	nsec_t cpu; /* used so far */
	pid_t tree[SIGHT_PROCESSES];
	size_t tree_count;
	bool traced; /* by a debugger */
};
void sight_processes(struct sight *sight, const struct child *child);
void sight_connections(struct sight *sight, const struct child *child);
void sight_free(struct sight *sight);

/* A number that changes when the worker reads or writes a byte, accepts or closes a connection.  A
 * queue that only grows does not change it. */
uint64_t sight_print(const struct sight *sight);
/* The connection with the oldest unanswered request, or NULL. */
const struct connection *sight_oldest(const struct sight *sight, const struct child *child);
/* Has data arrived on this connection since the worker last sent some?  In doubt, and for unix
 * sockets, which do not tell: no. */
bool sight_owes(const struct connection *c);
/* Has the worker a request that it has not read, or not answered? */
bool sight_any_waits(const struct sight *sight, const struct child *child);

#endif
