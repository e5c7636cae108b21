/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/*
 * Leftovers: processes that the main process of a worker leaves when it ends, such as the server
 * below a shell.  The stop signal goes to the main process alone.  When that has ended, each
 * leftover gets the signal once, and the rest of stop-timeout; the worker has ended when no
 * leftover lives.
 *
 * A main process that did not die of the signal may have passed it on, and many programs end at
 * once if they get it twice: then leftovers get the signal at half of stop-timeout.
 */

/* The main process is about to get a stop signal. */
void leftovers_on_signal(struct child *child, int signal);

/* The main process has ended as `end` says. */
void leftovers_on_end(struct child *child, const struct pidfd_end *end);

/* The main process is reaped: wait for its leftovers.  False: the worker has ended. */
bool leftovers_begin(struct child *child, const struct ending *ending);

/* The worker with leftovers whose main process led that session; or NULL. */
struct child *leftovers_of_session(const struct supervisor *sup, pid_t session);
/* The worker among whose leftovers `pid` got a signal; or NULL. */
struct child *leftovers_signalled(const struct supervisor *sup, pid_t pid);

/* A descendant of the main process, which may have ended, is about to be continued: send it the
 * signal if that is due, or if `parent` is a shell that will die of the signal. */
void leftovers_tell_frozen(struct child *child, pid_t parent, pid_t pid, int pidfd);

/* `pid`, a child of nclust, is a living leftover: send it the signal, if that is due. */
void leftovers_found(struct child *child, pid_t pid, int pidfd);

/* Send the group of an adopted worker the signal, if that is due.  Returns 1 if leftovers may
 * live. */
unsigned leftovers_of_group(struct child *child);

/* SIGKILL all processes below `pid`, which gets SIGKILL, too: `pid` may hang in the kernel until a
 * process below it ends, such as its own FUSE server. */
void leftovers_kill_below(const struct child *child, pid_t pid, int pidfd);

/* Send this signal to all leftovers from now on, even if they had a signal before. */
void leftovers_signal(struct child *child, int signal);

/* Signal the processes below shells for which half of their stop-timeout is over. */
void leftovers_at_half_time(struct supervisor *sup);

void leftovers_free(struct child *child);
