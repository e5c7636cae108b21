/* SPDX-License-Identifier: MIT */
#include "supervisor/health/recycle.h"

#include "base/log.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/process.h"
#include "supervisor/workers/child.h"
#include "supervisor/health/health.h"
#include "supervisor/common/news.h"
#include "supervisor/workers/service.h"

#include <inttypes.h>
#include <stdlib.h>

#define WAIT_FAR (5 * SECOND)
#define WAIT_NEAR (1 * SECOND)
#define SLICE (2 * MSEC)
#define TREE_MAX 256
#define MIB (1024U * 1024)

/* The kernel may take memory from one that does not run. */
#define LOOK_HOLDS (10 * SECOND)

struct last_look {
	struct tree_use use;
	nsec_t ran; /* before it */
	nsec_t at;
};

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

/* Of the processes of a worker. */
static uint64_t memory_of(const pid_t *tree, size_t count, uint64_t limit)
{
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

/* What a look at /proc tells, of all its processes. */
static bool look_at(const struct child *child, struct tree_use *use)
{
	pid_t tree[TREE_MAX];
	struct process_facts facts;
	uint64_t limit = limit_of(child).bytes;
	size_t count;

	if (process_look(child->pid, &facts) == -1)
		return false;
	count = process_tree(child->pid, tree, TREE_MAX);
	*use = (struct tree_use){
		.processes = (unsigned)count,
		.cpu = facts.cpu + facts.reaped,
		.memory =
			memory_of(tree, count, limit != 0 ? limit : UINT64_MAX),
		.rss = facts.rss,
		.stopped = facts.state == 'T' || facts.state == 't',
	};
	for (size_t i = 1; i < count; i++)
		if (process_look(tree[i], &facts) == 0)
			use->cpu += facts.cpu + facts.reaped;
	return true;
}

/* One process that has not run has not asked for memory, nor begun another. */
static bool is_as_it_was(const struct last_look *last, nsec_t ran)
{
	return last != NULL && ran != 0 && ran == last->ran &&
		last->use.processes == 1 && clock_now() - last->at < LOOK_HOLDS;
}

bool recycle_look(struct child *child, struct tree_use *use)
{
	nsec_t ran = process_ran(child->pid);

	if (is_as_it_was(child->last_look, ran)) {
		*use = child->last_look->use;
		return true;
	}
	if (!look_at(child, use))
		return false;
	if (child->last_look == NULL)
		child->last_look = malloc(sizeof(*child->last_look));
	if (child->last_look != NULL)
		*child->last_look = (struct last_look){
			.use = *use, .ran = ran, .at = clock_now()};
	return true;
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
	struct event event = {
		.kind = EVENT_OUTGROWN,
		.why = WHY_MEMORY,
		.slot = child->slot,
		.worker = child->worker,
	};
	struct health *h = health_of(child);
	pid_t tree[TREE_MAX];
	char span[24] = "";
	uint64_t memory;

	if (h == NULL || h->outgrown || !health_is_ready(child))
		return;
	memory = memory_of(
		tree, process_tree(child->pid, tree, TREE_MAX), limit->bytes);
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
