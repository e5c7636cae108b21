/* SPDX-License-Identifier: MIT */
#ifndef OS_AFFINITY_H
#define OS_AFFINITY_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

/* Have the kernel run this process sooner after it has woken up, by a short time slice
 * (sched_setattr(2), Linux 6.12); its children have the usual one.  Does nothing where
 * they would lose what they inherit: a real-time policy or a negative nice value. */
void affinity_be_prompt(void);

/* How many CPUs this process may run on; at least 1. */
unsigned affinity_count(void);

/* Where a CPU is.  `core`: the first one on the same core that we may use;
 * `thread`: how many of these come before it. */
struct affinity_cpu {
	unsigned cpu;
	unsigned node;
	unsigned core;
	unsigned thread;
};
/* Find out where the CPUs of the list are, whose `cpu` is set, ascending.  `root`
 * is "" in earnest; tests give a directory with a copy of /sys beneath it.  What
 * cannot be read (an old kernel, a CPU just taken offline) is a core of its own,
 * on node 0. */
void affinity_locate(const char *root, struct affinity_cpu *list, unsigned count);
/*
 * Sort them so that what is taken from the front interferes least: cores before
 * their second threads, and of each the ones of one NUMA node before the next's.
 * `whole`: all will be taken, so that neighbours in the list are to be
 * neighbours: node by node, core by core.
 */
void affinity_sort(struct affinity_cpu *list, unsigned count, bool whole);

/* The CPUs that we may use, sorted in both ways: heap. */
struct affinity_map;
/* A set (heap, CPU_ALLOC) of `count` of them, beginning with number `first`,
 * modulo their number.  *map (NULL at first) is kept for the next call; it is
 * made anew when the CPUs that we may use have changed.  NULL: they cannot be
 * found out. */
cpu_set_t *affinity_some(
	struct affinity_map **map, unsigned first, unsigned count, bool whole, size_t *size);
void affinity_free(struct affinity_map *map);

#endif
