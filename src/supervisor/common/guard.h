/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_GUARD_H
#define SUPERVISOR_GUARD_H

#include "supervisor/common/part.h"

extern const struct part guard_part;

/*
 * Cleaners of temporary files remove runtime directories under running
 * programs.  The guard is told by inotify(7), with no wake-up otherwise, and
 * makes the directories, the lock, the control socket and the workers' notify
 * sockets anew.  The workers do not notice.
 */
void guard_init(struct supervisor *sup);
/* For who has just missed the directories: they are made at once, the rest
 * soon.  -1: they cannot be made. */
int guard_make_place(struct supervisor *sup, struct error *err);

#endif
