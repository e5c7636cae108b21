/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SILENCE_H
#define SUPERVISOR_SILENCE_H

#include "supervisor/common/state.h"

/*
 * Under overload a check's connection waits long behind those of clients, or finds
 * the queue full.  A worker that takes theirs meanwhile is at work, and to replace
 * it would leave fewer for the load.
 *
 * Has the worker taken no connection at the address where it is checked, for as long
 * as it may fail its checks?  To be asked again and again, with the time of
 * asker_time(); that time begins with the first look after `since`, and with each look
 * that finds a new connection.  A look costs some us for each that the worker has.
 * Where nclust may not look they are taken to stay the same.
 */
#define SILENCE_LOOKS 16 /* in that time */
bool silence_lasts(struct child *child, nsec_t since, nsec_t now);
/* The worker has answered, or is gone. */
void silence_forget(struct child *child);

#endif
