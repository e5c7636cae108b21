/* SPDX-License-Identifier: MIT */
#ifndef OS_AFFINITY_H
#define OS_AFFINITY_H

#include <sched.h>
#include <stddef.h>

/* How many CPUs this process may run on; at least 1. */
unsigned affinity_count(void);
/* A set (heap, CPU_ALLOC) of `count` of the allowed CPUs, beginning with number
 * `first`, modulo their number.  NULL: they cannot be found out. */
cpu_set_t *affinity_some(unsigned first, unsigned count, size_t *size);

#endif
