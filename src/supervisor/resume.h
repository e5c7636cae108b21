/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/* Resuming in the place of another nclust, which has just executed this binary
 * (upgrade/reexec.h): read its state, check it, and only then change anything.  If that
 * fails, execute the other one again. */

/* Was this process executed by an upgrade?  Ask it before all else. */
bool supervisor_is_resumed(void);
int supervisor_resume(int argc, char **argv); /* the exit status */

/* --check-state N: could this binary take over the state in that descriptor of
 * its parent?  Prints a line and returns 0, or prints why not. */
int supervisor_check(const char *descriptor);
