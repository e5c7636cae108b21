/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SCALING_H
#define SUPERVISOR_SCALING_H

#include "supervisor/common/carried.h"

/*
 * `workers = MIN..MAX`: nclust looks at the load of such clusters once a second, and
 * starts or stops workers as core/autoscale.h decides.  A cluster without workers
 * sleeps: nothing is looked at, but its listeners are watched, and the first client
 * wakes it.  Its learned listeners stay meanwhile (held.asleep).
 */
extern const struct part scaling_part;

/* Its past goes through an upgrade. */
extern const struct carried carried_scaling;

#endif
