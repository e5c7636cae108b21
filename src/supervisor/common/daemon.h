/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_DAEMON_H
#define SUPERVISOR_DAEMON_H

#include "supervisor/common/state.h"

/*
 * -d: the process that the user started waits until the background process
 * reports that all is ready (0), or how it failed.
 */

/* Returns 0 in the background process, which reports by *pipe.  In the process
 * that the user started it returns 1 when the outcome is known, in *status. */
int daemon_detach(int *pipe, int *status, struct error *err);
/* What to give to a process of ours as this standard descriptor: /dev/null, if
 * nclust will close the descriptor when all is ready; else `fd`. */
int daemon_output(const struct supervisor *sup, int fd);
/* Report that all is ready, and let go of the terminal. */
void daemon_release(struct supervisor *sup);
/* Report that the background process ends before it was ready. */
void daemon_failed(int *pipe, int status);

#endif
