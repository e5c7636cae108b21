/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_JOB_H
#define SUPERVISOR_JOB_H

#include "base/nsec.h"
#include "os/pidfd.h"

#include <ev.h>

struct supervisor;

/*
 * A process that nclust has started and that is no worker: a role (role.h), a copy of
 * nclust that does one thing (below), a command beside the workers (hooks/helper.h),
 * the check of an upgrade.  Its owner starts it, and says by job_begin() that it runs;
 * the job watches it, kills it when its time is over, and reaps it.
 *
 * Time that nclust had no CPU does not count, as the process may have had none either.
 */

/* It has ended, and is reaped: the owner may free the job or begin anew.  Its exit status
 * is -1 where the kernel does not tell it.  `end` NULL: its time is over, and it was killed;
 * its end is told when it comes, unless the owner calls job_end() now. */
typedef void job_over(void *owner, const struct pidfd_end *end);

struct job {
	struct job *next; /* of all that run (supervisor.jobs) */
	struct supervisor *sup;
	job_over *over;
	void *owner;
	pid_t pid; /* 0: none runs */
	int pidfd;
	bool leads; /* a group of processes, which is killed with it */
	bool late;  /* its time was over, and it was killed */
	/* Its time: it is over at `due`, after `span` (0: not known, it was begun by an earlier
	 * nclust). */
	nsec_t due;
	nsec_t span;
	nsec_t wakes_at; /* nclust looks whether it comes late */
	bool granted;    /* a moment more, as nclust came late at its end */
	ev_io exit;
	ev_timer patience;
};

/* Set by an upgrade or by its start: pid, pidfd, leads, and where it goes on also due and
 * span.  Where none runs, the pid is 0. */
void job_init(struct job *j, struct supervisor *sup, job_over *over, void *owner);
/* It runs: watch it, and give it that time from now on (NSEC_NEVER: as long as it likes). */
void job_begin(struct job *j, nsec_t patience);
/* The same after an upgrade, with the time that it had. */
void job_resume(struct job *j);
/* Has it ended?  Then its owner is told. */
void job_look(struct job *j);
/* The same, but nobody is told; true: it has, and `end` says how. */
bool job_reap(struct job *j, struct pidfd_end *end);
void job_kill(const struct job *j); /* if it runs */
/* Watch it no longer, and do not reap it: it is left to itself.  Also if none runs. */
void job_forget(struct job *j);
/* Kill it if it runs, and forget it: nobody is told.  If it cannot be killed, it is reaped
 * later as a stray. */
void job_end(struct job *j);

/* The one that is this process, or NULL. */
struct job *job_by_pid(const struct supervisor *sup, pid_t pid);

/* ---- work aside ---- */

/*
 * A process of its own for work that may take long, or hang for ever: a file server,
 * a name service or a worker may not answer.  It is a copy of nclust that does one
 * thing and exits.  It keeps none of nclust's sockets, because it may live longer than
 * nclust if it hangs in a call that not even SIGKILL ends.  The loop never waits for
 * it: when it is late, it is killed.
 */
#define ASIDE_FD 3 /* the descriptor that it keeps, in that process */

/* In that process: do the work, and return the exit status. */
typedef int aside_work(void *owner);

struct aside_plan {
	aside_work *work;
	job_over *over;
	void *owner;
	nsec_t patience; /* or NSEC_NEVER */
	int keep;        /* a descriptor, or -1 */
	bool silent;     /* with /dev/null in place of our input, output and log */
};

/* Begin.  -1 and errno. */
int aside_begin(struct job *j, struct supervisor *sup, const struct aside_plan *plan);

/* Without the loop: wait for its end.  1: `end`; 0: it was late and is killed; -1 and
 * errno. */
int aside_await(const struct supervisor *sup, const struct aside_plan *plan, struct pidfd_end *end);

#endif
