/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The limits of our cgroup of v2; and of v1 the CPU quota.  Works with no /sys or /proc at
 * all.  `root` is "" in earnest; tests give a directory with a copy of /proc and /sys
 * beneath it. */

/* The smallest CPU quota over all ancestors, in CPUs rounded up; 0: none. */
unsigned cgroup_cpu_quota(const char *root);
/* Let inotify(7) report each write to the files of these quotas and to the sets of
 * CPUs.  Returns how many such files there are. */
unsigned cgroup_cpu_watch(const char *root, int inotify);
/* The smallest memory limit over all ancestors, in bytes; 0: none. */
unsigned long long cgroup_memory_limit(const char *root);
/* The pids limit; 0: none. */
unsigned long long cgroup_pids_limit(const char *root);
/* How many processes the OOM killer has ended in our cgroup (memory.events oom_kill),
 * else on the whole machine (/proc/vmstat oom_kill).  The first function returns a descriptor, which stays open and is read
 * anew each time, or -1; the second one the count, or -1: unknown. */
int cgroup_oom_open(const char *root);
long cgroup_oom_read(int fd);

/* The directory of our group of v2; false: there is none. */
#define CGROUP_PATH 1024
bool cgroup_home(const char *root, char *path, size_t size);
