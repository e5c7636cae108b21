/* SPDX-License-Identifier: MIT */
#include "supervisor/recycle.h"

#include "base/log.h"
#include "os/clock.h"
#include "os/process.h"
#include "supervisor/child.h"
#include "supervisor/health.h"
#include "supervisor/news.h"
#include "supervisor/service.h"

#include <inttypes.h>
#include <stdlib.h>

#define WAIT_FAR (5 * SECOND)
#define WAIT_NEAR (1 * SECOND)
#define SLICE (2 * MSEC)
#define TREE_MAX 256
#define MIB (1024U * 1024)

struct recycler {
	struct service *service;
	ev_timer look;
	uint32_t cursor; /* the slot that is next; 0: a look begins */
	bool any;
	bool near;
};

static uint64_t limit_of(const struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	return s != NULL ? s->max_memory : 0;
}

static uint64_t memory_of(const struct child *child, uint64_t limit)
{
	pid_t tree[TREE_MAX];
	size_t count = process_tree(child->pid, tree, TREE_MAX);
	uint64_t sum = 0;
	uint64_t shares = 0;

	for (size_t i = 0; i < count; i++)
		sum += process_memory(tree[i]);
	if (sum <= limit || count == 1)
		return sum;
	for (size_t i = 0; i < count; i++)
		shares += process_memory_share(tree[i]);
	return shares != 0 ? shares : sum;
}

static void judge(struct recycler *r, struct child *child, uint64_t limit)
{
	struct event event = {
		.kind = EVENT_OUTGROWN,
		.why = WHY_MEMORY,
		.slot = child->slot,
		.worker = child->worker,
	};
	struct health *h = health_of(child);
	uint64_t memory;

	if (h == NULL || h->outgrown || !health_is_ready(child))
		return;
	memory = memory_of(child, limit);
	r->near |= memory > limit / 2;
	if (memory <= limit)
		return;
	h->outgrown = true;
	news_say(child->service->sup, LOG_NOTE, "memory",
		"%s.%" PRIu32 ": worker %d takes %" PRIu64 " MiB, and "
		"'max-memory' is %" PRIu64 " MiB",
		child->service->name, child->slot, (int)child->pid,
		memory / MIB, limit / MIB);
	service_tell(child->service, &event);
}

static void arm(struct recycler *r, nsec_t wait)
{
	struct ev_loop *loop = r->service->sup->loop;

	ev_now_update(loop);
	ev_timer_stop(loop, &r->look);
	ev_timer_set(&r->look, nsec_seconds(wait), 0.);
	ev_timer_start(loop, &r->look);
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct recycler *r = timer->data;
	nsec_t until = clock_now() + SLICE;

	(void)loop;
	(void)revents;
	if (r->cursor == 0)
		r->any = r->near = false;
	while (r->cursor < r->service->child_slots) {
		for (int k = 0; k < 2; k++) {
			struct child *child =
				r->service->children[r->cursor][k];
			uint64_t limit = child != NULL ? limit_of(child) : 0;

			if (limit == 0)
				continue;
			r->any = true;
			judge(r, child, limit);
		}
		r->cursor++;
		if (clock_now() > until) {
			arm(r, 0);
			return;
		}
	}
	r->cursor = 0;
	if (r->any)
		arm(r, r->near ? WAIT_NEAR : WAIT_FAR);
}

/* ---- life ---- */

static void note_wanted(struct child *child, void *context)
{
	*(bool *)context |= limit_of(child) != 0;
}

void recycle_begin(struct service *service)
{
	struct recycler *r = service->recycler;
	bool wanted = false;

	health_each(service, note_wanted, &wanted);
	if (!wanted)
		return;
	if (r == NULL) {
		r = calloc(1, sizeof(*r));
		if (r == NULL)
			return;
		r->service = service;
		ev_init(&r->look, on_look);
		r->look.data = r;
		service->recycler = r;
	}
	if (!ev_is_active(&r->look))
		arm(r, WAIT_NEAR);
}

void recycle_free(struct service *service)
{
	struct recycler *r = service->recycler;

	if (r == NULL)
		return;
	ev_timer_stop(service->sup->loop, &r->look);
	free(r);
	service->recycler = NULL;
}
