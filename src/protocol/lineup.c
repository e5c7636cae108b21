/* SPDX-License-Identifier: MIT */
#include "protocol/lineup.h"

#include <string.h>

void lineup_init(struct lineup *l, size_t most)
{
	*l = (struct lineup){.most = most};
	buffer_init(&l->part, most);
}

void lineup_fini(struct lineup *l)
{
	buffer_fini(&l->part);
	l->whole = false;
	l->left = 0;
}

void lineup_begin(struct lineup *l, const char *data, size_t len)
{
	l->at = data;
	l->left = len;
}

/* Add to the line that was begun; too long, and none of it is kept. */
static void add(struct lineup *l, size_t len)
{
	if (!l->skipping && buffer_append(&l->part, l->at, len) == -1) {
		l->skipping = true;
		l->skipped++;
		buffer_fini(&l->part);
	}
}

static void advance(struct lineup *l, size_t len)
{
	l->at += len;
	l->left -= len;
}

bool lineup_next(struct lineup *l, const char **line, size_t *len)
{
	if (l->whole) {
		buffer_fini(&l->part);
		l->whole = false;
	}
	while (l->left > 0) {
		const char *end = memchr(l->at, '\n', l->left);
		size_t n = end != NULL ? (size_t)(end - l->at) : l->left;

		if (end != NULL && l->part.len == 0 && !l->skipping &&
			n <= l->most) {
			*line = l->at;
			*len = n;
			advance(l, n + 1);
			return true;
		}
		add(l, n);
		advance(l, n + (end != NULL));
		if (end == NULL)
			break;
		if (l->skipping) {
			l->skipping = false;
			continue;
		}
		*line = l->part.data;
		*len = l->part.len;
		l->whole = true;
		return true;
	}
	return false;
}
