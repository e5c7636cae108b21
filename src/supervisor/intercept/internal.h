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
