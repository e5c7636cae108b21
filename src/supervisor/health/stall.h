/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

/* Are all workers held by clients that send nothing?  Writes the member "held" of a status. */
void held_on_status(struct json_writer *w, const struct service *service);

extern const struct monitor_kind stall_kind;

/*
 * Does a worker that takes no connection of a check hang, or are others on its socket always
 * faster, or has it more clients than it can serve?  An idle worker waits for connections; a busy
 * one accepts some, or reads or writes a byte.  A worker that does neither at any look for a while
 * hangs: it loops, is stopped, or its threads wait for each other.  To wait is no excuse where a
 * connection is `untaken`; then only what moves at `at` counts.
 */
#define MISSED_LOOKS 32 /* in `patience` */

/* Looks at the worker, if a look is due at `now`, the time of monitor_time().  True: for all of
 * `patience` it has been as above. */
bool stall_missed(
	struct child *child, const struct listener *at, bool untaken, nsec_t patience, nsec_t now);
/* Starts anew: the worker has answered, or cannot be judged now. */
void stall_forget_missed(struct child *child);

/* Has a request waited longer than request-timeout on this connection? */
bool stall_exceeds(const struct child *child, const struct connection *c);
void stall_free(struct health *h);
