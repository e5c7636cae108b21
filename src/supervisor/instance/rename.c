/* SPDX-License-Identifier: MIT */
#include "supervisor/instance/instance.h"

#include "base/log.h"
#include "config/config.h"
#include "supervisor/common/registry.h"
#include "supervisor/sockets/sockets.h"
#include "supervisor/common/news.h"
#include "supervisor/common/part.h"

#include <stdlib.h>
#include <string.h>

/* ---- which cluster is which ---- */

struct side {
	struct service *service; /* NULL: a new cluster */
	const struct cluster_settings *settings;
	uint64_t digest;
};

struct match {
	struct side *gone;
	size_t gone_count;
	struct side *fresh;
	size_t fresh_count;
};

/* Is the service missing from the new settings, and not about to stop? */
static bool is_gone(const struct service *s, const struct settings *new)
{
	for (size_t i = 0; i < new->cluster_count; i++)
		if (strcmp(new->clusters[i]->name, s->name) == 0)
			return false;
	return !s->stage.leaving && cluster_state(s->core) != CLUSTER_STOPPING;
}

static void add_side(struct side *list, size_t *count, struct service *service,
	const struct cluster_settings *settings)
{
	list[(*count)++] = (struct side){
		service,
		settings,
		config_digest(settings),
	};
}

static int collect_sides(struct match *m, const struct supervisor *sup, const struct settings *new)
{
	m->gone = calloc(sup->service_count + 1, sizeof(*m->gone));
	m->fresh = calloc(new->cluster_count + 1, sizeof(*m->fresh));
	if (m->gone == NULL || m->fresh == NULL)
		return -1;
	for (size_t i = 0; i < sup->service_count; i++) {
		struct service *s = sup->services[i];

		if (is_gone(s, new))
			add_side(m->gone, &m->gone_count, s, cluster_next_settings(s->core));
	}
	for (size_t i = 0; m->gone_count > 0 && i < new->cluster_count; i++)
		if (service_named(sup, new->clusters[i]->name) == NULL)
			add_side(m->fresh, &m->fresh_count, NULL, new->clusters[i]);
	return 0;
}

static bool shares_address(const struct service *s, const struct cluster_settings *new)
{
	for (size_t i = 0; i < new->listen_count; i++)
		if (listeners_find(&s->sockets.listeners, &new->listen[i]) != NULL ||
			listeners_find(&s->sockets.learned, &new->listen[i]) != NULL)
			return true;
	return false;
}

static unsigned likeness_of(const struct side *gone, const struct side *fresh)
{
	bool same = gone->digest == fresh->digest && gone->digest != 0;

	if (gone->settings->accept != fresh->settings->accept)
		return 0;
	return (shares_address(gone->service, fresh->settings) ? 2U : 0U) + same;
}

/* Are these two more alike than either is to any other cluster? */
static bool is_renamed(const struct match *m, const struct side *gone, const struct side *fresh)
{
	unsigned like = likeness_of(gone, fresh);

	for (size_t i = 0; like > 0 && i < m->gone_count; i++)
		if (&m->gone[i] != gone && likeness_of(&m->gone[i], fresh) >= like)
			return false;
	for (size_t i = 0; like > 0 && i < m->fresh_count; i++)
		if (&m->fresh[i] != fresh && likeness_of(gone, &m->fresh[i]) >= like)
			return false;
	return like > 0;
}

static int pair_sides(struct renamings *r, const struct match *m)
{
	r->list = calloc(m->gone_count + 1, sizeof(*r->list));
	if (r->list == NULL)
		return -1;
	for (size_t g = 0; g < m->gone_count; g++)
		for (size_t f = 0; f < m->fresh_count; f++) {
			struct renaming *to = &r->list[r->count];

			if (!is_renamed(m, &m->gone[g], &m->fresh[f]))
				continue;
			to->service = m->gone[g].service;
			to->name = strdup(m->fresh[f].settings->name);
			if (to->name == NULL)
				return -1;
			r->count++;
		}
	return 0;
}

int rename_find(struct renamings *r, const struct supervisor *sup, const struct settings *new)
{
	struct match m = {0};
	int got = collect_sides(&m, sup, new);

	if (got == 0)
		got = pair_sides(r, &m);
	if (got == -1)
		rename_fini(r);
	free(m.gone);
	free(m.fresh);
	return got;
}

/* ---- the names ---- */

void rename_swap(const struct renamings *r)
{
	for (size_t i = 0; i < r->count; i++) {
		struct renaming *to = &r->list[i];
		char *name = to->service->name;

		to->service->name = to->name;
		to->name = name;
	}
}

void rename_tell(const struct renamings *r)
{
	for (size_t i = 0; i < r->count; i++) {
		struct service *s = r->list[i].service;

		PARTS(renamed, s, r->list[i].name);
		s->sup->orphans.changed = true;
		news_say_of(s, LOG_NOTE, "renamed", "renamed from '%s'", r->list[i].name);
	}
}

void rename_fini(struct renamings *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->list[i].name);
	free(r->list);
	*r = (struct renamings){0};
}
