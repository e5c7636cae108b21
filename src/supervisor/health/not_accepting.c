/* SPDX-License-Identifier: MIT */
#include "supervisor/health/internal.h"

#include "supervisor/health/health.h"
#include "supervisor/workers/child.h"

#include <stdlib.h>
#include <sys/socket.h>

/* Was the connection accepted at this listener?  Paths of unix sockets are not compared. */
static bool was_accepted_at(const struct connection *c, const struct listener *at)
{
	return at->facts.family == AF_UNIX ? c->kind == CONNECTION_UNIX && c->has_name
					   : c->kind == CONNECTION_TCP && c->port == at->facts.port;
}

/* Lists the cookies of the worker's connections at this listener, sorted.  -1: no memory. */
static int list_cookies(const struct child *child, struct cookies *to, const struct listener *at)
{
	struct snapshot snapshot = {.cpu = 0};
	int got = 0;

	snapshot_processes(&snapshot, child);
	snapshot_connections(&snapshot, child);
	connections_sort(&snapshot.all);
	if (snapshot.all.count > 0) {
		to->list = malloc(snapshot.all.count * sizeof(*to->list));
		got = to->list != NULL ? 0 : -1;
	}
	for (size_t i = 0; got == 0 && i < snapshot.all.count; i++)
		if (was_accepted_at(&snapshot.all.list[i], at))
			to->list[to->count++] = snapshot.all.list[i].cookie;
	snapshot_free(&snapshot);
	return got;
}

/* Are all connections of `now` among those `before`?  Some of `before` may have ended. */
static bool has_no_new(const struct cookies *now, const struct cookies *before)
{
	size_t k = 0;

	for (size_t i = 0; i < now->count; i++) {
		while (k < before->count && before->list[k] < now->list[i])
			k++;
		if (k == before->count || before->list[k] != now->list[i])
			return false;
	}
	return true;
}

bool not_accepting_for_long(struct child *child, nsec_t since, nsec_t now)
{
	const struct cluster_settings *s = child_settings(child);
	const struct listener *at = check_target_of(child);
	struct health *h = health_of(child);
	struct cookies seen = {0};
	nsec_t patience;
	bool begun;

	if (h == NULL || s == NULL || at == NULL)
		return false;
	patience = (nsec_t)s->check_failures * s->check_interval;
	begun = h->silent_checked >= since && h->silent_checked <= now;
	if (begun && now - h->silent_checked < patience / SILENCE_LOOKS)
		return h->silent;
	if (list_cookies(child, &seen, at) == -1) {
		not_accepting_forget(child);
		return false;
	}
	if (!begun || !has_no_new(&seen, &h->silent_seen)) {
		free(h->silent_seen.list);
		h->silent_seen = seen;
		h->silent_since = now;
	} else {
		free(seen.list);
	}
	h->silent_checked = now;
	h->silent = now - h->silent_since >= patience;
	return h->silent;
}

void not_accepting_forget(struct child *child)
{
	struct health *h = child->health;

	if (h == NULL)
		return;
	free(h->silent_seen.list);
	h->silent_seen = (struct cookies){0};
	h->silent_checked = 0;
	h->silent = false;
}
