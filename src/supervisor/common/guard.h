/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

void guard_on_go_on(struct supervisor *sup);
void guard_on_shutdown(struct supervisor *sup);

/* Cleaners of temporary files remove the runtime directories of running programs.  The guard learns
 * that by inotify(7) and makes the directories, the lock, the control socket and the workers'
 * notify sockets anew, so that the workers do not notice. */
void guard_init(struct supervisor *sup);
