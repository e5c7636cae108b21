/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ROLE_H
#define SUPERVISOR_ROLE_H

#include "supervisor/common/state.h"

/*
 * Processes that nclust starts from its own binary.  Besides standard input,
 * output and error each has the descriptors that it is started with.
 */
enum role {
	ROLE_LOGGER,   /* writes the output of workers (capture.h) */
	ROLE_WEB,      /* answers by HTTP (supervisor/web/webrole.h) */
	ROLE_FALLBACK, /* answers for clusters without a ready worker
			  (supervisor/fallback/fallback.h) */
	ROLE_NATS,     /* talks with a broker (supervisor/messages/broker.h) */
};
#define ROLE_FIRST_FD 3 /* of those that it gets besides 0 to 2 */

/* Start one with these descriptors, from ROLE_FIRST_FD on.  0 with the pid and
 * the pidfd, for the caller to close; -1: it was logged. */
int role_run(struct supervisor *sup, enum role role, const int *fds,
	size_t count, pid_t *pid, int *pidfd);
/* The same with a channel alone.  0 with our end of the channel (SOCK_SEQPACKET, nonblocking), the
 * pid and the pidfd, for the caller to close; -1: it was logged. */
int role_start(struct supervisor *sup, enum role role, int *channel, pid_t *pid,
	int *pidfd);

/* Has a cluster got the user that this role runs as, since it was started?  Then
 * its workers can stop it, and it is to be started again as another one. */
bool role_is_exposed(const struct supervisor *sup, enum role role, pid_t pid);

#endif
