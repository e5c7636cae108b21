/* SPDX-License-Identifier: MIT */
#include "os/affinity.h"

#include <errno.h>
#include <unistd.h>

/* As many as the kernel can be built for, and then some. */
#define CPUS_MOST 65536U

/* Our own set (heap), of whatever size this kernel takes; NULL. */
static cpu_set_t *allowed(size_t *size, unsigned *cpus)
{
	for (*cpus = 1024; *cpus <= CPUS_MOST; *cpus *= 2) {
		cpu_set_t *set = CPU_ALLOC(*cpus);

		if (!set)
			return NULL;
		*size = CPU_ALLOC_SIZE(*cpus);
		if (sched_getaffinity(0, *size, set) == 0)
			return set;
		CPU_FREE(set);
		if (errno != EINVAL) /* too small for this kernel */
			return NULL;
	}
	return NULL;
}

unsigned affinity_count(void)
{
	size_t size;
	unsigned cpus;
	cpu_set_t *set = allowed(&size, &cpus);
	long count;

	if (set) {
		count = CPU_COUNT_S(size, set);
		CPU_FREE(set);
	} else {
		count = sysconf(_SC_NPROCESSORS_ONLN);
	}
	return count < 1 ? 1 : (unsigned)count;
}

cpu_set_t *affinity_some(unsigned first, unsigned count, size_t *size)
{
	unsigned cpus;
	cpu_set_t *set = allowed(size, &cpus);
	unsigned all;
	unsigned at = 0;

	if (!set)
		return NULL;
	all = (unsigned)CPU_COUNT_S(*size, set);
	if (all == 0) {
		CPU_FREE(set);
		return NULL;
	}
	first %= all;
	for (unsigned cpu = 0; cpu < cpus; cpu++) {
		if (!CPU_ISSET_S(cpu, *size, set))
			continue;
		if ((at++ + all - first) % all >= count)
			CPU_CLR_S(cpu, *size, set);
	}
	return set;
}
