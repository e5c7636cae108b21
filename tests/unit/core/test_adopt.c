/* SPDX-License-Identifier: MIT */
#include "core_lib.h"

/* A bench whose slots are empty yet: nothing has ticked. */
static void prepare(struct bench *b, struct cluster_settings *s, unsigned slots)
{
	*b = (struct bench){.s = s, .now = 100 * SECOND};
	b->c = cluster_new(s, slots, 1);
	ck_assert_ptr_nonnull(b->c);
}

static uint64_t adopt(
	struct bench *b, uint32_t slot, unsigned generation, bool ready)
{
	const struct adoption a = {
		.slot = slot,
		.generation = generation,
		.pid = 500 + (pid_t)slot,
		.restarts = 3,
		.now = b->now,
		.born = b->now - 50 * SECOND,
		.ready_at = ready ? b->now - 40 * SECOND : NSEC_NEVER,
	};
	uint64_t id = cluster_adopt(b->c, &a);

	ck_assert_pstr_eq(cluster_check(b->c), NULL);
	return id;
}

static unsigned asked(const struct bench *b, enum action_kind kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->count; i++)
		n += b->kept[i].kind == kind;
	return n;
}

static struct slot_view view(const struct bench *b, uint32_t slot)
{
	struct slot_view v;

	cluster_view_slot(b->c, slot, &v);
	return v;
}

TEST(who_lives_is_not_born_again)
{
	struct bench b;
	struct slot_view v;

	prepare(&b, bench_settings(), 3);
	ck_assert_int_eq(cluster_adopt_begin(b.c, 7, true, false), 0);
	ck_assert_uint_ne(adopt(&b, 0, 7, true), 0);
	ck_assert_uint_ne(adopt(&b, 2, 7, true), 0);
	bench_settle(&b);

	ck_assert_uint_eq(asked(&b, ACTION_SPAWN), 1); /* slot 1 */
	ck_assert_uint_eq(asked(&b, ACTION_SIGNAL), 0);
	ck_assert_uint_eq(cluster_alive(b.c), 3);
	ck_assert_uint_eq(cluster_ready(b.c), 2);
	ck_assert_uint_eq(cluster_generation(b.c), 7);
	ck_assert(cluster_knows_notify(b.c));
	v = view(&b, 2);
	ck_assert_int_eq(v.worker[0].pid, 502);
	ck_assert_int_eq(v.state, SLOT_READY);
	ck_assert_int_eq(v.worker[0].born, 50 * SECOND);
	ck_assert_int_eq(v.worker[0].ready_at, 60 * SECOND);
	ck_assert_uint_eq(v.restarts, 3);
	bench_end(&b);
}

TEST(one_that_starts_has_the_time_to_become_ready)
{
	struct bench b;
	uint64_t id;

	prepare(&b, bench_settings(), 1);
	ck_assert_int_eq(cluster_adopt_begin(b.c, 1, false, false), 0);
	id = adopt(&b, 0, 1, false);
	bench_settle(&b);
	bench_pass(&b, 59 * SECOND);
	ck_assert_uint_eq(asked(&b, ACTION_SIGNAL), 0);
	bench_do(&b, (struct event){.kind = EVENT_READY, .worker = id});
	ck_assert_uint_eq(cluster_ready(b.c), 1);
	bench_end(&b);
}

TEST(one_that_need_not_say_so_is_ready_by_its_age)
{
	struct cluster_settings *s = bench_settings();
	struct bench b;

	s->ready = READY_ALIVE;
	prepare(&b, s, 1);
	ck_assert_int_eq(cluster_adopt_begin(b.c, 1, false, false), 0);
	(void)adopt(&b, 0, 1, false);
	bench_settle(&b);
	ck_assert_uint_eq(cluster_ready(b.c), 1);
	bench_end(&b);
}

TEST(of_two_in_a_slot_the_newer_one_stays)
{
	struct bench b;
	uint64_t old;

	prepare(&b, bench_settings(), 1);
	ck_assert_int_eq(cluster_adopt_begin(b.c, 5, true, false), 0);
	old = adopt(&b, 0, 4, true);
	ck_assert_uint_ne(adopt(&b, 0, 5, true), 0);
	ck_assert_uint_eq(adopt(&b, 0, 5, true), 0); /* no room */
	bench_settle(&b);
	ck_assert_uint_eq(asked(&b, ACTION_SPAWN), 0);
	for (unsigned i = 0; i < b.count; i++)
		if (b.kept[i].kind == ACTION_SIGNAL ||
			b.kept[i].kind == ACTION_DRAIN)
			ck_assert_uint_eq(b.kept[i].worker, old);
	ck_assert_uint_eq(
		asked(&b, ACTION_SIGNAL) + asked(&b, ACTION_DRAIN), 1);
	bench_end(&b);
}

