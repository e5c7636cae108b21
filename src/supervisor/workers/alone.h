/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/* Tell the core whether a single worker may have its successor beside it: not without a port, nor
 * if it keeps its state in itself.  And say so of a worker that is ready. */
void alone_look(struct service *service);
bool alone_is_due(const struct service *service); /* its worker is about to be too old */
void alone_on_ready(struct child *child);
/* Does a worker keep its state in itself, as is known of its name?  Then `why` says so (STORE_TEXT).
 * And: it, or a file that it locks or writes, has no second copy by default, which is said once. */
bool alone_is_store(const struct service *service, char *why);
bool alone_by_state(struct service *service);
/* Has the cluster a port for clients: not one of a debugger, nor a scheduler's metrics? */
bool alone_has_port(const struct service *service);
