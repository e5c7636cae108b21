/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LISTENS_H
#define SUPERVISOR_LISTENS_H

#include "os/spawn/seccomp.h"
#include "supervisor/common/state.h"

/*
 * A worker's listen(2), trapped (intercept.h): done by nclust on the kept socket,
 * and the sign that a server is ready that knows no protocol.
 *
 * A worker that replaces one of an older generation is ready when it listens on
 * all that the other one does (ports.h).  Any other is when it listens on all that
 * its cluster does, or a second after its first.
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

/* It begins. */
void listens_born(struct child *child);

/* Of a child whose listens were written down: on which addresses they were. */
void listens_recall(struct child *child);
/* Why a new worker was not ready in time, where it is that it does not listen. */
void intercept_on_explain(const struct service *service, const struct report *r,
	char *to, size_t size);

/* Of a child that was carried. */
void listens_resume(struct child *child);
void listens_init(struct supervisor *sup);
void listens_fini(struct supervisor *sup);

#endif
