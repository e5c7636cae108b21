/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "supervisor/workers/budget.h"

static struct budget_range range(unsigned threads, uint32_t slot, unsigned workers, unsigned cpus)
{
	const struct cluster_settings s = {.threads = threads};

	return budget_range(&s, slot, workers, cpus);
}

TEST_LOOP(a_slot_has_as_many_cpus_as_threads, 0, 10)
{
	static const struct {
		unsigned threads;
		uint32_t slot;
		unsigned workers, cpus, first, count;
	} rows[] = {
		{THREADS_OFF, 0, 4, 8, 0, 1},
		{THREADS_OFF, 3, 4, 8, 3, 1},
		{THREADS_OFF, 9, 10, 8, 9, 1}, /* modulo their number */
		{2, 0, 4, 8, 0, 2},
		{2, 3, 4, 8, 6, 2},
		{3, 2, 4, 8, 6, 3}, /* 6, 7, and 0 again */
		{3, 3, 4, 8, 1, 3},
		{10000, 9999, 10000, 3, 0, 10000},
		{THREADS_AUTO, 5, 2, 8, 5, 1}, /* one too many */
		{THREADS_AUTO, 1, 0, 8, 1, 1},
	};
	struct budget_range r =
		range(rows[_i].threads, rows[_i].slot, rows[_i].workers, rows[_i].cpus);

	ck_assert_uint_eq(r.first, rows[_i].first);
	ck_assert_uint_eq(r.count, rows[_i].count);
}

TEST(shares_are_all_of_the_cpus_and_none_is_in_two)
{
	for (unsigned cpus = 1; cpus <= 17; cpus++)
		for (unsigned workers = 1; workers <= cpus; workers++) {
			unsigned next = 0;

			for (uint32_t slot = 0; slot < workers; slot++) {
				struct budget_range r = range(THREADS_AUTO, slot, workers, cpus);

				ck_assert_uint_eq(r.first, next);
				ck_assert_uint_ge(r.count, cpus / workers);
				ck_assert_uint_le(r.count, cpus / workers + 1);
				next = r.first + r.count;
			}
			ck_assert_uint_eq(next, cpus);
		}
}

TEST(with_fewer_cpus_than_workers_each_has_one_in_turn)
{
	for (uint32_t slot = 0; slot < 9; slot++) {
		ck_assert_uint_eq(range(THREADS_AUTO, slot, 9, 4).first, slot);
		ck_assert_uint_eq(range(THREADS_AUTO, slot, 9, 4).count, 1);
	}
}
