/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_NOT_ACCEPTING_H
#define SUPERVISOR_NOT_ACCEPTING_H

#include "supervisor/common/state.h"

/*
 * Under overload a check's connection waits long behind those of clients, or finds the queue full.
 * A worker that takes clients' connections meanwhile is at work, and to replace it would leave
 * fewer workers for the load.
 *
 * Has the worker taken no connection at the address where it is checked, for as long as it may fail
 * its checks? Call it again and again, with the time of monitor_time(). The silence begins with the
 * first look after `since`, and anew with each look that finds a new connection. A look costs some
 * us for each connection of the worker. Where nclust may not look, it finds no new connections.
 */
#define SILENCE_LOOKS 16 /* looks while the worker may fail its checks */
bool not_accepting_for_long(struct child *child, nsec_t since, nsec_t now);
/* The worker has answered, or is gone. */
void not_accepting_forget(struct child *child);

#endif
