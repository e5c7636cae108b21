/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_FOREIGN_H
#define SUPERVISOR_FOREIGN_H

#include "supervisor/common/state.h"

struct fdpass_message;

/*
 * Closing what somebody else has made: a descriptor that came by a socket or was
 * taken from a worker, and a socket by which some may still be on their way.
 * close(2) of such a one may take any time (closer/closer.h), and the loop must not
 * wait.  So where workers have another user than nclust, a process of its own
 * closes them: it is started when there is something to close, and replaced when it
 * hangs, which ends the worker that is to blame.  Workers of our own user could
 * stop us anyway: theirs are closed here.
 *
 * `by`: the worker that it comes from, or NULL if nobody knows.
 */
void foreign_close(struct supervisor *sup, const struct child *by, int *fd);
/* All descriptors of a message. */
void foreign_close_all(struct supervisor *sup, const struct child *by,
	struct fdpass_message *m);
/* A socket of ours to which others send: nothing comes any more, and what has come
 * goes unheard. */
void foreign_end(struct supervisor *sup, const struct child *by, int *socket);

void foreign_init(struct supervisor *sup);
void foreign_fini(struct supervisor *sup);
bool foreign_owns(const struct supervisor *sup, pid_t pid);
/* It has ended. */
void foreign_reap(struct supervisor *sup);

#endif
