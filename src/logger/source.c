/* SPDX-License-Identifier: MIT */
#include "logger/source.h"

#include "base/scope.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEWEST_BUCKETS 64

void source_table_init(struct source_table *table)
{
	*table = (struct source_table){0};
}

void source_table_fini(struct source_table *table)
{
	free(table->buckets);
	source_table_init(table);
}

/* Ids only grow, so that their low bits spread evenly. */
static struct source **bucket(const struct source_table *table, uint64_t worker)
{
	return &table->buckets[worker & (table->size - 1)];
}

struct source *source_find(const struct source_table *table, uint64_t worker)
{
	struct source *source = NULL;

	if (table->size > 0)
		source = *bucket(table, worker);
	while (source != NULL && source->worker != worker)
		source = source->next;
	return source;
}

static int grow(struct source_table *table)
{
	struct source_table wider = {
		.size = table->size > 0 ? 2 * table->size : FEWEST_BUCKETS,
		.count = table->count,
	};

	wider.buckets = calloc(wider.size, sizeof(struct source *));
	if (wider.buckets == NULL)
		return -1;
	for (size_t i = 0; i < table->size; i++) {
		struct source *source = table->buckets[i];

		while (source != NULL) {
			struct source *next = source->next;
			struct source **to = bucket(&wider, source->worker);

			source->next = *to;
			*to = source;
			source = next;
		}
	}
	free(table->buckets);
	*table = wider;
	return 0;
}

struct source *source_new(struct source_table *table, uint64_t worker,
	uint32_t slot, const char *cluster)
{
	struct source *source = calloc(1, sizeof(*source));
	struct source **to;

	if (source == NULL)
		return NULL;
	if (table->count >= table->size && grow(table) == -1) {
		free(source);
		return NULL;
	}
	source->worker = worker;
	source->slot = slot;
	(void)text_copy(source->cluster, sizeof(source->cluster), cluster);
	tail_init(&source->tail);
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++) {
		source->pipes[i].source = source;
		source->pipes[i].fd = -1;
		lines_init(&source->pipes[i].lines);
	}
	to = bucket(table, worker);
	source->next = *to;
	*to = source;
	table->count++;
	return source;
}

void source_free(struct source_table *table, struct source *source)
{
	struct source **at = bucket(table, source->worker);

	while (*at != source)
		at = &(*at)->next;
	*at = source->next;
	table->count--;
	tail_fini(&source->tail);
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++)
		lines_fini(&source->pipes[i].lines);
	free(source);
}

struct source *source_any(const struct source_table *table)
{
	for (size_t i = 0; i < table->size; i++)
		if (table->buckets[i] != NULL)
			return table->buckets[i];
	return NULL;
}

bool source_is_open(const struct source *source)
{
	return source->pipes[0].fd != -1 || source->pipes[1].fd != -1;
}

size_t source_prefix(const struct source *source, char to[SOURCE_PREFIX],
	bool goes_on, bool colour)
{
	/* readable on light and dark; red is for errors */
	static const unsigned colours[] = {36, 33, 32, 35, 34, 96};
	size_t pick = source->slot;
	int n;

	for (const char *c = source->cluster; *c != '\0'; c++)
		pick += (unsigned char)*c;
	if (colour)
		n = snprintf(to, SOURCE_PREFIX,
			"\x1b[%um%s.%" PRIu32 " %c\x1b[0m ",
			colours[pick % COUNT_OF(colours)], source->cluster,
			source->slot, goes_on ? '+' : '|');
	else
		n = snprintf(to, SOURCE_PREFIX, "%s.%" PRIu32 " %c ",
			source->cluster, source->slot, goes_on ? '+' : '|');
	return n > 0 && n < SOURCE_PREFIX ? (size_t)n : 0;
}
