/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PUTOVER_H
#define SUPERVISOR_PUTOVER_H

#include "os/look/remote.h"
#include "os/spawn/seccomp.h"
#include "supervisor/common/state.h"

/*
 * Putting a kept socket in the place of a worker's own, while its bind(2) waits:
 * under all numbers that it has there, with the options and flags that the
 * worker has set, and with what waits for it by epoll.  For takeover.c alone.
 */

/* Descriptors of a worker that are looked at for others of the same socket. */
#define LOOK_MAX 4096
#define SAME_MAX 16 /* such descriptors; more keep the worker's own socket */
#define EPOLLS_MAX 16
#define FOUND_MAX 16

/* One bind, from the trap to the answer. */
struct takeover {
	struct child *child;
	struct service *service;
	const struct seccomp_notice *notice;
	struct remote remote; /* who calls */
	int trap;
	int sock; /* of the worker's socket, or -1: it cannot be had */
	struct socket_key key;
	struct socket_options asked; /* what the worker has set on it */
	bool reuseport;

	/* its process: descriptors of the same socket, epoll sets, and which
	 * of the listeners it holds already */
	uint64_t inode;
	int same[SAME_MAX];
	unsigned same_count;
	int epolls[EPOLLS_MAX];
	unsigned epoll_count;
	struct listener *found[FOUND_MAX];
	unsigned held[FOUND_MAX]; /* by so many descriptors */
	size_t found_count;
};

static inline bool takeover_waits(const struct takeover *t)
{
	return seccomp_waits(t->trap, t->notice->id);
}

static inline void takeover_answer(const struct takeover *t, int error)
{
	seccomp_answer(t->trap, t->notice->id, error);
}

/* Fill in what is seen of its process. */
void putover_look(struct takeover *t);
/* Which listeners another of its processes holds, added to that. */
void putover_look_also(struct takeover *t, pid_t pid);

/* Do it, and answer the worker.  It has been looked at. */
void putover(struct takeover *t, struct listener *l);

#endif
