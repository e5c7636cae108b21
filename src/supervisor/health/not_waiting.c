/* SPDX-License-Identifier: MIT */
#include "supervisor/health/internal.h"

#include "os/look/look.h"
#include "supervisor/health/health.h"
#include "supervisor/sockets/group.h"

static bool is_listener(const void *context, uint64_t inode)
{
	return group_has_inode(context, inode);
}

/* Does no process of the worker wait for connections, though a process should? */
static bool is_away(
	const struct child *child, const struct listener *l, const struct snapshot *snapshot)
{
	/* connections come to a Node worker by its channel (node.h) */
	bool should = child->node != NULL;
	bool denied = false;

	if (snapshot->traced)
		return false;
	for (size_t i = 0; i < snapshot->tree_count; i++) {
		struct remote r;

		remote_of(&r, snapshot->tree[i]);
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

bool not_waiting_look(struct child *child, const struct listener *l, nsec_t patience, nsec_t now)
{
	struct health *h = child->health;
	struct snapshot snapshot = {.cpu = 0};
	uint64_t print;
	bool unmoved;

	snapshot_processes(&snapshot, child);
	if (!is_away(child, l, &snapshot)) {
		not_waiting_forget(child);
		return false;
	}
	/* reading connections costs more: only at the beginning and the end */
	if (h->not_waiting_found || (h->away_since != 0 && now - h->away_since < patience))
		return false;
	snapshot_connections(&snapshot, child);
	print = snapshot_print(&snapshot);
	unmoved = h->away_since != 0 && print == h->not_waiting_print && !snapshot.all.refused;
	snapshot_free(&snapshot);
	h->away_since = unmoved ? 0 : now;
	h->not_waiting_print = print;
	h->not_waiting_found = unmoved;
	return unmoved;
}

void not_waiting_forget(struct child *child)
{
	if (child->health == NULL)
		return;
	child->health->away_since = 0;
	child->health->not_waiting_found = false;
}

bool not_waiting_is_suspect(const struct child *child)
{
	return child->health != NULL && child->health->away_since != 0;
}
