/* SPDX-License-Identifier: MIT */
#include "core/generation.h"

#include "base/scope.h"

#include <assert.h>
#include <stdlib.h>

int generations_reserve(struct generations *g, unsigned count)
{
	struct generation *list;

	if (count <= g->cap)
		return 0;
	list = realloc(g->list, count * sizeof(*list));
	if (list == NULL)
		return -1;
	g->list = list;
	g->cap = count;
	return 0;
}

void generations_fini(struct generations *g)
{
	for (unsigned i = 0; i < g->count; i++)
		cluster_settings_unref(g->list[i].settings);
	free(g->list);
	*g = (struct generations){0};
}

struct generation *generations_add(
	struct generations *g, unsigned number, struct cluster_settings *settings)
{
	struct generation *added;

	assert(g->count < g->cap);
	assert(g->count == 0 || g->list[g->count - 1].number < number);
	added = &g->list[g->count++];
	*added = (struct generation){.number = number, .settings = settings};
	return added;
}

struct generation *generations_find(const struct generations *g, unsigned number)
{
	return array_find(its, g->list, g->count, its->number == number);
}

unsigned generations_next(const struct generations *g, unsigned number)
{
	const struct generation *next =
		array_find(its, g->list, g->count, its->number > number && its->workers > 0);

	return next != NULL ? next->number : 0;
}

void generations_replace(struct generations *g, const struct cluster_settings *old,
	struct cluster_settings *settings)
{
	for (unsigned i = 0; i < g->count; i++) {
		struct cluster_settings *was = g->list[i].settings;

		if (was != old)
			continue;
		g->list[i].settings = cluster_settings_ref(settings);
		cluster_settings_unref(was);
	}
}

void generations_learn(struct generations *g, unsigned number, enum lesson lesson)
{
	const struct generation *from = generations_find(g, number);
	unsigned command;

	assert(from != NULL);
	command = from->command;
	for (unsigned i = 0; i < g->count; i++)
		if (g->list[i].command == command)
			g->list[i].knows[lesson] = true;
}

void generations_forget(struct generations *g, unsigned keep, unsigned keep_too)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < g->count; i++) {
		const struct generation *it = &g->list[i];

		if (it->workers > 0 || it->number == keep || it->number == keep_too)
			g->list[kept++] = *it;
		else
			cluster_settings_unref(it->settings);
	}
	g->count = kept;
}
