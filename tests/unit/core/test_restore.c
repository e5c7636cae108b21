/* SPDX-License-Identifier: MIT */
#include "core/cluster.h"

#include "core/adopt.h"
#include "core/internal.h"
#include "core_lib.h"

/*
 * That a cluster which was carried goes on as one that was not is shown by the
 * simulation (tests/sim/twin.c); that nothing is forgotten by tests/unit/upgrade.
 * Here: that what is no cluster is refused.
 */

static struct cluster *two_slots(void)
{
	struct cluster *c = cluster_new(b.s, 2, 1);

	ck_assert_ptr_nonnull(c);
	worker_init(&c->slots[0].main, 1, 1);
	c->slots[0].main.state = WORKER_READY;
	c->last_worker = 1;
	c->alive = c->ready = 1;
	c->generations.list[0].workers = c->generations.list[0].serving = 1;
	return c;
}

TEST(a_sound_one_is_taken)
{
	struct cluster *c = two_slots();

	ck_assert_pstr_eq(cluster_restore(c), NULL);
	ck_assert_pstr_eq(cluster_check(c), NULL);
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
	default:
		ck_abort();
	}
}

TEST_LOOP(what_does_not_add_up_is_refused, 0, 6)
{
	struct cluster *c = two_slots();

	spoil(c, _i);
	ck_assert_ptr_nonnull(cluster_restore(c));
	cluster_free(c);
}
