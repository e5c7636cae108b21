/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LEFTOVERS_H
#define SUPERVISOR_LEFTOVERS_H

#include "os/pidfd.h"
#include "supervisor/common/state.h"

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

/* The main process is reaped: wait for its leftovers.  -1: out of memory. */
int leftovers_begin(struct child *child, const struct ending *ending);

/* The worker with leftovers whose main process led that session; or NULL. */
struct child *leftovers_of_session(const struct supervisor *sup, pid_t session);

/* The main process has ended while its descendant `pid` was frozen: send `pid` the signal, if that
 * is due, before it is continued. */
void leftovers_tell_frozen(struct child *child, pid_t pid, int pidfd);

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

void leftovers_free(struct child *child);

void leftovers_init(struct supervisor *sup);
void leftovers_fini(struct supervisor *sup);

#endif
