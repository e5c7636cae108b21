/* SPDX-License-Identifier: MIT */
#include "os_lib.h"

#include "os/affinity.h"

#include <sched.h>

/* Write a file of the made /sys. */
static void put(const char *path, const char *text)
{
	char whole[128];

	snprintf(whole, sizeof(whole), "sys/devices/system/%s", path);
	os_put(whole, text);
}

static void put_core(unsigned cpu, const char *siblings)
{
	char path[64];

	snprintf(path, sizeof(path), "cpu/cpu%u/topology/thread_siblings_list", cpu);
	put(path, siblings);
}

/* Four cores with two threads, whose numbers are neighbours or not. */
static void put_eight(bool neighbours)
{
	static const char *const near[] = {"0-1\n", "2-3\n", "4-5\n", "6-7\n"};
	static const char *const far[] = {"0,4\n", "1,5\n", "2,6\n", "3,7\n"};

	for (unsigned cpu = 0; cpu < 8; cpu++)
		put_core(cpu, neighbours ? near[cpu / 2] : far[cpu % 4]);
}

/* The order of these CPUs, ascending, as "0 2 1 3". */
static const char *order(const char *allowed, bool whole)
{
	static char text[256];
	struct affinity_cpu list[32];
	unsigned count = 0;
	size_t len = 0;
	int used;

	while (sscanf(allowed, "%u%n", &list[count].cpu, &used) == 1) {
		allowed += used;
		count++;
	}
	affinity_locate(os_dir, list, count);
	affinity_sort(list, count, whole);
	for (unsigned i = 0; i < count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " %u", list[i].cpu);
	return text + 1;
}

FIXTURE(os_make_dir, NULL)

TEST(cores_come_before_their_second_threads)
{
	/* as most PCs number them */
	put_eight(false);
	ck_assert_str_eq(order("0 1 2 3 4 5 6 7", false), "0 1 2 3 4 5 6 7");
	ck_assert_str_eq(order("0 1 2 3 4 5 6 7", true), "0 4 1 5 2 6 3 7");
	/* as clouds do */
	put_eight(true);
	ck_assert_str_eq(order("0 1 2 3 4 5 6 7", false), "0 2 4 6 1 3 5 7");
	ck_assert_str_eq(order("0 1 2 3 4 5 6 7", true), "0 1 2 3 4 5 6 7");
}

TEST(one_node_is_filled_before_the_next)
{
	/* two nodes of 2 cores with 2 threads, numbered in turn; the nodes'
	 * numbers have a gap */
	put("node/online", "0,2\n");
	put("node/node0/cpulist", "0,2,4,6\n");
	put("node/node2/cpulist", "1,3,5,7\n");
	put_eight(false);
	/* all cores, the first node's first; then all second threads */
	ck_assert_str_eq(order("0 1 2 3 4 5 6 7", false), "0 2 1 3 4 6 5 7");
	ck_assert_str_eq(order("0 1 2 3 4 5 6 7", true), "0 4 2 6 1 5 3 7");
}

TEST(only_what_may_be_used_counts)
{
	put_eight(false);
	/* a cpuset of second threads alone: each is a core's first then */
	ck_assert_str_eq(order("4 5 6 7", false), "4 5 6 7");
	ck_assert_str_eq(order("1 4 5 6", false), "1 4 6 5");
	ck_assert_str_eq(order("3", false), "3");
}

TEST(what_cannot_be_read_is_a_core_of_its_own)
{
	ck_assert_str_eq(order("0 1 9", false), "0 1 9");
	ck_assert_str_eq(order("0 1 9", true), "0 1 9");
	/* CPU 1 was taken offline just now, CPU 2's file makes no sense */
	put_core(0, "0,3\n");
	put_core(2, "garbage");
	put_core(3, "0,3\n");
	put("node/online", "x-\n");
	ck_assert_str_eq(order("0 1 2 3", false), "0 1 2 3");
	ck_assert_str_eq(order("0 1 2 3", true), "0 3 1 2");
	put("node/online", "0-1\n"); /* and no lists */
	ck_assert_str_eq(order("0 1 2 3", false), "0 1 2 3");
}

TEST(cpus_are_counted_and_chosen_by_turn)
{
	unsigned count = affinity_count();
	cpu_set_t one;
	size_t size;
	size_t first = 0;
	cpu_set_t *set;

	ck_assert_uint_ge(count, 1);
	ck_assert_int_eq(sched_getaffinity(0, sizeof(one), &one), 0);
	ck_assert_int_eq(CPU_COUNT(&one), (int)count);
	for (unsigned n = 0; n < 2 * count; n++) {
		set = affinity_some(n, 1, false, &size);
		ck_assert_ptr_nonnull(set);
		ck_assert_int_eq(CPU_COUNT_S(size, set), 1);
		CPU_FREE(set);
	}
	while (!CPU_ISSET(first, &one))
		first++;
	/* from the start again */
	set = affinity_some(count, 1, false, &size);
	ck_assert(CPU_ISSET_S(first, size, set));
	CPU_FREE(set);
	for (unsigned n = 1; n <= count + 1; n++) { /* and across it */
		set = affinity_some(count - 1, n, true, &size);
		ck_assert_int_eq(CPU_COUNT_S(size, set), (int)(n < count ? n : count));
		ck_assert(n < 2 || CPU_ISSET_S(first, size, set));
		CPU_FREE(set);
	}
	/* what may be used has changed: the next set is of it */
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	ck_assert_uint_eq(affinity_count(), 1);
	set = affinity_some(count - 1, count, false, &size);
	ck_assert_int_eq(CPU_COUNT_S(size, set), 1);
	ck_assert(CPU_ISSET_S(first, size, set));
	CPU_FREE(set);
}
