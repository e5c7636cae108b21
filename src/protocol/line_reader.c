/* SPDX-License-Identifier: MIT */
#include "protocol/line_reader.h"

#include <string.h>

void line_reader_init(struct line_reader *l, size_t most)
{
	*l = (struct line_reader){.most = most};
	buffer_init(&l->part, most);
}

static void end_part(struct line_reader *l)
{
	buffer_fini(&l->part);
	l->whole = false;
}

void line_reader_fini(struct line_reader *l)
{
	end_part(l);
	l->left = 0;
}

void line_reader_begin(struct line_reader *l, const char *data, size_t len)
{
	l->at = data;
	l->left = len;
}

static void drop_bytes(struct line_reader *l, size_t len)
{
	l->at += len;
	l->left -= len;
}

bool line_reader_next(struct line_reader *l, const char **line, size_t *len)
{
	if (l->whole)
		end_part(l);
	while (l->left > 0) {
		const char *end = memchr(l->at, '\n', l->left);
		size_t n = end != NULL ? (size_t)(end - l->at) : l->left;

		if (end != NULL && l->part.len == 0 && !l->skipping && n <= l->most) {
			*line = l->at;
			*len = n;
			drop_bytes(l, n + 1);
			return true;
		}
		/* Append to the unfinished line; if it gets too long, none of it is kept. */
		if (!l->skipping && buffer_append(&l->part, l->at, n) == -1) {
			l->skipping = true;
			l->skipped++;
			buffer_fini(&l->part);
		}
		drop_bytes(l, n + (end != NULL));
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
