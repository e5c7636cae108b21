/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/*
 * `accept = yes`: nclust accepts connections, and starts the command once for each
 * (man/nclust-accept.7).  The room fills a slot when a connection comes, and the core ends the
 * process if it does not end by itself (cluster_adopt()).
 *
 * nclust accepts connections only while there is a free slot.  Further connections wait in the
 * kernel's queue, which costs nothing.
 */
void accept_on_gone(struct child *child);
int accept_on_begin(struct service *service);
void accept_on_report(struct service *service, const struct report *report);
void accept_on_reloaded(struct service *service);
void accept_on_drop(struct service *service);
void accept_on_go_on(struct supervisor *sup);

/* Stops watching, and releases the listeners. */
void accepting_close(struct service *service);

/* Makes an empty `struct accepting`, which an upgrade fills. */
void *accepting_carried(struct carry_reader *r, void *owner);

/* May this trouble be logged again?  If so, it counts as logged. */
bool accepting_may_tell(struct accepting *a, enum accepting_trouble which);
/* A slot may be free again: accepts what waits. */
void accepting_look(struct accepting *a);
