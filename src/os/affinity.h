/* SPDX-License-Identifier: MIT */
#ifndef OS_AFFINITY_H
#define OS_AFFINITY_H

#include <sched.h>
#include <stddef.h>

/* How many CPUs this process may run on; at least 1. */
unsigned affinity_count(void);
/* A set (heap, CPU_ALLOC) with the one CPU that slot `n` is pinned to: the
 * n-th of those allowed, modulo their number.  NULL: cannot be told. */
cpu_set_t *affinity_nth(unsigned n, size_t *size);

#endif
