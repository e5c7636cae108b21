/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/* Sets *by, the time of the next look at the worker, to after `wait`. intercept_is_due(): is it
 * time?  If not yet, sets the timer.  `by` 0: no look. */
void intercept_look_after(struct child *child, nsec_t *by, nsec_t wait);
bool intercept_is_due(struct child *child, nsec_t by);

/*
 * A worker's trapped listen(2).  nclust calls listen(2) on the socket that it keeps.
 * For a server that knows no readiness protocol the call also means that it is ready, once a process
 * of it waits for clients: the one that listens may be a master whose processes fail to load.
 *
 * A worker that replaces one of an older generation is ready when it listens on all addresses of
 * that one (workers/ports.h); any other when it listens on all addresses of its cluster, or a second after
 * its first listen.
 */
/* The worker listens on `l`, as another room has learned; NULL: on a socket that nclust does not
 * hold. */
void listens_note(struct child *child, struct listener *l);
/* False: nclust's own listen(2) has taken too long, and the worker waits for an answer still;
 * `last`: not so, the call fails (ETIMEDOUT). */
bool listens_call(
	struct child *child, const struct seccomp_notice *notice, struct remote *r, bool last);

/* The worker has bound.  If the socket listens already, some servers do not call listen(2) (haproxy
 * asks SO_ACCEPTCONN).  So a worker is also ready when it is seen to wait for connections, in
 * accept(2) or by epoll. */
void listens_bound(struct child *child, pid_t thread);

/* The worker was released, or calls bind(2) on a UDP socket (`bound`): is it ready by that, or by
 * what it has bound before?  By UDP alone only if no worker listens. */
void listens_look(struct child *child, bool bound);

/* A worker was started: notes the addresses on which it has to listen. */
void listens_born(struct child *child);

/* Was the worker passed sockets?  It may use them as they are, and never listen. */
bool listens_is_passed(const struct child *child);

/* Has the worker shown that it is ready, unless it is a master whose processes do not serve yet? */
bool listens_is_held(const struct child *child);

/* After adoption: turns the worker's recorded listeners into its addresses. */
void listens_recall(struct child *child);

/* One that is ready without a port: is that right? */
void listens_on_report(struct service *service, const struct report *r);

/* Goes on waiting for a worker that came through an upgrade. */
void listens_resume(struct child *child);
void listens_init(struct supervisor *sup);

/* Of listens.c: has the worker (`of`) that socket, and may clients come to it? */
bool listens_has(const void *of, uint64_t inode);
/* A thread of the worker waits at that socket: does that count? */
bool listens_waits(struct child *child, uint64_t inode, bool notes);
/* Does the worker listen on something, and on all that is expected of it? */
bool listens_on_all(const struct child *child);
/* It has shown that it is ready: tells the core. */
void listens_shown(struct child *child);
