/* SPDX-License-Identifier: MIT */
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

/* How many CPUs this process may run on; at least 1. */
unsigned affinity_count(void);
/* How many it may use, by the quota of its cgroup, too. */
unsigned affinity_usable(void);

/* Where a CPU is.  `core`: the lowest usable CPU of the same core; `thread`: how
 * many usable CPUs of that core come before this CPU. */
struct affinity_cpu {
	unsigned cpu;
	unsigned node;
	unsigned core;
	unsigned thread;
};
/* Look up where the CPUs of the list are, whose `cpu` is set, ascending.  `root` is
 * "" in earnest; tests give a directory with a copy of /sys beneath it.  A CPU of
 * which nothing can be read (an old kernel, a CPU just taken offline) counts as a
 * core of its own, on node 0. */
void affinity_locate(const char *root, struct affinity_cpu *list, unsigned count);
/*
 * Sort the CPUs so that the first ones of the list interfere least: each core's
 * first thread before its second, and of each kind all of one NUMA node before
 * the next node's.  `whole`: the caller will use all CPUs, so sort node by node
 * and core by core.
 */
void affinity_sort(struct affinity_cpu *list, unsigned count, bool whole);

/* A CPU set (heap, CPU_ALLOC) of `count` CPUs of those that nclust may use, sorted, beginning
 * with number `first`, modulo their number.  NULL: out of memory, or the kernel does not tell
 * which these are. */
cpu_set_t *affinity_some(unsigned first, unsigned count, bool whole, size_t *size);
