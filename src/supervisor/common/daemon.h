/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_DAEMON_H
#define SUPERVISOR_DAEMON_H

#include "supervisor/common/state.h"

/*
 * -d: the process that the user started waits until the background one says
 * that all is ready (0), or how it failed.
 */

/* Returns in the background process with *pipe the end to tell on; in the one
 * that the user started it returns 1 when the outcome is known, in *status. */
int daemon_detach(int *pipe, int *status, struct error *err);
/* Is this one of our standard descriptors given up once all is ready?  Then
 * nobody who stays may have it. */
bool daemon_lets_go(const struct supervisor *sup, int fd);
/* All is ready: say so, and let go of the terminal. */
void daemon_release(struct supervisor *sup);
/* It ended before it was ready. */
void daemon_failed(int *pipe, int status);

#endif
