/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STARTWAIT_H
#define SUPERVISOR_STARTWAIT_H

#include "supervisor/common/state.h"

/*
 * What a worker waits for that is not ready after some time: a lock, which another copy may have
 * because only one can run at a time; or its port, for which nclust waits (listens.h).
 */
struct json_writer;

void startwait_born(struct child *child);
/* Looks at the worker if that is due; sets the timer to the next look. */
void startwait_look(struct child *child);
void startwait_on_status(struct json_writer *w, const struct child *child);
void startwait_on_gone(struct child *child);

#endif
