/* SPDX-License-Identifier: MIT */
#include "supervisor/health/away.h"

#include "os/look/waits_for_client.h"
#include "supervisor/health/health.h"
#include "supervisor/health/sight.h"
#include "supervisor/sockets/group.h"

static bool is_listener(const void *context, uint64_t inode)
{
	return group_has_inode(context, inode);
}

/* Does no process of the worker wait for connections, though a process should? */
static bool is_away(const struct child *child, const struct listener *l, const struct sight *sight)
{
	/* connections come to a Node worker by its channel (node.h) */
	bool should = child->node != NULL;
	bool denied = false;

	if (sight->traced)
		return false;
	for (size_t i = 0; i < sight->tree_count; i++) {
		struct remote r;

		remote_of(&r, sight->tree[i]);
		switch (waits_for_client(&r, is_listener, l, &denied)) {
		case AWAITS_CONNECTION:
			return false;
		case AWAITS_NOTHING:
			should = true;
			break;
		case AWAITS_UNKNOWN:
			break;
		}
	}
	return should && !denied;
}

bool away_look(struct child *child, const struct listener *l, nsec_t patience, nsec_t now)
{
	struct health *h = child->health;
	struct sight sight = {.cpu = 0};
	uint64_t print;
	bool unmoved;

	sight_processes(&sight, child);
	if (!is_away(child, l, &sight)) {
		away_forget(child);
		return false;
	}
	/* reading connections costs more: only at the beginning and the end */
	if (h->away_found || (h->away_since != 0 && now - h->away_since < patience))
		return false;
	sight_connections(&sight, child);
	print = sight_print(&sight);
	unmoved = h->away_since != 0 && print == h->away_print && !sight.all.refused;
	sight_free(&sight);
	h->away_since = unmoved ? 0 : now;
	h->away_print = print;
	h->away_found = unmoved;
	return unmoved;
}

void away_forget(struct child *child)
{
	if (child->health == NULL)
		return;
	child->health->away_since = 0;
	child->health->away_found = false;
}

bool away_is_suspect(const struct child *child)
{
	return child->health != NULL && child->health->away_since != 0;
}
