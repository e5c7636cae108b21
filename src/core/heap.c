/* SPDX-License-Identifier: MIT */
#include "core/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Grow an array; out of memory, the old one stays valid.  Pages that are never used
 * take no memory. */
static int grow_array(void **array, size_t size, uint32_t to)
{
	void *grown = realloc(*array, size * to);

	if (grown == NULL)
		return -1;
	*array = grown;
	return 0;
}

int heap_reserve(struct heap *h, uint32_t slots)
{
	void *order = h->order;
	void *where = h->where;
	void *due = h->due;
	int failed = 0;

	if (slots <= h->cap)
		return 0;
	failed |= grow_array(&order, sizeof(*h->order), slots);
	failed |= grow_array(&where, sizeof(*h->where), slots);
	failed |= grow_array(&due, sizeof(*h->due), slots);
	h->order = order;
	h->where = where;
	h->due = due;
	if (failed != 0)
		return -1;
	memset(h->where + h->cap, 0, sizeof(*h->where) * (slots - h->cap));
	h->cap = slots;
	return 0;
}

void heap_fini(struct heap *h)
{
	free(h->order);
	free(h->where);
	free(h->due);
	*h = (struct heap){0};
}

static int is_before(const struct heap *h, uint32_t a, uint32_t b)
{
	if (h->due[a] != h->due[b])
		return h->due[a] < h->due[b];
	return a < b;
}

static void put_at(struct heap *h, uint32_t place, uint32_t slot)
{
	h->order[place] = slot;
	h->where[slot] = place + 1;
}

static void move_up(struct heap *h, uint32_t place)
{
	uint32_t slot = h->order[place];

	while (place > 0) {
		uint32_t above = (place - 1) / 2;

		if (!is_before(h, slot, h->order[above]))
			break;
		put_at(h, place, h->order[above]);
		place = above;
	}
	put_at(h, place, slot);
}

static void move_down(struct heap *h, uint32_t place)
{
	uint32_t slot = h->order[place];

	for (;;) {
		uint32_t below = 2 * place + 1;

		if (below >= h->count)
			break;
		if (below + 1 < h->count && is_before(h, h->order[below + 1], h->order[below]))
			below++;
		if (!is_before(h, h->order[below], slot))
			break;
		put_at(h, place, h->order[below]);
		place = below;
	}
	put_at(h, place, slot);
}

static void take_out(struct heap *h, uint32_t slot)
{
	uint32_t place = h->where[slot] - 1;
	uint32_t last = h->order[--h->count];

	h->where[slot] = 0;
	if (last == slot)
		return;
	put_at(h, place, last);
	move_up(h, place);
	move_down(h, h->where[last] - 1);
}

void heap_set(struct heap *h, uint32_t slot, nsec_t due)
{
	assert(slot < h->cap);
	if (due == NSEC_NEVER) {
		if (h->where[slot] != 0)
			take_out(h, slot);
		return;
	}
	h->due[slot] = due;
	if (h->where[slot] == 0)
		put_at(h, h->count++, slot);
	move_up(h, h->where[slot] - 1);
	move_down(h, h->where[slot] - 1);
}

nsec_t heap_due(const struct heap *h, uint32_t slot)
{
	return h->where[slot] == 0 ? NSEC_NEVER : h->due[slot];
}

nsec_t heap_first_due(const struct heap *h)
{
	return h->count == 0 ? NSEC_NEVER : h->due[h->order[0]];
}

uint32_t heap_first(const struct heap *h)
{
	assert(h->count > 0);
	return h->order[0];
}
