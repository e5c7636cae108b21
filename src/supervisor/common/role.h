/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ROLE_H
#define SUPERVISOR_ROLE_H

#include "supervisor/common/job.h"

#include <stddef.h>

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
int role_run(struct supervisor *sup, enum role role, const int *fds, size_t count, pid_t *pid,
	int *pidfd);
/* The same with a channel alone.  0 with our end of the channel (SOCK_SEQPACKET, nonblocking), the
 * pid and the pidfd, for the caller to close; -1: it was logged. */
int role_start(struct supervisor *sup, enum role role, int *channel, pid_t *pid, int *pidfd);

/* The life of one that is to run as long as it is wanted. */
struct role_life {
	struct job job;
	nsec_t started;
	bool hurried;   /* the one before ended just after its start */
	ev_timer again; /* starts it again */
};
/* After so long it is started again, if it ended sooner … */
#define ROLE_RESTART (1 * SECOND)
/* … or if somebody has to do something first. */
#define ROLE_TRY_AGAIN (60 * SECOND)

/* After an upgrade, too: then role_watch(), if it runs. */
void role_init(struct role_life *l, struct supervisor *sup, job_over *over,
	void (*on_again)(struct ev_loop *loop, ev_timer *timer, int revents), void *owner);
void role_watch(struct role_life *l);
/* It has been started by role_start(). */
void role_begun(struct role_life *l);
/* As role_run(), and that. */
int role_live(
	struct supervisor *sup, enum role role, const int *fds, size_t count, struct role_life *l);
/* What it cannot do, so that it ended; NULL: that is not known. */
const char *role_lacks(enum role role, const struct pidfd_end *end);
/* One that has ended is wanted: log that.  True: start it now; else `again` runs.
 * `key`: what it is for. */
bool role_again(enum role role, struct role_life *l, const struct pidfd_end *end, const char *key);
/* It knows that it is to end: wait so long, then kill it. */
void role_end(struct role_life *l, int ms);

#endif
