/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PUTOVER_H
#define SUPERVISOR_PUTOVER_H

#include "os/look/remote.h"
#include "os/spawn/seccomp.h"
#include "supervisor/common/state.h"

/* Replacing a worker's own socket by a kept one, while its bind(2) waits: under
 * all descriptor numbers of the socket, with the options and flags that the
 * worker has set, and in its epoll sets.  For takeover.c alone. */

/* So many descriptors of a worker are searched for duplicates of the socket, and
 * for sockets that it has. */
#define LOOK_MAX 4096
#define SAME_MAX 16 /* duplicates; more of them keep the worker's own socket */
#define EPOLLS_MAX 16
#define FOUND_MAX 16

/* One bind, from the trap to the answer. */
struct takeover {
	struct child *child;
	struct service *service;
	const struct seccomp_notice *notice;
	struct remote *remote; /* the calling thread */
	int trap;
	bool adopts; /* its socket can be had */
	int sock;    /* duplicate of the worker's socket; -1: refused */
	struct socket_key key;
	struct socket_options asked; /* what the worker has set on it */
	bool reuseport;
	bool again; /* of UDP: with SO_REUSEADDR */
	bool fresh; /* neither bound nor connected, as far as can be seen */
	bool tried; /* the child that has looked at it has bound it, too … */
	int got;    /* … or tried to */
	int error;

	/* its process: duplicates of the socket, epoll sets, and the listeners
	 * that it holds already */
	uint64_t inode;
	int same[SAME_MAX];
	unsigned same_count;
	int epolls[EPOLLS_MAX];
	unsigned epoll_count;
	struct listener *found[FOUND_MAX];
	unsigned held[FOUND_MAX]; /* how many descriptors it has of each */
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

/* Look at the caller's process and fill in what was found. */
void putover_look(struct takeover *t);

/* After putover_look(): replace the socket, and answer the worker. */
void putover(struct takeover *t, struct listener *l);

#endif
