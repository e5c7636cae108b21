/* SPDX-License-Identifier: MIT */
#include "logger/source.h"

#include "base/scope.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEWEST 64
#define PARTS_MOST ((size_t)1024 * 1024) /* of unfinished lines, in a cluster */

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
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++)
		buffer_fini(&source->pipes[i].lines.part);
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
	bool newline; /* lines end by one, and not with the pipe */
	lines_take *take;
	void *context;
};

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

/* Hand on bytes of a line in pieces; `behind` were read after them. */
static void hand_on(const struct split *s, const char *text, size_t len, bool ended, size_t behind)
{
	while (len > 0 || ended) {
		size_t n = len > LINES_MAX ? cut_at(text, LINES_MAX) : len;
		const struct line line = {
			.text = text,
			.len = n,
			.goes_on = s->lines->cut,
			.ends = ended && n == len,
			.newline = ended && n == len && s->newline,
			.behind = behind + len - n,
		};

		s->take(s->context, &line);
		s->lines->cut = !line.ends;
		ended = ended && !line.ends;
		text += n;
		len -= n;
	}
}

/* Keep the bytes of a line without its end, or hand them on if they are too many. */
static void keep_part(const struct split *s, const char *text, size_t len, size_t most)
{
	struct buffer *part = &s->lines->part;

	if (part->len + len <= most && buffer_append(part, text, len) == 0)
		return;
	hand_on(s, part->data, part->len, false, len);
	buffer_fini(part);
	hand_on(s, text, len, false, 0);
}

/* The kept part's line ends with these bytes. */
static void end_part(const struct split *s, const char *text, size_t len, size_t behind)
{
	struct buffer *part = &s->lines->part;

	if (buffer_append(part, text, len) == 0) {
		hand_on(s, part->data, part->len, true, behind);
	} else {
		hand_on(s, part->data, part->len, false, behind + len);
		hand_on(s, text, len, true, behind);
	}
	buffer_fini(part);
}

void lines_split(struct lines *lines, const char *data, size_t len, size_t most, lines_take *take,
	void *context)
{
	const struct split s = {lines, true, take, context};
	const char *end;

	while (len > 0 && (end = memchr(data, '\n', len)) != NULL) {
		size_t n = (size_t)(end - data);

		len -= n + 1;
		if (lines->part.len > 0)
			end_part(&s, data, n, len);
		else
			hand_on(&s, data, n, true, len);
		data = end + 1;
	}
	if (len > 0)
		keep_part(&s, data, len, most);
}

void lines_end(struct lines *lines, lines_take *take, void *context)
{
	const struct split s = {lines, false, take, context};

	if (lines->part.len > 0)
		end_part(&s, NULL, 0, 0);
	lines->cut = false;
}

/* How much of the pipe's line may be kept: at most half of what the cluster's other pipes leave,
 * so that there is always some for one more. */
static size_t part_most(const struct source_pipe *pipe)
{
	size_t others = pipe->source->cluster->parts - pipe->lines.part.len;
	size_t most = others < PARTS_MOST ? (PARTS_MOST - others) / 2 : 0;

	if (most > LINES_WHOLE)
		return LINES_WHOLE;
	return most > LINES_MAX ? most : LINES_MAX;
}

void source_split(
	struct source_pipe *pipe, const char *data, size_t len, lines_take *take, void *context)
{
	struct cluster *c = pipe->source->cluster;
	size_t most = part_most(pipe);

	c->parts -= pipe->lines.part.len;
	lines_split(&pipe->lines, data, len, most, take, context);
	c->parts += pipe->lines.part.len;
}

void source_end_lines(struct source_pipe *pipe, lines_take *take, void *context)
{
	pipe->source->cluster->parts -= pipe->lines.part.len;
	lines_end(&pipe->lines, take, context);
}
