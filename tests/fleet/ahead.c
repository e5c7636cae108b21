/* SPDX-License-Identifier: MIT */
#include "fleet.h"

#include "core/slot.h"

#include <math.h>
#include <stdlib.h>

static bool is_sooner(const struct thing *a, const struct thing *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void ahead_add(struct fleet *f, nsec_t at, struct thing thing)
{
	size_t place = f->thing_count++;

	if (f->thing_count > f->thing_room) {
		f->thing_room = 2 * f->thing_room + 1024;
		f->things = reallocarray(f->things, f->thing_room, sizeof(*f->things));
		if (f->things == NULL)
			abort();
	}
	thing.at = at;
	thing.order = f->thing_order++;
	while (place > 0 && is_sooner(&thing, &f->things[(place - 1) / 2])) {
		f->things[place] = f->things[(place - 1) / 2];
		place = (place - 1) / 2;
	}
	f->things[place] = thing;
}

struct thing ahead_take(struct fleet *f)
{
	struct thing first = f->things[0];
	struct thing last = f->things[--f->thing_count];
	size_t place = 0;

	for (;;) {
		size_t below = 2 * place + 1;

		if (below >= f->thing_count)
			break;
		if (below + 1 < f->thing_count &&
			is_sooner(&f->things[below + 1], &f->things[below]))
			below++;
		if (!is_sooner(&f->things[below], &last))
			break;
		f->things[place] = f->things[below];
		place = below;
	}
	f->things[place] = last;
	return first;
}

nsec_t ahead_span(struct fleet *f, nsec_t least, nsec_t most)
{
	return least + (nsec_t)(random_next(&f->random) % (uint64_t)(most - least + 1));
}

nsec_t ahead_life(struct fleet *f, nsec_t mean)
{
	double chance = (double)(1 + (random_next(&f->random) >> 12)) / (double)(UINT64_C(1) << 52);

	return (nsec_t)(-log(chance) * (double)mean) + 1;
}
