/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "base/text.h"
#include "supervisor/common/news.h"
#include "supervisor/health/health.h"
#include "supervisor/health/internal.h"
#include "supervisor/node/node.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/use.h"

#include <inttypes.h>

/* ---- max-memory ---- */

/* A worker that uses more (workers/use.h) is replaced.  Its use is measured every 5 s, and every
 * second once it has reached half of the limit. */
#define WAIT_FAR (5 * SECOND)
#define WAIT_NEAR (1 * SECOND)
#define MIB (1024U * 1024)

/* Has the worker been above the limit for as long as it may be? */
static bool is_too_much(
	struct health *h, const struct memory_limit *limit, uint64_t memory, nsec_t now)
{
	if (memory <= limit->bytes) {
		h->above_since = 0;
		return false;
	}
	if (h->above_since == 0)
		h->above_since = now;
	return now - h->above_since >= limit->span;
}

static bool has_memory_limit(const struct child *child)
{
	return health_settings(child)->max_memory.bytes != 0;
}

static nsec_t measure_memory(struct child *child, nsec_t now)
{
	const struct memory_limit limit = health_settings(child)->max_memory;
	struct health *h = health_of(child);
	char span[24] = "";
	uint64_t memory;
	nsec_t wait;

	if (h == NULL || h->outgrown || !health_is_ready(child))
		return WAIT_FAR;
	memory = use_memory(child, limit.bytes);
	wait = memory > limit.bytes / 2 ? WAIT_NEAR : WAIT_FAR;
	if (!is_too_much(h, &limit, memory, now))
		return wait;
	h->outgrown = true;
	news_say_worker(child, LOG_NOTE, "memory",
		"worker %d uses %" PRIu64 " MiB, 'max-memory' is %" PRIu64 " MiB%s%s",
		(int)child->pid, memory / MIB, limit.bytes / MIB, limit.span > 0 ? " for " : "",
		limit.span > 0 ? text_duration(span, limit.span) : "");
	child_tell(child, EVENT_OUTGROWN, WHY_MEMORY);
	return wait;
}

const struct monitor_kind memory_kind = {
	.first = WAIT_NEAR,
	.wants = has_memory_limit,
	.look = measure_memory,
};

/* ---- max-requests ---- */

/* A worker that got so many connections is replaced.  Room node counts them as it hands them out;
 * this monitor reads the count. */
#define COUNT_EACH (1 * SECOND)
/* A worker is not replaced before it was ready for so many times `stable-after`, so that a flood
 * does not replace one worker after the other. */
#define AGE_LEAST 10

static bool has_request_limit(const struct child *child)
{
	return health_settings(child)->max_requests != 0;
}

static nsec_t count_requests(struct child *child, nsec_t now)
{
	const struct cluster_settings *s = health_settings(child);
	struct health *h = health_of(child);
	struct worker_view view;
	int64_t limit = s->max_requests;

	if (h == NULL || h->outgrown || !health_is_ready(child))
		return COUNT_EACH;
	view = child_view(child);
	limit += limit * view.share / 1000;
	if (node_taken(child) >= (uint64_t)limit &&
		now - view.ready_at >= AGE_LEAST * s->stable_after) {
		h->outgrown = true;
		child_tell(child, EVENT_OUTGROWN, WHY_SERVED);
	}
	return COUNT_EACH;
}

const struct monitor_kind count_kind = {
	.first = COUNT_EACH,
	.wants = has_request_limit,
	.look = count_requests,
};
