/* SPDX-License-Identifier: MIT */

#include "os/affinity.h"

#include "os/cgroup.h"
#include "os/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* More CPUs than any kernel can be built for. */
#define CPUS_MOST 65536U
#define NODES_MOST 1024U

/* The CPUs that nclust may use (heap), of the size that this kernel takes; or NULL. */
static cpu_set_t *read_allowed_cpus(size_t *size, unsigned *cpus)
{
	for (*cpus = 1024; *cpus <= CPUS_MOST; *cpus *= 2) {
		cpu_set_t *set = CPU_ALLOC(*cpus);

		if (!set)
			return NULL;
		*size = CPU_ALLOC_SIZE(*cpus);
		if (sched_getaffinity(0, *size, set) == 0)
			return set;
		CPU_FREE(set);
		if (errno != EINVAL) /* the set is too small for this kernel */
			return NULL;
	}
	return NULL;
}

unsigned affinity_count(void)
{
	size_t size;
	unsigned cpus;
	cpu_set_t *set = read_allowed_cpus(&size, &cpus);
	long count;

	if (set) {
		count = CPU_COUNT_S(size, set);
		CPU_FREE(set);
	} else {
		count = sysconf(_SC_NPROCESSORS_ONLN);
	}
	return count < 1 ? 1 : (unsigned)count;
}

unsigned affinity_usable(void)
{
	unsigned allowed = affinity_count();
	unsigned quota = cgroup_cpu_quota("");

	return quota > 0 && quota < allowed ? quota : allowed;
}

/* ---- where they are ---- */

/* The next range of a list such as "0-3,8"; false: no more. */
static bool next_range(const char **list, unsigned *from, unsigned *to)
{
	int used;

	if (sscanf(*list, "%u%n", from, &used) != 1)
		return false;
	*list += used;
	*to = *from;
	if (sscanf(*list, "-%u%n", to, &used) == 1)
		*list += used;
	*list += **list == ',';
	return true;
}

static bool read_list(const char *root, const char *kind, unsigned number, const char *file,
	char *list, size_t size)
{
	char path[1024];

	return snprintf(path, sizeof(path), "%s/sys/devices/system/%s/%s%u/%s", root, kind, kind,
		       number, file) < (int)sizeof(path) &&
		process_read_path(path, list, size) > 0;
}

static void set_node(struct affinity_cpu *list, unsigned count, const char *cpus, unsigned node)
{
	unsigned from;
	unsigned to;

	while (next_range(&cpus, &from, &to))
		for (unsigned i = 0; i < count; i++)
			if (list[i].cpu >= from && list[i].cpu <= to)
				list[i].node = node;
}

/* Number the NUMA nodes to which the CPUs of the list belong. */
static void find_nodes(const char *root, struct affinity_cpu *list, unsigned count)
{
	char path[1024];
	char nodes[256];
	char cpus[4096];
	const char *at = nodes;
	unsigned from;
	unsigned to;

	if (snprintf(path, sizeof(path), "%s/sys/devices/system/node/online", root) >=
			(int)sizeof(path) ||
		process_read_path(path, nodes, sizeof(nodes)) <= 0)
		return;
	while (next_range(&at, &from, &to))
		for (unsigned node = from; node <= to && node < NODES_MOST; node++)
			if (read_list(root, "node", node, "cpulist", cpus, sizeof(cpus)))
				set_node(list, count, cpus, node);
}

/* Number the i-th CPU among those of its core. */
static void find_core(struct affinity_cpu *list, unsigned i, const char *siblings)
{
	unsigned from;
	unsigned to;

	while (next_range(&siblings, &from, &to))
		for (unsigned k = 0; k < i; k++)
			if (list[k].cpu >= from && list[k].cpu <= to && list[i].thread++ == 0)
				list[i].core = list[k].cpu;
}

void affinity_locate(const char *root, struct affinity_cpu *list, unsigned count)
{
	char siblings[256];

	for (unsigned i = 0; i < count; i++) {
		list[i].core = list[i].cpu;
		list[i].thread = list[i].node = 0;
		if (read_list(root, "cpu", list[i].cpu, "topology/thread_siblings_list", siblings,
			    sizeof(siblings)))
			find_core(list, i, siblings);
	}
	find_nodes(root, list, count);
}

static int compare_numbers(unsigned a, unsigned b)
{
	return a < b ? -1 : a > b;
}

static int by_neighbours(const void *left, const void *right)
{
	const struct affinity_cpu *a = left;
	const struct affinity_cpu *b = right;
	int order = compare_numbers(a->node, b->node);

	if (order == 0)
		order = compare_numbers(a->core, b->core);
	return order != 0 ? order : compare_numbers(a->cpu, b->cpu);
}

static int by_threads(const void *left, const void *right)
{
	const struct affinity_cpu *a = left;
	const struct affinity_cpu *b = right;
	int order = compare_numbers(a->thread, b->thread);

	return order != 0 ? order : by_neighbours(left, right);
}

void affinity_sort(struct affinity_cpu *list, unsigned count, bool whole)
{
	qsort(list, count, sizeof(*list), whole ? by_neighbours : by_threads);
}

/* ---- choosing ---- */

cpu_set_t *affinity_some(unsigned first, unsigned count, bool whole, size_t *size)
{
	unsigned cpus;
	cpu_set_t *set = read_allowed_cpus(size, &cpus);
	unsigned all = set != NULL ? (unsigned)CPU_COUNT_S(*size, set) : 0;
	struct affinity_cpu *list = all > 0 ? calloc(all, sizeof(*list)) : NULL;
	unsigned n = 0;

	if (list == NULL) {
		if (set != NULL)
			CPU_FREE(set);
		return NULL;
	}
	for (unsigned cpu = 0; cpu < cpus && n < all; cpu++)
		if (CPU_ISSET_S(cpu, *size, set))
			list[n++].cpu = cpu;
	affinity_locate("", list, all);
	affinity_sort(list, all, whole);
	CPU_ZERO_S(*size, set);
	for (unsigned i = 0; i < count && i < all; i++)
		CPU_SET_S(list[(first % all + i) % all].cpu, *size, set);
	free(list);
	return set;
}
