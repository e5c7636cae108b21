/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CHECK_TARGET_H
#define SUPERVISOR_CHECK_TARGET_H

#include "os/socket/endpoint.h"
#include "os/socket/socket.h"
#include "supervisor/common/state.h"

/* The address at which workers are checked: that of their listener, or the loopback address if the
 * listener has all addresses. */
struct check_target {
	union endpoint address;
	socklen_t size;
	uint64_t inode;          /* inode of the listener's socket; the listener may be gone */
	bool deferred;           /* the kernel accepts a connection only after data came */
	struct socket_file file; /* of its path, which must lead to this file; or ino 0 */
	bool strange;            /* the path leads to another file */
	char host[80];           /* for "Host:" */
};

/* Returns the listener at which this worker is checked: the first stream listener of its
 * generation, else the first learned one that the worker uses (before it uses any: that other
 * workers do).  NULL: there is none (yet). */
const struct listener *check_target_of(const struct child *child);
/* Returns the listener at which the next worker in that slot will be checked. */
const struct listener *check_target_next(const struct service *service, uint32_t slot);
/* Has each slot an address of its own by this listener? */
static inline bool check_target_is_own(const struct listener *l)
{
	return l->address.each != NULL;
}

/* Fills *aim for `l`, which may be NULL.  -1 and `err`: there is no address to ask at (yet). */
int check_target_at(struct check_target *target, const struct listener *l, struct error *err);
/* Connects `fd` to the address.  ESTALE: somebody has put another file in the place of a unix
 * listener's, and nclust must not ask another program with its own rights. */
int check_target_connect(const struct check_target *target, int fd);

#endif
