/* SPDX-License-Identifier: MIT */
#include "supervisor/health/recycle.h"

#include "base/log.h"
#include "base/text.h"
#include "os/clock.h"
#include "supervisor/common/timer.h"
#include "supervisor/workers/child.h"
#include "supervisor/health/health.h"
#include "supervisor/common/news.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/use.h"

#include <inttypes.h>
#include <stdlib.h>

#define WAIT_FAR (5 * SECOND)
#define WAIT_NEAR (1 * SECOND)
#define SLICE (2 * MSEC)
#define MIB (1024U * 1024)

struct recycler {
	struct service *service;
	ev_timer look;
	uint32_t cursor; /* the slot that is next; 0: a look begins */
	bool any;
	bool near;
};

static struct memory_limit limit_of(const struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	return s != NULL ? s->max_memory : (struct memory_limit){0};
}

/* Is it above the limit, and has been for as long as it may be? */
static bool is_too_much(
	struct health *h, const struct memory_limit *limit, uint64_t memory)
{
	nsec_t now = clock_now();

	if (memory <= limit->bytes) {
		h->above_since = 0;
		return false;
	}
	if (h->above_since == 0)
		h->above_since = now;
	return now - h->above_since >= limit->span;
}

static void judge(struct recycler *r, struct child *child,
	const struct memory_limit *limit)
{
	struct health *h = health_of(child);
	char span[24] = "";
	uint64_t memory;

	if (h == NULL || h->outgrown || !health_is_ready(child))
		return;
	memory = use_memory(child, limit->bytes);
	r->near |= memory > limit->bytes / 2;
	if (!is_too_much(h, limit, memory))
		return;
	h->outgrown = true;
	news_say(child->service->sup, LOG_NOTE, "memory",
		"%s.%" PRIu32 ": worker %d takes %" PRIu64 " MiB, and "
		"'max-memory' is %" PRIu64 " MiB%s%s",
		child->service->name, child->slot, (int)child->pid,
		memory / MIB, limit->bytes / MIB,
		limit->span > 0 ? " for " : "",
		limit->span > 0 ? text_duration(span, limit->span) : "");
	child_tell(child, EVENT_OUTGROWN, WHY_MEMORY);
}

static void arm(struct recycler *r, nsec_t wait)
{
	timer_arm(r->service->sup->loop, &r->look, wait);
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
			struct memory_limit limit = {0};

			if (child != NULL)
				limit = limit_of(child);
			if (limit.bytes == 0)
				continue;
			r->any = true;
			judge(r, child, &limit);
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
	*(bool *)context |= limit_of(child).bytes != 0;
}

void recycle_begin(struct service *service)
{
	struct recycler *r = service->asks.recycler;
	bool wanted = false;

	children_each(service->sup, service, note_wanted, &wanted);
	if (!wanted)
		return;
	if (r == NULL) {
		r = calloc(1, sizeof(*r));
		if (r == NULL)
			return;
		r->service = service;
		ev_init(&r->look, on_look);
		r->look.data = r;
		service->asks.recycler = r;
	}
	if (!ev_is_active(&r->look))
		arm(r, WAIT_NEAR);
}

void recycle_free(struct service *service)
{
	struct recycler *r = service->asks.recycler;

	if (r == NULL)
		return;
	ev_timer_stop(service->sup->loop, &r->look);
	free(r);
	service->asks.recycler = NULL;
}
