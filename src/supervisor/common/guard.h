/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_GUARD_H
#define SUPERVISOR_GUARD_H

#include "supervisor/common/part.h"

extern const struct part guard_part;

/* Cleaners of temporary files remove the runtime directories of running programs.  The guard learns
 * that by inotify(7) and makes the directories, the lock, the control socket and the workers'
 * notify sockets anew, so that the workers do not notice. */
void guard_init(struct supervisor *sup);
/* The runtime directories are missing and the caller needs them: make them now, and the files in
 * them soon.  -1 and `err`. */
int guard_make_place(struct supervisor *sup, struct error *err);

#endif
