/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LISTENS_H
#define SUPERVISOR_LISTENS_H

#include "os/look/remote.h"
#include "os/spawn/seccomp.h"
#include "supervisor/common/state.h"

/*
 * A worker's trapped listen(2) (intercept.h).  nclust calls listen(2) on the socket that it keeps.
 * For a server that knows no readiness protocol the call also means that it is ready.
 *
 * A worker that replaces one of an older generation is ready when it listens on all addresses of
 * that one (ports.h); any other when it listens on all addresses of its cluster, or a second after
 * its first listen.
 */
/* The worker listens on `l`, as another room has learned; NULL: on a socket that nclust does not
 * hold. */
void listens_note(struct child *child, struct listener *l);
void listens_call(struct child *child, const struct seccomp_notice *notice, struct remote *r);

/* The worker has bound.  If the socket listens already, some servers do not call listen(2) (haproxy
 * asks SO_ACCEPTCONN).  So a worker is also ready when it is seen to wait for connections, in
 * accept(2) or by epoll. */
void listens_bound(struct child *child, pid_t thread);

/* The worker calls bind(2) on a UDP socket, which stays its own.  True: the worker is a spare, and
 * the call waits (gate.h).  If no worker listens, this call makes it ready. */
bool listens_keep_udp(struct child *child, const struct seccomp_notice *notice);
/* The worker was released: is it ready by what it has bound before?  `waited`: in a call, which may
 * have been a bind(2) of UDP.  If another worker has a TCP port by now, that is not enough. */
void listens_look(struct child *child, bool waited);

/* A worker was started: notes the addresses on which it has to listen. */
void listens_born(struct child *child);

/* After adoption: turns the worker's recorded listeners into its addresses. */
void listens_recall(struct child *child);

/* Goes on waiting for a worker that came through an upgrade. */
void listens_resume(struct child *child);
void listens_init(struct supervisor *sup);
void listens_fini(struct supervisor *sup);

#endif
