/* SPDX-License-Identifier: MIT */
#ifndef OS_CGROUP_H
#define OS_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

/* The limits of our cgroup.  Works with v1, v2, hybrid, and with no /sys or /proc at
 * all.  `root` is "" in earnest; tests give a directory with a copy of /proc and
 * /sys beneath it. */

/* The smallest CPU quota over all ancestors, in CPUs rounded up; 0: none. */
unsigned cgroup_cpu_quota(const char *root);
/* Let inotify(7) report each write to the files of these quotas and to the sets of
 * CPUs.  Returns how many such files there are. */
unsigned cgroup_cpu_watch(const char *root, int inotify);
/* The smallest memory limit over all ancestors, in bytes; 0: none. */
unsigned long long cgroup_memory_limit(const char *root);
/* The pids limit; 0: none. */
unsigned long long cgroup_pids_limit(const char *root);
/* How many processes the OOM killer has ended in our cgroup (v2: memory.events
 * oom_kill, v1: memory.oom_control), else on the whole machine (/proc/vmstat
 * oom_kill).  The first function returns a descriptor, which stays open and is read
 * anew each time, or -1; the second one the count, or -1: unknown. */
int cgroup_oom_open(const char *root);
long cgroup_oom_read(int fd);

/* The directory of our group in the hierarchy of that controller, by its name in v1.
 * Returns the version of cgroups: 1 if that has the controller, else 2; 0: neither is there. */
#define CGROUP_PATH 1024
int cgroup_home(const char *root, const char *controller, char *path, size_t size);

#endif
