/* SPDX-License-Identifier: MIT */
#include "logger/source.h"

#include "base/text.h"

#include <string.h>

/* Arguments of one lines_split(), for each step. */
struct split {
	struct lines *lines;
	lines_take *take;
	void *context;
};

void lines_init(struct lines *lines)
{
	buffer_init(&lines->part, LINES_MAX);
	lines->cut = false;
}

void lines_fini(struct lines *lines)
{
	buffer_fini(&lines->part);
}

static void hand_on(const struct split *s, const char *text, size_t len, bool ends, size_t behind)
{
	struct line line = {
		.text = text,
		.len = len,
		.goes_on = s->lines->cut,
		.ends = ends,
		.behind = behind,
	};

	s->take(s->context, &line);
}

/* Hand on a piece of a line that goes on. */
static void hand_on_piece(const struct split *s, const char *text, size_t len, size_t behind)
{
	if (len == 0)
		return;
	hand_on(s, text, len, false, behind);
	s->lines->cut = true;
}

/* Where to cut `len` bytes: not inside of a character. */
static size_t cut_at(const char *text, size_t len)
{
	for (size_t back = 1; back <= 3 && back < len; back++) {
		unsigned char c = (unsigned char)text[len - back];

		if ((c & 0xc0) == 0x80)
			continue;
		if (c >= 0xc0 && text_utf8(text + len - back, back) == 0)
			return len - back;
		break;
	}
	return len;
}

/* Hand on a full piece of the kept part and the bytes behind it; returns how many of
 * these were used. */
static size_t take_joined(const struct split *s, const char *text, size_t len, size_t behind)
{
	size_t room = LINES_MAX - s->lines->part.len;
	size_t cut;

	if (buffer_append(&s->lines->part, text, room) == -1)
		room = 0;
	/* out of memory: hand on a shorter piece */
	cut = cut_at(s->lines->part.data, s->lines->part.len);
	hand_on_piece(s, s->lines->part.data, cut, behind + len - room);
	buffer_consume(&s->lines->part, cut);
	return room;
}

/* Hand on a full piece straight from what was read. */
static size_t take_direct(const struct split *s, const char *text, size_t len, size_t behind)
{
	size_t cut = cut_at(text, LINES_MAX);

	hand_on_piece(s, text, cut, behind + len - cut);
	return cut;
}

/* Take bytes of one line; `behind` were read after them. */
static void take_bytes(
	const struct split *s, const char *text, size_t len, bool ended, size_t behind)
{
	while (s->lines->part.len + len > LINES_MAX) {
		size_t used = s->lines->part.len > 0 ? take_joined(s, text, len, behind)
						     : take_direct(s, text, len, behind);

		text += used;
		len -= used;
	}
	if (ended && s->lines->part.len == 0) {
		hand_on(s, text, len, true, behind);
	} else if (buffer_append(&s->lines->part, text, len) == -1) {
		hand_on_piece(s, s->lines->part.data, s->lines->part.len, behind + len);
		hand_on_piece(s, text, len, behind);
		buffer_clear(&s->lines->part);
	} else if (ended) {
		hand_on(s, s->lines->part.data, s->lines->part.len, true, behind);
	}
	if (ended)
		s->lines->cut = false;
}

void lines_split(struct lines *lines, const char *data, size_t len, lines_take *take, void *context)
{
	const struct split s = {lines, take, context};

	while (len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t n = end != NULL ? (size_t)(end - data) : len;
		size_t used = end != NULL ? n + 1 : n;

		take_bytes(&s, data, n, end != NULL, len - used);
		if (end != NULL)
			buffer_fini(&lines->part);
		data += used;
		len -= used;
	}
}

void lines_end(struct lines *lines, lines_take *take, void *context)
{
	const struct split s = {lines, take, context};

	if (lines->part.len > 0)
		hand_on(&s, lines->part.data, lines->part.len, true, 0);
	lines->cut = false;
	buffer_fini(&lines->part);
}
