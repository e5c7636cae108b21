/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LEFTOVERS_H
#define SUPERVISOR_LEFTOVERS_H

#include "os/pidfd.h"
#include "supervisor/common/state.h"

/*
 * Leftover processes: what the main process of a worker leaves when it ends, such
 * as the server below a shell, or the pool below a manager.  The stop signal goes
 * to the main process alone.  When that has ended, each process that it has left
 * gets the signal once, and what remains of stop-timeout; the worker is over when
 * nothing is left of it.
 *
 * A main process that did not just die of the signal may have sent it on, and who
 * gets it twice ends at once: then the others get it only at half of the time.
 */

/* The main process is about to get a stop signal. */
void leftovers_on_signal(struct child *child, int signal);

/* The main process has ended so. */
void leftovers_on_end(struct child *child, const struct pidfd_end *end);

/* It is reaped: make a list of its leftovers.  -1:
 * out of memory. */
int leftovers_begin(struct child *child, const struct ending *ending);

/* The worker whose main process led that session, and has ended; NULL: none. */
struct child *leftovers_of_session(const struct supervisor *sup, pid_t session);

/* The main process has ended, and this one below it is stopped: send it the signal,
 * if that is due, before it goes on. */
void leftovers_tell_frozen(struct child *child, pid_t pid, int pidfd);

/* Our child `pid` is one of them and lives: send it the signal, if that is due. */
void leftovers_found(struct child *child, pid_t pid, int pidfd);

/* Of an adopted worker: send its group the signal, if that is due.  1: some live. */
unsigned leftovers_of_group(struct child *child);

/* This process of a worker gets SIGKILL: so do those below it, because it may wait in
 * the kernel for one of them, such as its file server (FUSE), and not end before. */
void leftovers_kill_below(const struct child *child, pid_t pid, int pidfd);

/* Send all that are found from now on this signal, also if they had one. */
void leftovers_signal(struct child *child, int signal);

void leftovers_free(struct child *child);

void leftovers_init(struct supervisor *sup);
void leftovers_fini(struct supervisor *sup);

#endif
