/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PROVE_H
#define SUPERVISOR_PROVE_H

#include "supervisor/common/state.h"

/*
 * `ready = tcp`, `http:/path` and `exec:CMD`: from its birth on each worker is
 * asked, often at first and each second in the end, until it has answered well.
 */

/* Does it have to? */
void prove_on_birth(struct child *child);
/* Its command was carried and runs still: it counts, and is heard. */
void prove_carried(struct child *child);
/* Somebody may have to, by other settings. */
void prove_begin(struct service *service);
/* It is on its way out. */
void prove_let_go(struct service *service, uint32_t slot, uint64_t worker);
void prove_free(struct service *service);

#endif
