/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STANDBY_H
#define SUPERVISOR_STANDBY_H

#include "supervisor/state.h"

/*
 * Who stands by while nclust executes another binary in its place (`orphans =
 * keep` only): a process forked just before, with the old binary.  When the new
 * one ends, or hangs, before it has said that it has taken over, the old binary
 * is started as after a SIGKILL, and adopts the workers (adopt.h).  It is another
 * process then.
 */

/* Fork it.  The descriptor by which it is told; -1: there is none (not wanted, or
 * not possible, which is logged). */
int standby_begin(struct supervisor *sup);
/* It is not needed any more; *fd is -1 then. */
void standby_dismiss(int *fd);

/* We were started by one: the path of our binary, else NULL. */
const char *standby_path(void);
/* … and the start is over: tell it. */
void standby_tell(struct supervisor *sup);

#endif
