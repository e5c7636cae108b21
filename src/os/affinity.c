/* SPDX-License-Identifier: MIT */
#include "os/affinity.h"

#include "os/process.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* More CPUs than any kernel can be built for. */
#define CPUS_MOST 65536U
#define NODES_MOST 1024U

/* linux/sched/types.h declares this struct, and another one of a name that the C library has. */
struct scheduling {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t slice; /* ns: sched_runtime */
	uint64_t deadline;
	uint64_t period;
};
#define RESET_ON_FORK 1U
/* A turn of the loop is much shorter; the kernel's usual slice is 3 ms. */
#define SLICE 500000

void affinity_be_prompt(void)
{
	struct scheduling s = {.size = sizeof(s)};

	if (syscall(SYS_sched_getattr, 0, &s, sizeof(s), 0) == -1 || s.policy != SCHED_OTHER ||
		s.nice < 0)
		return;
	s.flags = RESET_ON_FORK;
	s.slice = SLICE;
	(void)syscall(SYS_sched_setattr, 0, &s, 0); /* the usual slice remains */
}

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

/* ---- where they are ---- */

/* Is the CPU in a list such as "0-3,8-11"? */
static bool is_listed(const char *list, unsigned cpu)
{
	const char *at = list;
	unsigned from;
	unsigned to;
	int used;

	while (sscanf(at, "%u%n", &from, &used) == 1) {
		at += used;
		to = from;
		if (sscanf(at, "-%u%n", &to, &used) == 1)
			at += used;
		if (cpu >= from && cpu <= to)
			return true;
		at += *at == ',';
	}
	return false;
}

static bool read_list(const char *root, const char *kind, unsigned number, const char *file,
	char *list, size_t size)
{
	char path[1024];

	return snprintf(path, sizeof(path), "%s/sys/devices/system/%s/%s%u/%s", root, kind, kind,
		       number, file) < (int)sizeof(path) &&
		process_read_path(path, list, size) > 0;
}

/* Number the NUMA nodes to which the CPUs of the list belong. */
static void find_nodes(const char *root, struct affinity_cpu *list, unsigned count)
{
	char path[1024];
	char nodes[256];
	char cpus[4096];

	if (snprintf(path, sizeof(path), "%s/sys/devices/system/node/online", root) >=
			(int)sizeof(path) ||
		process_read_path(path, nodes, sizeof(nodes)) <= 0)
		return;
	for (unsigned node = 0; node < NODES_MOST; node++) {
		if (!is_listed(nodes, node) ||
			!read_list(root, "node", node, "cpulist", cpus, sizeof(cpus)))
			continue;
		for (unsigned i = 0; i < count; i++)
			if (is_listed(cpus, list[i].cpu))
				list[i].node = node;
	}
}

void affinity_locate(const char *root, struct affinity_cpu *list, unsigned count)
{
	char siblings[256];

	for (unsigned i = 0; i < count; i++) {
		list[i].core = list[i].cpu;
		list[i].thread = list[i].node = 0;
		if (!read_list(root, "cpu", list[i].cpu, "topology/thread_siblings_list", siblings,
			    sizeof(siblings)))
			continue;
		for (unsigned k = i; k-- > 0;)
			if (is_listed(siblings, list[k].cpu)) {
				list[i].core = list[k].core;
				list[i].thread = list[k].thread + 1;
				break;
			}
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

struct affinity_map {
	cpu_set_t *set; /* the CPUs that nclust may use, when the map was made */
	size_t size;
	unsigned count;
	struct affinity_cpu list[];
};

void affinity_free(struct affinity_map *map)
{
	if (map == NULL)
		return;
	CPU_FREE(map->set);
	free(map);
}

/* The map owns `set` from now on. */
static struct affinity_map *make_map(cpu_set_t *set, size_t size, unsigned cpus)
{
	unsigned count = (unsigned)CPU_COUNT_S(size, set);
	struct affinity_map *map =
		count == 0 ? NULL : malloc(sizeof(*map) + 2 * count * sizeof(map->list[0]));
	unsigned n = 0;

	if (map == NULL) {
		CPU_FREE(set);
		return NULL;
	}
	*map = (struct affinity_map){set, size, count};
	for (unsigned cpu = 0; cpu < cpus && n < count; cpu++)
		if (CPU_ISSET_S(cpu, size, set))
			map->list[n++] = (struct affinity_cpu){.cpu = cpu};
	affinity_locate("", map->list, count);
	memcpy(map->list + count, map->list, count * sizeof(*map->list));
	affinity_sort(map->list, count, false);
	affinity_sort(map->list + count, count, true);
	return map;
}

/* The map for the CPUs that nclust may use now; made anew when they have changed. */
static struct affinity_map *current_map(struct affinity_map **map)
{
	size_t size;
	unsigned cpus;
	cpu_set_t *set = read_allowed_cpus(&size, &cpus);

	if (set == NULL)
		return NULL;
	if (*map != NULL && size == (*map)->size && CPU_EQUAL_S(size, set, (*map)->set)) {
		CPU_FREE(set);
		return *map;
	}
	affinity_free(*map);
	*map = make_map(set, size, cpus);
	return *map;
}

cpu_set_t *affinity_some(
	struct affinity_map **map, unsigned first, unsigned count, bool whole, size_t *size)
{
	const struct affinity_map *m = current_map(map);
	cpu_set_t *set = m != NULL ? CPU_ALLOC(m->size * CHAR_BIT) : NULL;

	if (set == NULL)
		return NULL;
	*size = m->size;
	CPU_ZERO_S(*size, set);
	for (unsigned i = 0; i < count && i < m->count; i++) {
		unsigned at = (first % m->count + i) % m->count;

		CPU_SET_S(m->list[whole ? m->count + at : at].cpu, *size, set);
	}
	return set;
}
