/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SIGHT_H
#define SUPERVISOR_SIGHT_H

#include "os/look/connections.h"
#include "supervisor/common/state.h"

/*
 * What a worker and all processes below it do, seen from outside: for stall.h
 * and check.h.  Zeroed by its owner; the two looks are made in this order, the
 * second where it is needed, as it costs some us for each connection.
 */
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

/* What changes when the worker reads or writes a byte, accepts or closes; a
 * queue that only grows changes nothing. */
uint64_t sight_print(const struct sight *sight);
/* The request that it owes an answer to for longest, or NULL. */
const struct connection *sight_oldest(
	const struct sight *sight, const struct child *child);
/* Of one: has something come since it sent something last?  Unix sockets do not
 * tell.  In doubt, no. */
bool sight_owes(const struct connection *c);
/* Is there a request that it has not read, or not answered? */
bool sight_any_waits(const struct sight *sight);

#endif
