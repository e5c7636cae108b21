/* SPDX-License-Identifier: MIT */
#include "logger/source.h"

#include "base/scope.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEWEST 64

/* The worker's index in the list, or where it would be inserted. */
static size_t place_of(const struct source_table *table, uint64_t worker)
{
	size_t from = 0;
	size_t to = table->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (table->list[middle]->worker < worker)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

struct source *source_find(const struct source_table *table, uint64_t worker)
{
	size_t at = place_of(table, worker);

	return at < table->count && table->list[at]->worker == worker ? table->list[at] : NULL;
}

static int make_room(struct source_table *table)
{
	size_t room = table->room > 0 ? 2 * table->room : FEWEST;
	struct source **list;

	if (table->count < table->room)
		return 0;
	list = realloc(table->list, room * sizeof(struct source *));
	if (list == NULL)
		return -1;
	table->list = list;
	table->room = room;
	return 0;
}

struct source *source_get(
	struct source_table *table, uint64_t worker, uint32_t slot, const char *cluster)
{
	struct source *source = source_find(table, worker);
	size_t at = place_of(table, worker);

	if (source != NULL)
		return source;
	source = calloc(1, sizeof(*source));
	if (source == NULL || make_room(table) == -1 ||
		(source->cluster = clusters_get(table->clusters, cluster)) == NULL) {
		free(source);
		return NULL;
	}
	source->cluster->sources++;
	source->worker = worker;
	source->slot = slot;
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++) {
		source->pipes[i].source = source;
		source->pipes[i].fd = -1;
		lines_init(&source->pipes[i].lines);
		buffer_init(&source->pipes[i].rest, 0);
	}
	memmove(table->list + at + 1, table->list + at,
		(table->count++ - at) * sizeof(struct source *));
	table->list[at] = source;
	return source;
}

void sources_rename(struct source_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		table->list[i]->before_len = 0;
}

void source_free(struct source_table *table, struct source *source)
{
	size_t at = place_of(table, source->worker);

	memmove(table->list + at, table->list + at + 1,
		(--table->count - at) * sizeof(struct source *));
	source->cluster->sources--;
	table->clusters->sweep = true;
	buffer_fini(&source->tail.lines);
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++) {
		lines_fini(&source->pipes[i].lines);
		buffer_fini(&source->pipes[i].rest);
	}
	free(source);
}

bool source_is_open(const struct source *source)
{
	return source->pipes[0].fd != -1 || source->pipes[1].fd != -1;
}

unsigned source_width(const struct source *source)
{
	unsigned width = (unsigned)strlen(source->cluster->name) + 2;

	for (uint32_t slot = source->slot; slot > 9; slot /= 10)
		width++;
	return width;
}

static void make_prefix(struct source *source, unsigned width, bool colour)
{
	/* readable on light and dark; red is for errors */
	static const unsigned colours[] = {36, 33, 32, 35, 34, 96};
	unsigned own = source_width(source);
	size_t pick = source->slot;
	char before[16] = "";
	int n;

	for (const char *c = source->cluster->name; *c != '\0'; c++)
		pick += (unsigned char)*c;
	if (colour)
		snprintf(before, sizeof(before), "\x1b[%um", colours[pick % COUNT_OF(colours)]);
	n = snprintf(source->before, SOURCE_PREFIX, "%s%s.%" PRIu32 " %*s|%s ", before,
		source->cluster->name, source->slot, width > own ? (int)(width - own) : 0, "",
		colour ? "\x1b[0m" : "");
	source->before_len = n > 0 && n < SOURCE_PREFIX ? (size_t)n : 0;
	source->before_mark = source->before_len - (colour ? sizeof("|\x1b[0m ") - 1 : 2);
	source->before_width = width;
	source->before_colour = colour;
}

size_t source_prefix(
	struct source *source, const char **to, unsigned width, bool goes_on, bool colour)
{
	if (source->before_len == 0 || source->before_width != width ||
		source->before_colour != colour)
		make_prefix(source, width, colour);
	source->before[source->before_mark] = goes_on ? '+' : '|';
	*to = source->before;
	return source->before_len;
}

/* ---- lines ---- */

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
