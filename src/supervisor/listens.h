/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LISTENS_H
#define SUPERVISOR_LISTENS_H

#include "os/seccomp.h"
#include "supervisor/state.h"

/*
 * A worker's listen(2), trapped (intercept.h): done by nclust on the kept socket,
 * and the sign that a server is ready that knows no protocol.
 *
 * Ready is a worker that listens wherever the others of its cluster do; one of a
 * release that opens fewer, a second after its first.
 */
/* Another way told that it listens on this one of ours, as listen(2) would have;
 * NULL: on one of its own. */
void listens_told(struct child *child, struct listener *l);
void listens_call(struct child *child, const struct seccomp_notice *notice);

/*
 * It has bound.  If another worker listens there already, or does so just now, not
 * every server calls listen(2) (haproxy asks SO_ACCEPTCONN).  Ready is it as well once it is seen to wait
 * for connections, in accept(2) or by epoll.
 */
void listens_bound(struct child *child, pid_t thread);

/* Of a child that was carried. */
void listens_resume(struct child *child);
void listens_init(struct supervisor *sup);
void listens_fini(struct supervisor *sup);

#endif
