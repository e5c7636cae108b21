/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PTYS_H
#define SUPERVISOR_PTYS_H

#include "supervisor/common/state.h"

/*
 * Pseudo-terminals for the workers' output (pty in nclust.ini(5)): many programs
 * write each line at once to a terminal alone, and 4 KiB at a time elsewhere.
 *
 * The worker has the slave, nclust and the logger the other end, and none of them
 * ever writes to it.  A hostile worker can hold all locks of its slave.  Of what
 * nclust and the logger do with theirs, that keeps waiting
 *   - its last close, which hangs up the slave (tty_vhangup() of the kernel),
 *   - TIOCSWINSZ (pty_resize()),
 * so that nclust has the first done as for a pipe (foreign.h), and leaves the second
 * to the logger, which survives it (logger/offload.h).  To read or poll takes locks of
 * that end alone, and waits for a worker of the kernel's that does (n_tty_poll()).
 */

/* Does that output of this worker go to one?  0: stdout, 1: stderr. */
bool ptys_are_wanted(const struct child *child, int stream);
/* Returns the end to be read, which is the caller's, as the write end is; -1: there
 * is none, which is logged. */
int ptys_open(const struct child *child, int stream, int *write_end);

#endif
