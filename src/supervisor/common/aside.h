/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ASIDE_H
#define SUPERVISOR_ASIDE_H

#include "os/pidfd.h"
#include "supervisor/common/state.h"

#include <ev.h>

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
/* It has ended; `end` NULL: it was late and is killed, which is reported when it has
 * ended, unless aside_end() is called. */
typedef void aside_over(void *owner, const struct pidfd_end *end);

struct aside_plan {
	aside_work *work;
	aside_over *over;
	void *owner;
	nsec_t patience; /* or NSEC_NEVER */
	int keep;        /* a descriptor, or -1 */
	bool silent;     /* with /dev/null in place of our input, output and log */
};

/* The owner's; all zero where none runs. */
struct aside {
	struct aside *next; /* of all that run (supervisor.asides) */
	struct supervisor *sup;
	aside_over *over;
	void *owner;
	pid_t pid; /* 0: none runs */
	int pidfd;
	ev_io exit;
	ev_timer patience;
};

/* Begin.  -1 and errno. */
int aside_begin(struct aside *a, struct supervisor *sup, const struct aside_plan *plan);
/* Has it ended?  Then its owner is called, who may free it. */
void aside_look(struct aside *a);
/* Kill it if it runs, and forget it: nobody is called.  If it cannot be killed, it is
 * reaped later as a stray. */
void aside_end(struct aside *a);

/* Without the loop: wait for its end.  1: `end`; 0: it was late and is killed; -1 and
 * errno. */
int aside_await(const struct supervisor *sup, const struct aside_plan *plan, struct pidfd_end *end);

/* The one that is this process, or NULL. */
struct aside *aside_by_pid(const struct supervisor *sup, pid_t pid);

#endif
