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

/* Is the service missing from the new settings, and not about to stop? */
static bool is_gone(const struct service *s, const struct settings *new)
{
	for (size_t i = 0; i < new->cluster_count; i++)
		if (strcmp(new->clusters[i]->name, s->name) == 0)
			return false;
	return !s->stage.leaving && cluster_state(s->core) != CLUSTER_STOPPING;
}

static bool shares_address(const struct service *s, const struct cluster_settings *new)
{
	for (size_t i = 0; i < new->listen_count; i++)
		if (listeners_find(&s->sockets.listeners, &new->listen[i]) != NULL ||
			listeners_find(&s->sockets.learned, &new->listen[i]) != NULL)
			return true;
	return false;
}

/* How alike are a cluster that is gone from the settings and one that is new there?  0: not, or they
 * are no such two. */
static unsigned likeness_of(
	const struct service *s, const struct cluster_settings *c, const struct settings *new)
{
	const struct cluster_settings *was = cluster_next_settings(s->core);
	uint64_t digest;

	if (!is_gone(s, new) || service_named(s->sup, c->name) != NULL || was->accept != c->accept)
		return 0;
	digest = config_digest(was);
	return (shares_address(s, c) ? 2U : 0U) + (digest != 0 && digest == config_digest(c));
}

/* Are these two more alike than either is to any other cluster? */
static bool is_renamed(
	const struct service *s, const struct cluster_settings *c, const struct settings *new)
{
	const struct supervisor *sup = s->sup;
	unsigned like = likeness_of(s, c, new);

	for (size_t i = 0; like > 0 && i < sup->service_count; i++)
		if (sup->services[i] != s && likeness_of(sup->services[i], c, new) >= like)
			return false;
	for (size_t i = 0; like > 0 && i < new->cluster_count; i++)
		if (new->clusters[i] != c && likeness_of(s, new->clusters[i], new) >= like)
			return false;
	return like > 0;
}

int rename_find(struct renamings *r, const struct supervisor *sup, const struct settings *new)
{
	r->list = calloc(sup->service_count + 1, sizeof(*r->list));
	if (r->list == NULL)
		return -1;
	for (size_t i = 0; i < sup->service_count * new->cluster_count; i++) {
		struct service *s = sup->services[i / new->cluster_count];
		const struct cluster_settings *c = new->clusters[i % new->cluster_count];

		if (!is_renamed(s, c, new))
			continue;
		r->list[r->count].service = s;
		r->list[r->count].name = strdup(c->name);
		if (r->list[r->count].name == NULL) {
			rename_fini(r);
			return -1;
		}
		r->count++;
	}
	return 0;
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
