/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/look/remote.h"
#include "os/spawn/seccomp.h"
#include "supervisor/common/state.h"

/* ---- replace socket ---- */

/* Replaces a worker's own socket by a kept one, while its bind(2) waits: under all descriptor
 * numbers of the socket, with the options and flags that the worker has set, and in its epoll sets.
 * For takeover.c alone. */

/* So many descriptors of a worker are searched for duplicates of the socket, and for kept sockets
 * that it has.  Nothing of a worker with more, or PROCESS_TREE_MOST processes, is forgotten. */
#define LOOK_MAX 4096
#define SAME_MAX 16 /* duplicates; with more, those beyond stay the worker's own socket */
#define EPOLLS_MAX 16
#define FOUND_MAX 16

/* One bind, from the trap to the answer. */
struct takeover {
	struct child *child;
	struct service *service;
	const struct seccomp_notice *notice;
	struct remote *remote; /* the calling thread */
	int trap;
	bool duplicates; /* nclust can duplicate its socket */
	int sock;        /* duplicate of the worker's socket; -1: refused */
	struct socket_key key;
	struct socket_options asked; /* the options that the worker has set on its socket */
	bool reuseport;
	bool reuseaddr; /* UDP: with SO_REUSEADDR */
	bool fresh;     /* neither bound nor connected, as far as can be seen */
	bool joins;     /* further socket of an address that nclust has */

	/* in the calling process: duplicates of the socket, epoll sets, and listeners whose sockets
	 * it has */
	uint64_t inode;
	int same[SAME_MAX];
	unsigned same_count;
	int epolls[EPOLLS_MAX];
	unsigned epoll_count;
	struct listener *listeners[FOUND_MAX];
	unsigned listener_fds[FOUND_MAX]; /* how many descriptors it has of each */
	size_t listener_count;
};

static inline bool takeover_waits(const struct takeover *t)
{
	return seccomp_waits(t->trap, t->notice->id);
}

static inline void takeover_answer(const struct takeover *t, int error)
{
	seccomp_answer(t->trap, t->notice->id, error);
}

/* Searches the caller's process, and fills in what it finds. */
void replace_socket_search(struct takeover *t);

/* After replace_socket_search(): replaces the socket, and answers the worker. */
void replace_worker_socket(struct takeover *t, struct listener *l);

/* ---- closed ---- */

/*
 * No call tells that a worker closes a port that it had opened (FTP's for data, a debugger's):
 * nclust still has the socket, and clients would wait there.  So listens.c looks again and again at
 * a worker that has opened a port late, or several, for ports that it has closed.
 *
 * One with several sockets of one address (SO_REUSEPORT) may close some of these, as at its own
 * reload, and the kernel goes on giving them clients: so it is looked at within a second if clients
 * wait there.
 */

/* The worker has opened a port. */
void closed_await(struct child *child);
/* Looks at the worker if that is due; sets the timer to the next look. */
void closed_look(struct child *child);
/* Forgets the ports that the worker has closed, but for `but` (or NULL), which it opens again: its
 * successor need not open them. */
void closed_forget(struct child *child, const struct socket_key *but);
/* May the worker have tried learned addresses, but for `but`, and closed them: of other ports by
 * bind(2) alone?  A worker with little allowance left is looked at by a later bind. */
bool closed_has_probes(const struct child *child, const struct socket_key *but);

/* ---- serves ---- */

/*
 * A worker that has called listen(2), or said READY=1, is held until a process of it waits for
 * clients: it may be a master whose processes have not loaded, or end as they start.  No call tells
 * that, so nclust looks, first 1 ms later, by a timer of the worker's own.
 */
/* Holds the worker, or looks more often again; without a descriptor it counts. */
void serves_hold(struct child *child);
void serves_drop(struct child *child);
/* Does the worker wait for clients (in doubt: is it held, and counts)?  `notes`: notes the ports where
 * it does. */
bool serves_look(struct child *child, bool notes);
/* Does the worker use next to no CPU?  To be asked each second. */
bool serves_is_idle(struct child *child);
/* For so long it has not been seen then to read, need more memory, start a process or await one. */
#define LOAD_PATIENCE (10 * SECOND) /* one that has no port then, and is idle, needs none */
bool serves_loads_nothing(const struct child *child, nsec_t patience);

/* Of listens.c: has the worker (`of`) that socket, and may clients come to it? */
bool listens_has(const void *of, uint64_t inode);
/* A thread of the worker waits at that socket: does that count? */
bool listens_waits(struct child *child, uint64_t inode, bool notes);
/* Does the worker listen on something, and on all that is expected of it? */
bool listens_on_all(const struct child *child);
/* It has shown that it is ready: tells the core. */
void listens_shown(struct child *child);

/* ---- startwait ---- */

/*
 * Finds out why a worker is not ready after some time.  It may wait for a lock that another copy
 * has, if only one copy can run at a time; or it has not opened its port yet, for which nclust
 * waits (intercept.h).
 */

void startwait_born(struct child *child);
/* Looks at the worker if that is due; sets the timer to the next look. */
void startwait_look(struct child *child);
