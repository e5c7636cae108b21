/* SPDX-License-Identifier: MIT */
#pragma once

#include "protocol/courier.h"
#include "supervisor/common/moment.h"

/* Starts the courier, if it does not run.  False: it cannot be started, as was logged, or not yet. */
bool courier_is_there(struct supervisor *sup);
/* Orders the courier, which is there, to answer at these sockets (protocol/courier.h), with `page`.
 * False: it has not read all orders before. */
bool courier_order(struct supervisor *sup, const struct courier_order *order, const char *page,
	const int *fds, size_t count);

/* Is there another worker that may get requests of this one? */
bool drain_hands_on(const struct drain *d);
/* Would the connection's requests go to another worker? */
bool drain_may_hand(const struct drain *d, const struct connection *c);
/* A connection_is_whole(). */
bool drain_is_whole(const char *text, size_t size, size_t count);
/* A connection_hand() of the drain: gives the courier the request that lies unread; or, where none
 * does, a duplicate of the connection, to be held. */
connection_hand drain_hand;
/* COURIER_ENDED: the worker has ended, the courier may read what it holds of it.  COURIER_LET_GO: it
 * is to close what it holds: this connection, or 0: all. */
void courier_end_held(const struct child *child, enum courier_kind how, uint64_t cookie);
/* The courier after an upgrade, and at the end. */
void courier_go_on(struct supervisor *sup);
void courier_end(struct supervisor *sup);
