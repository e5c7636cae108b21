/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ROLE_H
#define SUPERVISOR_ROLE_H

#include "supervisor/common/state.h"

/*
 * Processes that nclust starts of itself: it executes its own binary, with one
 * descriptor besides standard output and error: the channel to us.
 */
enum role {
	ROLE_LOGGER, /* writes the output of workers (output.h) */
	ROLE_CLOSER, /* closes what others have made (foreign.h) */
};

/* 0 with our end of the channel, which does not block (SOCK_SEQPACKET), the pid and
 * the pidfd, all the caller's; or -1, and it was logged. */
int role_start(struct supervisor *sup, enum role role, int *channel, pid_t *pid,
	int *pidfd);

#endif
