/* SPDX-License-Identifier: MIT */
#include "core/internal.h"

#include <assert.h>
#include <stdlib.h>

/* Out of memory, the old array stays valid.  Pages that are never used take no memory. */
int heap_reserve(struct heap *h, uint32_t slots)
{
	struct heap_entry *at;

	if (slots <= h->cap)
		return 0;
	at = realloc(h->at, slots * sizeof(*at));
	if (at == NULL)
		return -1;
	h->at = at;
	for (; h->cap < slots; h->cap++)
		at[h->cap].where = 0;
	return 0;
}

void heap_fini(struct heap *h)
{
	free(h->at);
	*h = (struct heap){0};
}

static int is_before(const struct heap *h, uint32_t a, uint32_t b)
{
	if (h->at[a].due != h->at[b].due)
		return h->at[a].due < h->at[b].due;
	return a < b;
}

static void put_at(struct heap *h, uint32_t place, uint32_t slot)
{
	h->at[place].order = slot;
	h->at[slot].where = place + 1;
}

static void move_up(struct heap *h, uint32_t place)
{
	uint32_t slot = h->at[place].order;

	while (place > 0) {
		uint32_t above = (place - 1) / 2;

		if (!is_before(h, slot, h->at[above].order))
			break;
		put_at(h, place, h->at[above].order);
		place = above;
	}
	put_at(h, place, slot);
}

static void move_down(struct heap *h, uint32_t place)
{
	uint32_t slot = h->at[place].order;

	for (;;) {
		uint32_t below = 2 * place + 1;

		if (below >= h->count)
			break;
		if (below + 1 < h->count &&
			is_before(h, h->at[below + 1].order, h->at[below].order))
			below++;
		if (!is_before(h, h->at[below].order, slot))
			break;
		put_at(h, place, h->at[below].order);
		place = below;
	}
	put_at(h, place, slot);
}

static void take_out(struct heap *h, uint32_t slot)
{
	uint32_t place = h->at[slot].where - 1;
	uint32_t last = h->at[--h->count].order;

	h->at[slot].where = 0;
	if (last == slot)
		return;
	put_at(h, place, last);
	move_up(h, place);
	move_down(h, h->at[last].where - 1);
}

void heap_set(struct heap *h, uint32_t slot, nsec_t due)
{
	assert(slot < h->cap);
	if (due == NSEC_NEVER) {
		if (h->at[slot].where != 0)
			take_out(h, slot);
		return;
	}
	h->at[slot].due = due;
	if (h->at[slot].where == 0)
		put_at(h, h->count++, slot);
	move_up(h, h->at[slot].where - 1);
	move_down(h, h->at[slot].where - 1);
}

nsec_t heap_due(const struct heap *h, uint32_t slot)
{
	return h->at[slot].where == 0 ? NSEC_NEVER : h->at[slot].due;
}

nsec_t heap_first_due(const struct heap *h)
{
	return h->count == 0 ? NSEC_NEVER : h->at[h->at[0].order].due;
}

uint32_t heap_first(const struct heap *h)
{
	assert(h->count > 0);
	return h->at[0].order;
}
