/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets/holding.h"

int holding_left_over(struct holding *holding, struct error *err)
{
	int got = 0;

	for (unsigned i = 0; got == 0 && i < part_count; i++)
		if (parts[i]->left_over != NULL)
			got = parts[i]->left_over(holding, err);
	return got;
}

/* The next set to walk through; NULL: that was the last one. */
static const struct listener_set *next_set(struct listener_walk *w)
{
	const struct service *s = w->service;

	if (w->set == NULL) {
		if (w->sets != LISTENERS_IN_FORCE)
			w->recipe = s->life.recipes;
		return &s->held.listeners;
	}
	if (w->recipe != NULL) {
		const struct recipe *r = w->recipe;

		w->recipe = r->next;
		return &r->listeners;
	}
	return w->sets != LISTENERS_NAMED && w->set != &s->held.learned
		? &s->held.learned
		: NULL;
}

struct listener *listener_next(struct listener_walk *w)
{
	while (w->set == NULL || w->at >= w->set->count) {
		const struct listener_set *set = next_set(w);

		if (set == NULL)
			return NULL;
		w->set = set;
		w->at = 0;
	}
	return w->set->list[w->at++];
}
