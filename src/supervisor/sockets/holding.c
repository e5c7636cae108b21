/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets/sockets.h"

int holding_left_over(struct holding *holding, struct error *err)
{
	int got = 0;

	for (unsigned i = 0; got == 0 && i < part_count; i++)
		if (parts[i]->left_over != NULL)
			got = parts[i]->left_over(holding, err);
	return got;
}

struct listener_walk listeners_of(const struct service *service, enum listener_sets sets)
{
	return (struct listener_walk){.service = service, .sets = sets};
}

struct listener_walk listeners_for(const struct child *child, enum listener_sets sets)
{
	return (struct listener_walk){.service = child->service, .sets = sets, .child = child};
}

/* The next set of listeners; NULL: that was the last one. */
static const struct listener_set *next_set(struct listener_walk *w)
{
	const struct service *s = w->service;

	if (w->set == NULL) {
		if (w->sets != LISTENERS_IN_FORCE)
			w->recipe = s->life.recipes;
		return &s->sockets.listeners;
	}
	if (w->recipe != NULL) {
		const struct recipe *r = w->recipe;

		w->recipe = r->next;
		return &r->listeners;
	}
	return w->sets != LISTENERS_NAMED && w->set != &s->sockets.learned ? &s->sockets.learned
									   : NULL;
}

struct listener *listener_next(struct listener_walk *w)
{
	for (;;) {
		const struct listener_set *set = w->set;
		struct listener *l = NULL;

		if (set != NULL && w->child != NULL)
			l = listeners_at(set, w->child->slot, w->at);
		else if (set != NULL && w->at < set->count)
			l = set->list[w->at];
		if (l != NULL) {
			w->at++;
			return l;
		}
		set = next_set(w);
		if (set == NULL)
			return NULL;
		w->set = set;
		w->at = 0;
	}
}
