/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LEAVE_H
#define SUPERVISOR_LEAVE_H

#include "supervisor/common/state.h"

/* nclust ends now: log which processes could not be ended, and why. */
void leave_say(struct supervisor *sup);

#endif
