/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

void control_on_status_worker(struct json_writer *w, const struct child *child);

/* Answer clients that wait for a census before their status. */
void clients_counted(struct supervisor *sup);

/* Answer with a status of all clusters, or of that of the target, or of c->only_slot of
 * it; at once, or after a census. */
void status_begin(struct client *c);
