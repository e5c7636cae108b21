/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/socket/endpoint.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/moment.h"

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

/* How an `accept` cluster and one visit go through an upgrade. */
extern const struct carried carried_accepting;
extern const struct carried carried_visit;
/* Makes an empty `struct accepting`, which an upgrade fills. */
void *accepting_carried(struct carry_reader *r, void *owner);

/* ---- between accepting.c and visits.c ---- */

/* May this trouble be logged again?  If so, it counts as logged. */
bool accepting_may_tell(struct accepting *a, enum accepting_trouble which);
/* A free slot, or SLOT_ALL. */
uint32_t visit_slot(const struct accepting *a);
/* How many connections of this client address are served. */
unsigned visit_count(const struct accepting *a, const struct peer *peer);
/* Make room for visits in all slots.  -1: no memory. */
int visits_reserve(struct accepting *a);
/* A process was started for this client: from now on the core ends it if need be. */
void visit_begin(struct accepting *a, const struct child *child, const struct peer *peer);
/* The core has something to tell of such a process. */
void visit_report(struct accepting *a, const struct report *r);
void accept_on_status(struct json_writer *w, const struct service *service);
void accept_on_status_worker(struct json_writer *w, const struct child *child);
/* A slot may be free again: accepts what waits. */
void accepting_look(struct accepting *a);
