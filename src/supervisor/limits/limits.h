/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"
#include "supervisor/common/moment.h"

/*
 * The cgroups of workers: `memory-max` and its like (os/cgroup.h).  A cluster with such a
 * setting has a cgroup, called "nclust@INSTANCE@CLUSTER", and each of its workers has a cgroup in
 * that, "SLOT.SERIAL.TIME.PID", with nclust's pid.  The names say whose a cgroup is, also to an
 * nclust that comes after an upgrade or a crash.
 *
 * Where no cgroup can be made, workers run without the limits, and one line says why.  Where no
 * cluster has such a setting, nothing is done or asked.
 */
int limits_on_prepare(struct child *child, struct birth *birth, struct error *err);
void limits_on_born(struct child *child, struct birth *birth);
void limits_on_dying(struct child *child);
void limits_on_gone(struct child *child);
void limits_on_adopt(struct child *child);
void limits_on_reloaded(struct service *service);
void limits_on_status_worker(struct json_writer *w, const struct child *child);
void limits_on_drop(struct service *service);
void limits_on_shutdown(struct supervisor *sup);
/* Of a worker that is in a cgroup. */
extern const struct carried carried_limited;
