/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "os/process.h"

#include <ev.h>
#include <stddef.h>

struct supervisor;

/*
 * A process that nclust has started and that is no worker: a role, a copy of nclust that
 * does one thing (forkjob_begin()), a helper (hooks/hooks.h), the check of an upgrade.  The owner
 * starts the process and calls job_begin(); the job watches the process, kills it when its time is
 * over, and reaps it.  Time in which nclust got no CPU does not count.
 */

/* Called when the process has ended and is reaped: the owner may free the job or begin anew.
 * end->code is -1 if the kernel does not tell it.  `end` NULL: the time is over and the process was
 * killed; `over` is called again when it ends, unless the owner calls job_end() before. */
typedef void job_over(void *owner, const struct pidfd_end *end);

struct job {
	struct job *next; /* in supervisor.jobs */
	struct supervisor *sup;
	job_over *over;
	void *owner;
	pid_t pid; /* 0: no process runs */
	int pidfd;
	bool leads;   /* the process leads a group, which is killed with it */
	bool late;    /* the process was killed because its time was over */
	bool granted; /* the process got a moment more, because nclust was late when its time ended */
	nsec_t due;   /* when the time of the process ends */
	nsec_t wakes_at; /* when `timer` is to expire */
	ev_io exit;
	ev_timer timer;             /* for the end of its time, or for the next start of a role */
	void (*start)(void *owner); /* of a role: start it again */
};

/* Initialise the watchers.  pid (0: no process runs), pidfd and leads are set before, by the start
 * or by an upgrade, and before job_resume() also due. */
void job_init(struct job *j, struct supervisor *sup, job_over *over, void *owner);
/* The process has been started: watch it, and kill it after `patience` (NSEC_NEVER: never). */
void job_begin(struct job *j, nsec_t patience);
/* After an upgrade: watch the process again, with the time that it has left. */
void job_resume(struct job *j);
/* If the process has ended, reap it and call the owner.  True: it has, and the owner may have freed
 * the job. */
bool job_look(struct job *j);
/* The same without calling the owner; true: the process has ended as `end` says. */
bool job_reap(struct job *j, struct pidfd_end *end);
void job_kill(const struct job *j); /* SIGKILL, if the process runs */
/* Stop watching the process, without reaping it.  Does nothing if no process runs. */
void job_forget(struct job *j);
/* Kill the process if it runs, and forget it; the owner is not called.  A process that does not end
 * at once is reaped later as a stray. */
void job_end(struct job *j);

/* The job whose process has this pid, or NULL. */
struct job *job_by_pid(const struct supervisor *sup, pid_t pid);

/* ---- a function in a fork ---- */

/*
 * A fork of nclust for work that may take long or hang for ever, because a file server, a name
 * service or a worker may not answer.  The fork does one thing and exits, and is killed when it is
 * late; the loop never waits for it.  It keeps none of nclust's sockets, because in a call that not
 * even SIGKILL ends it may outlive nclust.
 */
#define ASIDE_FD 3 /* the number of `keep` in the fork */

/* Called in the fork: does the work, and returns the exit status. */
typedef int forkjob_work(void *owner);

struct forkjob_plan {
	forkjob_work *work;
	job_over *over;
	void *owner;
	nsec_t patience; /* or NSEC_NEVER */
	int keep;        /* a descriptor for the fork, or -1 */
	bool silent;     /* with /dev/null in place of nclust's stdin, stdout and log */
	bool outlives;   /* nclust, whose end does not end it */
};

/* Start the fork.  -1 and errno. */
int forkjob_begin(struct job *j, struct supervisor *sup, const struct forkjob_plan *plan);

/* Start the fork and wait for its end, without the loop.  1: `end` says how it ended; 0: it was
 * late and is killed; -1 and errno. */
int forkjob_await(
	const struct supervisor *sup, const struct forkjob_plan *plan, struct pidfd_end *end);

/* ---- role ---- */

/* Roles: processes that nclust starts from its own binary. */
enum role {
	ROLE_LOGGER,  /* writes the output of workers (capture.h) */
	ROLE_WEB,     /* answers by HTTP (supervisor/web/web.h) */
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
