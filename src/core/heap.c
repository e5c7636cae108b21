/* SPDX-License-Identifier: MIT */
#include "core/heap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Grow one of the arrays; the old one stays good where there is no memory.  What
 * is never in use takes none. */
static int grow(void **array, size_t size, uint32_t to)
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
	failed |= grow(&order, sizeof(*h->order), slots);
	failed |= grow(&where, sizeof(*h->where), slots);
	failed |= grow(&due, sizeof(*h->due), slots);
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

static void put(struct heap *h, uint32_t place, uint32_t slot)
{
	h->order[place] = slot;
	h->where[slot] = place + 1;
}

static void rise(struct heap *h, uint32_t place)
{
	uint32_t slot = h->order[place];

	while (place > 0) {
		uint32_t above = (place - 1) / 2;

		if (!is_before(h, slot, h->order[above]))
			break;
		put(h, place, h->order[above]);
		place = above;
	}
	put(h, place, slot);
}

static void sink(struct heap *h, uint32_t place)
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
		put(h, place, h->order[below]);
		place = below;
	}
	put(h, place, slot);
}

static void take_out(struct heap *h, uint32_t slot)
{
	uint32_t place = h->where[slot] - 1;
	uint32_t last = h->order[--h->count];

	h->where[slot] = 0;
	if (last == slot)
		return;
	put(h, place, last);
	rise(h, place);
	sink(h, h->where[last] - 1);
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
		put(h, h->count++, slot);
	rise(h, h->where[slot] - 1);
	sink(h, h->where[slot] - 1);
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
