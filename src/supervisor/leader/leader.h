/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LEADER_H
#define SUPERVISOR_LEADER_H

#include "supervisor/common/part.h"

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
extern const struct part leader_part;

#endif
