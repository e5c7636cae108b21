/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

/* -d: the process that the user started waits until the background process reports an exit status:
 * 0 when all is ready, else how the start failed. */

/* Returns 0 in the background process, which reports by *pipe; and 1 in the process that the user
 * started, when *status is known.  -1 and `err`. */
int daemon_detach(int *pipe, int *status, struct error *err);
/* The descriptor that a process of nclust's own gets in place of `fd`: /dev/null, if nclust will
 * let go of `fd` when all is ready. */
int daemon_output(const struct supervisor *sup, int fd);
/* Report that all is ready, and let go of the terminal. */
void daemon_release(struct supervisor *sup);
/* Report that the background process ends before it was ready. */
void daemon_failed(int *pipe, int status);
