/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CHECK_H
#define SUPERVISOR_CHECK_H

#include "supervisor/common/state.h"
#include "supervisor/health/volley.h"

/*
 * `check`: every ready worker is asked once in a round of `check-interval`.
 * Commands are run one after the other, spread over the round.  Connections go
 * out as a volley (volley.h), again and again in the round until each worker has
 * had one; who had none for want of luck has not failed.  What nobody at all
 * takes for as long as a worker may fail its checks is the failure of all.
 */

/* Somebody may have to be asked. */
void check_begin(struct service *service);
/* Its command was carried and runs still: it counts, and is heard. */
void check_carried(struct child *child);
/* It is on its way out. */
void check_let_go(struct service *service, uint32_t slot, uint64_t worker);
/* The ports from which it has asked what nobody has taken yet: how many. */
size_t check_ports(const struct service *service, uint16_t ports[VOLLEY_MAX]);
void check_free(struct service *service);

#endif
