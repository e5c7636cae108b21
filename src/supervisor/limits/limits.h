/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LIMITS_H
#define SUPERVISOR_LIMITS_H

#include "supervisor/common/carried.h"
#include "supervisor/common/part.h"

/*
 * The cgroups of workers: `memory-max` and its like (os/cgroup.h).  A cluster with such a
 * setting has a cgroup, called "nclust@INSTANCE@CLUSTER", and each of its workers has a cgroup in
 * that, "SLOT.SERIAL.TIME.PID", with nclust's pid.  The names say whose a cgroup is, also to an
 * nclust that comes after an upgrade or a crash.
 *
 * Where no cgroup can be made, workers run without the limits, and one line says why.  Where no
 * cluster has such a setting, nothing is done or asked.
 */
extern const struct part limits_part;
/* Of a worker that is in a cgroup. */
extern const struct carried carried_limited;

#endif
