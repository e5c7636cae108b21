/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "os/process.h"
#include "supervisor/workers/use.h"

/* How much of the loop's time is spent on what workers use. */

#define WEB "[cluster:web]\ncommand = /bin/web\nmax-memory = 1G\n"
#define MIB ((uint64_t)1024 * 1024)

ROOM_HEARS(NULL)

static size_t processes;
static unsigned shares_read;

REPLACED(size_t, process_tree)(pid_t pid, pid_t *list, size_t most)
{
	for (size_t i = 0; i < processes && i < most; i++)
		list[i] = pid + (pid_t)i;
	return processes < most ? processes : most;
}

REPLACED(int, process_look)(pid_t pid, struct process_facts *facts)
{
	(void)pid;
	*facts = (struct process_facts){.state = 'S'};
	return 0;
}

REPLACED(nsec_t, process_ran)(pid_t pid)
{
	(void)pid;
	return 0; /* always something new */
}

REPLACED(uint64_t, process_memory)(pid_t pid)
{
	(void)pid;
	return 600 * MIB;
}

REPLACED(uint64_t, process_memory_share)(pid_t pid)
{
	(void)pid;
	shares_read++;
	room_pass(10 * MSEC);
	return 60 * MIB;
}

static void begin(void)
{
	room_begin(WEB);
	room_tick(room.services[0]);
	shares_read = 0;
}

FIXTURE(begin, room_end)

TEST(shares_of_a_few_are_read_and_those_of_many_are_estimated)
{
	const struct child *child = room_child(room.services[0], 0);

	processes = 1;
	ck_assert_uint_eq(use_memory(child, 1), 600 * MIB);
	processes = 2;
	ck_assert_uint_eq(use_memory(child, 2000 * MIB), 1200 * MIB);
	ck_assert_uint_eq(shares_read, 0);
	ck_assert_uint_eq(use_memory(child, 1000 * MIB), 120 * MIB);
	ck_assert_uint_eq(shares_read, 2);
	processes = 100;
	ck_assert_uint_eq(use_memory(child, 1000 * MIB), 6000 * MIB);
	ck_assert_uint_eq(shares_read, 4);
}

TEST(who_asks_all_the_time_gets_old_values)
{
	struct child *child = room_child(room.services[0], 0);
	struct tree_use use;

	processes = 100;
	for (int i = 0; i < 19; i++) {
		ck_assert(use_look(child, &use));
		ck_assert_uint_eq(use.memory, 6000 * MIB);
		room_pass(100 * MSEC);
	}
	ck_assert_uint_eq(shares_read, 2);
	room_pass(200 * MSEC);
	ck_assert(use_look(child, &use));
	ck_assert_uint_eq(shares_read, 4);
}
