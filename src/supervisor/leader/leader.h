/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

/*
 * `leader = yes`: one worker of the cluster has the lock of a file (flock(2)), and all get a
 * descriptor of it, each with an open file description of its own (NCLUST_LEADER_FD).  nclust has a
 * duplicate of each, so it can lock the file for a worker, and see which worker has it: flock(2) of
 * a description that has the lock succeeds.  When a worker has ended, nclust closes its duplicate,
 * and the lock is free; when nclust is killed, the kernel alone decides.
 *
 * nclust gives the lock to the first ready worker of the latest generation.  A worker may also take
 * it by itself, by flock(2).  The worker that has it leads until it ends.
 */
int leader_on_prepare(struct child *child, struct birth *birth, struct error *err);
void leader_on_gone(struct child *child);
void leader_on_adopt(struct child *child, struct worker_fds *fds);
void leader_on_adopted(struct service *service);
void leader_on_report(struct service *service, const struct report *report);
void leader_on_status(struct json_writer *w, const struct service *service);
void leader_on_drop(struct service *service);
void leader_on_go_on(struct supervisor *sup);
void leader_on_shutdown(struct supervisor *sup);
