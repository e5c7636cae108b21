/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

/* How an `accept` cluster and one visit go through an upgrade. */
extern const struct carried carried_accepting;
extern const struct carried carried_visit;

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
