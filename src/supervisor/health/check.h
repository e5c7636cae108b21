/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CHECK_H
#define SUPERVISOR_CHECK_H

#include "supervisor/common/state.h"
#include "supervisor/health/volley.h"

/*
 * `check`: every ready worker is checked once in a round of `check-interval`.
 * Commands are run one after the other, spread over the round.  Connections are
 * made in volleys (volley.h), several in a round, until each worker has taken
 * one.  A worker that has taken none by chance has not failed.  If no worker
 * takes any for as long as a worker may fail its checks, all have failed.
 */

/* Start the rounds if the settings ask for checks. */
void check_begin(struct service *service);
/* After an upgrade: the worker's check command still runs; await its result. */
void check_carried(struct child *child);
/* The worker is being stopped: do not check it any more. */
void check_let_go(struct service *service, uint32_t slot, uint64_t worker);
/* The local ports of check connections that no worker has taken; their
 * number. */
size_t check_ports(const struct service *service, uint16_t ports[VOLLEY_MAX]);
void check_free(struct service *service);

#endif
