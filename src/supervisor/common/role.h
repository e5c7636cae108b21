/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/job.h"

/* Roles: processes that nclust starts from its own binary. */
enum role {
	ROLE_LOGGER,  /* writes the output of workers (workers/logger_life.h) */
	ROLE_WEB,     /* answers by HTTP (supervisor/web/webrole.h) */
	ROLE_NATS,    /* talks with a broker (supervisor/messages/messages.h) */
	ROLE_COURIER, /* carries requests to other workers, and answers for clusters without a ready
			* one (courier/courier.h) */
};
#define ROLE_FIRST_FD 3 /* the number of the first descriptor that a role gets besides 0 to 2 */

/* A role that is started again whenever it ends. */
struct role_life {
	struct job job;
	nsec_t started;
	bool refused; /* it could not be started, and that was logged */
};
/* The pause before a start, if the last process ended sooner than this. */
#define ROLE_RESTART (1 * SECOND)
/* The pause if role_lacks() says that somebody has to do something first. */
#define ROLE_TRY_AGAIN (60 * SECOND)

/* Called after an upgrade, too, and then job_begin() if the role runs. */
void role_init(struct role_life *l, struct supervisor *sup, job_over *over,
	void (*start)(void *owner), void *owner);
/* Start the role with these descriptors, from ROLE_FIRST_FD on.  -1: the error was logged, unless
 * the start before has failed, too. */
int role_start(enum role role, struct role_life *l, const int *fds, size_t count);
/* The same with one end of a channel (SOCK_SEQPACKET, nonblocking); *channel is the other end, the
 * caller's. */
int role_start_channel(enum role role, struct role_life *l, int *channel);
/* While the role does not run: start it after `wait`. */
void role_start_later(struct role_life *l, nsec_t wait);
/* Is it to be started so?  And: do not start it then. */
bool role_waits(const struct role_life *l);
void role_wait_no_more(struct role_life *l);
/* The role runs, started by us or by an earlier nclust: note the time, and watch its process. */
void role_begun(struct role_life *l);
/* Why the role cannot run, by its exit status; NULL: it does not say. */
const char *role_lacks(enum role role, const struct pidfd_end *end);
/* A role that is needed has ended: log that, and start it again, now or later.  `key` says what the
 * role is for. */
void role_again(enum role role, struct role_life *l, const struct pidfd_end *end, const char *key);
/* The role was asked to end: wait for that, then kill it. */
void role_end(struct role_life *l, int ms);
