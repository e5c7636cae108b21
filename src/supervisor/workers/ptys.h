/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PTYS_H
#define SUPERVISOR_PTYS_H

#include "supervisor/common/state.h"

/*
 * Pseudo-terminals for the workers' output (`pty` in nclust.ini(5)), because many programs write
 * each line at once to a terminal, and 4 KiB at a time elsewhere.  The worker has the slave; nclust
 * and the logger have the master, and only read from it.
 *
 * A hostile worker can hold all locks of the slave.  Two calls on the master wait for these: the
 * last close(2), which hangs up the slave (tty_vhangup() of the kernel), and TIOCSWINSZ.  So a
 * child closes the master (foreign.h), and the logger sets the size, off its loop
 * (logger/offload.h).  read(2) and poll(2) take locks of the master alone (n_tty_poll()).
 */

/* Does stdout (0) or stderr (1) of the worker go to a pseudo-terminal? */
bool ptys_are_wanted(const struct child *child, int stream);
/* Returns the master; the caller owns it and the slave, *write_end.  -1: the error was logged. */
int ptys_open(const struct child *child, int stream, int *write_end);

#endif
