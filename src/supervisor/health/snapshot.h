/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SNAPSHOT_H
#define SUPERVISOR_SNAPSHOT_H

#include "os/look/connections.h"
#include "supervisor/common/state.h"

/* What a worker and all processes below it do, seen from outside; for stall.c, hang.c and
 * not_waiting.c.  The caller zeroes the struct and looks at the processes, then, if needed, at the
 * connections, which costs some us for each. */
#define SNAPSHOT_PROCESSES 256

struct snapshot {
	struct connections all;
	nsec_t cpu; /* used so far */
	pid_t tree[SNAPSHOT_PROCESSES];
	size_t tree_count;
	bool traced; /* by a debugger */
};
void snapshot_processes(struct snapshot *snapshot, const struct child *child);
void snapshot_connections(struct snapshot *snapshot, const struct child *child);
void snapshot_free(struct snapshot *snapshot);

/* A number that changes when the worker reads or writes a byte, accepts or closes a connection.  A
 * queue that only grows does not change it. */
uint64_t snapshot_print(const struct snapshot *snapshot);
/* The connection with the oldest unanswered request, or NULL. */
const struct connection *snapshot_oldest(
	const struct snapshot *snapshot, const struct child *child);
/* Has data arrived on this connection since the worker last sent some?  In doubt, and for unix
 * sockets, which do not tell: no. */
bool snapshot_owes(const struct connection *c);
/* Has the worker a request that it has not read, or not answered? */
bool snapshot_any_waits(const struct snapshot *snapshot, const struct child *child);

#endif
