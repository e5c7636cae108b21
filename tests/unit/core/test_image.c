/* SPDX-License-Identifier: MIT */
#include "core/cluster.h"

#include "core/internal.h"
#include "../gaps.h"
#include "core_lib.h"

#include <stdlib.h>
#include <string.h>

/*
 * That a cluster which was carried goes on as one that was not is shown by the
 * simulation (tests/sim/twin.c).  Here: that nothing is forgotten, and that what
 * is no cluster is refused.
 */

/* ---- each member is in a table, or named here ---- */

static void mark(char *seen, const struct plain_table *table, size_t base)
{
	for (uint32_t i = 0; i < table->count; i++) {
		const struct plain_row *row = &table->rows[i];

		if (row->kind == PLAIN_STRUCT)
			mark(seen, row->inner, base + row->offset);
		else
			memset(seen + base + row->offset, 1, row->size);
	}
}

static void check_covered(
	const char *name, const struct plain_table *table, const struct gap *gaps, size_t count)
{
	char *seen = calloc(1, table->size + 1);

	ck_assert_ptr_nonnull(seen);
	mark(seen, table, 0);
	gaps_mark(seen, gaps, count);
	gaps_check(seen, table->size, name, __FILE__);
	free(seen);
}

TEST(no_member_is_forgotten)
{
	static const struct gap cluster[] = {
		NOT(cluster, slots), NOT(cluster, cap), /* as many as there are */
		NOT(cluster, count),                    /* so too */
		NOT(cluster, places), NOT(cluster, released), NOT(cluster, spares), /* counted */
		NOT(cluster, slot_waits), NOT(cluster, out), NOT(cluster, waiting.settings),
		NOT(cluster, generations), NOT(cluster, surprises), /* may be told once more */
	};
	static const struct gap slot[] = {NOT(slot, due)}; /* beside */
	static const struct gap generation[] = {
		NOT(generation, settings), NOT(generation, starting), /* counted */
	};

	check_covered("cluster", &image_tables[IMAGE_CLUSTER], cluster, 11);
	check_covered("slot", &image_tables[IMAGE_SLOT], slot, 1);
	check_covered("generation", &image_tables[IMAGE_GENERATION], generation, 2);
	check_covered("report", &image_report_table, NULL, 0);
}

static void check_tags(const struct plain_table *table)
{
	for (uint32_t i = 0; i < table->count; i++) {
		ck_assert_uint_gt(table->rows[i].tag, 0);
		for (uint32_t k = 0; k < i; k++)
			ck_assert_uint_ne(table->rows[i].tag, table->rows[k].tag);
		if (table->rows[i].kind == PLAIN_STRUCT) {
			ck_assert_uint_eq(table->rows[i].size, table->rows[i].inner->size);
			check_tags(table->rows[i].inner);
		}
	}
}

TEST(numbers_are_given_once)
{
	for (int part = 0; part < IMAGE_PARTS; part++)
		check_tags(&image_tables[part]);
	check_tags(&image_report_table);
}

/* ---- what is no cluster ---- */

static struct cluster *two_slots(void)
{
	struct cluster *c = image_new(2, 1);
	struct cluster *whole;
	struct generation *g;
	struct slot *s;

	ck_assert_ptr_nonnull(c);
	whole = image_add(c, IMAGE_CLUSTER);
	whole->wanted = 2;
	whole->generation = whole->last_generation = 1;
	whole->last_worker = 1;
	whole->alive = whole->ready = 1;
	for (int i = 0; i < 2; i++) {
		s = image_add(c, IMAGE_SLOT);
		s->main.deadline = s->main.proven_at = NSEC_NEVER;
		s->other.deadline = s->other.proven_at = NSEC_NEVER;
	}
	c->slots[0].main.id = 1;
	c->slots[0].main.state = WORKER_READY;
	c->slots[0].main.generation = 1;
	g = image_add(c, IMAGE_GENERATION);
	g->number = 1;
	g->workers = g->serving = 1;
	image_set_settings(c, IMAGE_GENERATION, cluster_settings_ref(b.s));
	return c;
}

TEST(a_sound_one_is_taken)
{
	struct cluster *c = two_slots();

	ck_assert_pstr_eq(image_finish(c), NULL);
	ck_assert_pstr_eq(cluster_check(c), NULL);
	ck_assert_ptr_null(image_add(c, IMAGE_SLOT));
	cluster_free(c);
}

static void spoil(struct cluster *c, int how)
{
	switch (how) {
	case 0:
		c->slots[0].main.generation = 2;
		break;
	case 1:
		c->slots[0].main.id = 9;
		break;
	case 2:
		c->slots[0].main.state = WORKER_ASKED;
		break;
	case 3:
		c->generation = 7;
		break;
	case 4:
		c->last_generation = 0;
		break;
	case 5:
		c->wanted = 3;
		break;
	case 6:
		c->rollout.under_way = true;
		c->rollout.to = 5;
		break;
	case 7:
		image_set_settings(c, IMAGE_GENERATION, NULL);
		break;
	default:
		ck_abort();
	}
}

TEST_LOOP(what_does_not_add_up_is_refused, 0, 8)
{
	struct cluster *c = two_slots();

	spoil(c, _i);
	ck_assert_ptr_nonnull(image_finish(c));
	cluster_free(c);
}

TEST(there_is_a_bound)
{
	ck_assert_ptr_null(image_new(UINT32_MAX, 1));
	ck_assert_ptr_null(image_new(1, UINT32_MAX));
}
