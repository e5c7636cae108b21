/* SPDX-License-Identifier: MIT */
#include "logger/source.h"

#include "base/scope.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEWEST 64

/* Where a worker stands in the list, or would stand. */
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

	return at < table->count && table->list[at]->worker == worker
		? table->list[at]
		: NULL;
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

static struct source_group *join_group(
	struct source_table *table, const char *cluster)
{
	struct source_group *group = table->groups;

	while (group != NULL && strcmp(group->cluster, cluster) != 0)
		group = group->next;
	if (group == NULL) {
		group = calloc(1, sizeof(*group));
		if (group == NULL)
			return NULL;
		(void)text_copy(
			group->cluster, sizeof(group->cluster), cluster);
		group->next = table->groups;
		table->groups = group;
	}
	group->count++;
	return group;
}

static void leave_group(struct source_table *table, struct source_group *group)
{
	struct source_group **at = &table->groups;

	if (--group->count > 0)
		return;
	while (*at != group)
		at = &(*at)->next;
	*at = group->next;
	free(group);
}

struct source *source_get(struct source_table *table, uint64_t worker,
	uint32_t slot, const char *cluster)
{
	struct source *source = source_find(table, worker);
	size_t at = place_of(table, worker);

	if (source != NULL)
		return source;
	source = calloc(1, sizeof(*source));
	if (source == NULL || make_room(table) == -1 ||
		(source->group = join_group(table, cluster)) == NULL) {
		free(source);
		return NULL;
	}
	source->cluster = source->group->cluster;
	source->worker = worker;
	source->slot = slot;
	tail_init(&source->tail);
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++) {
		source->pipes[i].source = source;
		source->pipes[i].fd = -1;
		lines_init(&source->pipes[i].lines);
	}
	(void)memmove(table->list + at + 1, table->list + at,
		(table->count++ - at) * sizeof(struct source *));
	table->list[at] = source;
	return source;
}

void source_free(struct source_table *table, struct source *source)
{
	size_t at = place_of(table, source->worker);

	(void)memmove(table->list + at, table->list + at + 1,
		(--table->count - at) * sizeof(struct source *));
	leave_group(table, source->group);
	tail_fini(&source->tail);
	for (size_t i = 0; i < COUNT_OF(source->pipes); i++)
		lines_fini(&source->pipes[i].lines);
	free(source);
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
	char before[16] = "";
	int n;

	for (const char *c = source->cluster; *c != '\0'; c++)
		pick += (unsigned char)*c;
	if (colour)
		(void)snprintf(before, sizeof(before), "\x1b[%um",
			colours[pick % COUNT_OF(colours)]);
	n = snprintf(to, SOURCE_PREFIX, "%s%s.%" PRIu32 " %c%s ", before,
		source->cluster, source->slot, goes_on ? '+' : '|',
		colour ? "\x1b[0m" : "");
	return n > 0 && n < SOURCE_PREFIX ? (size_t)n : 0;
}
