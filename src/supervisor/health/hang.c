/* SPDX-License-Identifier: MIT */
#include "supervisor/health/internal.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/look/look.h"
#include "supervisor/workers/child.h"
#include "supervisor/health/health.h"
#include "supervisor/common/news.h"
#include "supervisor/workers/service.h"

#include <inttypes.h>
#include <stdio.h>

nsec_t hang_patience(const struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	return s != NULL ? s->request_timeout : 0;
}

static nsec_t age_of(const struct connection *c)
{
	return (nsec_t)c->received_ago * MSEC;
}

bool hang_exceeds(const struct child *child, const struct connection *c)
{
	nsec_t patience = hang_patience(child);

	return patience != 0 && snapshot_owes(c) && age_of(c) >= patience;
}

static void report_hang(
	struct child *child, const struct snapshot *snapshot, const struct connection *c)
{
	struct health *h = child->health;
	const struct news_number numbers[] = {
		{"age", nsec_seconds(age_of(c))},
		{"cpu", nsec_seconds(snapshot->cpu)},
	};
	struct remote r;
	char peer[64];
	char age[16];
	char threads[512];

	remote_of(&r, c->pid);
	snprintf(h->hang, sizeof(h->hang), "no answer to %s for %s",
		connections_peer(&r, c, peer, sizeof(peer)), text_age(age, age_of(c)));
	child->hang = h->hang;
	news_say_numbers(child, LOG_WARN, "hang", numbers, COUNT_OF(numbers),
		"worker %d hangs: %s; it has used %.1f s of CPU; %s", (int)child->pid, h->hang,
		nsec_seconds(snapshot->cpu), awaits_threads_text(c->pid, threads, sizeof(threads)));
	counters_note_hung(child->service);
	child_tell(child, EVENT_UNWELL, WHY_REQUEST);
}

void hang_look(struct child *child, nsec_t now)
{
	nsec_t patience = hang_patience(child);
	struct health *h = health_of(child);
	const struct connection *oldest;
	struct snapshot snapshot = {.cpu = 0};

	if (h == NULL || *h->hang != '\0' || now < h->hang_looked + patience / HANG_LOOKS)
		return;
	h->hang_looked = now;
	if (!health_is_ready(child))
		return;
	snapshot_processes(&snapshot, child);
	if (snapshot.traced)
		return;
	snapshot_connections(&snapshot, child);
	oldest = snapshot_oldest(&snapshot, child);
	/* two looks must see the request: the whole machine may have stood still */
	if (oldest == NULL || age_of(oldest) < patience / 2)
		h->hang_cookie = 0;
	else if (age_of(oldest) < patience || h->hang_cookie != oldest->cookie)
		h->hang_cookie = oldest->cookie;
	else
		report_hang(child, &snapshot, oldest);
	snapshot_free(&snapshot);
}
