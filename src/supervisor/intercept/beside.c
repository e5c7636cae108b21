/* SPDX-License-Identifier: MIT */
#include "supervisor/intercept/internal.h"

#include "base/scope.h"
#include "config/expand.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/sockets/sockets.h"
#include "supervisor/workers/child.h"

#include <stdio.h>
#include <unistd.h>

static bool is_shared(const struct child *child, const struct listener *l)
{
	const struct child *other;

	for_each_child (other, children_of(child->service))
		if (other->slot != child->slot && learned_has(other, l))
			return true;
	return false;
}

/* Lists the ports that are to be shared; "": there are none. */
static void list_other_ports(const struct child *child, unsigned port, char *to, size_t size)
{
	const struct listener *l;
	size_t used = 0;

	to[0] = '\0';
	for_each_listener (l, listeners_for(child, LISTENERS_ALL))
		if (l->has_key && l->key.port != port && !l->ranged && !ports_is_late(child, l) &&
			used < size)
			used += (size_t)snprintf(
				to + used, size - used, "%s%u", used > 0 ? " " : "", l->key.port);
}

static void log_shared_port(struct child *child, struct listener *l)
{
	const struct cluster_settings *s = child_settings(child);
	char *const *const words[] = {s->command.list, s->env.list, environ};
	struct listener_walk all = listeners_for(child, LISTENERS_ALL);
	unsigned port = l->key.port;
	bool late = ports_is_late(child, l);
	bool inspects = false;
	bool found = false;
	char others[80];
	char own[160];

	for (size_t i = 0; i < COUNT_OF(words); i++)
		inspects |= slotword_inspects(words[i], port);
	list_other_ports(child, port, others, sizeof(others));
	if (!inspects && ((!late && !l->ranged) || others[0] == '\0' || l == listener_next(&all)))
		return;
	if (!once_say(l->said, ONCE_SHARED) || !news_spares(child))
		return;
	for (size_t i = 0; i < COUNT_OF(words) && !found; i++)
		found = slotword_find(own, sizeof(own), words[i], port);
	if (!found)
		snprintf(own, sizeof(own), "{slot+%u}", port);
	if (inspects)
		news_say_of(child->service, LOG_NOTE, "listening",
			"%s is shared: each request reaches any worker; %s "
			"gives each its own",
			listener_text(l), own);
	else
		news_say_of(child->service, LOG_NOTE, "listening",
			"%s, %s, is shared: each request reaches any worker; "
			"%s gives each its own, or 'share-ports = %s' leaves "
			"it to the program",
			listener_text(l), late ? "opened late" : "taken from a range", own, others);
}

void beside_look(struct child *child)
{
	const struct listener_set *set = &child->service->sockets.learned;

	for (size_t i = 0; i < set->count; i++) {
		struct listener *l = set->list[i];

		if (l->has_key && !once_said(l->said, ONCE_SHARED) && learned_only(l) &&
			child_settings(child) != NULL && learned_has(child, l) &&
			is_shared(child, l))
			log_shared_port(child, l);
	}
}
