/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "base/text.h"
#include "os/clock.h"
#include "supervisor/workers/child.h"
#include "supervisor/health/internal.h"
#include "supervisor/health/health.h"
#include "supervisor/common/news.h"
#include "supervisor/workers/service.h"

#include <inttypes.h>

/* `max-memory`: a worker that uses more (workers/child.h) is replaced.  Its use is measured every 5
 * s, and every second once it has reached half of the limit. */
#define WAIT_FAR (5 * SECOND)
#define WAIT_NEAR (1 * SECOND)
#define MIB (1024U * 1024)

static struct memory_limit limit_of(const struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	return s != NULL ? s->max_memory : (struct memory_limit){0};
}

/* Has the worker been above the limit for as long as it may be? */
static bool is_too_much(struct health *h, const struct memory_limit *limit, uint64_t memory)
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

static bool has_limit(const struct child *child)
{
	return limit_of(child).bytes != 0;
}

static nsec_t measure_memory(struct child *child, nsec_t unused)
{
	const struct memory_limit limit = limit_of(child);
	struct health *h = health_of(child);
	char span[24] = "";
	uint64_t memory;
	nsec_t wait;

	(void)unused;
	if (h == NULL || h->outgrown || !health_is_ready(child))
		return WAIT_FAR;
	memory = use_memory(child, limit.bytes);
	wait = memory > limit.bytes / 2 ? WAIT_NEAR : WAIT_FAR;
	if (!is_too_much(h, &limit, memory))
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
	.size = sizeof(struct monitor),
	.first = WAIT_NEAR,
	.wants = has_limit,
	.look = measure_memory,
};
