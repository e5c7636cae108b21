/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_GUARD_H
#define SUPERVISOR_GUARD_H

#include "supervisor/common/state.h"

/*
 * Cleaners of temporary files remove runtime directories under running
 * programs.  The guard is told by inotify(7), with no wake-up otherwise, and
 * makes the directories, the lock, the control socket and the workers' notify
 * sockets anew.  The workers do not notice.
 */
void guard_init(struct supervisor *sup);
/* Carried: its descriptor and its watch are there.  `soon`: look whether
 * something has to be mended. */
void guard_carried(struct supervisor *sup);
void guard_resume(struct supervisor *sup, bool soon);
void guard_fini(struct supervisor *sup);

/* For who has just missed the directories: they are made at once, the rest
 * soon.  -1: they cannot be made. */
int guard_make_place(struct supervisor *sup, struct error *err);

#endif
