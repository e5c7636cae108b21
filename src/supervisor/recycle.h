/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RECYCLE_H
#define SUPERVISOR_RECYCLE_H

#include "supervisor/state.h"

/*
 * `max-memory`: what a worker and all of its processes have for themselves:
 * anonymous and shared memory (RssAnon and RssShmem of /proc/PID/status: cheap,
 * and without the pages of files, which the kernel takes back when it wants).
 * Processes of one tree share pages since their fork, which this counts each
 * time: so where there are several, a sum over the limit is counted again by
 * their shares (Pss of smaps_rollup, which is dear).  Every 5 s, every second
 * once it is half way there.
 */
void recycle_begin(struct service *service); /* somebody may have to be */
void recycle_free(struct service *service);

#endif