TEST(more_than_wanted_are_stopped)
{
	struct bench b;

	prepare(&b, bench_settings(), 1);
	ck_assert_int_eq(cluster_reserve(b.c, 4), 0);
	ck_assert_int_eq(cluster_adopt_begin(b.c, 1, true, false), 0);
	for (uint32_t i = 0; i < 4; i++)
		ck_assert_uint_ne(adopt(&b, i, 1, true), 0);
	ck_assert_uint_eq(adopt(&b, 4, 1, true), 0); /* no such slot */
	bench_settle(&b);
	ck_assert_uint_eq(
		asked(&b, ACTION_SIGNAL) + asked(&b, ACTION_DRAIN), 3);
	bench_end(&b);
}

TEST(generations_of_before_are_rolled)
{
	struct bench b;

	prepare(&b, bench_settings(), 3);
	ck_assert_int_eq(cluster_adopt_begin(b.c, 9, true, false), 0);
	/* in any order */
	ck_assert_uint_ne(adopt(&b, 0, 8, true), 0);
	ck_assert_uint_ne(adopt(&b, 1, 3, true), 0);
	ck_assert_uint_ne(adopt(&b, 2, 5, true), 0);
	ck_assert_uint_eq(adopt(&b, 2, 10, true), 0); /* not yet */
	bench_settle(&b);
	bench_do(&b, (struct event){.kind = EVENT_ROLL, .slot = SLOT_ALL});
	ck_assert_uint_eq(asked(&b, ACTION_SPAWN), 1);
	for (unsigned done = 0; done < 3; done++)
		for (unsigned i = 0; i < b.count; i++) {
			struct event e = {.slot = b.kept[i].slot,
				.worker = b.kept[i].worker,
				.ending = {.kind = ENDING_EXIT}};

			if (b.kept[i].kind == ACTION_SPAWN)
				e.kind = EVENT_READY;
			else if (b.kept[i].kind == ACTION_DRAIN)
				e.kind = EVENT_DRAINED;
			else if (b.kept[i].kind == ACTION_SIGNAL)
				e.kind = EVENT_EXITED;
			else
				continue;
			bench_do(&b, e);
		}
	for (uint32_t i = 0; i < 3; i++)
		ck_assert_uint_eq(view(&b, i).worker[0].generation, 10);
	ck_assert_uint_eq(cluster_generation(b.c), 10);
	bench_end(&b);
}

/* Whoever is asked to go goes, whoever is born becomes ready. */
static void oblige(struct bench *b)
{
	for (unsigned i = 0; i < b->count; i++) {
		const struct action *a = &b->kept[i];
		struct event e = {.slot = a->slot,
			.worker = a->worker,
			.ending = {.kind = ENDING_EXIT}};

		ck_assert(a->kind != ACTION_REPORT ||
			a->report.kind != REPORT_SURPRISE);
		if (a->kind == ACTION_SPAWN)
			e.kind = EVENT_READY;
		else if (a->kind == ACTION_DRAIN)
			e.kind = EVENT_DRAINED;
		else if (a->kind == ACTION_SIGNAL || a->kind == ACTION_KILL)
			e.kind = EVENT_EXITED;
		else
			continue;
		bench_do(b, e);
	}
	b->count = 0;
}

static unsigned draw(unsigned *seed, unsigned below)
{
	*seed = *seed * 1103515245U + 12345U;
	return (*seed >> 16) % below;
}

/* Left in any state, by any number of generations, in any slots: in the end as
 * many as wanted are ready, one a slot, all of one generation where that was
 * asked for. */
static void take_over_and_settle(unsigned seed)
{
	unsigned wanted = draw(&seed, 7);
	unsigned generation = 1 + draw(&seed, 5);
	unsigned left = draw(&seed, 12);
	bool roll = draw(&seed, 2) == 1;
	struct bench b;

	prepare(&b, bench_settings(), wanted);
	ck_assert_int_eq(cluster_reserve(b.c, 8), 0);
	ck_assert_int_eq(
		cluster_adopt_begin(b.c, generation, draw(&seed, 2), false), 0);
	for (unsigned i = 0; i < left; i++)
		(void)adopt(&b, draw(&seed, 8), 1 + draw(&seed, generation),
			draw(&seed, 4) > 0);
	bench_settle(&b);
	if (roll)
		bench_do(&b,
			(struct event){.kind = EVENT_ROLL, .slot = SLOT_ALL});
	for (int turn = 0; turn < 30; turn++) {
		oblige(&b);
		bench_pass(&b, 30 * SECOND); /* those that never get ready */
	}
	oblige(&b);
	ck_assert_uint_eq(cluster_ready(b.c), wanted);
	ck_assert_uint_eq(cluster_alive(b.c), wanted);
	for (uint32_t i = 0; roll && i < wanted; i++)
		ck_assert_uint_eq(
			view(&b, i).worker[0].generation, generation + 1);
	bench_end(&b);
}

#define SEEDS_A_TEST 50

TEST_LOOP(whatever_was_left_becomes_what_is_wanted, 0, 10)
{
	unsigned first = (unsigned)_i * SEEDS_A_TEST;

	for (unsigned seed = first; seed < first + SEEDS_A_TEST; seed++)
		take_over_and_settle(seed);
}

TEST(it_must_come_first)
{
	struct bench b;

	bench_start(&b, bench_settings(), 1);
	ck_assert_int_eq(cluster_adopt_begin(b.c, 2, true, false), -1);
	bench_end(&b);
}
