/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SILENCE_H
#define SUPERVISOR_SILENCE_H

#include "supervisor/common/state.h"

/*
 * Under overload a check's connection waits long behind those of clients, or finds
 * the queue full.  A worker that takes theirs meanwhile is at work, and to replace
 * it would leave fewer for the load.
 *
 * Has the worker neither taken a connection nor ended one that it has taken, for
 * as long as it may fail its checks?  To be asked again and again; the first look
 * after `since` begins that time, and only this one and the last look at its
 * connections, which costs some us for each.  Where nclust may not look they are
 * taken to stay the same.
 */
bool silence_lasts(struct child *child, nsec_t since);

#endif
