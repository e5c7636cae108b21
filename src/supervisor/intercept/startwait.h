/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STARTWAIT_H
#define SUPERVISOR_STARTWAIT_H

#include "supervisor/common/state.h"

/*
 * What a worker waits for that is not ready after some time: a lock, which another
 * copy may have because only one can run at a time; or it is nclust that waits, for
 * its port (listens.h).
 */
struct json_writer;

void startwait_born(struct child *child);
/* Look if that is due; sets the timer to the next look. */
void startwait_look(struct child *child);
void startwait_on_status(struct json_writer *w, const struct child *child);
void startwait_on_gone(struct child *child);

#endif
