/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"
#include "supervisor/common/moment.h"

/*
 * `workers = MIN..MAX`: nclust looks at the load of such clusters once a second, and starts or
 * stops workers as core/autoscale.h decides.  A cluster without workers sleeps: nclust only watches
 * its listeners, and the first client wakes it.  Its learned listeners stay (held.asleep).
 */
void scaling_on_reloaded(struct service *service);
void scaling_on_report(struct service *service, const struct report *report);
void scaling_on_status(struct json_writer *w, const struct service *service);
void scaling_on_drop(struct service *service);
void scaling_on_let_go(struct holding *holding);
void scaling_on_go_on(struct supervisor *sup);
void cpus_end(struct supervisor *sup);
void scaling_on_verb(struct supervisor *sup, const struct verb_step *verb);

/*
 * `workers = auto` follows the quota and the set of CPUs of nclust's control groups.  The
 * kernel reports each write to them, so that nothing has to be looked at in between.  Watches them
 * anew, and applies what has changed meanwhile.
 */
void cpus_begin(struct supervisor *sup);

/* What goes through an upgrade of a cluster's scaling. */
extern const struct carried carried_scaling;
