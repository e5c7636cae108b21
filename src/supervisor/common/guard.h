/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_GUARD_H
#define SUPERVISOR_GUARD_H

#include "supervisor/common/part.h"

extern const struct part guard_part;

/*
 * Cleaners of temporary files remove runtime directories of running programs.
 * The guard learns that by inotify(7), without other wake-ups, and makes the
 * directories, the lock, the control socket and the workers' notify sockets
 * anew.  The workers do not notice.
 */
void guard_init(struct supervisor *sup);
/* The caller needs the directories and they are missing: make them now, and the
 * rest soon.  -1: they cannot be made. */
int guard_make_place(struct supervisor *sup, struct error *err);

#endif
