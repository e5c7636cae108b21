/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "os/pidfd.h"

#include <ev.h>
#include <stddef.h>

struct supervisor;

/*
 * A process that nclust has started and that is no worker: a role, a copy of nclust that
 * does one thing (forkjob_begin()), a helper (hooks/helper.h), the check of an upgrade.  The owner
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
