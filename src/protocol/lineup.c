/* SPDX-License-Identifier: MIT */
#include "protocol/lineup.h"

#include <stdlib.h>
#include <string.h>

void lineup_init(struct lineup *l, size_t most)
{
	*l = (struct lineup){.most = most};
	buffer_init(&l->part, most);
}

static void end_part(struct lineup *l)
{
	buffer_fini(&l->part);
	l->whole = false;
}

static void end_data(struct lineup *l)
{
	free(l->kept);
	l->kept = NULL;
	l->left = 0;
}

void lineup_fini(struct lineup *l)
{
	end_part(l);
	end_data(l);
}

void lineup_begin(struct lineup *l, const char *data, size_t len)
{
	l->at = data;
	l->left = len;
}

/* Append to the unfinished line; if it gets too long, none of it is kept. */
static void add_part(struct lineup *l, size_t len)
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
	if (l->whole)
		end_part(l);
	while (l->left > 0) {
		const char *end = memchr(l->at, '\n', l->left);
		size_t n = end != NULL ? (size_t)(end - l->at) : l->left;

		if (end != NULL && l->part.len == 0 && !l->skipping && n <= l->most) {
			*line = l->at;
			*len = n;
			advance(l, n + 1);
			return true;
		}
		add_part(l, n);
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
	end_data(l);
	return false;
}

bool lineup_keep(struct lineup *l)
{
	if (l->left == 0)
		return false;
	if (l->kept == NULL) {
		l->kept = malloc(l->left);
		if (l->kept == NULL)
			return false;
		l->at = memcpy(l->kept, l->at, l->left);
	}
	if (l->whole)
		end_part(l);
	return true;
}
