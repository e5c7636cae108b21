/* SPDX-License-Identifier: MIT */
#pragma once

#include "unit.h"

#include <stddef.h>

/* The members of a struct that no row of a table has. */
struct gap {
	size_t offset;
	size_t size;
};
#define NOT(type, member) \
	{ \
		offsetof(struct type, member), sizeof(((struct type *)NULL)->member) \
	}

static inline void gaps_mark(char *seen, const struct gap *gaps, size_t count)
{
	for (size_t i = 0; i < count; i++)
		memset(seen + gaps[i].offset, 1, gaps[i].size);
}

/* All of `size` bytes but padding, which is shorter than the member behind it: four bytes
 * before one of eight are taken for that.  There is one more, for the end. */
static inline void gaps_check(char *seen, size_t size, const char *name, const char *file)
{
	size_t from = 0;

	seen[size] = 1;
	for (size_t at = 0; at <= size; at++) {
		size_t align = 8;

		if (seen[at] == 0)
			continue;
		while (at % align != 0)
			align /= 2;
		ck_assert_msg(at - from < align, "struct %s, bytes %zu to %zu: see the head of %s",
			name, from, at, file);
		from = at + 1;
	}
}
